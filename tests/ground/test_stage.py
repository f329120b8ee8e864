"""How every stage ends: a refusal, a full disk, a full memory are one sentence, all else a traceback."""

import errno
import os
from collections.abc import Callable

import pytest
import torch

from msavqa.ground import stage
from msavqa.ground.errors import MsavqaError


def failing(error: Exception) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


ROOM = (
    "expected room for the networks and one batch; free some, or have less computed at once (params.yaml: a "
    "higher train.accumulate, a lower train.evaluation_batch, extract.batch_frames or number of processes), "
    "and run again: what is finished is kept.\n"
)
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
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 79 GiB."),
            "error: Full memory in train sample frame: got CUDA out of memory, " + ROOM,
        ),
        (
            RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."),
            "error: Full memory in train sample frame: got [enforce fail] . DefaultCPUAllocator: can't "
            "allocate memory: you tried 9 bytes, " + ROOM,
        ),
        (MemoryError(), "error: Full memory in train sample frame: got no more memory, " + ROOM),
    ],
)
def test_a_refusal_and_a_full_disk_or_memory_are_one_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/some/where/pipeline/train.py", "sample", "frame"])
    with pytest.raises(SystemExit) as ended:
        stage.run(failing(error))
    assert ended.value.code == 2
    assert capsys.readouterr().err == said


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(OSError, match="Input/output error"):
        stage.run(failing(OSError(errno.EIO, os.strerror(errno.EIO))))
    with pytest.raises(RuntimeError, match="a batch of memory banks"):
        stage.run(failing(RuntimeError("a batch of memory banks")))
