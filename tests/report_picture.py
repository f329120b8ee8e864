"""The picture that the README opens with: `python -m tests.report_picture` shoots the sample world's report.

Chromium shows the page in light mode, from its head to its scatter; few colours keep a clone small.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import browser
from tests.conftest import ROOT

WIDTH = 1100
ENDS = "#rated"


def main() -> int:
    """Writes docs/report.png and says how large it is."""
    with tempfile.TemporaryDirectory() as folder, browser(width=WIDTH, height=900) as window:
        whole = Path(folder) / "whole.png"
        window.open((ROOT / "reports" / "sample" / "report.html").as_uri()).screenshot(whole)
        bottom = int(
            window.run("return document.querySelector(arguments[0]).getBoundingClientRect().bottom", ENDS)
        )
        with Image.open(whole) as picture:
            top = picture.convert("RGB").crop((0, 0, WIDTH, bottom))
    out = ROOT / "docs" / "report.png"
    few = top.quantize(colors=256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, optimize=True)
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size / 1024:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
