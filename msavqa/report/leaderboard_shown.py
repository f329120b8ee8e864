"""A leaderboard as tables for a terminal, and as a page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from msavqa.evaluation.metrics import Interval
from msavqa.evaluation.ranking import Pair
from msavqa.ground.errors import MsavqaError
from msavqa.report.leaderboard import ALPHA, Leaderboard

if TYPE_CHECKING:
    import rich.table

HERE = Path(__file__).parent
TEXTS = ("generator", "group")
"""Columns of words; the others are of figures."""


@dataclass(frozen=True)
class Film:
    """One video of an example."""

    generator: str
    score: float
    image: str | None
    """Its frames as a data URI; None where there are none to show."""


@dataclass(frozen=True)
class Example:
    """The videos of one prompt, the best generator's first."""

    prompt: str
    films: Sequence[Film]


def show(found: Leaderboard) -> None:
    """Prints the board, the pairs that a reader asks of first, and the notes; JSON has every pair."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    digits = digits_of(found)
    board = _table("rank", "generator", "mean", "95% interval", "prompts", "videos", "failed", "group")
    for one in found.generators:
        board.add_row(
            span(one.rank), one.name, number(one.mean.value, digits), bounds(one.mean, digits),
            str(one.prompts), str(one.videos), str(one.failed), one.groups,
        )  # fmt: skip
    console.print(board)
    if shown := [one for one in found.pairs if _asked_first(one)]:
        decided = sum(one.decided(alpha=ALPHA) for one in found.pairs)
        console.print(f"\n{decided} of {len(found.pairs)} pairs are decided; neighbours and undecided pairs:")
        for pair in shown:
            console.print(f"  {sentence(pair, found)}", markup=False)
    if found.notes:
        console.print()
    for note in found.notes:
        console.print(f"note: {note}", markup=False)


def _table(*columns: str) -> "rich.table.Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True, justify="left" if name in TEXTS else "right")
    return table


def _asked_first(pair: Pair) -> bool:
    return pair.second == pair.first + 1 or not pair.decided(alpha=ALPHA)


def sentence(pair: Pair, found: Leaderboard) -> str:
    """A pair in one line: who is better by how much, or that it is undecided and what would decide it."""
    first, second = found.generators[pair.first].name, found.generators[pair.second].name
    digits = digits_of(found)
    facts = f"{number(pair.difference.value, digits, '+')} [{bounds(pair.difference, digits, '+')}]"
    facts += f", wins {share(pair.wins.value)}, p {p_value(pair.corrected)}"
    if not pair.decided(alpha=ALPHA):
        return f"{first} or {second}: {verdict(pair, found)} ({facts})"
    better, worse = (first, second) if pair.difference.value > 0 else (second, first)
    return f"{better} is better than {worse}: {facts}"


def verdict(pair: Pair, found: Leaderboard) -> str:
    """Who is better, or how many prompts more would tell."""
    if pair.decided(alpha=ALPHA):
        better = pair.first if pair.difference.value > 0 else pair.second
        return f"{found.generators[better].name} is better"
    if pair.more_prompts is None:
        return "undecided"
    count = rounded(pair.more_prompts)
    return f"undecided, about {count} prompt{'' if count == '1' else 's'} more would tell"


def write_page(found: Leaderboard, path: Path, *, examples: Sequence[Example] = ()) -> None:
    """The leaderboard as one page, with the examples that there are; raises `MsavqaError` where it cannot be
    written."""
    try:
        path.write_text(page(found, examples=examples), encoding="utf-8")
    except OSError as error:
        raise MsavqaError(
            what="Page",
            where=path,
            got=error.strerror,
            expected="a file that can be written",
            next_step="choose another --html",
        ) from error


def page(found: Leaderboard, *, examples: Sequence[Example] = ()) -> str:
    """The page as HTML text, in the report's style; every name from the data escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    ends = [value for one in found.generators for value in (one.mean.low, one.mean.high, one.mean.value)]
    ends = [value for value in ends if math.isfinite(value)]
    low, width = min(ends), (max(ends) - min(ends)) or 1.0
    return environment.get_template("leaderboard.html").render(
        board=found,
        examples=examples,
        videos=sum(one.videos for one in found.generators),
        alpha=ALPHA,
        digits=digits_of(found),
        matrix=_matrix(found),
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),  # our own
        at=lambda value: round(100 * (value - low) / width, 2),
        number=number, bounds=bounds, share=share, bounds_of_share=bounds_of_share, p_value=p_value,
        span=span, verdict=verdict,
    )  # fmt: skip


def _matrix(found: Leaderboard) -> list[list[dict[str, str]]]:
    """A cell per row and column: the difference, whether it is decided, and the sentence about it."""
    size, digits = len(found.generators), digits_of(found)
    cells = [[{"kind": "self", "text": "", "title": ""} for _ in range(size)] for _ in range(size)]
    for pair in found.pairs:
        value, decided = pair.difference.value, pair.decided(alpha=ALPHA)
        for row, column, sign in ((pair.first, pair.second, 1), (pair.second, pair.first, -1)):
            kind = ("better" if sign * value > 0 else "worse") if decided else "open"
            text = number(sign * value, digits, "+")
            cells[row][column] = {"kind": kind, "text": text, "title": verdict(pair, found)}
    return cells


def digits_of(found: Leaderboard) -> int:
    """As many as the narrowest interval has use for."""
    widths = [one.mean.high - one.mean.low for one in found.generators]
    widths = [one for one in widths if math.isfinite(one) and one > 0]
    return int(min(6, max(0, 1 - math.floor(math.log10(min(widths)))))) if widths else 3


def number(value: float, digits: int, sign: str = "") -> str:
    """A value with its digits, a dash where it is not known."""
    return f"{value:{sign}.{digits}f}" if math.isfinite(value) else "-"


def bounds(one: Interval, digits: int, sign: str = "") -> str:
    """Both ends of an interval, a dash where they are not known."""
    if not math.isfinite(one.low):
        return "-"
    return f"{one.low:{sign}.{digits}f} to {one.high:{sign}.{digits}f}"


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{value:.0%}" if math.isfinite(value) else "-"


def bounds_of_share(one: Interval) -> str:
    """Both ends of an interval of shares."""
    return f"{one.low:.0%} to {one.high:.0%}" if math.isfinite(one.low) else "-"


def p_value(value: float) -> str:
    """A p-value to three digits."""
    if not math.isfinite(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def span(rank: tuple[int, int]) -> str:
    """A rank, or the best and the worst."""
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}-{rank[1]}"


def rounded(count: int) -> str:
    """Two figures: a guess has no more."""
    if count < 100:
        return str(count)
    step = 10 ** (len(str(count)) - 2)
    return f"{round(count / step) * step:,}"
