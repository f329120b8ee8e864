"""What names of videos say: a pattern such as `{generator}/{prompt}-{index}.mp4`, whose fields are columns.

A field stands for one character or more, never for a `/`. Fields that hold numbers hold digits alone, so that
`a well-known man-3.mp4` has one reading. A name that can be read in two ways is refused: no reading is sure.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

PROMPT, GENERATOR, KEY, INDEX = "prompt", "generator", "key", "index"
MEAN_THE_SAME = {"model": GENERATOR, "i": INDEX}
"""Other people's words for a field."""
HOLDS = {INDEX: "[0-9]+", "seed": "[0-9]+", "ext": "[^/.]+"}
"""What fields of these names hold; others anything but a `/`."""
_FIELD = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Names:
    """A pattern that names can be asked of."""

    pattern: str
    fields: tuple[str, ...]
    """In their order; `generator` where the pattern says `{model}`."""
    longest: re.Pattern[str]
    shortest: re.Pattern[str]
    """The same form, where each field takes as little as it can: one reading where both agree."""

    def of(self, name: str) -> dict[str, str]:
        """What each field holds in a path, in the composed form of Unicode.

        Raises `ValueError`, whose text goes on behind the name, where it has another form or two readings.
        """
        found, other = self.longest.fullmatch(name), self.shortest.fullmatch(name)
        if found is None or other is None:
            raise ValueError(f"is not of the form {self.pattern!r}")
        if found.groups() != other.groups():
            field = next(one for one in self.fields if found[one] != other[one])
            raise ValueError(
                f"can be read in two ways, {{{field}}} as {other[field]!r} or {found[field]!r}; put a `/` or "
                "text that neither field holds between the two"
            )
        return {field: unicodedata.normalize("NFC", found[field]) for field in self.fields}


def compiled(pattern: str) -> Names:
    """The pattern, ready to be asked; raises `ValueError` with all that is wrong with it."""
    if found := problems(pattern):
        raise ValueError("; ".join(found))
    fields = tuple(_canonical(one) for one in _FIELD.findall(pattern))
    return Names(pattern, fields, _expression(pattern, ""), _expression(pattern, "?"))


def first(form: Names, paths: Sequence[str]) -> tuple[dict[str, str], str]:
    """What the first path says that fits; of none the reason why the first does not."""
    wrong = []
    for path in paths:
        try:
            return form.of(path), ""
        except ValueError as error:
            wrong.append(str(error))
    return {}, wrong[0]


def problems(pattern: str) -> list[str]:
    """Every mistake of a pattern, a sentence each."""
    found = []
    words = _FIELD.findall(pattern)
    if stray := re.search(r"[{}]", _FIELD.sub(lambda field: "." * len(field[0]), pattern)):
        found.append(
            f"the brace at character {stray.start() + 1} of {pattern!r} has no partner: a field looks like "
            "{prompt}"
        )
    elif not words:
        found.append(f"{pattern!r} has no field, such as {{generator}} or {{prompt}}")
    found += [
        f"{{{word}}} is no field: its name takes a to z, 0 to 9 and _, and begins with a letter"
        for word in dict.fromkeys(words)
        if not _WORD.fullmatch(word)
    ]
    found += [
        f"{{{first}}} and {{{second}}} stand side by side: put text between them"
        for first, second in re.findall(r"\{([^{}]*)\}(?=\{([^{}]*)\})", pattern)
    ]
    by_meaning: dict[str, list[str]] = {}
    for word in words:
        by_meaning.setdefault(_canonical(word), []).append(word)
    for same in by_meaning.values():
        if len(set(same)) > 1:
            found.append(
                f"{' and '.join(f'{{{one}}}' for one in dict.fromkeys(same))} mean the same: keep one"
            )
        elif len(same) > 1:
            found.append(f"{{{same[0]}}} stands {len(same)} times: a field has one place")
    if pattern.startswith("/") or "\\" in pattern or {".", "..", ""} & set(pattern.strip("/").split("/")):
        found.append(f"{pattern!r} is no path below a folder: write it as {{generator}}/{{prompt}}.mp4")
    elif pattern.endswith("/"):
        found.append(f"{pattern!r} names a folder: it ends as the videos do")
    return found


def _checked(pattern: str) -> str:
    compiled(pattern)
    return pattern


NamesSetting = Annotated[str, Field(min_length=1), AfterValidator(_checked)]
"""A pattern in params.yaml."""


def _canonical(word: str) -> str:
    return MEAN_THE_SAME.get(word, word)


def _expression(pattern: str, lazy: str) -> re.Pattern[str]:
    parts, end = [], 0
    for field in _FIELD.finditer(pattern):
        name = _canonical(field[1])
        parts += [re.escape(pattern[end : field.start()]), f"(?P<{name}>{HOLDS.get(name, '[^/]+')}{lazy})"]
        end = field.end()
    return re.compile("".join([*parts, re.escape(pattern[end:])]), re.S)
