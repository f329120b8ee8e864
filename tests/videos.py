"""A folder of videos as a dataset for the decode stage."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from msavqa.datasets import tables
from msavqa.frames.read import DecodeSettings
from msavqa.frames.write import decode_all

SETTINGS: dict[str, Any] = {
    "backend": "pyav",
    "frames": 4,
    "box": 32,
    "store": "frames",
    "workers": 2,
    "timeout_seconds": 30.0,
    "max_quarantined_fraction": 0.05,
}


def settings(**changes: Any) -> DecodeSettings:
    """Settings of the decode stage for tiny videos."""
    return DecodeSettings.model_validate(SETTINGS | changes)


def manifest(folder: Path) -> pd.DataFrame:
    """The columns of a manifest that decoding reads, one row per video file, sorted by name."""
    paths = sorted(path for path in folder.glob("*.*") if path.suffix in (".mp4", ".avi", ".gif"))
    names = [path.name for path in paths]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return pd.DataFrame({"video_id": names, "path": names, "sha256": hashes})


def decode_to(place: Path, folder: Path, chosen: DecodeSettings, *, shard_mb: float = 0.05) -> Path:
    """Decodes a folder of videos into `place`/frames.zarr, staged in `place`/staging."""
    path = place / "frames.zarr"
    rows = manifest(folder)
    decode_all(
        path, manifest=rows, root=folder, settings=chosen, shard_mb=shard_mb, staging_root=place / "staging"
    )
    return path


def project(place: Path, folder: Path) -> Path:
    """A project's folder with params.yaml and the manifest of a dataset `mine`, its videos linked."""
    (place / "videos").symlink_to(folder)
    rows = manifest(folder)
    labels = {"prompt": "", "mos": 50.0, "mos_se": 1.0, "generator": "", "group": "", "given_split": ""}
    file = {"size_bytes": 1, "container": "mp4", "codec": "h264", "fps": 8.0, "frame_count": -1}
    seen = {"width": 64, "height": 48, "duration_seconds": 1.0, "rotation_degrees": 0}
    rest = {"weight": 1.0, "quality_true": 50.0, "status": "ok", "error": ""}
    tables.write_manifest(rows.assign(**labels, **file, **seen, **rest), place / "data/mine/manifest.parquet")
    params = {"decode": SETTINGS, "store": {"shard_mb": 1}, "datasets": {"mine": {"root": "videos"}}}
    (place / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return place
