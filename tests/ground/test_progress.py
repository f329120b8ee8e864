"""Progress of long work says how far, how fast, how long still, and how many were set aside."""

import io
import re

import pytest

from msavqa.frames.write import DecodeProgress
from msavqa.ground import progress
from msavqa.ground.progress import Progress, track
from msavqa.store.shards import ShardDone
from msavqa.trunks.run import feature_rows


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress.time, "monotonic", found)
    return found


def test_away_from_a_terminal_a_plain_line_comes_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("decode", total=40) as shown:
        for done in range(1, 41):
            clock.now += 1
            shown.advance(1, quarantined=done // 10)
    assert capsys.readouterr().err.splitlines() == [
        "decode: 10/40 videos, 1.0 videos/s, quarantined 1, 30 s left",
        "decode: 20/40 videos, 1.0 videos/s, quarantined 2, 20 s left",
        "decode: 30/40 videos, 1.0 videos/s, quarantined 3, 10 s left",
        "decode: 40/40 videos, 1.0 videos/s, quarantined 4, 0 s left",
        "decode: 40/40 videos, 1.0 videos/s, quarantined 4, done in 40.0 s",
    ]


def test_what_an_earlier_run_did_counts_as_done_and_not_as_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("extract", total=1000) as shown:
        shown.keep(900, quarantined=7)
        for _ in range(10):
            clock.now += 1
            shown.advance()
        shown.keep(40)
        for _ in range(10):
            clock.now += 1
            shown.advance()
    assert capsys.readouterr().err.splitlines() == [
        "extract: 910/1000 videos, 1.0 videos/s, quarantined 7, 90 s left",
        "extract: 960/1000 videos, 1.0 videos/s, quarantined 7, 40 s left",
        "extract: 960/1000 videos, 1.0 videos/s, quarantined 7, done in 20.0 s",
    ]


def test_a_resumed_extraction_and_decoding_keep_what_is_staged(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("extract", total=5) as shown:
        feature_rows.staged(shown)(ShardDone(rows=4, quarantined=1, computed=0))
        clock.now += 10
        shown.advance(1)
    with DecodeProgress("decode", total=5, limit=1.0, errors=[]) as decoding:
        decoding.staged(ShardDone(rows=4, quarantined=1, computed=0))
        clock.now += 10
        decoding.decoded("")
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "5/5 videos, 0.1 videos/s, quarantined 1, 0 s left",
        "5/5 videos, 0.1 videos/s, quarantined 1, done in 10.0 s",
    ] * 2


def test_on_a_terminal_a_bar_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress("decode", total=4) as shown:
        shown.keep(1)
        shown.advance(1, quarantined=1)
        shown.advance(2)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert re.search(r"decode .*4/4 +[0-9.]+ videos/s, quarantined 1 +0:00:00", text), text


def test_an_error_ends_the_lines_without_claiming_an_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="gone"), Progress("decode", total=2):
        raise RuntimeError("gone")
    assert capsys.readouterr().err == ""


def test_an_iterable_is_counted_as_it_is_used(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track("ab", description="train", total=2, unit="models"):
        clock.now += 10
    assert capsys.readouterr().err.splitlines() == [
        "train: 1/2 models, 0.1 models/s, 10 s left",
        "train: 2/2 models, 0.1 models/s, 0 s left",
        "train: 2/2 models, 0.1 models/s, done in 20.0 s",
    ]
