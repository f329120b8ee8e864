"""Where features wait is what fits: the accelerator's memory, RAM, or the disk."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from msavqa.learning import inputs
from tests import feature_world

VIDEOS = 12
BYTES = VIDEOS * (feature_world.FRAMES * feature_world.FEATURES * 2 * 2)  # two views of float16


@pytest.mark.parametrize(
    ("processes", "memory", "expected"),
    [(1, 4 * BYTES, "ram"), (1, 2 * BYTES, "ram"), (1, 2 * BYTES - 1, "stream"), (2, 2 * BYTES, "stream")],
)
def test_auto_takes_ram_while_all_processes_fill_at_most_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, memory: int, expected: str
) -> None:
    world = feature_world.make(tmp_path, videos=VIDEOS)
    pages = {"SC_PHYS_PAGES": memory, "SC_PAGE_SIZE": 1}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(inputs, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(inputs, "CGROUP_LIMITS", ())
    opened = inputs.open_inputs(
        {"features": ("frame", "stage", "pooled")},
        features=world.features,
        ids=list(world.manifest["video_id"]),
        prompts=list(world.manifest["prompt"]),
        device=torch.device("cpu"),
    )
    assert opened.resident == "stream"
    assert inputs.loaded(opened, resident="auto", processes=processes).resident == expected


@pytest.mark.parametrize(
    ("available", "limit", "expected"),
    [("900", "max", 900 * 1024), ("900", "800", 800), ("2000", "max", 1_000_000), (None, None, 1_000_000)],
)
def test_what_is_free_is_the_least_of_physical_available_and_the_containers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    available: str | None,
    limit: str | None,
    expected: int,
) -> None:
    pages = {"SC_PHYS_PAGES": 1_000_000, "SC_PAGE_SIZE": 1}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(inputs, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(inputs, "CGROUP_LIMITS", (tmp_path / "max", tmp_path / "none"))
    if available and limit:
        (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {available} kB\n")
        (tmp_path / "max").write_text(f"{limit}\n")
    assert inputs.free_memory() == expected


def test_a_batch_says_which_frames_its_views_look_at(tmp_path: Path) -> None:
    count, keys = 4, 3
    index = np.arange(count * 2 * keys, dtype=np.int32).reshape(count, 2, keys)
    ids = [f"{number}.mp4" for number in range(count)]
    for name, frames in (("some", keys), ("every", "all")):
        feature_world.write_store(
            tmp_path / f"{name}.zarr", ids, fingerprint={"kind": "image", "frames": frames},
            pooled=("video view frame width", np.zeros((count, 2, keys, 5), dtype=np.float16)),
            frame_index=("video view frame", index),
        )  # fmt: skip
    some, every = (
        inputs.open_inputs(
            {"features": (name, "pooled")}, features=tmp_path, ids=ids, prompts=[""] * count,
            device=torch.device("cpu"),
        )
        for name in ("some", "every")
    )  # fmt: skip
    videos = np.array([2, 0])
    for views in ([0, 1], [1, 0]):
        found = some.batch(videos, views=np.array(views))["frame_index"]
        assert found.tolist() == index[videos, views].tolist()
    assert some.batch(videos)["frame_index"].tolist() == index[videos, 0].tolist()
    assert "frame_index" not in every.batch(videos)
