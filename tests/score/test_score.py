"""Any file, any prompt: a score that is the same twice, or one clear sentence; a bad row costs itself."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import msavqa
from msavqa.bundle import bundle, export
from msavqa.bundle.reference import Reference, of_branch
from msavqa.evaluation.verdict import Level, Verdict
from msavqa.frames import decode
from msavqa.ground.errors import MsavqaError
from msavqa.score.perception import Perception
from msavqa.score.result import Score
from msavqa.score.scorer import STILL, Asked, Scorer, load
from tests import media
from tests.frames.test_kinds_of_files import film

PROMPT = "a red ball rolls left"
FROZEN = "frozen video: nothing moves in the sampled frames"


@pytest.fixture(scope="module")
def scorer(random_bundle: Path) -> Iterator[Scorer]:
    with load(random_bundle, workers=2, decode_seconds=60.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(tmp_path_factory.mktemp("videos") / "some video.mp4", media.numbered(8))


def sentence_of(scorer: Scorer, path: Path, prompt: str = PROMPT) -> str:
    with pytest.raises(MsavqaError) as refusal:
        scorer.score(path, prompt)
    said = str(refusal.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def test_a_score_lies_in_its_interval_in_the_range(scorer: Scorer, video: Path) -> None:
    found = scorer.score(video, PROMPT)
    assert found.mos_range == (0.0, 100.0)
    assert 0 <= found.low <= found.score <= found.high <= 100
    assert set(found.branches) == {"frame", "segment", "video"}
    assert len(found.timeline) == 4
    assert sum(moment.attention or 0 for moment in found.timeline) == pytest.approx(1, abs=1e-5)
    assert found.warnings == ()
    assert found.verdict is None


def test_a_model_that_was_scored_in_more_views_says_that_a_bundle_looks_at_one(
    scorer: Scorer, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"settings": {}, "shapes": {}, "architectures": {}, "train": {"test_views": "all"}}
    told = export._of_a_branch(facts)
    assert told["test_views"] == "all"
    assert "test_views" not in export._of_a_branch({**facts, "train": {"test_views": "fixed"}})
    branches = {
        name: {**one, "test_views": told["test_views"]} for name, one in scorer.bundle.branches.items()
    }
    monkeypatch.setattr(scorer, "bundle", dataclasses.replace(scorer.bundle, branches=branches))
    assert scorer.score(video, PROMPT).warnings == (
        "one view: training averaged a video's scores over all cached views, a bundle looks at the fixed "
        "one, so this score is a little less sure than its interval says",
    )


def test_the_ensemble_of_the_branches_is_eq_9_by_hand(scorer: Scorer, video: Path) -> None:
    found = scorer.score(video, PROMPT)
    by_hand = sum(w / (1 + np.exp(-found.branches[name].value)) for name, w in found.weights.items())
    assert found.raw == pytest.approx(by_hand, rel=1e-6)
    assert found.score == pytest.approx(100 / (1 + np.exp(-(found.raw - 0.5) / 0.1)), rel=1e-6)


def test_the_same_file_gives_the_same_score_to_the_last_digit_alone_or_in_a_list(
    scorer: Scorer, random_bundle: Path, video: Path, tmp_path: Path
) -> None:
    first = scorer.score(video, PROMPT)
    other = media.write(tmp_path / "other.mp4", media.numbered(16)[8:])
    listed = list(scorer.scores([Asked(other, "x"), Asked(video, PROMPT), Asked(other, PROMPT)]))
    assert listed[1] == first
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with msavqa.load(random_bundle) as fresh:
            assert fresh.score(video, PROMPT).to_json() == first.to_json()
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    copied = shutil.copy(video, tmp_path / "another name.mp4")
    assert dataclasses.replace(scorer.score(copied, PROMPT), video=str(video)) == first


def test_the_prompt_matters_to_score_and_alignment(scorer: Scorer, video: Path) -> None:
    first, second = scorer.score(video, PROMPT), scorer.score(video, "two green cubes")
    assert first.raw != second.raw
    assert first.alignment != second.alignment
    assert first.consistency == second.consistency


@pytest.mark.parametrize(
    "prompt",
    ["一只红色的球向左滚动", "🔴⬅️ a ball 🏐", "x" * 10_000, "a\nb\tc", "<script>alert(1)</script>", "-- -x"],
)
def test_any_text_is_a_prompt(scorer: Scorer, video: Path, prompt: str) -> None:
    found = scorer.score(video, prompt)
    assert json.loads(found.to_json())["prompt"] == prompt
    cut = "prompt cut: longer than the text encoder reads, its end was left out"
    assert (cut in found.warnings) == (len(prompt) > 1000)


def test_a_second_prompt_is_judged_without_looking_again(
    scorer: Scorer, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [scorer.score(video, prompt) for prompt in (PROMPT, "a dog")]
    looked, see = [], Perception.see
    monkeypatch.setattr(Perception, "see", lambda *_, **how: looked.append(1) or see(*_, **how))
    decoded = scorer.decoded(video)
    judged = [scorer.judge(decoded, video=str(video), prompt=prompt) for prompt in (PROMPT, "a dog")]
    assert (judged, len(looked)) == (alone, 1)


def test_no_prompt_is_warned_of_and_gives_no_alignment(scorer: Scorer, video: Path) -> None:
    found = scorer.score(video, "")
    assert found.alignment is None
    assert "no prompt: the branches were given an empty one, and alignment is not measured" in found.warnings
    assert "alignment" not in found.line()


def test_the_timeline_names_when_the_content_changes(scorer: Scorer, tmp_path: Path) -> None:
    pictures = np.repeat(np.array([[[20, 30, 200]], [[220, 200, 40]]], np.uint8), 8, axis=0)[:, None]
    path = media.write(tmp_path / "jump.mp4", np.broadcast_to(pictures, (16, 48, 48, 3)).copy())
    found = scorer.score(path, PROMPT)
    assert int(np.argmax([moment.change for moment in found.timeline])) == 2
    assert found.timeline[2].change > STILL
    assert found.mutation_seconds == found.timeline[2].seconds == 1.25
    assert found.line().endswith("  familiarity 1.000  meaning changes at 1.25 s")


def test_where_nothing_changes_no_moment_is_named(scorer: Scorer, tmp_path: Path) -> None:
    still = np.repeat(media.numbered(1), 8, axis=0)
    found = scorer.score(media.write(tmp_path / "still.mp4", still), PROMPT)
    assert found.mutation_seconds is None
    assert "meaning changes" not in found.line()


def test_alignment_and_the_scores_of_frames_have_the_mean_of_the_video(scorer: Scorer, video: Path) -> None:
    found = scorer.score(video, PROMPT)
    assert found.alignment is not None
    assert found.consistency is not None
    moments = found.timeline
    assert found.alignment.value == pytest.approx(np.mean([one.alignment for one in moments]), abs=1e-6)
    assert found.consistency.value == pytest.approx(1 - np.mean([one.change for one in moments[1:]]))
    frames = [one.score for one in moments]
    assert len(set(frames)) > 1
    assert found.branches["frame"].value == pytest.approx(np.mean(frames), rel=1e-4)
    decoded = decode.decode(video, frames=scorer.bundle.frames, box=scorer.bundle.box, backend="pyav")
    perception, _ = scorer._networks().result()
    image = perception.see(decoded.frames, video_id="")["clip_image"]["cls"][0].astype(np.float64)
    text = perception.read(PROMPT)[0]["clip_text"]["cls"][0].astype(np.float64)
    assert found.alignment.value == pytest.approx((image @ text).mean(), abs=1e-3)


def test_scores_that_no_training_video_had_are_warned_of(random_bundle: Path, video: Path) -> None:
    found = bundle.load(random_bundle)
    low = Reference({**found.reference.quantiles, of_branch("frame"): [1000.0, 2000.0]})
    fitted = dataclasses.replace(found.calibration, score_range=(2.0, 3.0))
    with Scorer(dataclasses.replace(found, reference=low, calibration=fitted)) as other:
        scored = other.score(video, PROMPT)
    own = scored.branches["frame"].value
    assert scored.warnings == (
        f"out of the training range: frame score {own:.4g}, training videos had 1000 to 2000",
        "out of the training range: no training video had such a score",
    )


@pytest.mark.parametrize(("level", "warned"), [("ok", False), ("caution", True), ("do not use", True)])
def test_a_score_says_what_its_model_is_and_warns_first_of_one_that_is_no_good(
    random_bundle: Path, video: Path, level: Level, warned: bool
) -> None:
    said = Verdict("Trained on 3 videos: use or not.", level)
    with Scorer(dataclasses.replace(bundle.load(random_bundle), verdict=said)) as other:
        found = other.score(video, "")
    assert found.verdict == "Trained on 3 videos: use or not."
    assert (found.warnings[0] == "Trained on 3 videos: use or not") == warned
    assert ("Trained on 3 videos: use or not" in found.warnings) == warned


@pytest.mark.parametrize("failure", [RuntimeError("no\nmemory"), ValueError("no\nmemory"), MemoryError()])
def test_a_row_that_fails_after_decoding_costs_itself_alone(
    scorer: Scorer, video: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    judge = scorer._judge

    def judging(decoded: decode.Decoded, *, video: str, prompt: str) -> Score:
        if prompt == "bad":
            raise failure
        return judge(decoded, video=video, prompt=prompt)

    monkeypatch.setattr(scorer, "_judge", judging)
    first, bad, last = scorer.scores(Asked(video, prompt) for prompt in ("a", "bad", "b"))
    assert isinstance(first, Score)
    assert isinstance(last, Score)
    got = f"{type(failure).__name__} no memory" if failure.args else "MemoryError"
    assert str(bad) == (
        f"Scoring in {video}: got {got}, expected a score; look at that file, or allow more memory."
    )


def test_what_a_viewer_sees_otherwise_is_a_warning_and_time_is_what_frames_say(
    scorer: Scorer, tmp_path: Path
) -> None:
    wide = scorer.score(film(tmp_path / "wide.mp4", change="setsar=2/1"), PROMPT).warnings
    assert "pixels that are not square (2:1): frames are read as stored, so they look squeezed" in wide
    words = ["-fps_mode", "vfr", "-c:v", "mpeg4"]
    slow = scorer.score(film(tmp_path / "slow.avi", *words, change="setpts=4*PTS"), PROMPT).warnings
    (lasts,) = [warning for warning in slow if "duration" in warning]
    assert lasts.startswith("out of the training range: duration 7.")  # 16 frames, 8 per second by the header


def test_odd_but_whole_videos_are_scored_with_a_warning(scorer: Scorer, tmp_path: Path) -> None:
    still = np.repeat(media.numbered(1), 8, axis=0)
    warnings = {
        name: scorer.score(media.write(tmp_path / f"{name}.mp4", pictures), PROMPT).warnings
        for name, pictures in {
            "one": media.numbered(1),
            "three": media.numbered(3),
            "still": still,
            "small": media.numbered(8, height=16, width=16),
            "large": media.numbered(8, height=272, width=1280),
            "long": media.numbered(64),
        }.items()
    }
    assert "one frame: nothing moves, so motion and consistency say nothing" in warnings["one"]
    assert "very short: 3 frames for 4 samples, so some are used more than once" in warnings["three"]
    assert FROZEN in warnings["still"]
    assert "very small: 16x16 pixels" in warnings["small"]
    assert "out of the training range: short side 272 px, trained on 32 to 64 px" in warnings["large"]
    assert not [warning for warning in warnings["large"] if warning.startswith("very small")]
    assert "out of the training range: duration 8 s, trained on 0.4 to 3 s" in warnings["long"]


def test_a_frozen_video_is_named_however_it_was_encoded(scorer: Scorer, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 8, (16, 48, 64, 3))
    noisy = np.clip(media.numbered(1) + noise, 0, 255).astype(np.uint8)
    square = np.full((16, 48, 48, 3), 90, np.uint8)
    for place, picture in enumerate(square):
        picture[16:32, place : place + 16] = 140
    for name, pictures, frozen in (("noisy", noisy, True), ("moving", square, False)):
        path = media.write(tmp_path / f"{name}.mp4", pictures, options={"crf": "28"})
        assert np.ptp(decode.decode(path, frames=4, box=None, backend="pyav").frames, axis=0).any()
        assert (FROZEN in scorer.score(path, PROMPT).warnings) == frozen


def test_names_with_spaces_and_dashes_are_names(scorer: Scorer, video: Path, tmp_path: Path) -> None:
    for name in ("-x.mp4", "--prompt.mp4", "a  b '\".mp4", "雪.mp4", "100%.mp4"):
        assert scorer.score(Path(shutil.copy(video, tmp_path / name)), PROMPT).score > 0
    broken = scorer.score(Path(shutil.copy(video, tmp_path / "two\nlines.mp4")), PROMPT).line()
    assert broken.startswith(f"{tmp_path}/two\\nlines.mp4: ")


def test_what_is_no_video_is_one_sentence(scorer: Scorer, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4", "missing.mp4", "."):
        assert str(tmp_path) in sentence_of(scorer, tmp_path / name)


def test_every_odd_real_file_gives_a_score_or_one_sentence(scorer: Scorer, shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / "odd_videos").iterdir() if path.suffix != ".csv")
    found = dict(
        zip([path.name for path in files], scorer.scores(Asked(path, PROMPT) for path in files), strict=True)
    )
    assert all("\n" not in str(one) for one in found.values() if isinstance(one, MsavqaError))
    scored = {name for name, one in found.items() if isinstance(one, Score)}
    assert {
        "torchcodec_av1_video.mkv", "torchcodec_h264_10bits.mp4", "torchcodec_h265_video.mp4",
        "moviepy_bitmap.mp4", "decord_video_90.mov", "streamio_awesome movie.mov",
        "moviepy_pigs_in_a_polka.gif",
    } <= scored  # fmt: skip
    assert {"torchcodec_nasa_audio.mp3", "streamio_empty.flv", "streamio_broken.mp4"} & scored == set()


def test_a_bundle_whose_settings_make_other_features_is_refused(random_bundle: Path, video: Path) -> None:
    found = bundle.load(random_bundle)
    trunks = {**found.trunks, "frame": {**found.trunks["frame"], "resize": 40}}
    with (
        Scorer(dataclasses.replace(found, trunks=trunks)) as other,
        pytest.raises(MsavqaError) as refusal,
    ):
        other.score(video, PROMPT)
    assert str(refusal.value) == (
        "Frozen network in trunk 'frame': got resize 40, expected 32, as in training; run `dvc repro` "
        "to train with this msavqa, or score with that of the training."
    )


@pytest.mark.parametrize("part", ["trunk", "branch"])
def test_a_bundle_with_settings_of_another_msavqa_is_refused(
    random_bundle: Path, video: Path, part: str
) -> None:
    found = bundle.load(random_bundle)
    if part == "trunk":
        trunk = {**found.trunks["frame"], "novel": 1}
        changed = dataclasses.replace(found, trunks={**found.trunks, "frame": trunk})
    else:
        facts = found.branches["frame"]
        branch = {**facts, "settings": {**facts["settings"], "novel": 1}}
        changed = dataclasses.replace(found, branches={**found.branches, "frame": branch})
    with Scorer(changed) as other, pytest.raises(MsavqaError) as refusal:
        other.score(video, PROMPT)
    assert str(refusal.value) == (
        f"Model bundle in the settings of {part} 'frame': got novel: Extra inputs are not permitted, "
        "expected the settings that this msavqa knows; export the model again, or use the msavqa that "
        "exported it."
    )


def test_other_versions_are_warned_of(random_bundle: Path, video: Path) -> None:
    found = bundle.load(random_bundle)
    frame = {
        **found.fingerprints["frame"],
        "versions": {**found.fingerprints["frame"]["versions"], "timm": "0.1"},
    }
    with Scorer(dataclasses.replace(found, fingerprints={**found.fingerprints, "frame": frame})) as other:
        (warning,) = other.score(video, PROMPT).warnings
    assert warning.startswith("trained with timm 0.1, runs with ")


def test_a_frame_scored_from_memory_is_the_file_scored(scorer: Scorer, video: Path) -> None:
    decoded = decode.decode(video, frames=scorer.bundle.frames, box=scorer.bundle.box, backend="pyav")
    assert scorer.judge(decoded, video=str(video), prompt=PROMPT) == scorer.score(video, PROMPT)
