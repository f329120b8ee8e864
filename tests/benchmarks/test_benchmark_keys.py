"""What benchmarks print last is one JSON object with the keys that were promised, at its top."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import extract, scale, statistics, store_read, tail_step, train_epoch, video_swin

PROMISED = [
    (tail_step.main, "--videos 2 --frames 2 --rounds 1", "online_ms cached_ms speedup max_abs_diff"),
    (
        store_read.main,
        "--rows 120 --batch 4 --rounds 2",
        "memmap_rows_s store_rows_s zarr_rows_s h5_rows_s ratio",
    ),
    (
        extract.main,
        "--videos 2 --size 64 --frames 2 --rounds 1",
        "decode_s forward_s pipeline_s overhead overhead_none",
    ),
    (video_swin.main, "--size 32 --frames 2 --rounds 1", "fp32 bf16"),
    (statistics.main, "--size 32 --frames 2 --rounds 1", "size frames seconds"),
    (
        train_epoch.main,
        "--videos 4 --cached 4 --online 1 --batch 2 --rounds 1",
        "online_epoch_s cached_epoch_s ratio extrapolated",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("main", "arguments", "keys"), PROMISED)
def test_every_promised_figure_is_printed(
    main: Callable[[Sequence[str]], int],
    arguments: str,
    keys: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(arguments.split())
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(keys.split()) - found.keys() == set()


def test_scale_gives_the_figures_of_its_last_size_at_the_top(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(project: Path, *, videos: int, device: str) -> dict[str, Any]:
        figures = {"wall_s": 9.0, "peak_rss_mb": 100.0 + videos, "repro_noop_s": 3.0, "add_one_s": 4.0}
        return {"videos": videos, **figures, "add_one": {"rows": {}, "shards": {"frames": "1/4"}}}

    monkeypatch.setattr(scale, "measure", measured)
    assert scale.main(["--sizes", "1", "10"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [run["videos"] for run in found["runs"]] == [1, 10]
    named = {name: found[name] for name in ("videos", "wall_s", "peak_rss_mb", "repro_noop_s", "add_one_s")}
    assert named == {
        "videos": 10, "wall_s": 9.0, "peak_rss_mb": 110.0, "repro_noop_s": 3.0, "add_one_s": 4.0,
    }  # fmt: skip
