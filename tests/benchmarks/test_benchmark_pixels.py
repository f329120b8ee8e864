"""`python -m benchmarks.pixels` over small networks: its figures, and a step that is the preset's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks import pixels
from tests import tiny_networks
from tests.check.test_presets import preset

SMALLER = {
    "frame": {**tiny_networks.CONVNEXT, "resize": 36, "crop": 32},
    "segment": {**tiny_networks.SWIN, "resize": 72, "crop": 64},
    "video": {**tiny_networks.VIDEO_SWIN, "resize": 72, "crop": 64},
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The preset with small image and video networks and four frames."""
    data = preset("paper_pixels")
    data["decode"] |= {"frames": 4, "box": 80}
    for name, changes in SMALLER.items():
        data["trunks"][name] |= changes
    data["trunks"]["segment"]["frames"] = 2
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return tmp_path / "small.yaml"


@pytest.mark.parametrize("branch", pixels.BRANCHES)
def test_every_branch_is_measured_in_both_precisions(
    branch: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--branch", branch, "--preset", str(small), "--videos", "3", "--steps", "1", "--size", "64"]
    assert pixels.main([*words, "--device", "cpu"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(found["ways"]) == {"fp32", "bf16"}
    promised = {"steps_per_s", "seconds_per_video", "peak_gb", "bf16_over_fp32", "precision", "device"}
    assert promised <= found.keys()
    assert found["steps_per_s"] == found["ways"]["bf16"]["steps_per_s"]
    # Of the preset's 64 videos a part has two, of its 4 and 8 one.
    assert found["parts"] == (2 if branch == "video" else 3)
    for way in found["ways"].values():
        assert way["seconds_per_video"] == pytest.approx(way["step_s"] / 3, abs=1e-3)
        assert 0 < way["read_share"] < 1
        assert way["activations_gb"] > 0


@pytest.mark.parametrize(
    ("videos", "batch", "accumulate", "parts"),
    [(64, 64, 32, 32), (2, 64, 32, 1), (8, 8, 32, 8), (5, 64, 16, 2)],
)
def test_a_part_is_as_large_as_one_of_the_presets_batch(
    videos: int, batch: int, accumulate: int, parts: int
) -> None:
    assert pixels.parts_of(videos, batch=batch, accumulate=accumulate) == parts


def test_activations_are_what_the_backward_pass_needs_and_no_weights() -> None:
    given = torch.randn(8, 4)
    first, second = torch.nn.Parameter(torch.randn(4, 4)), torch.nn.Parameter(torch.randn(4, 4))

    def run() -> pixels.Output:
        return pixels.Output((torch.tanh(given @ first) @ second).sum(dim=1), None, None)

    # The input, for the first weight's gradient, and tanh's output; the second weight is kept too, uncounted.
    assert pixels.activations(run) == (8 * 4 * 4 + 8 * 4 * 4) / 1e9
