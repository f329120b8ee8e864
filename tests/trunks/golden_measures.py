"""Values of the handcrafted measures, kept: who changes one raises the measures' version and renews them.

`python -m tests.trunks.golden_measures` renews golden_measures.json; it refuses while values differ under the
version that the file holds already.
"""

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from msavqa.trunks.measures import frame_statistics, perceptual_blur, statistics
from msavqa.trunks.run.network import Video

FILE = Path(__file__).with_suffix(".json")
NAMES = (*frame_statistics.NAMES, *perceptual_blur.NAMES)
DIGITS = 6
RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far values may lie apart that another processor computed."""
RAISE = (
    "raise VERSION in msavqa/trunks/measures/statistics.py and renew the values by "
    "`python -m tests.trunks.golden_measures`"
)


def videos() -> dict[str, npt.NDArray[np.uint8]]:
    """Fixed videos in which every measure has something to measure, (frame, height, width, 3)."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]
    rings = np.stack([128 + 100 * np.sin(np.hypot(x - 20 - 3 * t, y - 24 + t) / 3) for t in range(8)])
    grain = random.integers(-8, 9, (8, 48, 64, 3))
    colours = np.stack([rings, rings[:, ::-1], 255 - rings], axis=-1)
    ground = random.integers(0, 256, (48, 96, 3))
    shaken = np.stack([ground[:, shift : shift + 64] for shift in (0, 4, 8, 6, 10, 14, 14, 18)])
    faint = np.repeat(colours[:1], 8, axis=0)
    for frame, share in enumerate((0.1, 0.25, 0.4, 0.6, 0.8, 1.2, 2.0), start=1):
        faint[frame] = faint[frame - 1] + np.round(random.uniform(0, 2 * share, faint[0].shape))
    cut = colours.copy()
    cut[4:] = 255 - cut[4:, :, ::-1]
    found = {
        "moving": colours,
        "grainy": 0.5 * colours + 60 + 3 * grain,
        "cut": cut,
        "shaken": shaken,
        "faint": faint,
        "still": np.repeat(colours[:1], 6, axis=0),
        "blocks": colours.reshape(8, 6, 8, 8, 8, 3).mean(axis=(2, 4)).repeat(8, 1).repeat(8, 2),
        "dusty": 100 + random.integers(0, 4, (4, 32, 48, 1)) * np.ones(3),
        "narrow": random.integers(0, 256, (4, 6, 40, 3)),
        "noise": random.integers(0, 256, (5, 33, 50, 3)),
        "one frame": colours[:1, :40, :40],
        "flat": np.full((3, 32, 32, 3), 90.0),
    }
    return {name: np.clip(pixels, 0, 255).astype(np.uint8) for name, pixels in found.items()}


def measured() -> dict[str, dict[str, float]]:
    """All measures of all videos, as the code computes them now, rounded."""
    return {
        name: {
            measure: float(f"{value:.{DIGITS}g}")
            for measure, value in zip(NAMES, statistics.measures(Video(name, pixels)), strict=True)
        }
        for name, pixels in videos().items()
    }


def differing(now: dict[str, dict[str, float]], then: dict[str, dict[str, float]]) -> list[str]:
    """What is not as it was: `video: measure 1 instead of 2`."""
    if {name: list(values) for name, values in now.items()} != {name: [*one] for name, one in then.items()}:
        return ["other videos or measures"]
    return [
        f"{name}: {measure} {value} instead of {then[name][measure]}"
        for name, values in now.items()
        for measure, value in values.items()
        if not np.isclose(value, then[name][measure], rtol=RELATIVE, atol=ABSOLUTE)
    ]


def main() -> None:
    """Writes the values of now."""
    now = measured()
    if FILE.is_file():
        kept = json.loads(FILE.read_text(encoding="utf-8"))
        if kept["version"] == statistics.VERSION and (found := differing(now, kept["values"])):
            sys.exit(f"{len(found)} values differ, {found[0]}; raise VERSION first")
    text = json.dumps({"version": statistics.VERSION, "values": now}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
