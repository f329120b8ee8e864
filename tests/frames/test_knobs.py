"""What each knob of `decode` and `store` moves in a decoded data set, and that it moves nothing else."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msavqa.frames import read as frames
from msavqa.frames.decode import Backend, Decoded, decode
from msavqa.frames.read import DecodeSettings
from msavqa.ground.errors import MsavqaError
from msavqa.store import read as store
from msavqa.store.shards import StoreSettings
from tests import media, videos

pytestmark = pytest.mark.slow

BASE: dict[str, Any] = {
    "backend": "pyav", "frames": 4, "box": 32, "store": "frames", "workers": 2, "timeout_seconds": 60.0,
    "max_quarantined_fraction": 0.5, "shard_mb": 0.05,
}  # fmt: skip
# Knob -> (another value, what moves).
DECODE: dict[str, tuple[Any, set[str]]] = {
    "backend": ("decord", {"fingerprint", "decoders"}),
    "frames": (3, {"fingerprint", "frames a video", "pixels", "attributes"}),
    "box": (16, {"fingerprint", "largest side", "pixels", "attributes"}),
    "store": ("none", {"arrays"}),
    "workers": (1, {"processes"}),
    "timeout_seconds": (2.0, {"valid", "pixels", "decoders", "processes"}),  # who hangs is replaced
    "max_quarantined_fraction": (0.1, {"refused"}),
}
STORE: dict[str, tuple[Any, set[str]]] = {"shard_mb": (0.013, {"shards"})}
SLOW_SECONDS = 4.0


def decode_and_tell(path: Path, *, frames: int, box: int, backend: Backend) -> Decoded:
    """Decodes in a worker, leaves its number behind, and takes its time over one video."""
    (path.parent / "workers" / str(os.getpid())).touch()
    time.sleep(SLOW_SECONDS if path.name == "slow.mp4" else 0.3)
    return decode(path, frames=frames, box=box, backend=backend)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos, one slow to decode and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    media.write(folder / "a.mp4", media.numbered(9))
    media.write(folder / "b.mp4", media.numbered(5, height=64, width=40))
    media.write(folder / "slow.mp4", media.numbered(7))
    (folder / "none.mp4").write_bytes(b"")
    return folder


def observed(place: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """Decodes the folder and looks at everything that a knob may move; of a refusal only that."""
    settings = {**BASE, **changes}
    shard_mb = settings.pop("shard_mb")
    workers = folder / "workers"
    workers.mkdir(exist_ok=True)
    for left in workers.iterdir():
        left.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "decode", decode_and_tell)
        try:
            path = videos.decode_to(place, folder, videos.settings(**settings), shard_mb=shard_mb)
        except MsavqaError:
            return {"refused": True}
    processes = len(list(workers.iterdir()))
    opened = store.open(path)
    paths = {one: folder / one for one in opened.ids}
    with frames.source(opened, settings=videos.settings(**settings), paths=paths) as read_frames:
        shown: list[Any] = list(read_frames(np.flatnonzero(opened.valid)))
    content = hashlib.sha256(b"".join(pixels.tobytes() for pixels in shown))
    content.update(opened.all("times_seconds").tobytes())
    return {
        "fingerprint": opened.fingerprint,
        "attributes": opened.attributes,
        "arrays": sorted(opened.specs),
        "frames a video": len(shown[0]),
        "largest side": max(max(pixels.shape[1:3]) for pixels in shown),
        "pixels": content.hexdigest(),
        "decoders": [str(decoder).split(" ")[0] for decoder in opened.rows["decoder"]],
        "valid": opened.valid.tolist(),
        "shards": len(opened.records.shards),
        "processes": processes,
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> dict[str, Any]:
    return observed(tmp_path_factory.mktemp("base"), folder)


def test_every_knob_stands_in_the_table() -> None:
    assert DECODE.keys() == DecodeSettings.model_fields.keys()
    assert STORE.keys() == StoreSettings.model_fields.keys()


def test_the_base_is_what_the_settings_say(base: dict[str, Any]) -> None:
    assert base["frames a video"] == 4
    assert base["largest side"] == 32
    assert base["processes"] == 2
    assert base["decoders"] == ["pyav", "pyav", "", "pyav"]
    assert base["valid"] == [True, True, False, True]
    assert base["shards"] == 1


@pytest.mark.parametrize("knob", [*DECODE, *STORE])
def test_a_knob_moves_what_the_table_says_and_nothing_else(
    base: dict[str, Any], folder: Path, tmp_path: Path, knob: str
) -> None:
    value, moves = (DECODE | STORE)[knob]
    now = observed(tmp_path, folder, **{knob: value})
    if moves == {"refused"}:
        assert now == {"refused": True}
    else:
        assert {name for name in base if base[name] != now.get(name)} == moves
