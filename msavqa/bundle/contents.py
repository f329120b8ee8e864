"""The table of contents of a model bundle, bundle.json: what it must hold, and that it holds together.

Its digest tells a changed file from an exported one; it is no signature. So the contents are looked at as
any input is: every field by its type, and every file that is ever read is one that the table lists.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msavqa.bundle import former
from msavqa.bundle.reference import Reference
from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.evaluation.generator_error import GeneratorError
from msavqa.evaluation.verdict import Level
from msavqa.ground.errors import MsavqaError

FORMAT = "msavqa-bundle/2"
CONTENTS = "bundle.json"
MEASURES = "statistics"
"""Under which name the handcrafted measures have their fingerprint."""
EXPORT_AGAIN = "export the bundle again with `msavqa export`"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Decode(_Part):
    frames: int = Field(ge=1)
    box: int | None = Field(ge=1)


class _Clip(_Part):
    text: str
    image: str
    spread: float | None = Field(default=None, gt=0)
    """Of the cosines of pieces of prompts with their videos, in training."""


class _Familiarity(_Part):
    file: str
    bound: float = Field(gt=0, lt=1)


class Dimension(_Part):
    """What makes scores of a further dimension of quality out of the branches' outputs."""

    ensemble: Ensemble
    calibration: Calibration


class Contents(_Part):
    """bundle.json, its digest checked and left out; blocks that params.yaml has too are as there."""

    format: str
    dataset: str
    decode: _Decode
    weights: str
    """The folder of the networks' weights inside the bundle, `<weights>/<name>.safetensors`."""
    texts: dict[str, dict[str, Any]]
    trunks: dict[str, dict[str, Any]]
    clip: _Clip
    """By whose vectors alignment, consistency and change are measured: names under `texts` and `trunks`."""
    branches: dict[str, dict[str, Any]]
    """Of each its `settings`, the block of params.yaml; the `shapes` of its inputs; `architectures` of CLIP's
    towers whose last blocks it holds."""
    fingerprints: dict[str, dict[str, Any]]
    """By store: what made the features in training."""
    ensemble: Ensemble
    calibration: Calibration
    reference: Reference
    dimension: str | None = None
    """Name of the first dimension of quality, `ensemble`'s and `calibration`'s; None where there is one."""
    dimensions: dict[str, Dimension] = Field(default_factory=dict)
    """The further ones, in the order of the branches' outputs."""
    verdict: str | None = None
    """One sentence on what the model may be used for; None in a bundle of before, as `verdict_level`."""
    verdict_level: Level | None = None
    familiarity: _Familiarity | None = None
    """What the training videos are like: the file of its arrays, and the share of them as unlike the others
    at or below which a video counts as unlike them all; None in bundles of before."""
    generator_error: GeneratorError | None = None
    """By how much it misjudges a generator as a whole; None where that is not known."""
    change_threshold: float | None = Field(default=None, gt=0)
    """Step between frames above which a change of meaning is named; None in bundles of before."""
    files: dict[str, str]
    """SHA-256 by name."""


def read(folder: Path) -> tuple[Contents, str]:
    """The contents of a bundle's folder and their digest; raises `MsavqaError` with the first thing wrong."""
    file = folder / CONTENTS
    if not file.is_file():
        next_step = "run `dvc repro` to train a model and export it, or give a bundle's folder with --model"
        got = f"no {CONTENTS}" if folder.is_dir() else "no such folder"
        raise MsavqaError(
            what="Model bundle", where=folder, got=got, expected="a folder with one", next_step=next_step
        )
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise refused(file, got=f"broken JSON ({error})", expected="a bundle's contents") from error
    if not isinstance(data, dict):
        raise refused(file, got=type(data).__name__, expected="a bundle's contents")
    if data.get("format") not in (FORMAT, former.FORMAT):
        raise refused(file, got=f"format {data.get('format')!r}", expected=f"format {FORMAT!r}")
    said = data.pop("digest", None)
    if said != digest(data):
        raise refused(file, got="contents that were changed", expected=f"those of digest {said}")
    if data["format"] == former.FORMAT:
        try:
            data = former.renewed(data)
        except (KeyError, TypeError, AttributeError) as error:
            got = f"contents of another shape ({type(error).__name__}: {error})"
            raise refused(file, got=got, expected="a bundle's contents") from None
    try:
        contents = Contents.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise refused(file, got=f"{place}: {first['msg']}", expected="a bundle's contents") from None
    for problem in _apart(contents):
        raise refused(file, got=problem, expected="contents that go together")
    return contents, str(said)


def digest(contents: Mapping[str, Any]) -> str:
    """SHA-256 of contents without their digest, whatever their order and spacing in the file."""
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def inside(folder: Path, name: str) -> Path:
    """A file by its name in the contents. It may be a link into DVC's cache: its SHA-256 says what it is."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise refused(folder / CONTENTS, got=f"the file name {name!r}", expected="a file inside the bundle")
    return folder / name


def refused(where: Path, *, got: str, expected: str) -> MsavqaError:
    """The sentence for a bundle that is not as it was exported."""
    return MsavqaError(what="Model bundle", where=where, got=got, expected=expected, next_step=EXPORT_AGAIN)


def _apart(contents: Contents) -> Iterator[str]:
    """What one part names and another lacks."""
    for block, networks in (("text", contents.texts), ("trunk", contents.trunks)):
        for name, settings in networks.items():
            if name not in contents.fingerprints:
                yield f"{block} {name!r} without a fingerprint"
            model = str(settings.get("model", ""))
            files = [f"{contents.weights}/{name}.safetensors", *([model] if model.endswith(".json") else [])]
            yield from (
                f"{block} {name!r} of file {file!r}, which `files` does not list"
                for file in files
                if file not in contents.files
            )
    if contents.clip.text not in contents.texts or contents.clip.image not in contents.trunks:
        yield f"a CLIP of {contents.clip.text!r} and {contents.clip.image!r}, which are not both there"
    like = contents.familiarity
    if like is not None and like.file not in contents.files:
        yield f"a familiarity of file {like.file!r}, which `files` does not list"
    if like is not None and MEASURES not in contents.fingerprints:
        yield "a familiarity without a fingerprint of the handcrafted measures"
    for joined in (contents.ensemble, *(one.ensemble for one in contents.dimensions.values())):
        yield from _ensemble_apart(contents, joined)


def _ensemble_apart(contents: Contents, joined: Ensemble) -> Iterator[str]:
    for name in joined.branches:
        if name not in contents.branches or f"branches/{name}.safetensors" not in contents.files:
            yield f"an ensemble of branch {name!r} without its settings or weights"
    if {len(part) for part in (joined.mean, joined.sd, joined.fitted, joined.weights)} != {
        len(joined.branches)
    }:
        yield f"an ensemble of {len(joined.branches)} branches with other numbers of constants"
    if not joined.branches:
        yield "an ensemble of no branch"
