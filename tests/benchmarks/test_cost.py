"""The cost of a preset on disk is counted from shapes: checked against sums made by hand."""

from benchmarks import cost
from tests.check.test_presets import preset


def test_rows_of_the_papers_preset_are_as_large_as_their_shapes_say() -> None:
    data = preset("paper")
    rows = cost.row_bytes(data)
    times = 16 * 8
    assert rows["frames"] == 16 * 960 * 960 * 3 + times
    assert rows["clip_text"] == 77 * 512 * 2 + 4 + 512 * 4
    assert rows["clip_image"] == 16 * 50 * 768 * 2 + 16 * 512 * 4
    assert rows["frame"] == 4 * 16 * (20 * 20 * 384 * 2 + 4), (
        "four views of the input of ConvNeXt's last stage"
    )


def test_what_is_not_stored_is_not_in_the_sum_and_pre_training_needs_less() -> None:
    data = preset("paper")
    found = cost.measure(data, {"t2vqa_db": 10, "lsvq": 20}, prompts=5)
    assert set(found["lsvq"]["stores"]) == {"frames", "segment", "video", "statistics"}
    stores = found["t2vqa_db"]["stores"]
    assert data["decode"]["store"] == "none"
    summed = sum(one["gb"] for name, one in stores.items() if name != "frames")
    assert abs(found["t2vqa_db"]["sum_gb"] - summed) < 0.1
    data["decode"]["store"] = "frames"
    kept = cost.measure(data, {"t2vqa_db": 10, "lsvq": 20}, prompts=5)
    assert kept["t2vqa_db"]["sum_gb"] > found["t2vqa_db"]["sum_gb"]
