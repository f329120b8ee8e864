"""The presets: what they share with the sample, and the sizes and rates that the paper gives (Table I)."""

import importlib
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
import yaml
from dvc.repo import Repo

from benchmarks import cost
from msavqa.check import convert, presets
from msavqa.check import params as whole_params
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError
from msavqa.networks import backbones, hub, weights
from msavqa.trunks.kinds import clip_text
from tests import hubs
from tests.conftest import ROOT

BRANCHES = ("frame", "segment", "video")
NAMES = ("csv", "csv_offline", "csv_small", "paper", "paper_pixels", "sample", "sample_paper", "t2vqa_db")
AFTERWARDS = ("csv", "csv_small")
"""Presets that are younger than the form in which presets say what they change."""
BEFORE = ROOT / "tests/check/before"
SMALL = (*BRANCHES, "statistics")
"""Trunks of which whole networks leave little to cache."""
MODEL_OF_THE_PAPER = {
    **{f"branches.{branch}.pss.fusion": ["text"] for branch in BRANCHES},
    **{f"branches.{branch}.pss.adapters": "tail" for branch in BRANCHES},
    **{f"branches.{branch}.pss.frames": "all" for branch in BRANCHES},
    **{f"branches.{branch}.sma.tokens": ["cls"] for branch in BRANCHES},
    **{f"branches.{branch}.sma.frames": "adapted" for branch in BRANCHES},
    **{f"branches.{branch}.sma.measures": False for branch in BRANCHES},
    **{f"branches.{branch}.statistics": [] for branch in BRANCHES},
    "branches.segment.technical.motion": "trunk",
    "train.copies.weight": 0.0,
    "ensemble.shrinkage": 0.0,
}
TO_THE_LETTER = {
    "split.validation_fraction": 0.0,
    "pretrain_split.validation_fraction": 0.0,
    "trunks.video.views": 4,
    **{f"branches.{branch}.pss.last_adapter": "token" for branch in BRANCHES},
    **{f"branches.{branch}.sma.frames": "own" for branch in BRANCHES},
    "branches.frame.optimiser.batch": 4,
    "train.view_of": "frame",
}
"""What was mended in presets/paper.yaml, by a reading beside the paper: docs/the-paper.md says why."""
MENDED = {
    "paper": TO_THE_LETTER,
    "paper_pixels": {**TO_THE_LETTER, "trunks.segment.views": 16, "trunks.video.views": 16},
}


def test_the_papers_model_on_the_sample_differs_in_the_model_alone() -> None:
    ours, paper = flat(preset("sample")), flat(preset("sample_paper"))
    assert ours.keys() == paper.keys()
    assert {key: paper[key] for key in MODEL_OF_THE_PAPER} == MODEL_OF_THE_PAPER
    assert {key for key in ours if ours[key] != paper[key]} <= MODEL_OF_THE_PAPER.keys()


def test_our_model_at_full_size_is_the_samples() -> None:
    ours, full = preset("sample"), preset("t2vqa_db")
    for block in ("branches", "pretrain", "ensemble", "controls", "calibration"):
        assert full[block] == ours[block], f"presets/t2vqa_db.yaml changes {block}"


def test_both_full_size_presets_read_the_same_data_through_the_same_networks() -> None:
    paper, ours = preset("paper"), preset("t2vqa_db")
    for block in ("train_on", "pretrain_on", "datasets", "weights", "fetch", "texts", "decode"):
        assert paper[block] == ours[block]
    for name, trunk in paper["trunks"].items():
        assert {**trunk, "cut": None} == {**ours["trunks"][name], "cut": None} | (
            {"views": trunk["views"]} if name == "video" else {}
        )
    # Our segments read no motion of that network, the paper's read that of their own view.
    assert ours["branches"]["segment"]["technical"]["motion"] == "difference"
    for name in ("paper", "paper_pixels"):
        views = {trunk: preset(name)["trunks"][trunk]["views"] for trunk in ("segment", "video")}
        assert views["segment"] == views["video"]


def test_the_papers_model_trained_whole_differs_in_what_learns_and_in_how_it_fits_a_gpu() -> None:
    """`train.accumulate` and `evaluation_batch` change no step, `resident` no value."""
    cached, whole = flat(preset("paper")), flat(preset("paper_pixels"))
    assert cached.keys() == whole.keys()
    assert {key: value for key, value in whole.items() if cached[key] != value} == {
        **{f"trunks.{branch}.cut": "pixels" for branch in BRANCHES},
        "copies.videos": 0,  # frames of copies are not kept
        "decode.store": "frames",
        "trunks.frame.views": 64,  # crops made when read cost nothing
        "trunks.segment.views": 16,
        "trunks.video.views": 16,  # the segments' motion is cached, of each of these
        "train.accumulate": 32,
        "train.resident": "ram",
        "train.evaluation_batch": 8,
    }
    assert whole["train.precision"] == "bf16"


@pytest.mark.parametrize("name", NAMES)
def test_no_preset_has_a_mistake(name: str) -> None:
    assert whole_params.problems(preset(name)) == []


def test_the_disk_that_the_header_names_is_what_its_shapes_take() -> None:
    found = cost.measure(preset("paper_pixels"), cost.PUBLISHED, prompts=1000)
    stores = {dataset: one["stores"] for dataset, one in found.items()}
    frames = {dataset: one["frames"] for dataset, one in stores.items()}
    assert [round(frames["t2vqa_db"]["row_mb"]), round(frames["t2vqa_db"]["gb"], -1)] == [44, 440]
    assert round(frames["lsvq"]["gb"], -2) == 1700
    assert round(stores["t2vqa_db"]["clip_image"]["gb"] + stores["t2vqa_db"]["clip_text"]["gb"]) == 13
    rest = sum(one["gb"] for kept in stores.values() for name, one in kept.items() if name in SMALL)
    assert round(rest) == 10


@pytest.mark.parametrize("name", ["paper", "paper_pixels"])
def test_the_papers_sizes_rates_and_batches_are_those_of_its_table_1(name: str) -> None:
    paper = preset(name)
    trunks = paper["trunks"]
    assert (trunks["frame"]["model"], trunks["frame"]["crop"]) == ("convnext_tiny", 320)
    assert (trunks["segment"]["model"], trunks["segment"]["crop"]) == ("swin_tiny_patch4_window7_224", 448)
    assert (trunks["video"]["model"], trunks["video"]["crop"]) == ("swin3d_t", 336)
    learned = {branch: paper["branches"][branch]["optimiser"] for branch in BRANCHES}
    assert {branch: (one["name"], one["rate"], one["batch"]) for branch, one in learned.items()} == {
        # Of 4 videos: 64 frames.
        "frame": ("adamw", 2e-3, 64 // paper["decode"]["frames"]), "segment": ("adam", 1e-5, 8),
        "video": ("adamw", 1e-3, 64),
    }  # fmt: skip
    model, wanted = flat(paper), MODEL_OF_THE_PAPER | MENDED[name]
    assert {key: model[key] for key in wanted} == wanted
    assert model["calibration.interval_roles"] == ["val", "oof"]


def test_every_network_of_a_full_size_preset_is_fetched_to_where_its_trunk_reads_it() -> None:
    for name in ("paper", "paper_pixels", "t2vqa_db", "csv"):
        data = preset(name)
        assert data["fetch"].keys() == data["texts"].keys() | data["trunks"].keys()
        assert data["weights"] == "weights"


@pytest.mark.parametrize("trunk", ["clip_text", "clip_image", "frame", "segment", "video"])
def test_each_hub_name_is_known_and_meant_for_its_network(
    trunk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs.switch_off(monkeypatch, tmp_path)
    for data in (preset("paper"), preset("csv")):
        wanted = params.block(data, f"fetch.{trunk}", hub.FetchSettings)
        with pytest.raises(MsavqaError, match=r"could not be fetched \(offline\)"):
            hub.fetch(settings_of(data, trunk), wanted, downloads=tmp_path)


def test_weights_of_224_pixels_fit_the_segment_network_of_448(tmp_path: Path) -> None:
    settings = settings_of(preset("paper"), "segment")
    published = backbones.image(settings.model, {}).state_dict()
    head = {"head.fc.weight": torch.zeros(1000, 768), "head.fc.bias": torch.zeros(1000)}
    weights.save({**published, **head}, tmp_path / "swin.safetensors")
    wanted = hub.FetchSettings(source="file", name=str(tmp_path / "swin.safetensors"))
    found = hub.fetch(settings, wanted)
    assert found.keys() == published.keys()
    assert all(torch.equal(found[name], published[name]) for name in found)


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # in DVC's own code
@pytest.mark.parametrize("name", ["paper", "paper_pixels", "t2vqa_db"])
def test_a_full_size_preset_needs_its_own_data_and_weights_and_nothing_of_the_sample(
    name: str, tmp_path: Path
) -> None:
    for path in ("dvc.yaml", "weights/dvc.yaml", "data/sample/dvc.yaml", "data/sample/params.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, tmp_path / path)
    (tmp_path / "params.yaml").write_text(presets.compose(name), encoding="utf-8")
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        graph = repo.index.graph
        (report,) = (stage for stage in graph if stage.name == "report@t2vqa_db")
        upstream = {f"{stage.path_in_repo}:{stage.name}" for stage in nx.descendants(graph, report)}
    trunks = ("clip_text", "clip_image", "frame", "segment", "video")
    assert {f"weights/dvc.yaml:fetch@{trunk}" for trunk in trunks} <= upstream
    wanted = (
        "index@t2vqa_db", "index@lsvq", "extract_pretrain@lsvq-segment", "pretrain@lsvq-segment",
        "train@t2vqa_db-segment",
    )  # fmt: skip
    assert {f"dvc.yaml:{stage}" for stage in wanted} <= upstream
    assert not [address for address in upstream if address.startswith("data/sample")]


def before(name: str) -> dict[str, Any]:
    """A preset as it was before presets said what they change, whole."""
    if name == "sample":
        found: dict[str, Any] = yaml.safe_load((BEFORE / "sample.yaml").read_text(encoding="utf-8"))
        return found
    changes = yaml.safe_load((BEFORE / "changes.yaml").read_text(encoding="utf-8"))[name]
    found = before(changes.pop("base"))
    for dotted, value in changes.items():
        *above, last = dotted.split(".")
        block = found
        for key in above:
            block = block[key]
        block[last] = value
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name not in AFTERWARDS])
def test_a_composed_preset_is_the_whole_form_that_it_was(name: str, tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(yaml.safe_dump(before(name), sort_keys=False), encoding="utf-8")
    converted, composed = flat(yaml.safe_load(convert.convert(old))), flat(preset(name))
    assert converted.pop("train.copies.weight") == 0  # a model of before has learned of no copies
    assert converted.pop("train.least_steps") == 0  # nor has it made more steps than its epochs
    assert converted.pop("copies.noise") == 24  # rows of a kind that had no number of its own
    assert converted.pop("train.copies.empty_margin") == 1  # of copies that nothing is learned of
    mended = MENDED.get(name, {}) | ({"copies.videos": 0} if name == "paper_pixels" else {})
    assert {key: composed.get(key, "none") for key in converted} == converted | mended
    for block in ("datasets", "fetch", "texts", "trunks", "branches"):
        assert preset(name)[block].keys() == yaml.safe_load(convert.convert(old))[block].keys()


def test_presets_say_what_they_change_in_485_lines_with_the_sweeps() -> None:
    files = [*(ROOT / "presets").glob("*.yaml"), *(ROOT / "presets/sweeps").glob("*.yaml")]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 485
    for name in NAMES:
        written = yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text(encoding="utf-8"))
        if "base" not in written:
            continue
        changed, base = flat(written), flat(preset(written.pop("base")))
        same = {key for key, value in changed.items() if base.get(key, "none") == value}
        assert same == set(), f"presets/{name}.yaml says what its base says"


@cache
def _composed(name: str) -> str:
    return presets.compose(name)


def preset(name: str) -> dict[str, Any]:
    """A whole params file of presets/."""
    found: dict[str, Any] = yaml.safe_load(_composed(name))
    return found


def settings_of(data: Mapping[str, Any], name: str) -> Any:
    """The settings of one network over frames, or over prompts."""
    if name in data["texts"]:
        return params.block(data, f"texts.{name}", clip_text.TextSettings)
    module = importlib.import_module(f"msavqa.trunks.kinds.{data['trunks'][name]['kind']}")
    return params.block(data, f"trunks.{name}", module.TrunkSettings)


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a params file and their values; lists are values."""
    return dict(_flat(data, prefix))


def _flat(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
