"""`make real`: a project of its own on real people's ratings; and real features of real videos."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml

from benchmarks import real
from msavqa.check import params, presets
from msavqa.datasets import read
from msavqa.frames import decode
from msavqa.ground import params as blocks
from msavqa.networks import hub, weights
from msavqa.networks.hub import FetchSettings
from msavqa.report.compare import Comparison
from msavqa.trunks.kinds import image
from msavqa.trunks.run.network import Video
from tests.conftest import ROOT

PRESET = yaml.safe_load(presets.compose("csv_small"))


def test_where_the_data_are_absent_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real.main(["--data", str(tmp_path / "none"), "--into", str(tmp_path / "made")])
    assert capsys.readouterr().out == (
        f"no rated videos in {tmp_path / 'none'}: name a folder with videos.csv and its videos by --data\n"
    )
    assert not (tmp_path / "made").exists()


def test_a_preset_gets_a_project_of_its_own_and_this_ones_settings_stay(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    mine = Path("params.yaml").read_bytes()
    for _ in range(2):  # as it is made, and as it is renewed
        real.prepare(tmp_path / "made", data=shared_data / "fetv", preset="csv_small")
    assert Path("params.yaml").read_bytes() == mine
    monkeypatch.chdir(tmp_path / "made")
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    assert params.problems(data) == []
    assert data["trunks"]["frame"] == PRESET["trunks"]["frame"]
    assert len(read.read(data, "mine", check_files=True)[1]) == 100
    assert Path("dvc.yaml").is_file()
    assert Path("reports/ablation.csv").is_file()  # the report reads it
    assert not Path("reports/sample").exists()
    assert not Path("dvc.lock").exists()


def test_presets_stand_side_by_side_with_their_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = ("", "_ci95_low", "_ci95_high")
    for place, preset in enumerate(("a", "b")):
        figures = {
            f"{name}{end}": 0.1 * place + 0.01 * at for name in real.FIGURES for at, end in enumerate(ends)
        }
        figures |= {"control_no_pixel_srcc": 0.5, "videos": 9, "verdict": "good"}  # type: ignore[dict-item]
        (tmp_path / preset / "reports/mine").mkdir(parents=True)
        (tmp_path / preset / "reports/mine/metrics.json").write_text(json.dumps(figures))

    def compare(root: Path, mine: str, theirs: str, **_: object) -> Comparison:
        assert [Path(one).parts[-4] for one in (mine, theirs)] == ["a", "b"]
        difference = real.compare.Difference(value=0.2, low=0.1, high=0.3, p_value=0.01)
        return Comparison(mine, theirs, 9, 1, (9, 9, 9), (False, False), (), {}, {"SRCC": difference})

    monkeypatch.setattr(real.compare, "compare", compare)
    said = real.found({"a": tmp_path / "a", "b": tmp_path / "b"})
    assert said["b"] == {
        "verdict": "good", "videos": 9, "no_pixel": 0.5, **{name: [0.1, 0.11, 0.12] for name in real.FIGURES}
    }  # fmt: skip
    assert said["a"]["srcc_over_b"] == [0.2, 0.1, 0.3]


def test_features_of_real_videos_are_timms_own_with_the_packages_weights(
    shared_data: Path, tmp_path: Path
) -> None:
    """No resize touches videos of 256 pixels: the truth is timm's network on the frames as they are."""
    settings = blocks.block(PRESET, "trunks.frame", image.TrunkSettings)
    wanted = blocks.block(PRESET, "fetch.frame", FetchSettings)
    weights.save(hub.fetch(hub.network(PRESET, "frame"), wanted), tmp_path / "frame.safetensors")
    network = image.load(settings, weights=tmp_path / "frame.safetensors", device="cpu", batch=8)
    truth = timm.create_model("tf_efficientnet_lite1", num_classes=0).eval()
    truth.load_state_dict(weights.read(tmp_path / "frame.safetensors"))
    rows = pd.read_csv(shared_data / "fetv/videos.csv")
    some = rows[rows["generator"].str.contains("Zero|ModelScope", regex=True)]["video"].iloc[[0, -1]]
    for name in some:
        frames = decode.decode(shared_data / "fetv" / name, frames=8, box=256, backend="pyav").frames
        if frames.shape[1:3] != (256, 256):
            continue
        found = network.forward([network.prepare(Video(id=name, frames=frames))])["pooled"][0, 0]
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            expected = truth(pixels).numpy()
        np.testing.assert_allclose(found.astype(np.float32), expected, atol=2e-3, rtol=2e-3)
        assert expected.std() > 0.1
        break
    else:
        pytest.fail("no video of 256 x 256 pixels")
