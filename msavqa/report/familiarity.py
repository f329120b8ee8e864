"""How many test videos are unlike the training videos, and how large a change has to be."""

import json
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape

from msavqa.report.results import Results

SHARES = {"one": 0.01, "five": 0.05}
"""Of the training videos: false alarms are told at both, whatever the bound is."""
LISTED = 8


def figures(results: Results) -> dict[str, float]:
    """Shares of test videos at most as familiar as 1% and 5% of the training videos, over all repeats:
    false alarms, where test and training videos are of one kind. Nothing where that cannot be told."""
    share = results.tested["familiarity"].to_numpy(dtype=np.float64)
    share = share[np.isfinite(share)]
    if not len(share):
        return {}
    return {
        f"unlike_at_{name}_percent": round(float(np.mean(share <= bound)), 6)
        for name, bound in SHARES.items()
    }


def of_change(path: Path) -> dict[str, float]:
    """`change_threshold`, the mean over repeats of the step above which a change is named."""
    found = [one for one in json.loads(path.read_text(encoding="utf-8")).values() if one is not None]
    return {"change_threshold": round(float(np.mean(found)), 6)} if found else {}


def section(results: Results) -> Markup:
    """What the report says of test videos that are unlike those of training, as HTML."""
    tested = results.tested
    known = tested[tested["familiarity"].notna()]
    if known.empty:
        return Markup(
            "<p>There are too few training videos to tell whether a video is unlike all of them: every score "
            "says so, and none is held back.</p>"
        )
    found = figures(results)
    said = Markup(
        "<p>Of the test videos, {one:.1%} are at most as familiar as one in a hundred training videos, and "
        "{five:.1%} as one in twenty. Where training and test videos are of one kind, these are false "
        "alarms. A video below the bound has the whole scale for an interval: the model does not know it.</p>"
    ).format(one=found["unlike_at_one_percent"], five=found["unlike_at_five_percent"])
    least = known.sort_values(["familiarity", "video_id"]).drop_duplicates("video_id").head(LISTED)
    rows = [
        Markup("<tr><td>{}</td><td>{:.4f}</td><td>{:.4g}</td><td>{:.4g}</td></tr>").format(
            escape(row.video_id), row.familiarity, row.score, row.mos
        )
        for row in least.itertuples()
    ]
    return said + Markup(
        '<div class="wide"><table><caption>The least familiar test videos</caption>'
        "<tr><th>video</th><th>familiarity</th><th>score</th><th>MOS</th></tr>{}</table></div>"
    ).format(Markup("").join(rows))
