"""Seconds of each long stage, as the stages left them, in the order in which the data goes."""

import json
from pathlib import Path

ORDER = ("decode", "measure", "prompts", "extract", "pretrain", "train")
"""Stages that leave their seconds; another one comes last."""


def seconds(runs: Path, dataset: str) -> dict[str, float]:
    """Wall-clock seconds by stage, such as `extract_clip_image`, in the pipeline's order."""
    paths = [*(runs / dataset / "seconds").glob("*.json"), *(runs / "start_seconds").glob("*.json")]
    found = {path.stem: float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) for path in paths}
    return dict(sorted(found.items(), key=lambda one: (_place(one[0]), one[0])))


def flat(found: dict[str, float]) -> dict[str, float]:
    """The same as figures: `seconds_<stage>` each, and `seconds`, of training all branches."""
    training = [value for name, value in found.items() if name.startswith("train_")]
    total = {"seconds": round(sum(training), 3)} if training else {}
    return total | {f"seconds_{name}": value for name, value in sorted(found.items())}


def _place(name: str) -> int:
    stage = name.split("_")[0]
    return ORDER.index(stage) if stage in ORDER else len(ORDER)
