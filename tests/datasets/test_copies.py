"""Which trivial videos a data set gets, from its manifest and settings alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import copies
from msavqa.datasets.copies import EMPTY, OF_TWO, SPOILT, CopySettings
from msavqa.frames.sampling import shrink
from msavqa.ground.params import problems_in

SETTINGS: dict[str, Any] = {
    "videos": 6, "learned": ["still", "replaced", "black"], "left_out_videos": 3,
    "left_out": ["backwards", "noise"], "empty": 4, "noise": 5, "praise": ["8k", "masterpiece"],
    "praise_left_out": [],
}  # fmt: skip


def manifest(count: int = 20) -> pd.DataFrame:
    ids = [f"{number:02d}.mp4" for number in range(count)]
    sizes = {"width": [640] * count, "height": [360 + 10 * number for number in range(count)]}
    files = [f"{number:064x}" for number in range(count)]
    return pd.DataFrame({"video_id": ids, "sha256": files, "status": "ok", **sizes})


def plan(rows: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    return copies.plan(rows, CopySettings.model_validate(SETTINGS | changes), box=96)


def test_each_kind_has_as_many_copies_as_it_is_asked_for() -> None:
    found = plan(manifest())
    assert list(found.columns) == list(copies.PLAN.columns)
    counts = found.groupby("kind", sort=False).size().to_dict()
    assert counts == {"still": 6, "replaced": 6, "black": 4, "backwards": 3, "noise": 5}
    learned = found.groupby("kind")["learned"].first().to_dict()
    assert learned == {"still": 1, "replaced": 1, "black": 1, "backwards": 0, "noise": 0}
    assert found["copy_id"].is_unique
    assert found["sha256"].is_unique


def test_a_copy_belongs_to_its_video_and_half_of_one_to_another() -> None:
    found = plan(manifest())
    shows = ~found["kind"].isin(list(EMPTY))
    assert (found.loc[shows, "video_id"] != "").all()
    assert (found.loc[~shows, "video_id"] == "").all()
    two = found["kind"].isin(OF_TWO)
    assert (found.loc[two, "other_id"] != "").all()
    assert (found.loc[two, "other_id"] != found.loc[two, "video_id"]).all()
    assert (found.loc[~two, "other_id"] == "").all()


def test_the_choice_does_not_depend_on_the_order_of_rows_and_hardly_on_one_video_more() -> None:
    rows = manifest()
    first = set(plan(rows)["copy_id"])
    assert set(plan(rows.iloc[::-1])["copy_id"]) == first
    assert len(first & set(plan(manifest(21))["copy_id"])) >= len(first) - 3
    assert set(plan(rows, videos=4)["copy_id"]) <= first


def test_kinds_choose_different_videos() -> None:
    found = plan(manifest(), learned=["still", "blurred"])
    chosen = [set(rows["video_id"]) for kind, rows in found.groupby("kind") if kind in ("still", "blurred")]
    assert chosen[0] != chosen[1]


def test_a_file_that_cannot_be_read_or_stands_twice_gives_no_copy() -> None:
    rows = manifest(6)
    rows.loc[0, "status"] = "unreadable"
    rows.loc[2, "sha256"] = rows.loc[1, "sha256"]
    found = plan(rows)
    assert set(found.loc[found["kind"] == "still", "video_id"]) == {"01.mp4", "03.mp4", "04.mp4", "05.mp4"}
    assert "00.mp4" not in set(found["other_id"])


def test_what_shows_nothing_has_the_size_of_a_decoded_video() -> None:
    found = plan(manifest())
    sizes = set()
    for height in manifest()["height"]:
        shrunken = shrink(np.zeros((int(height), 640, 3), dtype=np.uint8), box=96)
        sizes.add((shrunken.shape[1], shrunken.shape[0]))
    shown = found[found["kind"] == "black"]
    assert set(zip(shown["width"], shown["height"], strict=True)) <= sizes
    assert list(shown["number"]) == [0, 1, 2, 3]


@pytest.mark.parametrize("rows", [manifest(1), manifest(2), manifest(3)], ids=len)
def test_small_sets_have_what_they_can_have(rows: pd.DataFrame) -> None:
    found = plan(rows)
    assert set(found.loc[found["kind"] == "still", "video_id"]) == set(rows["video_id"])
    replaced = found[found["kind"] == "replaced"]
    assert (replaced["video_id"] != replaced["other_id"]).all()


def test_without_videos_there_is_no_plan() -> None:
    assert plan(manifest(), videos=0).empty
    assert plan(manifest().head(0)).empty


def test_a_plan_is_read_as_it_was_written(tmp_path: Any) -> None:
    found = plan(manifest())
    copies.write(found, tmp_path / "plan.parquet")
    assert copies.read(tmp_path / "plan.parquet").equals(found)
    copies.write(plan(manifest(), videos=0), tmp_path / "none.parquet")
    assert copies.read(tmp_path / "none.parquet").empty


def test_a_copy_of_another_file_is_another_copy() -> None:
    rows = manifest()
    before = plan(rows).set_index("copy_id")["sha256"]
    video = str(plan(rows)["video_id"].iloc[0])
    rows.loc[rows["video_id"] == video, "sha256"] = "f" * 64
    after = copies.plan(rows, CopySettings.model_validate(SETTINGS | {"videos": 20}), box=96)
    assert after.set_index("copy_id")["sha256"][f"still/{video}"] != before[f"still/{video}"]


def test_words_of_praise_stand_behind_a_prompt_and_behind_no_prompt_none() -> None:
    found = {copies.praised(f"a red ball {number}", ["8k", "masterpiece"]) for number in range(20)}
    assert {one.rsplit(", ", 1)[1] for one in found} == {"8k", "masterpiece"}
    assert copies.praised("", ["8k"]) == ""
    assert copies.praised("a ball", []) == "a ball"
    assert copies.praised("a ball", ["8k"]) == "a ball, 8k"


def test_a_kind_that_does_not_exist_is_named_with_the_nearest_and_none_is_in_both_lists() -> None:
    (said,) = problems_in(SETTINGS | {"learned": ["stil"]}, "copies", CopySettings)
    kinds = ", ".join([*SPOILT, *EMPTY])
    assert said == f"copies.learned: got ['stil'], expected some of {kinds}, did you mean 'still'?"
    (said,) = problems_in(SETTINGS | {"left_out": ["still"]}, "copies", CopySettings)
    assert said == "copies.left_out: got ['still'], expected none that stands under `learned` too: still"
