"""Own videos, real ones with real ratings where they lie beside the checkout, by the README's commands."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests import documents, tiny
from tests.conftest import real_data

pytestmark = pytest.mark.pipeline


def own_videos(repo: Path, columns: list[str], *, videos: Path) -> pd.DataFrame:
    """Makes the folder `videos`, of FETV's rated ones or else the sample world's, and videos.csv in the
    repository with these columns; returns its rows."""
    real = real_data()
    if real is None:
        source = repo / "data/sample/videos/t2v"
        rows = pd.read_csv(f"{source}.csv")
        rows["mos"] = 1 + rows["mos"] / 25
    else:
        source = real / "fetv/videos"
        rows = pd.read_csv(real / "fetv/videos.csv")
        rows["video"] = rows["video"].str.removeprefix("videos/")
    shutil.copytree(source, videos)
    rows[columns].to_csv(repo / "videos.csv", index=False)
    return rows


def test_own_data_goes_from_a_csv_to_a_report_by_the_readmes_commands(
    tiny_world: Path, tmp_path: Path
) -> None:
    repo = Path(shutil.copytree(tiny_world, tmp_path / "msavqa", symlinks=True))
    page = documents.section(documents.read("README.md"), "Your own data in three commands")
    (columns,) = [block[0] for block in documents.blocks(page) if block[0].startswith("video,")]
    rows = own_videos(repo, [*columns.split(","), "generator"], videos=repo / "videos")
    copy, check, repro, track, *_, compare = [
        one for one in documents.commands(page.split("###")[0]) if not one.startswith(("dvc exp", "make"))
    ]
    # Without a network, as in the gate: the same commands on the toys.
    said = tiny.run("bash", "-c", copy.replace(" --csv ", " --preset csv_offline --csv "), cwd=repo)
    assert f"videos: column 'video', {len(rows)} of {len(rows)} are in videos/" in said
    assert said.endswith("next: `msavqa data check`, then `dvc repro`\n")
    tiny.edit(repo / "params.yaml", {**tiny.TINY_PARAMS, "split.seeds": [0], "decode.box": 96})
    said = tiny.run("bash", "-c", check, cwd=repo)
    prompts, makers = rows["prompt"].nunique(), rows["generator"].nunique()
    assert (
        f"\nmine: {len(rows)} videos, {prompts} prompts, {makers} generators, {len(rows)} with a MOS, "
        in said
    )
    ran = tiny.stages_run(tiny.run("bash", "-c", repro, cwd=repo))
    assert {"decode@mine", "train@mine-frame", "export@mine"} <= set(ran)
    assert "pretrain" not in ran
    check_the_metrics_of(rows, json.loads((repo / "reports/mine/metrics.json").read_text(encoding="utf-8")))
    tiny.run("bash", "-c", track, cwd=repo)
    assert tiny.repro(repo) == []
    assert "srcc" in tiny.run("bash", "-c", compare, cwd=repo).lower()
    tiny.run("dvc", "exp", "run", "--queue", "--set-param", "branches.frame.head.width=16", cwd=repo)
    tiny.run("dvc", "queue", "start", "--jobs", "1", cwd=repo)
    name = tiny.run("dvc", "queue", "status", cwd=repo).split("\n")[1].split()[1]
    ran = tiny.stages_run(tiny.run("dvc", "queue", "logs", "--follow", name, cwd=repo))
    assert [one for one in ran if one != "check"] == [
        "train@mine-frame", "examine@mine-frame", "ensemble@mine", "report@mine", "export@mine"
    ]  # fmt: skip
    tiny.wait_for_queue(repo)


def check_the_metrics_of(rows: pd.DataFrame, metrics: dict[str, float]) -> None:
    """Every video decodes; SRCC has its interval, and stands beside that within generators."""
    assert (metrics["videos"], metrics["videos_quarantined"]) == (len(rows), 0)
    assert metrics["srcc_ci95_low"] <= metrics["srcc"] <= metrics["srcc_ci95_high"]
    if rows["generator"].value_counts().min() >= 20:  # FETV's four systems; the tiny world has two each
        assert -1 <= metrics["within_generator_srcc"] <= 1


def test_videos_outside_of_the_repository_are_read_where_they_lie(tiny_world: Path, tmp_path: Path) -> None:
    repo = Path(shutil.copytree(tiny_world, tmp_path / "msavqa", symlinks=True))
    folder = tmp_path / "archive" / "videos"
    rows = own_videos(repo, ["video", "prompt", "mos"], videos=folder)
    (repo / "params.yaml").unlink()
    tiny.run("msavqa", "init", "--preset", "csv_offline", cwd=repo)
    tiny.edit(repo / "params.yaml", {"datasets.mine.root": str(folder), "decode.box": 96})
    assert tiny.repro(repo, "decode@mine") == ["check", "index@mine", "decode@mine"]
    known = pd.read_parquet(repo / "features/mine/frames.zarr/rows.parquet")
    assert list(known["status"]) == ["ok"] * len(rows)
    assert tiny.repro(repo, "decode@mine") == []
