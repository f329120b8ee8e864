"""How unlike the training videos a video is: a distance in feature space, and the share of them as far away.

Sets of features that any bundle has describe a video: CLIP's class tokens, mean over frames; signed roots of
the handcrafted measures; a frame trunk's mean, where one is cached. A distance is the logarithm of
Mahalanobis', with Ledoit and Wolf's covariance (2004) of standardised columns, each set divided by the root
of its width so that a wide one does not drown the others. It is compared with those of the training videos
out of fold (whole prompts are left out together): a training video's distance to a fit that has seen it is
smaller than any new video's. That share is a conformal p-value: of a video like them, it is uniform. Few
training videos do not show their own tail: one odd one among them would hide all that is unlike. Below `FEW`
the share is that of a normal distribution with their middle and spread, and CLIP has a covariance of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from msavqa.ground.errors import MsavqaError

Floats = NDArray[np.float64]
Sets = Mapping[str, Floats]
LEAST = 40
"""Training videos below which nothing is said: one in forty may lie anywhere."""
FEW = 200
"""Training videos below which shares are of a normal distribution (LOG.md has what was measured)."""
FOLDS, FOLDS_OF_FEW = 10, 20
SPREADS = {84.13447460685429: 1.0, 95.0: 1.6448536269514722}
"""Percentiles and how many standard deviations above its middle a normal distribution has them: the wider of
what they say is believed, for the distances' upper tail is often heavier than a normal one (LOG.md)."""
ROOTS = {"spatial": 0.5, "temporal": 0.5, "change": 0.25}
"""Groups of handcrafted measures that are read, by their arrays' names, and the power of each that is. They
span orders of magnitude: under a small power the largest does not hide the others. Those of changed content
are nearly zero where nothing moves, and a square root would not tell that from a calm video."""
POOLED = "pooled"
"""A frame trunk's array that is read."""
TINY = 1e-9
FAR = 100.0
"""Log distance of what cannot be placed at all."""


@dataclass(frozen=True)
class Block:
    """One fitted Mahalanobis distance over some sets, joined in the order of `sets`."""

    sets: tuple[str, ...]
    centre: Floats
    """(column,)"""
    scale: Floats
    """(column,): standard deviation times the root of the set's width."""
    root: Floats
    """(column, column): the square is the covariance's inverse, of columns in these units."""

    def log_distance(self, sets: Sets) -> Floats:
        """(video,), at most `FAR`, as where a feature is not finite."""
        joined = np.concatenate([np.asarray(sets[name], dtype=np.float64) for name in self.sets], axis=1)
        with np.errstate(invalid="ignore", over="ignore"):
            away = ((joined - self.centre) / self.scale) @ self.root
            found: Floats = np.log(np.sqrt(np.sum(away**2, axis=1)) + TINY)
        return np.asarray(np.minimum(np.nan_to_num(found, nan=FAR), FAR))


@dataclass(frozen=True)
class Familiarity:
    """What the training videos were like; too few of them have no blocks, and then nothing can be told."""

    rows: int
    trunk: str | None
    """The trunk whose features are among the sets; None where none caches them."""
    blocks: tuple[Block, ...]
    distances: Floats
    """(training video,), out of fold, in order."""

    @property
    def known(self) -> bool:
        """Whether there were training videos enough to tell."""
        return self.rows >= LEAST

    def distance(self, sets: Sets) -> Floats:
        """Sum of the blocks' log distances, (video,); NaN where nothing can be told."""
        if not self.known:
            return np.full(len(next(iter(sets.values()))), np.nan)
        return _sum(self.blocks, sets)

    def share(self, distance: ArrayLike) -> Floats:
        """Share of the training videos at least so far away, the video itself counted among them: a p-value
        in (0, 1], same shape; NaN where nothing can be told."""
        asked = np.asarray(distance, dtype=np.float64)
        if self.known and self.rows < FEW:
            middle, *above = np.percentile(self.distances, [50, *SPREADS])
            spread = max((one - middle) / away for one, away in zip(above, SPREADS.values(), strict=True))
            return np.asarray(ndtr((middle - asked) / max(spread, TINY)))
        beyond = len(self.distances) - np.searchsorted(self.distances, asked, side="left")
        return np.where(np.isnan(asked), np.nan, (beyond + 1) / (len(self.distances) + 1))

    def bound(self, asked: float) -> float:
        """The share at or below which a video is unlike: what was asked for, and of counted shares never less
        than the smallest that so many training videos can give, further away than all of them."""
        return asked if self.rows < FEW else max(asked, 1 / (self.rows + 1))


def usable(fingerprint: Mapping[str, Any]) -> bool:
    """Whether a trunk looks at single frames and its pooled features are cached."""
    return fingerprint.get("kind") == "image" and fingerprint.get("cut") == POOLED


def sets_of(
    *, cls: NDArray[Any], statistics: Mapping[str, NDArray[Any]], pooled: NDArray[Any] | None
) -> dict[str, Floats]:
    """What a distance reads, (video, column) each: from CLIP's class tokens (video, frame, dim), handcrafted
    measures (video, statistic) by group and a trunk's features (video, ..., width), None without it."""
    measures = {group: np.asarray(statistics[group], dtype=np.float64) for group in ROOTS}
    roots = [np.sign(measures[group]) * np.abs(measures[group]) ** power for group, power in ROOTS.items()]
    found = {
        "clip": np.asarray(cls, dtype=np.float64).mean(axis=1),
        "statistics": np.concatenate(roots, axis=1),
    }
    if pooled is not None:
        wide = np.asarray(pooled, dtype=np.float64)
        found["trunk"] = wide.reshape(len(wide), -1, wide.shape[-1]).mean(axis=1)
    return found


def fit(sets: Sets, *, groups: ArrayLike, trunk: str | None) -> tuple[Familiarity, Floats]:
    """What training videos are like, and each one's own distance out of fold (video,), from their `sets`.

    `groups` (video,) are not parted between folds; `trunk` names where the set "trunk", if there is one, is
    from. With fewer than `LEAST` videos, or two groups, nothing can be told: the distances are NaN.
    """
    group = np.asarray(groups)
    count = len(group)
    if count < LEAST or len(np.unique(group)) < 2:
        none = Familiarity(rows=min(count, LEAST - 1), trunk=None, blocks=(), distances=np.empty(0))
        return none, np.full(count, np.nan)
    few = count < FEW
    used = {name: np.asarray(columns, dtype=np.float64) for name, columns in sets.items()}
    own = np.empty(count)
    folds = folds_of(group, folds=FOLDS_OF_FEW if few else FOLDS)
    for fold in np.unique(folds):
        left = folds == fold
        blocks = _blocks({name: columns[~left] for name, columns in used.items()}, apart=few)
        own[left] = _sum(blocks, {name: columns[left] for name, columns in used.items()})
    fitted = Familiarity(
        rows=count,
        trunk=trunk if "trunk" in used else None,
        blocks=_blocks(used, apart=few),
        distances=np.sort(own),
    )
    return fitted, own


def folds_of(groups: ArrayLike, *, folds: int) -> NDArray[np.int64]:
    """A fold for each row, (row,): whole groups, dealt out in an order that the same groups always get."""
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(0).permutation(int(group.max()) + 1)
    return np.asarray(np.argsort(order)[group] % folds, dtype=np.int64)


def save(found: Familiarity, path: Path) -> None:
    """Writes it as safetensors; the same contents give the same bytes."""
    import safetensors.numpy

    arrays: dict[str, NDArray[Any]] = {"distances": found.distances, "rows": np.array([found.rows])}
    for block in found.blocks:
        name = "+".join(block.sets)
        arrays |= {f"{name}.centre": block.centre, f"{name}.scale": block.scale}
        arrays[f"{name}.root"] = block.root.astype(np.float32)
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"trunk": found.trunk or ""}))


def load(path: Path) -> Familiarity:
    """Reads what `save` wrote; raises `MsavqaError` for anything else."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            trunk = (opened.metadata() or {})["trunk"]
        blocks = tuple(
            Block(
                sets=tuple(name.removesuffix(".root").split("+")),
                centre=arrays[name.removesuffix("root") + "centre"],
                scale=arrays[name.removesuffix("root") + "scale"],
                root=arrays[name].astype(np.float64),
            )
            for name in sorted(arrays)
            if name.endswith(".root")
        )
        if any(block.root.shape != (len(block.centre),) * 2 for block in blocks) or not all(
            np.isfinite(array).all() for array in arrays.values()
        ):
            raise ValueError("arrays that do not go together")
        return Familiarity(int(arrays["rows"][0]), trunk or None, blocks, np.sort(arrays["distances"]))
    except (OSError, KeyError, IndexError, ValueError, safetensors.SafetensorError) as error:
        raise MsavqaError(
            what="What the training videos were like",
            where=path,
            got=f"{type(error).__name__}: {error}",
            expected="what the stage `ensemble` writes",
            next_step="run `dvc repro`, or export the bundle again",
        ) from error


def _blocks(sets: Sets, *, apart: bool) -> tuple[Block, ...]:
    """One block of all sets, or CLIP's apart: of few rows a joint covariance is mostly noise."""
    if not apart:
        return (joined_block(sets),)
    rest = {name: columns for name, columns in sets.items() if name != "clip"}
    return joined_block({"clip": sets["clip"]}), joined_block(rest)


def _sum(blocks: tuple[Block, ...], sets: Sets) -> Floats:
    return np.asarray(np.sum([block.log_distance(sets) for block in blocks], axis=0), dtype=np.float64)


def joined_block(sets: Sets) -> Block:
    """One Mahalanobis distance over all sets of training videos, in their order."""
    from sklearn.covariance import ledoit_wolf  # slow to import, and no score needs it

    joined = np.concatenate(list(sets.values()), axis=1)
    widths = np.concatenate([np.full(part.shape[1], np.sqrt(part.shape[1])) for part in sets.values()])
    centre = joined.mean(axis=0)
    scale = np.maximum(joined.std(axis=0), TINY) * widths
    covariance, _ = ledoit_wolf((joined - centre) / scale, assume_centered=True)
    # As it is stored, so that a bundle says what the stage said.
    root = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32).astype(np.float64)
    return Block(tuple(sets), centre, scale, root)
