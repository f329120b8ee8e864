"""What a reader looks for on the page: contents, date, data, whole marks, order, timelines of one scale."""

import dataclasses
import datetime
import json
import re
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from msavqa.report import build, figures, filmstrips, page, parts, stages
from msavqa.report.numbers import BootstrapSettings
from msavqa.report.results import Results
from tests import synthetic

SECONDS = {"train_video": 3.0, "extract_frame": 2.5, "decode": 1.0, "later": 0.5, "train_frame": 4.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = synthetic.project(tmp_path_factory.mktemp("made"))
    for name, value in SECONDS.items():
        file = root / "runs" / synthetic.DATASET / "seconds" / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"seconds": value}), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def content(made: Path) -> page.Content:
    return build.build(made, synthetic.DATASET, synthetic.PARAMS)


def text_of(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def part(shown: str, name: str) -> str:
    """The page's section of that name, as text."""
    return text_of(shown.split(f'<section id="{name}"')[1].split("</section>")[0].split(">", 1)[1])


def changed(results: Results, **columns: object) -> Results:
    return dataclasses.replace(results, tested=results.tested.assign(**columns))


def test_the_contents_name_every_section_in_its_order(content: page.Content) -> None:
    more = page.Section(name="trivial", title="What a <b> trivial video & its like", html=Markup("<i>so</i>"))
    shown = page.render(dataclasses.replace(content, sections=[more]))
    links = re.findall(r'<li><a href="#([^"]+)">', shown)
    assert links == re.findall(r'<section id="([^"]+)"', shown)
    assert links[-4:] == ["trivial", "films", "quarantined", "made"]
    titles = dict(re.findall(r'<li><a href="#([^"]+)">([^<]+)</a>', shown))
    heads = dict(re.findall(r'<section id="([^"]+)"[^>]*>\s*<h2>([^<]+)</h2>', shown))
    assert heads.keys() == titles.keys() - {"headline"}
    for name, head in heads.items():
        assert head.startswith(titles[name]), name
    assert titles["trivial"] == "What a &lt;b&gt; trivial video &amp; its like"
    assert "<i>so</i>" in shown


def test_the_page_has_its_date_and_the_number_of_prompts(content: page.Content) -> None:
    assert abs(content.date - datetime.datetime.now(datetime.UTC).date()) <= datetime.timedelta(days=1)
    shown = page.render(dataclasses.replace(content, date=datetime.date(2026, 3, 5)))
    tested = content.results.tested
    first = tested[tested["repeat"] == 0]
    assert (
        f"5 March 2026. {len(first)} test videos of {tested['prompt'].nunique()} prompts in all of" in shown
    )
    said = part(shown, "data")
    for words in (
        "videos 242", "prompts 81", "generators 3", f"test videos in the first of 2 repeats {len(first)}",
        f"different test videos in all repeats {tested['video_id'].nunique()}",
        "ratings (MOS) simulated raters, from 0 to 100",
    ):  # fmt: skip
        assert words in said, words


def test_the_title_says_whose_ratings_these_are(content: page.Content) -> None:
    def title(simulated: int) -> str:
        shown = page.render(dataclasses.replace(content, metrics={**content.metrics, "simulated": simulated}))
        return text_of(shown.split("<h1>")[1].split("</h1>")[0])

    assert title(1) == "How well scores agree with simulated raters on made"
    assert title(0) == "How well scores agree with people on made"


def test_each_stage_has_its_seconds_in_the_pipelines_order(made: Path, content: page.Content) -> None:
    assert list(content.seconds.items()) == [
        ("decode", 1.0), ("extract_frame", 2.5), ("train_frame", 4.0), ("train_video", 3.0), ("later", 0.5),
    ]  # fmt: skip
    said = part(page.render(content), "made")
    assert "decode 1.0 extract_frame 2.5 train_frame 4.0 train_video 3.0 later 0.5 together 11.0" in said
    assert content.metrics["seconds"] == 7.0
    assert content.metrics["seconds_extract_frame"] == 2.5
    assert 'id="seconds"' not in page.render(dataclasses.replace(content, seconds={}))
    start = made / "runs" / "start_seconds"
    start.mkdir()
    (start / "pretrain_segment.json").write_text('{"seconds": 9}', encoding="utf-8")
    assert list(stages.seconds(made / "runs", synthetic.DATASET))[1:4] == [
        "extract_frame", "pretrain_segment", "train_frame"
    ]  # fmt: skip


def test_the_histogram_is_of_all_rated_videos(results: Results) -> None:
    def bars(drawn: str) -> list[float]:
        """Heights of the bars, in the drawing's own units: those for learning, then those for testing."""
        edges = r"M [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nL [\d.]+ ([\d.]+) "
        found = re.findall(rf'<path d="{edges}[^"]*" clip-path', drawn)
        return [float(bottom) - float(top) for bottom, top in found]

    rated = results.manifest["mos"].notna() & (results.manifest["status"] == "ok")
    assert rated.sum() == 241
    tested = int((results.tested["repeat"] == 0).sum())
    *learning, first, second = bars(figures.histogram(results, bins=2))
    counts = np.histogram(results.manifest.loc[rated, "mos"], bins=2, range=(0, 100))[0]
    unit = (sum(learning) + first + second) / 241
    assert (first + second) / unit == pytest.approx(tested, abs=0.1)
    assert [(learning[0] + first) / unit, (learning[1] + second) / unit] == pytest.approx(counts, abs=0.1)


def test_marks_at_the_scales_ends_are_whole(results: Results) -> None:
    ends = np.where(results.tested.index % 2, 0.0, 100.0)
    extreme = changed(results, mos=ends, score=ends)
    for drawn in (
        figures.scatter(extreme), figures.reliability(extreme),
        figures.generators(extreme, list(synthetic.GENERATORS)),
    ):  # fmt: skip
        around = [
            drawn[: mark.start()].rindex("<g")
            for mark in re.finditer(r"<use [^>]*fill: var\(--series", drawn)
        ]
        of_marks = [drawn[start : drawn.index(">", start)] for start in around]
        assert [tag for tag in of_marks if "clip-path" in tag] == []
        places = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: var\(--series', drawn)
        x, y = ([float(one) for one in ends_of] for ends_of in zip(*places, strict=True))
        width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn).groups())  # type: ignore[union-attr]
        assert 4 < min(x) < max(x) < width - 4
        assert 4 < min(y) < max(y) < height - 4


def test_one_mark_per_test_video_whatever_the_repeats(results: Results) -> None:
    rows, videos = len(results.tested), results.tested["video_id"].nunique()
    assert videos < rows
    marks = re.findall(r"<use [^>]*fill-opacity: 0.75", figures.scatter(results))
    legend = len(synthetic.GENERATORS)
    assert len(marks) == videos + legend
    each = figures.generators(results, list(synthetic.GENERATORS))
    assert len(re.findall(r"<use [^>]*fill-opacity: 0.75", each)) == videos
    shown = results.once.set_index("video_id")
    first = results.tested[results.tested["repeat"] == 0].set_index("video_id")
    assert shown.loc[first.index, "score"].equals(first["score"])
    assert (shown.drop(first.index)["repeat"] == 1).all()


def test_the_shade_is_where_the_intervals_lie(results: Results) -> None:
    low, high = results.tested["score"] / 2, results.tested["score"] + 1
    band = figures.interval_band(changed(results, low=low, high=high))
    assert band["score"].is_monotonic_increasing
    assert band["low"].to_numpy() == pytest.approx(band["score"] / 2)
    assert band["high"].to_numpy() == pytest.approx(band["score"] + 1)
    assert list(band["score"].iloc[[0, -1]]) == [results.tested["score"].min(), results.tested["score"].max()]


def test_generators_stand_in_the_order_of_their_means_with_intervals(
    results: Results, content: page.Content
) -> None:
    above = results.tested["generator"].map({"alpha": 0.0, "beta": 20.0, "gamma": 10.0})
    apart = changed(results, mos=results.tested["mos"] * 0.5 + above)
    table = parts.per_generator(apart, BootstrapSettings(resamples=300, seed=0))
    assert list(table["generator"]) == ["beta", "gamma", "alpha"]
    for key in ("mos", "score"):
        assert (table[f"{key}_low"] < table[key]).all()
        assert (table[key] < table[f"{key}_high"]).all()
    rows = apart.tested[apart.tested["generator"] == "beta"]
    error = rows.groupby("video_id")["mos"].first().std() / np.sqrt(rows["video_id"].nunique())
    assert table["mos_high"][0] - table["mos_low"][0] == pytest.approx(2 * 1.96 * error, rel=0.25)
    drawn = figures.generators(apart, list(table["generator"]))
    assert re.findall(r">(alpha|beta|gamma)<", drawn) == ["beta", "gamma", "alpha"]
    assert re.findall(r">(alpha|beta|gamma)<", figures.generator_means(table)) == ["beta", "gamma", "alpha"]
    assert figures.generator_means(table.head(1)) == ""
    shown = part(page.render(dataclasses.replace(content, generators=table)), "by-generator")
    row = table.iloc[0]
    assert f"beta {row['videos']} {row['mos']:.1f} [{row['mos_low']:.1f}, {row['mos_high']:.1f}]" in shown


def test_figures_of_a_five_point_scale_have_two_digits(content: page.Content) -> None:
    results = dataclasses.replace(content.results, mos_range=(1.0, 5.0))
    shown = page.render(dataclasses.replace(content, results=results))
    row = content.generators.iloc[0]
    assert f"{row['mos']:.2f} [{row['mos_low']:.2f}, {row['mos_high']:.2f}]" in part(shown, "by-generator")
    assert "from 1 to 5" in shown


def test_all_timelines_have_one_scale_with_the_threshold_in_it(content: page.Content) -> None:
    strip = content.strips["best"][0]
    changes = (0.0, 0.01, 0.25, 1.0, 1.5)
    moments = tuple(filmstrips.Moment(float(place), change, None) for place, change in enumerate(changes))
    heights = [0.5 + 32 * root for root in (0, 0.1, 0.5, 1, 1)]

    def drawn(*, shown: tuple[filmstrips.Moment, ...], threshold: float | None) -> str:
        strips = {"best": [dataclasses.replace(strip, timeline=shown)]}
        return page.render(dataclasses.replace(content, strips=strips, change_threshold=threshold))

    for shown in (moments, moments[:2]):  # the scale is not that of the largest change shown
        found = re.findall(r'<rect class="change"[^>]* height="([\d.]+)"', drawn(shown=shown, threshold=None))
        assert [float(one) for one in found] == heights[: len(shown)]
    assert 'class="threshold"' not in drawn(shown=moments, threshold=None)
    with_line = drawn(shown=moments, threshold=0.25)
    assert re.findall(r'<line class="threshold"[^>]* y1="([\d.]+)" y2="([\d.]+)"', with_line) == [
        ("17.0", "17.0")
    ]
    assert "Above this line, at 0.250, a change is named." in text_of(with_line)
