"""The shipped networks: small enough, whole again to the bit, and as good as `metrics.json` says."""

import hashlib
import json
import subprocess
import sys
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.numpy import load_file

from data.sample import backbones, clip, clip_pairs, grammar, mp4, shipped
from data.sample.film import film, plan
from data.sample.grammar import Scene, Thing
from msavqa.ground import params

TOLERANCE = 0.01  # of a figure on another processor or with another torch: a few ranks among 75 or 250
STATED = json.loads((shipped.NETWORKS / "metrics.json").read_text(encoding="utf-8"))
PARAMS = params.read(Path("data/sample/params.yaml"))
ARCHITECTURE = json.loads(Path("data/sample/clip.json").read_text(encoding="utf-8"))
VOCABULARY = ARCHITECTURE["text_cfg"]["vocab_size"]


def whole(name: str) -> dict[str, torch.Tensor]:
    made = shipped.whole(load_file(shipped.NETWORKS / f"{name}.safetensors"), vocabulary=VOCABULARY)
    return {key: torch.from_numpy(value) for key, value in made.items()}


def test_the_shipped_files_are_nine_megabytes_at_most() -> None:
    sizes = {path.stem: path.stat().st_size for path in shipped.NETWORKS.glob("*.safetensors")}
    assert set(sizes) == set(shipped.NAMES)
    assert sum(sizes.values()) <= 9_000_000


def test_every_caption_of_the_grammar_uses_only_words_that_have_learned() -> None:
    first = Thing("red", "circle", "left")
    things = [Thing(*one) for one in product(grammar.COLOURS, grammar.SHAPES, grammar.MOTIONS)]
    alone = [Scene((one,), behind) for one, behind in zip(things, cycle(grammar.BACKGROUNDS))]
    scenes = alone + [Scene((first, *one.things), one.background) for one in alone]
    wordings = range(len(grammar.WORDINGS))
    captions = {grammar.prompt_of(scene, wording=number) for scene in scenes for number in wordings}
    used = torch.unique(open_clip.SimpleTokenizer(context_length=32)(sorted(captions)))
    learned = load_file(shipped.NETWORKS / "clip_text.safetensors")[shipped.WORDS]
    assert set(used.tolist()) == set(learned.tolist())


def test_rows_that_nobody_learned_are_drawn_alike_on_every_processor() -> None:
    rows = shipped.drawn_rows(VOCABULARY, 64)
    assert rows.dtype == np.float32
    assert rows[5, :2].tolist() == [-0.025896718725562096, -0.001454123412258923]
    assert hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest()[:16] == "afcc34c11c77be06"
    assert float(rows.std()) == pytest.approx(0.02, rel=1e-3)
    assert float(rows.mean()) == pytest.approx(0, abs=1e-4)
    assert len({row.tobytes() for row in rows}) == VOCABULARY  # no two words are alike


def test_a_tower_comes_back_with_the_rows_that_it_learned_and_drawn_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kept: dict[str, np.ndarray] = {
        "ln.bias": np.ones(8, np.float32),
        "norm.count": np.array(3),  # without a dimension
        "turned": np.arange(6.0).reshape(2, 3).T,  # not in order of memory
    }
    table = rng.standard_normal((50, 8), np.float32)
    words = np.array([0, 7, 49])
    tower = {**kept, shipped.TABLE: table, f"{shipped.READOUT}weight": np.ones((3, 8), np.float32)}
    shipped.keep("tower", shipped.learned_rows(tower, words), folder=tmp_path)
    made = shipped.whole(load_file(tmp_path / "tower.safetensors"), vocabulary=50)
    assert set(made) == {shipped.TABLE, *kept}
    others = np.setdiff1d(np.arange(50), words)
    assert np.array_equal(made[shipped.TABLE][words], table[words])
    assert np.array_equal(made[shipped.TABLE][others], shipped.drawn_rows(50, 8)[others])
    assert all(np.array_equal(made[name], value) for name, value in kept.items())


def test_making_the_weights_needs_no_torch_and_gives_what_the_pipeline_reads(tmp_path: Path) -> None:
    (tmp_path / "clip.json").write_text(json.dumps(ARCHITECTURE), encoding="utf-8")
    code = (
        "import sys, pathlib\nfrom data.sample import shipped\nshipped.HERE = pathlib.Path(sys.argv[1])\n"
        "shipped.main()\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    made = {path.stem: load_file(path) for path in (tmp_path / "weights").iterdir()}
    assert set(made) == set(shipped.NAMES)
    for name, found in made.items():
        expected = whole(name)
        assert set(found) == set(expected)
        assert all(np.array_equal(value, expected[key].numpy()) for key, value in found.items())


def test_the_small_clip_reaches_what_is_stated_on_pairs_drawn_now() -> None:
    model = open_clip.CLIP(**ARCHITECTURE).eval()
    scale = {"logit_scale": model.logit_scale.detach()}  # ranks do not depend on it
    model.load_state_dict({**whole("clip_image"), **whole("clip_text"), **scale})
    pairs = clip_pairs.draw_pairs(
        "clip_test", clip.TEST_PAIRS, wrong=clip.TEST_WRONG, seed=STATED["clip"]["seed"], workers=1
    )
    found = clip.measure(model, pairs)
    assert found == pytest.approx(STATED["clip"]["metrics"], abs=TOLERANCE)
    assert found["retrieval_r1_image_to_text"] >= 0.5
    assert found["retrieval_r1_text_to_image"] >= 0.5


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """The practice videos that taught nothing, filmed now: levels, and the strength of each cause."""
    count = PARAMS["videos"]["practice"]
    recordings = plan("practice", count, seed=STATED["frame"]["seed"])[-backbones.held_out(count) :]
    path = tmp_path_factory.mktemp("practice") / "one.mp4"
    levels = []
    for recording in recordings:
        path.write_bytes(film(recording))
        levels.append(mp4.decode(path))
    causes = {
        cause: np.array([getattr(one.take.causes, cause) for one in recordings], np.float32)
        for cause in (*backbones.TECHNICAL, *backbones.TEMPORAL)
    }
    return torch.from_numpy(np.stack(levels)), causes


@pytest.mark.parametrize("name", ["frame", "segment", "video"])
def test_a_backbone_sees_the_causes_as_well_as_is_stated_in_videos_filmed_now(
    name: str, practice: Any
) -> None:
    videos, causes = practice
    settings = params.block(PARAMS, f"backbones.{name}", backbones.BackboneSettings)
    network = backbones.build(settings)
    network.load_state_dict(whole(name))
    head = backbones.readout(load_file(shipped.NETWORKS / f"{name}.safetensors"))
    names = backbones.names_of(settings)
    targets = torch.from_numpy(np.stack([causes[cause] for cause in names], axis=1))
    found = backbones.measure(network, head, videos, targets, is_video=name == "video")
    stated = STATED[name]["metrics"]
    assert list(stated) == [f"srcc_{cause}" for cause in names]
    assert found == pytest.approx(list(stated.values()), abs=TOLERANCE)
