"""A prompt that is longer than the text encoder reads, as pieces that fit: whole clauses, evenly packed.

A window that holds the facts of a prompt beside words of style says less of them, so the pieces are as few as
the window allows and about equally long. A clause that is too long for a window is parted between its words,
a word (a sentence, in scripts without spaces) between its characters. Nothing is lost and nothing is moved.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

CLAUSES = re.compile(
    r"(?<=[,;:.!?])(?=\s)"
    r"|(?<=[\n\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f\u060c\u061b\u061f\u06d4\u0964])"
)
"""Between clauses: behind a mark before a space, or behind a line's end or an ideographic, Arabic or Indic
mark."""
WORDS = re.compile(r"(?<=\S)(?=\s)")


@dataclass(frozen=True)
class Pieces:
    """A prompt as it is read."""

    texts: tuple[str, ...]
    """In their order; a prompt that fits is one piece, as it stands."""
    whole: bool
    """Whether they hold all of the prompt; its end is missing where it has more pieces than may be."""


def of(prompt: str, *, tokens: Callable[[str], int], window: int, most: int) -> Pieces:
    """The pieces of a prompt, at most `most` of them, each of at most `window` tokens as `tokens` counts."""
    total = tokens(prompt)
    if total <= window:
        return Pieces((prompt,), whole=True)
    atoms = list(_atoms(prompt, tokens, window, (CLAUSES, WORDS)))
    fewest = len(_packed(atoms, window))
    limits = range(-(-total // fewest), window)
    evenly = (made for limit in limits if len(made := _packed(atoms, limit)) == fewest)
    texts = next(evenly, None) or _packed(atoms, window)
    return Pieces(tuple(texts[:most]), whole=len(texts) <= most)


def _atoms(
    text: str, tokens: Callable[[str], int], window: int, finer: Sequence[re.Pattern[str]]
) -> Iterator[tuple[str, int]]:
    """Parts that are never parted again, with their tokens; together they are the text."""
    if finer:
        for part in finer[0].split(text):
            count = tokens(part)
            if count <= window:
                yield part, count
            else:
                yield from _atoms(part, tokens, window, finer[1:])
        return
    count = tokens(text)
    if count <= window or len(text) == 1:
        yield text, count
        return
    middle = len(text) // 2
    for half in (text[:middle], text[middle:]):
        yield from _atoms(half, tokens, window, ())


def _packed(atoms: Sequence[tuple[str, int]], limit: int) -> list[str]:
    """Neighbouring atoms together while they hold at most `limit` tokens; one alone may hold more."""
    packed: list[str] = []
    held, size = "", 0
    for text, count in atoms:
        if held.strip() and size + count > limit:
            packed.append(held.strip())
            held, size = "", 0
        held, size = held + text, size + count
    return [*packed, held.strip()] if held.strip() else packed
