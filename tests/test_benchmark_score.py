"""`python -m benchmarks.score`: every figure that it promises, and what the figures are of."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import score as benchmark
from msavqa.scoring import cautions
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
    warnings = cautions.of

    def slow(*arguments: Any, **named: Any) -> Iterator[str]:
        time.sleep(2)
        return warnings(*arguments, **named)

    monkeypatch.setattr(cautions, "of", slow)
    with benchmark.score.load(random_bundle) as scorer:
        found = benchmark.warm(scorer, [videos / "a.mp4"], rounds=1)
    assert found["warm_videos_s"] < 0.5
    assert found["forward_s"] < 2
    assert found["overhead"] > 1.15
