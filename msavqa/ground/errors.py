"""The one base error: what is wrong, where, what was got and expected, and what to do next.

Whoever refuses something raises `MsavqaError` with a sentence written beside the check. A subclass is for
what somebody catches by its name. The command line prints the message alone and exits with 2.
"""

import errno
import re
from collections.abc import Sequence
from typing import Any


class MsavqaError(Exception):
    """A refusal a user can act on, in one sentence.

    The message reads `{what} in {where}: got {got}, expected {expected}; {next_step}.`
    """

    def __init__(self, *, what: str, where: object, got: object, expected: object, next_step: str) -> None:
        self.what, self.where, self.got, self.expected, self.next_step = what, where, got, expected, next_step
        super().__init__(f"{what} in {where}: got {got}, expected {expected}; {next_step}.")

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes send errors home by pickle, which knows positional arguments only.
        fields = (self.what, self.where, self.got, self.expected, self.next_step)
        return (_rebuild, (type(self), *fields))


class ProblemsError(MsavqaError):
    """Everything that is wrong with one input, all at once, one line a problem; see `each_once`."""

    def __init__(self, *, where: object, problems: Sequence[str], next_step: str) -> None:
        self.where, self.problems, self.next_step = where, tuple(each_once(problems)), next_step
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        Exception.__init__(self, "\n  - ".join([f"{count} in {where}; {next_step}:", *self.problems]))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_problems, (type(self), self.where, self.problems, self.next_step))


SHOWN = 10
"""Of a mistake that repeats, as many are named."""
# What tells one mistake of a kind from another: quoted words, as repr has them, and numbers.
_VALUE = re.compile(
    r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<![\w.])-?\d[\w.]*(?:(?<=e)[+-]\d+)?(?<!\.)"""
)
_HERE = "\0"  # a value's place in a kind of sentence
_LINE = re.compile(f"(?:\\S+ )?line {_HERE}(?=: )")


def each_once(problems: Sequence[str]) -> list[str]:
    """The problems; one that repeats more than `SHOWN` times is one line, with the count and the first of it.

    Two sentences are one problem where they differ in quoted words and in numbers only:

        9000 times "no video ...": line 2 'a.mp4', line 3 'b.mp4', (eight more) and 8990 more
    """
    kinds = [_VALUE.sub(_HERE, problem) for problem in problems]
    alike: dict[str, list[str]] = {}
    for kind, problem in zip(kinds, problems, strict=True):
        alike.setdefault(kind, []).append(problem)
    lines: dict[object, str] = {}
    for place, (kind, problem) in enumerate(zip(kinds, problems, strict=True)):
        if len(alike[kind]) <= SHOWN:
            lines[place] = problem
        elif kind not in lines:
            lines[kind] = _gathered(kind, alike[kind])
    return list(lines.values())


def _gathered(kind: str, alike: Sequence[str]) -> str:
    """One line for sentences of one kind; the values that they share stay in the sentence."""
    values = [_VALUE.findall(one) for one in alike]
    shared = [value[0] if len(set(value)) == 1 else "..." for value in zip(*values)]
    line = match[0] if (match := _LINE.match(kind)) else ""
    before = line.count(_HERE)
    said = _filled(kind[len(line) :].removeprefix(": "), shared[before:])
    named = [
        " ".join(
            [
                *([_filled(line, found[:before])] if line else []),
                *(value for value, same in zip(found[before:], shared[before:]) if same == "..."),
            ]
        )
        for found in values[:SHOWN]
    ]
    differ = f": {', '.join(named)} and {len(alike) - SHOWN} more" if any(named) else ""
    return f'{len(alike)} times "{said}"{differ}'


def _filled(kind: str, values: Sequence[str]) -> str:
    left = iter(values)
    return re.sub(_HERE, lambda _: next(left, ""), kind)


def full_disk(error: OSError, *, where: object) -> MsavqaError | None:
    """The refusal that an operating system's "no space left" is; None for any other error.

    `where` is named where the error names no file.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return MsavqaError(
        what="Full disk",
        where=error.filename or where,
        got="no space left",
        expected="room for what is written",
        next_step="free some space and run again",
    )


def no_right(error: OSError, *, where: object) -> MsavqaError | None:
    """The refusal that an operating system's "permission denied" is; None for any other error.

    `where` is named where the error names no file.
    """
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return None
    return MsavqaError(
        what="Rights",
        where=error.filename or where,
        got=(error.strerror or str(error)).casefold(),
        expected="the right to read or write there",
        next_step="name another place, or ask who owns it",
    )


def out_of_memory(error: Exception, *, where: object) -> MsavqaError | None:
    """The refusal that a full memory is, of a GPU or of the machine; None for any other error."""
    # By name: whoever handles errors need not load torch, and torch has moved its class once.
    words = " ".join(str(error).split())
    full = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not full and "DefaultCPUAllocator: can't allocate memory" not in words:
        return None
    return MsavqaError(
        what="Full memory",
        where=where,
        got=re.split(r"(?<=\w)\. ", words)[0].rstrip(".") or "no more memory",
        expected="room for the networks and one batch",
        next_step="free some, or have less computed at once (params.yaml: a higher train.accumulate, a lower "
        "train.evaluation_batch, extract.batch_frames or number of processes), and run again: what is "
        "finished is kept",
    )


def _rebuild(kind: type[MsavqaError], *fields: Any) -> MsavqaError:
    what, where, got, expected, next_step = fields
    return kind(what=what, where=where, got=got, expected=expected, next_step=next_step)


def _rebuild_problems(
    kind: type[ProblemsError], where: object, problems: Sequence[str], next_step: str
) -> ProblemsError:
    return kind(where=where, problems=problems, next_step=next_step)


def few(names: Sequence[str], *, most: int = 3) -> str:
    """The first of many, as sentences name them: `a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
