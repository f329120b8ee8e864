"""The page as its reader sees it: an example, the video beside its timeline, the scale, and words."""

import dataclasses
import json
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
import yaml

from msavqa.app import examples, page, ui
from msavqa.app.examples import Example
from msavqa.bundle import bundle
from msavqa.datasets import tables
from msavqa.evaluation.verdict import Verdict
from msavqa.ground.errors import MsavqaError
from msavqa.report import filmstrips
from msavqa.score.scorer import Scorer, load
from tests import media, synthetic
from tests.app.test_ui import post
from tests.browser import browser

CLICK = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
const where = { clientX: box.left + arguments[1] * box.width, clientY: box.top + 3, bubbles: true };
document.querySelector(arguments[0]).dispatchEvent(new MouseEvent("click", where));
return document.getElementById("player").currentTime;
"""


@contextmanager
def serving(desk: page.Desk) -> Iterator[str]:
    """The application of a desk on a free port; the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(page.app(desk), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=60)


SAID = Verdict("Trained on 3 videos, <b>not better</b> than nothing: do not use.", "do not use")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    path = media.write(tmp_path_factory.mktemp("examples") / "good one.mp4", media.numbered(16))
    return Example(path, "a red ball & a <b>dog</b>", 70.0)


@pytest.fixture(scope="module")
def offered(random_bundle: Path, example: Example) -> Iterator[str]:
    found = dataclasses.replace(bundle.load(random_bundle), verdict=SAID)
    with (
        Scorer(found) as scorer,
        page.Desk(scorer, max_mb=1.0, max_seconds=10.0, examples=[example]) as desk,
        serving(desk) as address,
    ):
        yield address


def test_an_example_is_a_click_away_and_plays_beside_its_timeline(offered: str, example: Example) -> None:
    with browser(width=1000) as window:
        window.open(offered)
        window.wait("!document.getElementById('examples').hidden")
        assert window.text("#verdict") == SAID.sentence
        assert window.run("return document.getElementById('verdict').className") == "verdict do-not-use"
        assert window.text("#about") == (
            f"The model ({bundle_digest(offered)}) learned from the data set random, rated from 0 to 100: it "
            "knows videos of 0.4 to 3 s with a short side of 32 to 64 px. Files of at most 1 MB and 10 s; "
            "nothing leaves this machine."
        )
        assert window.text(".example") == example.prompt
        window.click(".example")
        window.wait("!document.getElementById('results').hidden", seconds=180)
        assert window.run("return document.getElementById('prompt').value") == example.prompt
        # The verdict stands on top of the page, and not once more beside the score.
        assert "not better" not in window.text("#scores")
        assert "rated 70.0 (the ring)" in " ".join(window.text("#scores").split())
        window.wait("document.getElementById('player').readyState >= 2")
        assert window.run("return document.getElementById('player').duration") == 2.0
        times = window.run("return shown.map((one) => one.seconds)")
        assert times == [0.25, 0.75, 1.25, 1.75]
        for where, place in ((0.1, 0), (0.3, 1), (0.99, 3)):
            assert window.run(CLICK, "#timeline", where) == times[place]
            window.wait(f"document.getElementById('now').getAttribute('x1') === '{10 * place + 5}'")
        assert window.run(CLICK, "#film", 0.6) == times[2]
        assert window.run("return document.getElementById('player').paused")
        window.run("document.getElementById('player').currentTime = 1.0")
        window.wait("document.getElementById('now').getAttribute('x1') === '20'")  # between two frames
        player, drawn = (
            window.run(f"return document.getElementById('{name}').getBoundingClientRect().toJSON()")
            for name in ("player", "timeline")
        )
        assert player["right"] < drawn["left"]
        assert player["top"] < drawn["top"] < drawn["bottom"] < player["bottom"]
        assert window.console() == []
        assert all(url.startswith((offered, "data:", "blob:")) for url in window.requests())


def bundle_digest(address: str) -> str:
    with urllib.request.urlopen(f"{address}/limits", timeout=60) as answer:
        return str(json.load(answer)["model"])


SCORE = """
const moment = (change) => ({ seconds: 0, change, attention: null, alignment: null, score: null });
const score = {
  prompt: "x", score: 3.5, low: 2, high: 4.5, coverage: 0.9, mos_range: [1, 5], branches: {}, alignment: null,
  consistency: null, mutation_seconds: null, warnings: [], verdict: null, familiarity: null, prompt_pieces: 1,
  ...arguments[0],
};
document.getElementById("results").hidden = false;
document.getElementById("scores").replaceChildren();
card(score, null);
timeline([moment(0.25), moment(0.04)], arguments[1]);
"""


def test_the_interval_lies_on_the_scale_and_the_threshold_in_the_timeline(offered: str) -> None:
    with browser(width=1000) as window:
        window.open(offered)
        window.run(SCORE, {}, None)

        def attribute(css: str, name: str) -> float:
            return float(window.run(f"return document.querySelector('{css}').getAttribute('{name}')"))

        assert attribute(".scale .interval", "x") == 10 + 280 * 0.25
        assert attribute(".scale .interval", "width") == pytest.approx(280 * 2.5 / 4)
        assert attribute(".scale .point", "cx") == 10 + 280 * 2.5 / 4
        assert window.run("return document.querySelector('.scale').textContent") == "15"
        assert window.run("return document.querySelector('.scale').getAttribute('aria-label')") == (
            "3.50 on the scale from 1 to 5, interval 2.00 to 4.50"
        )
        bars = (
            "return [...document.querySelectorAll('#timeline rect')].map((bar) => bar.height.baseVal.value)"
        )
        expected = [0.5 + 32 * filmstrips.height(change) for change in (0.25, 0.04)]
        assert window.run(bars) == pytest.approx(expected, rel=1e-5)
        assert window.run("return document.querySelector('line.threshold') === null")
        window.run(SCORE, {}, 0.09)
        assert attribute("line.threshold", "y1") == pytest.approx(33 - 32 * 0.3)
        assert window.text("#threshold") == "Above this line, at 0.090, a change is named."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"familiarity": 0.344}, "like training videos 34% of them are at least this unlike the rest"),
        (
            {"familiarity": 0.004},
            "like training videos less than 1% of them are at least this unlike the rest",
        ),
        ({"familiarity": None}, "like training videos cannot be told by this model"),
        ({"familiarity": 0.01, "familiarity_bound": 0.01}, "interval the whole scale: the score is a guess"),
        ({"familiarity": 0.02, "familiarity_bound": 0.01}, "90% interval 2.00 to 4.50"),
        ({"mutation_seconds": 0.5, "change_threshold": 0.2}, "meaning changes at 0.50 s"),
        ({"mutation_seconds": 0.5, "change_threshold": None}, "largest change at 0.50 s"),
        ({"prompt_pieces": 3}, "prompt read in 3 pieces"),
    ],
)
def test_what_a_score_knows_of_itself_is_said_in_words(
    offered: str, given: dict[str, object], said: str
) -> None:
    with browser(width=1000) as window:
        window.open(offered)
        window.run(SCORE, given, None)
        assert said in " ".join(window.text("#scores").split())
        warned = {
            "warnings": ["Unlike anything it has learned from", "used or not"],
            "verdict": "used or not.",
        }
        window.run(SCORE, warned, None)
        assert window.text("#scores").splitlines()[0] == "Unlike anything it has learned from"
        assert "used or not" not in window.text("#scores")


def test_a_video_that_the_browser_cannot_play_is_still_scored(offered: str, tmp_path: Path) -> None:
    path = media.write(tmp_path / "old.avi", media.numbered(8), codec="mpeg4")
    with browser(width=1000) as window:
        window.open(offered)
        window.type("#video", str(path))
        window.type("#prompt", "x")
        window.click("#go")
        window.wait("!document.getElementById('results').hidden", seconds=180)
        window.wait("!document.getElementById('unplayable').hidden")
        assert window.run("return document.getElementById('player').hidden")
        assert window.run("return document.getElementById('film').naturalWidth") > 96


def test_an_example_that_is_none_is_refused(offered: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{offered}/example/1", timeout=60)
    assert json.load(refused.value) == {"error": "there is no such example."}
    refused.value.close()


def test_no_folder_for_uploads_is_one_sentence(
    random_bundle: Path, example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "Folder for uploads in this machine: got No such file or directory, expected one that can be written "
        "to; name one in TMPDIR and start the page again."
    )
    with (
        load(random_bundle) as scorer,
        page.Desk(scorer, max_mb=1.0, max_seconds=10.0, examples=[]) as desk,
        serving(desk) as address,
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        assert post(address, "a.mp4", example.path.read_bytes(), "x") == (400, {"error": said})
        with pytest.raises(MsavqaError) as refused:
            ui.command(port=0, model=random_bundle)
    assert str(refused.value) == said


def test_examples_are_test_videos_of_the_project_good_middling_and_bad(tmp_path: Path) -> None:
    root = synthetic.project(tmp_path, videos=60)
    folder = root / "data" / synthetic.DATASET

    def offered() -> list[Example]:
        return examples.of_project(root, dataset=synthetic.DATASET, kinds=page.KINDS)

    assert offered() == []  # its videos are not there
    data = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    data["datasets"][synthetic.DATASET]["root"] = "videos"
    (root / "params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    manifest, splits = tables.read_manifest(folder / "manifest.parquet"), tables.read_splits(
        folder / "splits.parquet"
    )  # fmt: skip
    (root / "videos").mkdir()
    for path in manifest["path"]:
        (root / "videos" / path).touch()
    tested = splits[(splits["repeat"] == 0) & (splits["role"] == "test")]
    rows = manifest[manifest["video_id"].isin(tested["video_id"])].set_index("path")
    best, middle, worst = offered()
    assert best.mos == rows["mos"].max()
    assert worst.mos == rows.loc[rows["prompt"] != best.prompt, "mos"].min()
    assert len({one.prompt for one in (best, middle, worst)}) == 3
    for one in (best, middle, worst):
        assert (rows.loc[one.path.name, "prompt"], rows.loc[one.path.name, "mos"]) == (one.prompt, one.mos)
    tables.write_manifest(manifest.assign(prompt="", group=manifest["prompt"]), folder / "manifest.parquet")
    assert offered() == []
    assert examples.of_project(tmp_path / "nowhere", dataset=synthetic.DATASET, kinds=page.KINDS) == []
    assert examples.of_project(root, dataset="other", kinds=page.KINDS) == []
