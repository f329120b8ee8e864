"""The report: figures against hand-made truth, a page that holds them, opened in a real browser."""

import dataclasses
import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import tables
from msavqa.evaluation.verdict import Verdict
from msavqa.ground.errors import MsavqaError
from msavqa.report import build, figures, filmstrips, page
from msavqa.report.results import Results
from tests import synthetic
from tests.browser import browser


def changed(results: Results, **columns: object) -> Results:
    return Results(**{**results.__dict__, "tested": results.tested.assign(**columns)})


def test_a_report_written_again_leaves_dvcs_cached_copy_alone(content: page.Content, tmp_path: Path) -> None:
    (tmp_path / "cached").write_text("the run before", encoding="utf-8")
    for name in ("report.html", "metrics.json"):
        (tmp_path / "reports").mkdir(exist_ok=True)
        (tmp_path / "reports" / name).hardlink_to(tmp_path / "cached")
    build.write(content, tmp_path / "reports")
    assert (tmp_path / "cached").read_text(encoding="utf-8") == "the run before"


def test_twelve_generators_have_twelve_colours_and_a_legend(results: Results) -> None:
    names = [f"g{number:02d}" for number in range(12)]
    drawn = figures.scatter(changed(results, generator=np.resize(names, len(results.tested))))
    assert all(f">{name}<" in drawn for name in names)
    assert all(f"var(--series-{number})" in drawn for number in range(1, 13))
    style = (page.HERE / "style.css").read_text(encoding="utf-8")
    assert all(style.count(f"--series-{number}:") == 2 for number in range(1, 13))  # light and dark


def test_the_page_says_what_it_was_made_from(made: Path, content: page.Content) -> None:
    text = page.render(dataclasses.replace(content, revision="0123456789ab+"))
    assert "revision <code>0123456789ab+</code>" in text
    assert "interval_roles:\n  - val" in text
    assert "<h3><code>clip_image</code></h3>" in text
    assert '<tr><td>&lt;b&gt;.nested</td><td class="text"><code>1</code></td></tr>' in text


def test_the_verdict_is_the_first_line_of_the_page_and_of_the_figures(
    made: Path, content: page.Content
) -> None:
    sentence = (
        "Trained on simulated ratings, not on people's: use it to try the software, not to judge videos."
    )
    assert content.verdict.sentence == sentence
    body = page.render(content).split("<body>")[1]
    first = re.sub("<[^>]*>", "", body).strip().splitlines()[0]
    assert html.unescape(first) == sentence
    figures_of = json.loads((made / "reports" / "metrics.json").read_text(encoding="utf-8"))
    assert next(iter(figures_of.items())) == ("verdict", sentence)
    real = dataclasses.replace(content, verdict=Verdict("Trained on <b>: use.", "caution"))
    assert '<p id="verdict" class="verdict caution">Trained on &lt;b&gt;: use.</p>' in page.render(real)


def test_a_run_of_real_ratings_is_judged_by_its_controls(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    path = copy / "data" / synthetic.DATASET / "manifest.parquet"
    tables.write_manifest(tables.read_manifest(path).assign(quality_true=np.nan), path)
    data = {**synthetic.PARAMS, "weights": "data/sample/weights"}
    found = build.build(copy, synthetic.DATASET, data)
    trained = found.metrics["videos_train"]
    assert found.verdict.sentence == (
        f"Trained on {trained} videos of 3 generators, with toy networks trained on drawn scenes: "
        "use with care."
    )


def test_a_video_without_features_is_counted_among_those_left_out(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    path = copy / "runs" / synthetic.DATASET / "branches" / "segment" / "settings.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(facts | {"quarantined": ["v0007.mp4", "v0241.mp4"]}), encoding="utf-8")
    left_out = build.gather(copy, synthetic.DATASET, synthetic.PARAMS).quarantined
    assert left_out[["video_id", "stage"]].to_numpy().tolist() == [
        ["v0240.mp4", "index"], ["v0241.mp4", "decode"], ["v0007.mp4", "extract"],
    ]  # fmt: skip
    assert left_out["error"].iloc[2] == (
        "no features of it; rows.parquet of the segment branch's stores says why"
    )


def test_a_test_video_without_a_mos_is_counted_once_whatever_the_repeats(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    splits = tables.read_splits(copy / "data" / synthetic.DATASET / "splits.parquet")
    times = splits.loc[splits["role"] == "test", "video_id"].value_counts()
    twice = times.index[times == 2][:3]
    assert len(twice) == 3
    path = copy / "data" / synthetic.DATASET / "manifest.parquet"
    manifest = tables.read_manifest(path)
    manifest.loc[manifest["video_id"].isin(twice), "mos"] = np.nan
    tables.write_manifest(manifest, path)
    counts = build.gather(copy, synthetic.DATASET, synthetic.PARAMS).counts
    assert counts["videos_test_without_mos"] == 3


def test_a_run_without_validation_rows_is_reported_and_has_intervals(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    path = copy / "data" / synthetic.DATASET / "splits.parquet"
    splits = tables.read_splits(path)
    held = splits["role"] == "val"
    assert held.any()
    tables.write_splits(
        splits.assign(role=splits["role"].where(~held, "train")).assign(fold=splits["fold"].where(~held, 0)),
        path,
    )
    for path in copy.glob("runs/*/*/**/*.parquet"):
        rows = pd.read_parquet(path)
        if "role" in rows:
            rows["role"] = rows["role"].replace("val", "oof")
            path.unlink()
            rows.to_parquet(path)
    asked = {**synthetic.PARAMS["calibration"], "interval_roles": ["val", "oof"]}
    content = build.build(copy, synthetic.DATASET, {**synthetic.PARAMS, "calibration": asked})
    assert content.results.counts["videos_val"] == 0
    assert 0.5 < content.metrics["interval_coverage"] <= 1
    build.write(content, tmp_path / "reports")
    said = " ".join((tmp_path / "reports" / "report.html").read_text(encoding="utf-8").split())
    assert "<td>validation videos</td><td>none: out-of-fold scores of training videos set the width" in said
    assert "which only set the width of intervals" not in said


def test_no_labelled_test_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    made = synthetic.project(tmp_path, videos=60, repeats=1)
    path = made / "data" / synthetic.DATASET / "manifest.parquet"
    tables.write_manifest(tables.read_manifest(path).assign(mos=np.nan), path)
    with pytest.raises(Exception, match="none with a MOS"):
        build.gather(made, synthetic.DATASET, synthetic.PARAMS)
    splits = tables.read_splits(made / "data" / synthetic.DATASET / "splits.parquet")
    held = set(splits.loc[splits["role"] == "test", "video_id"])
    manifest = synthetic.manifest_of(60, np.random.default_rng(0))
    manifest.loc[manifest["video_id"].isin(held), "mos"] = np.nan
    tables.write_manifest(manifest, path)
    with pytest.raises(MsavqaError) as refusal:
        build.gather(made, synthetic.DATASET, synthetic.PARAMS)
    assert str(refusal.value) == (
        "Test predictions in runs/made/ensemble/predictions.parquet: got no test video with a MOS, expected "
        "at least 1; give the test videos a MOS or choose another split.protocol."
    )


def test_the_page_is_the_same_twice(made: Path, content: page.Content) -> None:
    again = build.build(made, synthetic.DATASET, synthetic.PARAMS)
    assert page.render(again) == page.render(content)


def test_a_figure_that_cannot_be_computed_is_a_dash(content: page.Content) -> None:
    left_out = {"within_generator_srcc", "srcc_ci95_low", "plcc_logistic", "interval_coverage"}
    metrics = {name: value for name, value in content.metrics.items() if name not in left_out}
    shown = page.render(dataclasses.replace(content, metrics=metrics))
    assert "<small>Within a generator, SRCC</small><b>–</b>" in shown
    assert "– after a 4-parameter logistic" in shown


def test_hostile_prompts_and_reasons_show_as_text(results: Results, content: page.Content) -> None:
    strip = content.strips["best"][0]
    hostile = filmstrips.Strip(**{**strip.__dict__, "prompt": synthetic.HOSTILE, "generator": "<img src=x>"})
    text = page.render(page.Content(**{**content.__dict__, "strips": {"best": [hostile]}}))
    assert "<script" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "holds &lt;b&gt;no&lt;/b&gt; video" in text


def test_hostile_generators_are_text_in_figures_too(results: Results) -> None:
    generator = np.where(results.tested.index % 2, "<script>$x</script>", "b")
    other = changed(results, generator=generator)
    for drawn in (figures.scatter(other), figures.generators(other, sorted(set(generator)))):
        assert "<script" not in drawn
        assert "&lt;script&gt;$x" in drawn


def test_each_generator_has_a_scatter_of_its_own_where_there_are_two(
    results: Results, content: page.Content
) -> None:
    for name in synthetic.GENERATORS:
        assert f">{name}<" in content.figures["generators"]
    assert figures.generators(changed(results, generator="one"), ["one"]) == ""


def test_a_report_of_a_csv_without_generators_says_that_none_was_given(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    path = copy / "data" / synthetic.DATASET / "manifest.parquet"
    tables.write_manifest(tables.read_manifest(path).assign(generator=""), path)
    content = build.build(copy, synthetic.DATASET, synthetic.PARAMS)
    assert "within_generator_srcc" not in content.metrics
    assert list(content.generators["generator"]) == ["(not given)"]
    assert content.figures["generators"] == ""
    assert "<small>Within a generator, SRCC</small><b>–</b>" in page.render(content)


def test_a_branchs_place_is_the_share_of_the_others_below(results: Results, content: page.Content) -> None:
    strip = content.strips["best"][0]
    first = results.tested[results.tested["repeat"] == results.repeats[0]].set_index("video_id")["frame"]
    others = first.drop(strip.video_id)
    assert strip.branches["frame"] == pytest.approx((others < first[strip.video_id]).mean())
    assert strip.scores["frame"] == first[strip.video_id]
    place = f"{first[strip.video_id]:.1f}, above {100 * strip.branches['frame']:.0f}%"
    assert f"<dt>frame</dt><dd>{place}</dd>" in page.render(content)


def test_nothing_on_the_page_points_elsewhere_but_the_paper(made: Path) -> None:
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(
                value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")
            )

    text = (made / "reports" / "report.html").read_text(encoding="utf-8")
    Links().feed(text)
    outside = {link for link in found if not link.startswith(("data:", "#"))}
    assert outside == {page.SOURCE_URL}
    assert "url(http" not in text


def test_marks_in_figures_follow_the_pages_colours(content: page.Content) -> None:
    for drawn in content.figures.values():
        assert "var(--ink)" in drawn
        assert not re.search(r"#[01][0-9](?:0a[01]|010)", drawn)


def test_the_timeline_peaks_where_the_picture_changes_and_the_module_looked(content: page.Content) -> None:
    for strip in content.strips["best"]:
        for measure in ("change", "attention"):
            values = [getattr(moment, measure) for moment in strip.timeline]
            assert int(np.argmax(values)) == synthetic.FRAMES // 2


def test_plots_hold_the_figures_numbers(made: Path, results: Results) -> None:
    folder = made / "reports" / "plots"
    scatter = pd.read_csv(folder / "scatter.csv")
    assert len(scatter) == len(results.tested)
    assert {"calibration.csv", "comparison.csv", "generators.csv"} <= {path.name for path in folder.iterdir()}
    bins = pd.read_csv(folder / "calibration.csv")
    assert bins["videos"].sum() == len(results.tested)
    assert np.average(bins["inside_interval"], weights=bins["videos"]) == pytest.approx(
        (
            (results.tested["low"] <= results.tested["mos"])
            & (results.tested["mos"] <= results.tested["high"])
        ).mean(),
        abs=1e-5,
    )


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_the_page_opens_in_a_browser_without_error_or_request(
    content: page.Content, tmp_path: Path, width: int, dark: bool
) -> None:
    best, *others = content.strips["best"]
    hostile = dataclasses.replace(best, prompt=synthetic.HOSTILE)
    content = dataclasses.replace(content, strips={**content.strips, "best": [hostile, *others]})
    path = tmp_path / "report.html"
    path.write_text(page.render(content), encoding="utf-8")
    with browser(width=width, dark=dark) as window:
        window.open(path.as_uri())
        assert window.console() == []
        asked = window.requests()
        assert path.as_uri() in asked
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert window.text("#srcc") == f"{content.metrics['srcc']:.3f}"
        assert window.text("#noise-ceiling") == f"{content.metrics['noise_ceiling_srcc']:.3f}"
        assert "every packet is damaged" in window.text("#quarantined")
        frame = f"{content.metrics['frame_srcc']:.3f} ± {content.metrics['frame_srcc_sd']:.3f}"
        assert frame in " ".join(window.text("#comparison").split())
        assert f"{content.metrics['krcc']:.3f}" in window.text("#all-metrics")
        assert all(name in window.text("#generators") for name in synthetic.GENERATORS)
        strips = window.run("return document.querySelectorAll('#films article.strip').length")
        assert strips == sum(len(group) for group in content.strips.values()) == 3 * 2
        assert window.run("return document.scripts.length") == 0
        assert window.text("#films .prompt") == f"“{synthetic.HOSTILE}”"
        assert window.run("return document.documentElement.scrollWidth") <= width
        assert window.run("return [...document.images].every(image => image.naturalWidth > 0)")
        background, ink = window.run(
            "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
        )
        assert (
            sum(map(int, re.findall(r"\d+", background))) < sum(map(int, re.findall(r"\d+", ink)))
        ) == dark
        window.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000
