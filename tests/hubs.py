"""No hub answers: what tests use that only look at which file would be fetched."""

from pathlib import Path
from urllib.error import URLError

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError


def switch_off(monkeypatch: pytest.MonkeyPatch, empty: Path, *, reason: str = "offline") -> None:
    """Lets both hubs' libraries fail as they do without a network; `empty` holds no caches of theirs."""

    def torch_hub(url: str, *rest: object, **more: object) -> None:
        raise URLError(reason)

    def hugging_face(repository: str, file: str) -> str:
        raise LocalEntryNotFoundError("An error happened") from URLError(reason)

    monkeypatch.setenv("TORCH_HOME", str(empty / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", torch_hub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hugging_face)
