"""The one base error: what is wrong, where, what was got and expected, and what to do next.

Every module that can refuse something raises a subclass of `MsavqaError` that it defines itself, so that
the message is written beside the check. The command line prints the message alone and exits with 2.
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
    """Everything that is wrong with one input, all at once, one line a problem."""

    def __init__(self, *, where: object, problems: Sequence[str], next_step: str) -> None:
        self.where, self.problems, self.next_step = where, tuple(problems), next_step
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        Exception.__init__(self, "\n  - ".join([f"{count} in {where}; {next_step}:", *problems]))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_problems, (type(self), self.where, self.problems, self.next_step))


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
