"""Whether a prompt is written in a script that an English text encoder knows."""

import unicodedata
from collections import Counter

FOREIGN_SHARE = 0.2
"""Share of a prompt's letters and pictures outside Latin script from which the encoder misses its meaning."""
SYMBOLS_FROM = "\u2190"
"""Below are signs of English text, such as the degree and the registered trade mark."""


def unknown(prompt: str) -> str | None:
    """The script that most of a prompt's foreign letters are of, such as `CJK`, `arabic` or `emoji`.

    None for a prompt in Latin script, accents included, and for one with few foreign letters or none at all.
    CLIP's tokens were made from English text: of other scripts it knows bytes, and few words.
    """
    letters = Counter(script for one in prompt if (script := _script(one)) is not None)
    foreign = Counter({script: count for script, count in letters.items() if script != "latin"})
    if foreign.total() < FOREIGN_SHARE * max(1, letters.total()):
        return None
    return foreign.most_common(1)[0][0]


def _script(character: str) -> str | None:
    """The script of a letter, `emoji` for a picture, None for anything else."""
    kind = unicodedata.category(character)
    if kind.startswith("L"):
        first = unicodedata.name(character, "unknown").split()[0]
        return {"CJK": "CJK", "FULLWIDTH": "latin", "FEMININE": "latin", "MASCULINE": "latin"}.get(
            first, first.lower()
        )
    return "emoji" if kind == "So" and character >= SYMBOLS_FROM else None
