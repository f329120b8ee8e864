"""A model bundle: one folder that scores videos without the training data, DVC or git.

    bundle.json             settings, ensemble, calibration, fingerprints, sha256 of every file
    trunks/<trunk>.*        the frozen networks' weights (safetensors), and CLIP's own configuration
    branches/<branch>.safetensors
    README.md               the model card

`load` refuses a folder in which a file is missing, was changed, or lies outside of it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from msavqa.bundle import contents as bundle_contents
from msavqa.bundle.contents import CONTENTS, FORMAT, inside, refused
from msavqa.bundle.reference import Reference
from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.ground.errors import MsavqaError
from msavqa.machine.params import Settings
from msavqa.networks import weights

CARD = "README.md"
COPIED = (*weights.SAFETENSORS, ".json")
"""What `trunks.<trunk>` may name that is copied as it is; the rest is names and our own sources."""

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds; all paths in it lie inside its folder."""

    path: Path
    dataset: str
    frames: int
    """Frames sampled of each video."""
    box: int | None
    """Pixels that a larger frame is shrunk to fit, both ways."""
    trunks: Mapping[str, Mapping[str, Any]]
    """Settings of each frozen network, as in params.yaml, with paths of the bundle's own files."""
    branches: Mapping[str, Mapping[str, Any]]
    """What each branch is built from: its settings, the sizes of its inputs, CLIP's architecture."""
    fingerprints: Mapping[str, Mapping[str, Any]]
    """What made each trunk's features in training."""
    ensemble: Ensemble
    calibration: Calibration
    reference: Reference
    digest: str
    """SHA-256 of everything in it: the model's name in results."""

    def weights(self, branch: str) -> Path:
        """The branch's weights file."""
        return self.path / "branches" / f"{branch}.safetensors"


def write(
    path: Path,
    *,
    dataset: str,
    frames: int,
    box: int | None,
    trunks: Mapping[str, Mapping[str, Any]],
    branches: Mapping[str, Mapping[str, Any]],
    branch_weights: Mapping[str, Path],
    fingerprints: Mapping[str, Mapping[str, Any]],
    ensemble: Ensemble,
    calibration: Calibration,
    reference: Reference,
    card: str,
) -> Bundle:
    """Makes the folder, whole or not at all; what stood at `path` is replaced. Same input, same bytes.

    `trunks` are settings whose `weights` (and `model`, where it is a JSON file) are copied from where they
    say. Weights in a torch file become safetensors: the same tensors under another SHA-256, which takes the
    old one's place wherever the bundle names it (`converted` tells both).
    """
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "trunks").mkdir(parents=True)
    except OSError as error:
        raise MsavqaError(
            what="Folder of a new bundle",
            where=path,
            got=error.strerror,
            expected="a place that can be written to",
            next_step="choose another --out",
        ) from None
    (partial / "branches").mkdir()
    moved = {name: _copied(partial, name, settings) for name, settings in trunks.items()}
    converted = {
        weights.sha256(old): _sha256(partial / str(moved[name]["weights"]))
        for name, settings in trunks.items()
        if (old := Path(str(settings.get("weights", "")))).suffix in weights.TORCH
    }
    for name, source in branch_weights.items():
        shutil.copyfile(source, partial / "branches" / f"{name}.safetensors")
    (partial / CARD).write_text(card, encoding="utf-8")
    files = sorted(file for file in partial.rglob("*") if file.is_file())
    contents = {
        "format": FORMAT,
        "dataset": dataset,
        "decode": {"frames": frames, "box": box},
        "trunks": moved,
        "branches": {name: _renamed(facts, converted) for name, facts in branches.items()},
        "fingerprints": {name: _renamed(facts, converted) for name, facts in fingerprints.items()},
        "converted": converted,
        "ensemble": ensemble.to_dict(),
        "calibration": calibration.as_dict(),
        "reference": asdict(reference),
        "files": {file.relative_to(partial).as_posix(): _sha256(file) for file in files},
    }
    text = json.dumps(
        {"digest": bundle_contents.digest(contents), **contents},
        indent=2,
        ensure_ascii=False,
        allow_nan=False,
    )
    (partial / CONTENTS).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)
    return load(path)


def load(path: Path | str) -> Bundle:
    """Reads a bundle and checks every file of it; raises `MsavqaError` with the first thing that is wrong."""
    folder = Path(path)
    contents, digest = bundle_contents.read(folder)
    for name, sha256 in contents.files.items():
        file = inside(folder, name)
        if not file.is_file():
            raise refused(file, got="no such file", expected=f"a file with SHA-256 {sha256}")
        if (found := _sha256(file)) != sha256:
            raise refused(file, got=f"SHA-256 {found}", expected=sha256)
    return Bundle(
        path=folder,
        dataset=contents.dataset,
        frames=contents.decode.frames,
        box=contents.decode.box,
        trunks={name: _placed(folder, trunk, contents.files) for name, trunk in contents.trunks.items()},
        branches=contents.branches,
        fingerprints=contents.fingerprints,
        ensemble=contents.ensemble,
        calibration=contents.calibration,
        reference=contents.reference,
        digest=digest,
    )


@contextmanager
def understood(where: Path) -> Iterator[None]:
    """Raises `MsavqaError` where building the networks meets settings of another shape than it wrote."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ImportError) as error:
        got = f"contents that make no networks ({type(error).__name__}: {error})"
        raise refused(where / CONTENTS, got=got, expected="those that an export writes") from error


def parsed(kind: type[S], settings: Mapping[str, Any], *, where: str) -> S:
    """A block of a bundle's settings; raises `MsavqaError` where this msavqa knows others."""
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise MsavqaError(
            what="Model bundle",
            where=f"the settings of {where}",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            expected="the settings that this msavqa knows",
            next_step="export the model again, or use the msavqa that exported it",
        ) from None


def _copied(folder: Path, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Copies a trunk's files into the bundle and gives its settings with their names in it."""
    moved = dict(settings)
    for key in ("weights", "model"):
        source = Path(str(settings.get(key, "")))
        if source.suffix in weights.TORCH:
            moved[key] = f"trunks/{name}.safetensors"
            # Clones: tensors of a torch file may share memory, which safetensors does not know.
            state = {tensor: values.clone() for tensor, values in weights.read(source).items()}
            weights.save(state, folder / moved[key])
        elif source.suffix in COPIED:
            moved[key] = f"trunks/{name}{source.suffix}"
            shutil.copyfile(source, folder / moved[key])
    return moved


def _renamed(facts: Any, names: Mapping[str, str]) -> Any:
    """The same facts with some of their texts under other names."""
    if isinstance(facts, Mapping):
        return {key: _renamed(value, names) for key, value in facts.items()}
    if isinstance(facts, list):
        return [_renamed(value, names) for value in facts]
    return names.get(facts, facts) if isinstance(facts, str) else facts


def _placed(folder: Path, settings: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """A trunk's settings with paths that exist."""
    named = {key: str(settings[key]) for key in ("weights", "model") if settings.get(key) in files}
    return {**settings, **{key: str(inside(folder, name)) for key, name in named.items()}}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
