"""Where features wait is what fits: the accelerator's memory, RAM, or the disk."""

import os
from pathlib import Path

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
    opened = inputs.open_inputs(
        {"features": ("frame", "stage", "pooled")},
        features=world.features,
        ids=list(world.manifest["video_id"]),
        prompts=list(world.manifest["prompt"]),
        resident="auto",
        device=torch.device("cpu"),
        processes=processes,
    )
    assert opened.resident == expected
