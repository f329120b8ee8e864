"""No hub answers: what tests use that only look at which file would be fetched."""

from pathlib import Path
from urllib.error import URLError

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from msavqa.networks import download


def switch_off(monkeypatch: pytest.MonkeyPatch, empty: Path, *, reason: str = "offline") -> None:
    """Lets both hubs' libraries fail as they do without a network; `empty` holds no caches of theirs."""

    def torch_hub(*asked: object, **more: object) -> None:
        raise URLError(reason)

    def hugging_face(*asked: object, **more: object) -> str:
        raise LocalEntryNotFoundError("An error happened") from URLError(reason)

    monkeypatch.setenv("TORCH_HOME", str(empty / "torch"))
    monkeypatch.setattr(download.urllib.request, "urlopen", torch_hub)
    for name in ("hf_hub_download", "get_hf_file_metadata"):
        monkeypatch.setattr(huggingface_hub, name, hugging_face)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
