"""An interrupted run is continued by the code and the torch that began it; test_fit.py kills and resumes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from msavqa.ground import sources
from msavqa.learning import folds
from msavqa.learning.folds import Job
from tests import feature_world
from tests.training import work


def test_a_checkpoint_of_other_code_or_another_torch_is_not_continued_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = dataclasses.replace(work(feature_world.make(tmp_path)), checkpoints=tmp_path)
    opened, job = folds.open_work(todo), Job(0, 0)
    names = [folds._checkpoint(opened, job), folds._checkpoint(opened, job)]
    assert names[0] == names[1]
    monkeypatch.setattr(torch, "__version__", "1.0")
    names.append(folds._checkpoint(opened, job))
    edited = Path("msavqa/learning/losses.py")
    whole = sources.ROOT / edited
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"edited" if path == whole else read(path))
    names.append(folds._checkpoint(opened, job))
    assert len(set(names)) == 3
    assert edited in sources.closure("msavqa.branches.frame")
