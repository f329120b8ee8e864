"""How good is an AI-generated video, as people would rate it: MSA-VQA from cached features.

`msavqa.load(folder).score(video, prompt)` scores a video with an exported model bundle.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msavqa.score.scorer import Scorer
    from msavqa.score.scorer import load as load

__all__ = ["Scorer", "load"]


def __getattr__(name: str) -> Any:
    # Looked up late: a pipeline stage that imports one room must not import them all.
    if name in __all__:
        return getattr(importlib.import_module("msavqa.score.scorer"), name)
    raise AttributeError(f"module 'msavqa' has no attribute {name!r}")
