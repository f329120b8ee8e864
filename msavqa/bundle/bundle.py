"""A model bundle: one folder that scores videos without the training data, DVC or git.

    bundle.json             settings, ensemble, calibration, fingerprints, sha256 of every file
    networks/<name>.*       weights of the frozen networks, and CLIP's own configuration
    branches/<branch>.safetensors
    familiarity.safetensors what the training videos are like
    README.md               the model card

`load` refuses a folder in which a file is missing, was changed, or lies outside of it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from msavqa.bundle import contents as bundle_contents
from msavqa.bundle.contents import CONTENTS, FORMAT, Contents, inside, refused
from msavqa.bundle.reference import Reference
from msavqa.evaluation import familiarity as like
from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.evaluation.familiarity import Familiarity
from msavqa.evaluation.generator_error import GeneratorError
from msavqa.evaluation.verdict import Verdict
from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings

CARD = "README.md"
NETWORKS = "networks"
FAMILIARITY = "familiarity.safetensors"

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
    texts: Mapping[str, Mapping[str, Any]]
    """Settings of each network that reads prompts, as in params.yaml, with paths of the bundle's files."""
    trunks: Mapping[str, Mapping[str, Any]]
    """The same of each network that looks at frames."""
    clip_text: str
    clip_image: str
    """Whose vectors alignment, consistency and change are measured by."""
    cosine_spread: float | None
    """By which pieces of a long prompt are joined for alignment, see `prompt_pieces.spread`; None: a bundle
    of before, which reads no prompt in pieces."""
    branches: Mapping[str, Mapping[str, Any]]
    """What each branch is built from: its `settings`, the `shapes` of its inputs, CLIP's `architectures`."""
    fingerprints: Mapping[str, Mapping[str, Any]]
    """What made each store's features in training."""
    ensemble: Ensemble
    calibration: Calibration
    reference: Reference
    verdict: Verdict | None
    """What the model may be used for; None in a bundle of before."""
    digest: str
    """SHA-256 of everything in it: the model's name in results."""
    folder: str = NETWORKS
    """Of the networks' weights."""
    familiarity: Familiarity | None = None
    """What the training videos are like; None in bundles of before."""
    familiarity_bound: float | None = None
    """Share of training videos as unlike the others, at or below which a video is unlike them all; None where
    that cannot be told."""
    change_threshold: float | None = None
    """Step between frames above which a change of meaning is named; None in bundles of before."""
    dimension: str | None = None
    """Name of the first dimension of quality; None where there is one."""
    dimensions: Mapping[str, bundle_contents.Dimension] = field(default_factory=dict)
    """The further ones, in the order of the branches' outputs."""

    def of_network(self, name: str) -> Path:
        """The weights file of a text or a trunk."""
        return self.path / self.folder / f"{name}.safetensors"

    def of_branch(self, name: str) -> Path:
        """The weights file of a branch."""
        return self.path / "branches" / f"{name}.safetensors"


def write(
    path: Path,
    *,
    dataset: str,
    frames: int,
    box: int | None,
    texts: Mapping[str, Mapping[str, Any]],
    trunks: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, Path],
    clip: tuple[str, str],
    cosine_spread: float,
    branches: Mapping[str, Mapping[str, Any]],
    branch_weights: Mapping[str, Path],
    fingerprints: Mapping[str, Mapping[str, Any]],
    ensemble: Ensemble,
    calibration: Calibration,
    reference: Reference,
    verdict: Verdict | None,
    familiarity: tuple[Familiarity, float] | None,
    change_threshold: float | None,
    generator_error: GeneratorError | None,
    card: str,
    dimensions: Sequence[tuple[str, Ensemble, Calibration]] = (),
    dimension: str | None = None,
) -> Bundle:
    """Makes the folder, whole or not at all; what stood at `path` is replaced. Same input, same bytes.

    `weights` are the files of all texts and trunks by name; a `model` that is a JSON file is copied from
    where it says. `clip` names the text and the trunk that alignment, consistency and change are measured by.
    `familiarity` is what the training videos are like and the bound that was asked for. `dimensions` are the
    further ones of quality in the order of the branches' outputs, `dimension` is the first one's name.
    """
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / NETWORKS).mkdir(parents=True)
    except OSError as error:
        raise MsavqaError(
            what="Folder of a new bundle",
            where=path,
            got=error.strerror,
            expected="a place that can be written to",
            next_step="choose another --out",
        ) from None
    (partial / "branches").mkdir()
    for name in (*texts, *trunks):
        shutil.copyfile(weights[name], partial / NETWORKS / f"{name}.safetensors")
    for name, source in branch_weights.items():
        shutil.copyfile(source, partial / "branches" / f"{name}.safetensors")
    told: dict[str, Any] = {}
    if familiarity is not None:
        like.save(familiarity[0], partial / FAMILIARITY)
        told["familiarity"] = {"file": FAMILIARITY, "bound": familiarity[1]}
    if change_threshold is not None:
        told["change_threshold"] = change_threshold
    if generator_error is not None:
        told["generator_error"] = asdict(generator_error)
    if dimensions:
        told["dimension"] = dimension
        told["dimensions"] = {
            name: {"ensemble": joined.to_dict(), "calibration": fitted.as_dict()}
            for name, joined, fitted in dimensions
        }
    (partial / CARD).write_text(card, encoding="utf-8")
    contents = {
        "format": FORMAT,
        "dataset": dataset,
        "decode": {"frames": frames, "box": box},
        "weights": NETWORKS,
        "texts": {name: _copied(partial, name, settings) for name, settings in texts.items()},
        "trunks": {name: _copied(partial, name, settings) for name, settings in trunks.items()},
        "clip": {"text": clip[0], "image": clip[1], "spread": cosine_spread},
        "branches": branches,
        "fingerprints": fingerprints,
        "ensemble": ensemble.to_dict(),
        "calibration": calibration.as_dict(),
        "reference": asdict(reference),
        **told,
    }
    if verdict is not None:
        contents |= {"verdict": verdict.sentence, "verdict_level": verdict.level}
    files = sorted(file for file in partial.rglob("*") if file.is_file())
    contents["files"] = {file.relative_to(partial).as_posix(): _sha256(file) for file in files}
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
    described, bound = None, None
    if contents.familiarity is not None:
        described = like.load(inside(folder, contents.familiarity.file))
        bound = described.bound(contents.familiarity.bound) if described.known else None
    return Bundle(
        path=folder,
        dataset=contents.dataset,
        frames=contents.decode.frames,
        box=contents.decode.box,
        # Before, every prompt was one piece, cut to fit.
        texts={name: {"pieces": None, **_placed(folder, text)} for name, text in contents.texts.items()},
        trunks={name: _placed(folder, trunk) for name, trunk in contents.trunks.items()},
        clip_text=contents.clip.text,
        clip_image=contents.clip.image,
        cosine_spread=contents.clip.spread,
        branches=contents.branches,
        fingerprints=contents.fingerprints,
        ensemble=contents.ensemble,
        calibration=contents.calibration,
        reference=contents.reference,
        verdict=_verdict(contents),
        digest=digest,
        folder=contents.weights,
        familiarity=described,
        familiarity_bound=bound,
        change_threshold=contents.change_threshold,
        dimension=contents.dimension,
        dimensions=contents.dimensions,
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


def _verdict(contents: Contents) -> Verdict | None:
    if contents.verdict is None or contents.verdict_level is None:
        return None
    return Verdict(contents.verdict, contents.verdict_level)


def _copied(folder: Path, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A network's settings; a file that they name is copied into the bundle and named as it lies there."""
    if not str(settings.get("model")).endswith(".json"):
        return dict(settings)
    model = f"{NETWORKS}/{name}.json"
    shutil.copyfile(str(settings["model"]), folder / model)
    return {**settings, "model": model}


def _placed(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A network's settings with paths that exist."""
    if not str(settings.get("model")).endswith(".json"):
        return dict(settings)
    return {**settings, "model": str(inside(folder, settings["model"]))}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
