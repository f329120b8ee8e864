"""Evaluation protocols: who is trained, validated and tested on in each repeat, and the folds of training.

Published protocols part T2VQA-DB by video, so that every test prompt is also a training prompt (ten videos
share one). Without a pixel read, a prompt's mean MOS alone then scores SRCC 0.36, and together with its
generator's mean 0.69. `prompt_disjoint` takes the prompt's mean away.

`generator_disjoint` leaves one generator out per repeat: how good is a score of a generator never seen
before? Files of equal content are never on both sides, whatever they are called.

Rows without a MOS are always tested on, never learned from. Videos that could not be read get their role like
the others and are then left out, so that one broken file does not reshuffle the rest.
"""

import random
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from msavqa.datasets.rows import Row, role_of
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.ground.params import Settings

PROTOCOLS = ("random_9_1", "qmme_8_2", "prompt_disjoint", "generator_disjoint", "given")
Seed = Annotated[int, Field(ge=0)]
"""As numpy's generators take one."""


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed stands twice, its repeats would be the same")
    return seeds


class SplitSettings(Settings):
    """The block `split` (and `pretrain_split`, for the dataset of pre-training)."""

    # random_9_1: the paper's, 9:1 by video. qmme_8_2: T2VQA's own ten splits (seeds 1 to 10), 8:2 by video.
    # prompt_disjoint: no prompt and no group on both sides. generator_disjoint: one generator left out, each
    # in turn. given: the dataset's own column.
    protocol: Literal["random_9_1", "qmme_8_2", "prompt_disjoint", "generator_disjoint", "given"]
    # One repeat each; generator_disjoint: one for each generator, each.
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)]
    test_fraction: float = Field(gt=0, lt=1)  # of the labelled rows; read by prompt_disjoint alone
    # Of the training rows; not read where `given` has val rows. 0: all training rows train, and intervals
    # come from out-of-fold scores alone.
    validation_fraction: float = Field(ge=0, lt=1)
    folds: int = Field(ge=2)  # of the training rows that remain, for out-of-fold predictions


def split(manifest: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """The splits table of one dataset, `tables.SPLITS`, in manifest order within each repeat.

    Repeat r uses settings.seeds[r] (and, of `generator_disjoint`, the generators one after another); the same
    manifest rows and settings give the same table. Raises `MsavqaError` or `ProblemsError` where a role or a
    fold would stay empty.
    """
    known = manifest["mos"].notna().to_numpy()
    labelled = manifest[known]
    if labelled.empty:
        raise MsavqaError(
            what="Labels",
            where="the manifest",
            got=f"{len(manifest)} videos and no MOS",
            expected="MOS to learn from",
            next_step="name their column in `columns.mos` of the dataset",
        )
    if settings.protocol == "given":
        _check_given(labelled)
    repeats = []
    for repeat, (seed, left_out) in enumerate(_repeats(labelled, settings)):
        roles, folds = _assign(labelled, settings, seed, left_out)
        rows = manifest[["video_id"]].assign(repeat=repeat, role="test", fold=-1)
        rows.loc[known, "role"] = roles
        rows.loc[known, "fold"] = folds
        rows = rows[(manifest["status"] == "ok").to_numpy()]
        _check_filled(
            rows, settings, f"repeat {repeat} (seed {seed}{f', without {left_out}' if left_out else ''})"
        )
        repeats.append(rows)
    return pd.concat(repeats, ignore_index=True)[["repeat", "video_id", "role", "fold"]]


def unread(rows: Iterable[Row]) -> pd.DataFrame:
    """What a manifest would say of rows whose files nobody has read: each is a file of its own."""
    found = list(rows)
    return pd.DataFrame(
        {
            "video_id": [row.video_id for row in found],
            "prompt": [row.prompt for row in found],
            "group": [row.group for row in found],
            "given_split": [row.given_split for row in found],
            "generator": [row.generator for row in found],
            "mos": [row.mos for row in found],
            "sha256": "",
            "status": "ok",
        }
    )


def check_tested(splits: pd.DataFrame, manifest: pd.DataFrame, settings: SplitSettings) -> None:
    """Refuses a split of a reported dataset that a report could say nothing of: no test row has a MOS.

    NTIRE's files are such: the challenge keeps the MOS of its test videos.
    """
    known = splits["video_id"].isin(manifest.loc[manifest["mos"].notna(), "video_id"])
    repeats = sorted(splits["repeat"].unique())
    for repeat in repeats:
        seed = settings.seeds[repeat * len(settings.seeds) // len(repeats)]
        rows = splits[(splits["repeat"] == repeat) & (splits["role"] == "test")]
        if not known[rows.index].any():
            raise MsavqaError(
                what=f"Split by {settings.protocol}",
                where=f"repeat {repeat} (seed {seed})",
                got=f"{len(rows)} test rows, none with a MOS",
                expected="test rows that a report can compare with people",
                next_step="choose split.protocol prompt_disjoint, which tests on some of the rows with a MOS "
                "and scores the others as well",
            )


def groups_of(manifest: pd.DataFrame) -> np.ndarray:
    """A number for each row (int64, 0 up): equal where rows may not be parted by `prompt_disjoint`.

    Rows hang together that share a prompt, a `group` or their file's content, directly or through other rows.
    Prompts that differ in case or spaces only are one prompt; a row with none of them stands alone.
    """
    rows = np.arange(len(manifest))
    prompts = manifest["prompt"].map(lambda prompt: " ".join(prompt.split()).casefold())
    ends = []
    for offset, keys in enumerate((prompts, manifest["group"], _contents(manifest)), start=1):
        # Each distinct key is a node beside the rows; a row without the key is linked to itself.
        ends.append(np.where(keys == "", rows, offset * len(rows) + pd.factorize(keys)[0]))
    links = np.concatenate([np.stack([rows, end]) for end in ends], axis=1)
    nodes = (1 + len(ends)) * len(rows)
    graph = coo_array((np.ones(links.shape[1]), links), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1][: len(rows)], dtype=np.int64)


def _repeats(labelled: pd.DataFrame, settings: SplitSettings) -> list[tuple[int, str]]:
    """Seed of each repeat, and the generator that it leaves out, "" for none."""
    if settings.protocol != "generator_disjoint":
        return [(seed, "") for seed in settings.seeds]
    names = sorted(set(labelled["generator"]) - {""})
    if len(names) < 2:
        raise MsavqaError(
            what="Split by generator_disjoint",
            where="the manifest",
            got=f"{len(names)} generator{'' if len(names) == 1 else 's'} of rated videos",
            expected="at least 2",
            next_step="name their column in `columns.generator` of the dataset, or choose prompt_disjoint",
        )
    return [(seed, name) for seed in settings.seeds for name in names]


def _contents(manifest: pd.DataFrame) -> "pd.Series[str]":
    """SHA-256 of each row's file; "" where it is not known, as before the stage `index`."""
    return manifest["sha256"] if "sha256" in manifest else pd.Series("", index=manifest.index)


def _twins(labelled: pd.DataFrame) -> np.ndarray:
    """A number for each row (int64): the first row with a file of equal content, or itself."""
    rows = np.arange(len(labelled))
    contents = _contents(labelled)
    known = (contents != "").to_numpy()
    codes, keys = pd.factorize(contents)
    first = np.full(len(keys), len(rows))
    np.minimum.at(first, codes, rows)
    return np.where(known, first[codes], rows)


def _assign(
    labelled: pd.DataFrame, settings: SplitSettings, seed: int, left_out: str
) -> tuple[np.ndarray, np.ndarray]:
    """Role (str) and fold (int64) of each labelled row in one repeat."""
    count = len(labelled)
    roles = np.full(count, "train", dtype=object)
    groups = twins = _twins(labelled)  # every file alone
    match settings.protocol:
        case "random_9_1":
            roles[_take(groups, 0.1, random.Random(seed))] = "test"
        case "qmme_8_2":
            # T2VQA's train.py: random.seed(seed); random.shuffle(rows); int(0.8 * n) rows to train on.
            order = list(range(count))
            random.Random(seed).shuffle(order)
            roles[order[int(0.8 * count) :]] = "test"
        case "prompt_disjoint":
            groups = groups_of(labelled)
            roles[_take(groups, settings.test_fraction, random.Random(seed))] = "test"
        case "generator_disjoint":
            groups = groups_of(labelled)
            roles[(labelled["generator"] == left_out).to_numpy()] = "test"
        case "given":
            roles[:] = [role_of(name) for name in labelled["given_split"]]
            disjoint = groups_of(labelled)
            if not set(disjoint[roles == "train"]) & set(disjoint[roles == "test"]):
                groups = disjoint  # a given split that parts prompts is validated the same way
    # A file of equal content goes with its twin, also where the data set or a published draw parts them.
    roles[np.isin(twins, twins[roles == "val"])] = "val"
    roles[np.isin(twins, twins[roles == "test"])] = "test"
    train = np.flatnonzero(roles == "train")
    if "val" not in roles and settings.validation_fraction > 0:
        # Each draw has a generator of its own: another validation_fraction leaves the test rows as they are.
        chosen = _take(groups[train], settings.validation_fraction, random.Random(f"validation {seed}"))
        roles[train[chosen]] = "val"
        train = np.flatnonzero(roles == "train")
    folds = np.full(count, -1)
    folds[train] = _deal(groups[train], settings.folds, random.Random(f"folds {seed}"))
    return roles, folds


def _take(groups: np.ndarray, fraction: float, generator: random.Random) -> np.ndarray:
    """Rows (bool) of whole groups drawn at random, as near to a fraction of all as they come, never none."""
    numbers, sizes = np.unique(groups, return_counts=True)
    order = list(range(len(numbers)))
    generator.shuffle(order)
    wanted, taken, chosen = fraction * len(groups), 0, []
    for index in order:
        if abs(taken + sizes[index] - wanted) < abs(taken - wanted):
            chosen.append(index)
            taken += sizes[index]
    if not chosen:
        chosen = [min(order, key=lambda index: sizes[index])] if order else []
    return np.isin(groups, numbers[chosen])


def _deal(groups: np.ndarray, folds: int, generator: random.Random) -> np.ndarray:
    """A fold for each row: groups in random order, the largest first, each to the smallest fold so far."""
    numbers, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = list(range(len(numbers)))
    generator.shuffle(order)
    order.sort(key=lambda index: -sizes[index])  # stable: equal sizes stay in random order
    held = [0] * folds
    fold_of_group = np.zeros(len(numbers), dtype=np.int64)
    for index in order:
        fold = held.index(min(held))
        fold_of_group[index] = fold
        held[fold] += int(sizes[index])
    return np.asarray(fold_of_group[inverse], dtype=np.int64)


def _check_given(labelled: pd.DataFrame) -> None:
    strange = [name for name in labelled["given_split"] if role_of(name) is None]
    problems = [
        f"{strange.count(name)} rows have the split {name!r}, expected train, val, test or test_<name>"
        for name in dict.fromkeys(strange)
    ]
    if not problems and "train" not in set(labelled["given_split"]):
        problems = ["no labelled row has the split 'train'"]
    if problems:
        step = "mend the split column or choose another split.protocol"
        raise ProblemsError(where="the column given_split", problems=problems, next_step=step)


def _check_filled(rows: pd.DataFrame, settings: SplitSettings, where: str) -> None:
    counts = rows["role"].value_counts()
    needed = ["train"] if settings.protocol == "given" else ["train", "test"]
    needed += ["val"] if settings.validation_fraction > 0 else []
    folds = rows.loc[rows["role"] == "train", "fold"].nunique()
    got = ", ".join(f"{counts.get(role, 0)} {role}" for role in ("train", "val", "test"))
    if folds < settings.folds or any(counts.get(role, 0) == 0 for role in needed):
        raise MsavqaError(
            what=f"Split by {settings.protocol}",
            where=where,
            got=f"{got} rows of readable videos, {folds} of {settings.folds} folds filled",
            expected=f"rows for {', '.join(needed)} and for every fold",
            next_step="give more rows, more different prompts, fewer split.folds or another split.protocol",
        )
