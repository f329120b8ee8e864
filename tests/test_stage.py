"""How every stage ends: a refusal and a full disk are one sentence, anything else a traceback."""

import errno
import os
from collections.abc import Callable

import pytest

from msavqa.errors import MsavqaError
from pipeline import stage


def failing(error: Exception) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


REFUSAL = MsavqaError(what="Videos", where="a.csv", got="none", expected="some", next_step="add some")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (REFUSAL, "error: Videos in a.csv: got none, expected some; add some.\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a.json"),
            "error: Full disk in runs/a.json: got no space left, expected room for what is written; "
            "free some space and run again.\n",
        ),
    ],
)
def test_a_refusal_and_a_full_disk_are_one_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        stage.run(failing(error))
    assert ended.value.code == 2
    assert capsys.readouterr().err == said


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(OSError, match="Permission denied"):
        stage.run(failing(OSError(errno.EACCES, os.strerror(errno.EACCES))))
