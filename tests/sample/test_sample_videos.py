"""The sample world's files: byte-stable, real H.264, and showing what their plan says."""

import csv
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from data.sample import mp4, videos
from data.sample.film import SETS, Recording, film, plan, shoot
from data.sample.generators import GENERATORS, Take, draw_change
from data.sample.grammar import COLOURS, Scene, Thing, misalignment, parse
from data.sample.quality import Causes
from data.sample.scene import FRAMES, PIXELS, RGB, SHAPE_DISTANCE, draw_look, render
from msavqa.ground import params
from msavqa.ground.errors import ProblemsError

SEED = 2501
TINY = videos.VideosSettings(prompts=2, generators=6, ugc=3, practice=2, workers=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for name in SETS:
        videos.make(name, folder, TINY, seed=SEED)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_same_frames_give_the_same_file_every_time() -> None:
    random = np.random.default_rng(0)
    still = np.kron(random.integers(0, 255, (12, 12, 3)), np.ones((8, 8, 1)))
    noisy = still + random.normal(0, 6, (16, 96, 96, 3))
    frames = np.stack([np.roll(one, 2 * time, axis=0) for time, one in enumerate(noisy.clip(0, 255))])
    files = {mp4.encode(frames.astype(np.uint8), fps=8, crf=23.0) for _ in range(12)}
    assert len(files) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(world: Path) -> None:
    first = plan("t2v", 1, seed=SEED)[0]
    written = (world / "t2v" / first.name).read_bytes()
    assert hashlib.sha256(film(first)).digest() == hashlib.sha256(written).digest()
    assert film(plan("t2v", 1, seed=SEED + 1)[0]) != written


@pytest.mark.parametrize("name", SETS)
def test_a_small_world_is_the_beginning_of_the_large_one(name: str) -> None:
    small = plan(name, 3, seed=SEED)
    assert plan(name, 8, seed=SEED)[: len(small)] == small


@pytest.mark.parametrize("count", range(1, len(GENERATORS) + 1))
def test_fewer_generators_take_turns_and_film_as_they_do_among_all(count: int) -> None:
    some = plan("t2v", 7, seed=SEED, generators=count)
    assert set(some) <= set(plan("t2v", 7, seed=SEED))
    turns = [[one.generator for one in some if one.group == f"{prompt:04d}"] for prompt in range(7)]
    endless = itertools.cycle(GENERATORS)
    for filmed in turns:
        taken = [next(endless) for _ in range(count)]
        assert filmed == sorted(taken, key=GENERATORS.index)


@pytest.mark.parametrize("count", [0, len(GENERATORS) + 1])
def test_a_number_of_generators_that_there_are_not_is_refused(count: int) -> None:
    block = {"prompts": 2, "generators": count, "ugc": 3, "practice": 2, "workers": 1}
    bound = "greater than or equal to 1" if count == 0 else "less than or equal to 6"
    with pytest.raises(ProblemsError) as refused:
        params.block({"videos": block}, "videos", videos.VideosSettings, where=Path("params.yaml"))
    assert refused.value.problems == (f"videos.generators: got {count}, input should be {bound}",)


def test_the_csv_names_every_video_of_every_prompt(world: Path) -> None:
    rows = rows_of(world / "t2v.csv")
    assert [row["video"] for row in rows] == sorted(path.name for path in (world / "t2v").iterdir())
    assert len(rows) == 2 * len(GENERATORS)
    assert {row["group"] for row in rows} == {"0000", "0001"}
    assert all(row["prompt"] == "" for row in rows_of(world / "ugc.csv"))


def test_filming_counts_to_its_end_and_leaves_dvcs_cached_copy_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cached").write_text("the run before", encoding="utf-8")
    (tmp_path / "practice.csv").hardlink_to(tmp_path / "cached")
    videos.make("practice", tmp_path, TINY, seed=SEED)
    assert "filming practice: 2/2 videos" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "practice.csv")) == 2
    assert (tmp_path / "cached").read_text(encoding="utf-8") == "the run before"


def test_prompts_and_causes_in_the_csv_say_what_was_planned(world: Path) -> None:
    asked = {row["video"]: parse(row["prompt"]) for row in rows_of(world / "t2v.csv")}
    for row in rows_of(world / "t2v_causes.csv"):
        wrong = misalignment(asked[row["video"]], parse(row["shown"]))
        assert float(row["misalignment"]) == pytest.approx(wrong, abs=1e-4)


def test_files_are_h264_with_all_frames_at_the_generators_rate(world: Path) -> None:
    for generator in GENERATORS:
        with av.open(str(world / "t2v" / f"0000_{generator.name}.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", PIXELS, PIXELS)
            assert stream.average_rate == generator.fps
            assert sum(1 for _ in container.decode(video=0)) == FRAMES


def clean(scene: Scene, *, causes: Causes | None = None) -> Recording:
    """The scene as its own recording, without any fault but those named."""
    some = plan("t2v", 1, seed=SEED)[0]
    look = replace(
        draw_look(len(scene.things), np.random.default_rng(3)), light=(1.0, 1.0), tint=(1.0, 1.0, 1.0)
    )
    return replace(some, asked=scene, look=look, take=Take(scene, (), causes or Causes()))


@pytest.mark.parametrize("colour", COLOURS)
def test_the_decoded_video_shows_the_colour_that_the_scene_names(colour: str, tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    recording = clean(Scene((Thing(colour, "square", "still"),), "night sky"))
    path.write_bytes(film(recording))
    x, y = (int(PIXELS * centre) for centre in recording.look.centres[0])
    patch = mp4.decode(path)[:, y - 4 : y + 4, x - 4 : x + 4].mean(axis=(0, 1, 2))
    distances = {name: float(np.linalg.norm(patch - np.array(rgb))) for name, rgb in RGB.items()}
    assert min(distances, key=distances.__getitem__) == colour


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("left", 1, -1), ("right", 1, 1), ("up", 0, -1), ("down", 0, 1)]
)
def test_things_move_where_the_scene_says(motion: str, axis: int, sign: int) -> None:
    frames = shoot(clean(Scene((Thing("white", "circle", motion),), "night sky"))).astype(float).mean(axis=-1)
    centre = [np.argwhere(frame > 180).mean(axis=0)[axis] for frame in (frames[0], frames[-1])]
    assert sign * (centre[1] - centre[0]) > 15


def test_a_growing_thing_grows_and_a_still_one_stays() -> None:
    areas = {}
    for motion in ("grow", "still"):
        frames = shoot(clean(Scene((Thing("white", "circle", motion),), "night sky"))).mean(axis=-1)
        areas[motion] = (frames[-1] > 180).sum() / (frames[0] > 180).sum()
    assert areas["grow"] > 2
    assert areas["still"] == pytest.approx(1, abs=0.1)


def test_shapes_have_the_size_and_form_of_their_name() -> None:
    v, u = np.mgrid[-1.3:1.3:200j, -1.3:1.3:200j]  # type: ignore[misc]
    inside = {name: distance(u, v) < 0 for name, distance in SHAPE_DISTANCE.items()}
    middle = {name: bool(mask[100, 100]) for name, mask in inside.items()}
    assert middle == {name: name != "ring" for name in SHAPE_DISTANCE}
    assert all(np.array_equal(mask, mask[:, ::-1]) for mask in inside.values())  # all are mirror symmetric
    areas = [round(float(mask.mean()), 2) for mask in inside.values()]
    assert len(set(areas)) > 3


def test_each_cause_does_to_the_frames_what_it_is_called() -> None:
    scene = Scene((Thing("red", "star", "left"),), "brick wall")
    original = shoot(clean(scene)).astype(float)

    def with_cause(**strength: float) -> np.ndarray:
        return shoot(clean(scene, causes=Causes(**strength))).astype(float)

    def detail(frames: np.ndarray) -> float:
        return float(np.abs(np.diff(frames, axis=2)).mean())

    assert detail(with_cause(blur=0.5)) < 0.6 * detail(original)
    assert detail(with_cause(noise=0.5)) > 1.3 * detail(original)
    brightness = with_cause(flicker=0.8).mean(axis=(1, 2, 3))
    assert np.std(np.diff(brightness)) > 5 * np.std(np.diff(original.mean(axis=(1, 2, 3))))
    frozen = with_cause(frozen=1.0)
    assert sum(np.array_equal(a, b) for a, b in itertools.pairwise(frozen)) >= 11
    moved = [with_cause(judder=1.0)[t] for t in range(FRAMES)]
    assert any(not np.array_equal(a, b) for a, b in zip(moved, original))


def test_blocking_is_real_compression_and_loses_more_as_it_grows(tmp_path: Path) -> None:
    scene = Scene((Thing("green", "cross", "up"),), "grassy field")
    losses = []
    for strength in (0.0, 0.5, 1.0):
        recording = clean(scene, causes=Causes(blocking=strength))
        path = tmp_path / f"{strength}.mp4"
        path.write_bytes(film(recording))
        losses.append(float(np.abs(mp4.decode(path).astype(float) - shoot(recording)).mean()))
    assert losses[0] < losses[1] < losses[2]


def test_a_mutation_changes_the_thing_between_its_two_frames_only() -> None:
    rng = np.random.default_rng(0)
    scene = Scene((Thing("red", "star", "still"),), "calm sea")
    look = draw_look(1, rng)
    original = render(scene, look)
    for _ in range(10):
        change, strength = draw_change(scene, rng)
        differs = [not np.array_equal(a, b) for a, b in zip(render(scene, look, changes=(change,)), original)]
        assert differs == [change.start <= t < change.stop for t in range(FRAMES)]
        assert 0.6 < strength <= 1


@pytest.mark.parametrize(
    ("named", "filmed"),
    [([], [("t2v", "videos"), ("ugc", "videos")]), (["practice"], [("practice", "training")])],
)
def test_the_stage_films_what_the_pipeline_reads_and_practice_lies_outside_its_out(
    named: list[str], filmed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(videos, "make", lambda name, folder, *_, **__: calls.append((name, folder.name)))
    assert videos.main(named) == 0
    assert calls == filmed
