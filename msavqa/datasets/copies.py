"""Which trivial videos a data set gets: spoilt copies of some of its videos, and frames that show nothing.

The plan follows from the manifest and the block `copies` alone. It knows no split: a copy belongs to its
video, so it may be learned from where all the videos that it is made of may be, and is tested where its video
is. Videos are chosen in the order of a hash, each kind its own, so that one video more changes few choices.
Rows that show nothing belong to no video; every other one of them is never learned from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pandera
from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from msavqa.datasets import table_files, tables
from msavqa.ground.params import Settings, nearest

SPOILT = (
    "still", "coded_still", "shuffled", "backwards", "replaced", "recoloured", "blurred", "compressed",
    "pixelated", "flickering",
)  # fmt: skip
"""Copies of a video. What each looks like is said in `msavqa.frames.spoil`."""
OF_TWO = ("replaced",)
"""Those that have half of their frames from another video."""
EMPTY = ("black", "white", "flat", "noise", "frozen_noise", "stripes", "flashing")
"""Kinds that show nothing."""
NOISE = ("noise", "frozen_noise")
"""Those of them that differ most from row to row."""
FOREIGN, PRAISE = "foreign_prompt", "praise"
"""Kinds that need no frames: the own ones with another video's prompt, or with words of praise behind it."""
KINDS = (*SPOILT, *EMPTY)
"""What `copies.learned` and `copies.left_out` name."""


def _known(kinds: list[str]) -> list[str]:
    for kind in kinds:
        if kind not in KINDS:
            hint = nearest(kind, list(KINDS))
            raise PydanticCustomError("kind", f"expected some of {', '.join(KINDS)}{hint}")
    return kinds


Kinds = Annotated[list[str], AfterValidator(_known)]


class CopySettings(Settings):
    """The block `copies`."""

    videos: int = Field(ge=0)
    """Videos that each kind under `learned` makes a copy of; 0: there are no copies, and no table of them."""
    learned: Kinds
    """Kinds that training may show beside their originals, see `train.copies`."""
    left_out_videos: int = Field(ge=0)
    """Videos that each kind under `left_out` makes a copy of."""
    left_out: Kinds
    """Kinds that are never learned from: they tell whether what was learned helps against others."""
    empty: int = Field(ge=0)
    """Rows of each kind that shows nothing, noise apart."""
    noise: int = Field(ge=0)
    """Rows of each kind of `NOISE`: they differ in strength, grain and colour, so few say little of all."""
    praise: list[str]
    """Words behind a prompt that ask for nothing, such as "8k, masterpiece": training may show that they
    change no score. Every prompt gets one of them; []: none does."""
    praise_left_out: list[str]
    """Such words that are only tested with."""

    @field_validator("left_out")
    @classmethod
    def _apart(cls, left_out: list[str], info: Any) -> list[str]:
        both = sorted(set(left_out) & set(info.data.get("learned", ())))
        if both:
            raise PydanticCustomError("left_out", f"expected none that stands under `learned` too: {both[0]}")
        return left_out


_LEARNED = pandera.Column("int64", [pandera.Check.isin((0, 1))])
_COUNT = pandera.Column("int64", [pandera.Check.ge(0)])
_KIND = pandera.Column(str, [pandera.Check.str_length(min_value=1)])
PLAN = pandera.DataFrameSchema(
    {
        "copy_id": pandera.Column(str, unique=True),  # <kind>/<video_id>, or <kind>/<number>
        "kind": _KIND,
        "video_id": pandera.Column(str),  # the video that it is a copy of; "" where it shows nothing
        "other_id": pandera.Column(str),  # whose frames are half of it; "" none
        "learned": _LEARNED,  # 0: only ever tested on
        "number": _COUNT,  # of rows that show nothing, in their kind; odd ones are only tested on
        "width": _COUNT,  # pixels of what shows nothing; 0: as the video's
        "height": _COUNT,
        "sha256": pandera.Column(str),  # of what it is made of
    },
    strict=True,
)
"""features/<data set>/copies/plan.parquet."""
SCORES = pandera.DataFrameSchema(
    {**tables.SCORED, "kind": _KIND, "learned": _LEARNED},
    unique=["repeat", "video_id", "kind"],
    strict=True,
)
"""copies.parquet of examined branches and of the ensemble: a video's row, and what a trivial video of that
kind scored in its place."""


def plan(manifest: pd.DataFrame, settings: CopySettings, *, box: int) -> pd.DataFrame:
    """The copies to make, `PLAN`, those of one kind together.

    `box` is what decoded frames fit in: rows that show nothing have the sizes of the set's videos. A file
    that could not be read or that stands twice gives no copy.
    """
    usable = manifest[manifest["status"] == "ok"].drop_duplicates("sha256")
    rows: list[dict[str, object]] = []
    if not settings.videos or usable.empty:
        return pd.DataFrame(rows, columns=list(PLAN.columns))
    for learned, kinds, count in (
        (1, settings.learned, settings.videos),
        (0, settings.left_out, settings.left_out_videos),
    ):
        for kind in kinds:
            order = _ordered(usable, kind)
            if kind in SPOILT:
                # The last in the order is the other half of the first: nobody is his own.
                others = order["video_id"].iloc[::-1].to_list() if kind in OF_TWO else [""] * len(order)
                for number, video in enumerate(order["video_id"].head(count)):
                    if others[number] != video:
                        rows.append(_row(kind, str(video), str(others[number]), learned=learned))
            elif kind in EMPTY:
                for number in range(settings.noise if kind in NOISE else settings.empty):
                    like = order.iloc[number % len(order)]
                    rows.append(
                        _row(kind, "", "", learned=learned, number=number)
                        | _size(int(like["width"]), int(like["height"]), box)
                    )
    files = manifest.set_index("video_id")["sha256"]
    return pd.DataFrame([row | {"sha256": _content(row, files)} for row in rows], columns=list(PLAN.columns))


def read(path: Path) -> pd.DataFrame:
    """A plan; refuses a missing file and another table."""
    return table_files.read_parquet(path, PLAN)


def write(table: pd.DataFrame, path: Path) -> None:
    """Check against `PLAN` and write."""
    table_files.write_parquet(table, path, PLAN)


def read_scores(path: Path) -> pd.DataFrame:
    """Scores of trivial videos; refuses a missing file and another table."""
    return table_files.read_parquet(path, SCORES)


def write_scores(table: pd.DataFrame, path: Path) -> None:
    """Check against `SCORES` and write."""
    table_files.write_parquet(table, path, SCORES)


def praised(prompt: str, words: Sequence[str]) -> str:
    """The prompt with words of praise behind it, those that fall to it by its hash; none behind no prompt."""
    return f"{prompt}, {words[_hash(prompt) % len(words)]}" if prompt and words else prompt


def _content(row: Mapping[str, object], files: "pd.Series[str]") -> str:
    """Names a copy by what it is made of; `files` is the SHA-256 of each video's bytes."""
    made_of = [files[str(row[key])] for key in ("video_id", "other_id") if row[key]]
    facts = [row["kind"], row["number"], row["width"], row["height"], *made_of]
    return hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()


def _row(kind: str, video: str, other: str, *, learned: int, number: int = 0) -> dict[str, object]:
    return {
        "copy_id": f"{kind}/{video or number}", "kind": kind, "video_id": video, "other_id": other,
        "learned": learned, "number": number, "width": 0, "height": 0,
    }  # fmt: skip


def _size(width: int, height: int, box: int) -> dict[str, object]:
    """As `frames.sampling.shrink` has it."""
    scale = min(1.0, box / max(width, height))
    return {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}


def _ordered(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    order = [_hash(f"{kind} {sha256}") for sha256 in rows["sha256"]]
    return rows.assign(order=order).sort_values("order", kind="stable")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
