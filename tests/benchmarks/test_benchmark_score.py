"""`python -m benchmarks.score`: every figure that it promises, and what the figures are of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import score as benchmark
from msavqa.score import cautions
from msavqa.score.perception import Frozen
from tests import media


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4"):
        media.write(tmp_path / name, media.numbered(8))
    return tmp_path


def test_it_measures_every_figure_of_a_bundle(
    random_bundle: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(random_bundle), "--videos", str(videos), "--count", "2", "--rounds", "1"]
    assert benchmark.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    figures = {"cold_s", "warm_videos_s", "decode_s", "forward_s", "overhead"}
    assert set(found) == figures | {"videos", "peak_rss_mb"}
    assert all(found[name] > 0 for name in figures)
    assert found["videos"] == 2


@pytest.mark.parametrize(("place", "name", "times"), [(cautions, "of", 1), (Frozen, "row", 5)])
def test_what_is_neither_decoding_nor_a_network_is_overhead(
    random_bundle: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, times: int
) -> None:
    """Warnings, once a video, and what is made of what each of the five networks says."""
    called = []
    function = getattr(place, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        called.append("")
        return function(*arguments, **named)

    def seconds(work: Callable[[], object]) -> float:
        """A clock by which that function alone takes time: one second more for each call."""
        before = len(called)
        work()
        return 1.0 + len(called) - before

    monkeypatch.setattr(place, name, counted)
    monkeypatch.setattr(benchmark, "seconds", seconds)
    with benchmark.score.load(random_bundle) as scorer:
        found = benchmark.warm(scorer, [videos / "a.mp4"], rounds=1)
    assert found == {
        "warm_videos_s": 1 / (1 + times), "decode_s": 1.0, "forward_s": 1.0, "overhead": (1 + times) / 2,
    }  # fmt: skip
