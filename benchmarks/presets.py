"""A whole params file for a benchmark: a preset as `msavqa init` writes it, or any file by its path."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from msavqa.ground import params

ROOT = Path(__file__).resolve().parent.parent


def read(given: str) -> dict[str, Any]:
    """Plain data. `paper` and presets/paper.yaml mean the same."""
    path = Path(given)
    if path.suffix == ".yaml" and path.resolve().parent != ROOT / "presets":
        return params.read(path)
    with tempfile.TemporaryDirectory(prefix="preset-") as folder:
        whole = Path(folder) / "params.yaml"
        words = ["init", "--preset", path.stem, "--out", str(whole)]
        made = subprocess.run(
            [sys.executable, "-m", "msavqa.app.cli", *words],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            sys.exit(made.stderr.strip())
        return params.read(whole)
