"""`python -m benchmarks.score`: every figure that it promises, and what the figures are of."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import score as benchmark
from msavqa.score import cautions
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


def test_what_is_neither_decoding_nor_a_network_is_overhead(
    random_bundle: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned = []
    warnings = cautions.of

    def counted(*arguments: Any, **named: Any) -> Iterator[str]:
        warned.append("")
        return warnings(*arguments, **named)

    def seconds(work: Callable[[], object]) -> float:
        """A clock by which warnings alone take time: one second more for each video that has them."""
        before = len(warned)
        work()
        return 1.0 + len(warned) - before

    monkeypatch.setattr(cautions, "of", counted)
    monkeypatch.setattr(benchmark, "seconds", seconds)
    with benchmark.score.load(random_bundle) as scorer:
        found = benchmark.warm(scorer, [videos / "a.mp4"], rounds=1)
    assert found == {"warm_videos_s": 0.5, "decode_s": 1.0, "forward_s": 1.0, "overhead": 1.0}
