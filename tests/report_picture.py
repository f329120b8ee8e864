"""The picture that the README opens with: `make picture` shoots the sample world's report as it stands.

Chromium shows the page in light mode, of its sections those in `SHOWN`: all of them would be ten screens. Few
colours keep a clone small. The picture knows what it shows: its text `srcc` is the report's figure.
"""

import json
import sys
import tempfile
from pathlib import Path

from PIL import Image, PngImagePlugin

from tests.browser import browser
from tests.conftest import ROOT

WIDTH = 1100
SHOWN = ("header", "nav", "#headline", "#predictors", "#rated", "#films")
"""Parts of the page in the picture."""
HIDE = """
for (const one of document.body.children) one.hidden = !one.matches(arguments[0]);
for (const one of document.querySelectorAll("#predictors figure ~ *")) one.hidden = true;
const strips = [...document.querySelectorAll("#films article, #films h3")];
// One video says what all do: that whose meaning changes most.
const bars = (strip) => [...strip.querySelectorAll("rect.change")].map((bar) => bar.height.baseVal.value);
const largest = (strip) => Math.max(...bars(strip), 0);
const best = strips.reduce((one, other) => (largest(other) > largest(one) ? other : one));
for (const one of strips) one.hidden = one !== best;
return document.querySelector("#films").getBoundingClientRect().bottom + window.scrollY;
"""


def main() -> int:
    """Writes docs/report.png and says how large it is."""
    out = ROOT / "docs" / "report.png"
    srcc = shoot(ROOT / "reports" / "sample", out)
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size / 1024:.0f} KB, SRCC {srcc}")
    return 0


def shoot(folder: Path, out: Path) -> str:
    """Writes the picture of the report in a folder; returns the SRCC that it shows."""
    with tempfile.TemporaryDirectory() as place, browser(width=WIDTH, height=900) as window:
        whole = Path(place) / "whole.png"
        window.open((folder / "report.html").as_uri())
        bottom = int(window.run(HIDE, ", ".join(SHOWN))) + 24
        window.screenshot(whole)
        with Image.open(whole) as picture:
            top = picture.convert("RGB").crop((0, 0, WIDTH, min(bottom, picture.height)))
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    known, srcc = PngImagePlugin.PngInfo(), f"{figures['srcc']:.3f}"
    known.add_text("srcc", srcc)
    few = top.quantize(colors=256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(out, optimize=True, pnginfo=known)
    return srcc


if __name__ == "__main__":
    sys.exit(main())
