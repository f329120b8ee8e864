"""Fixtures that many tests share: where the real data is, and a quiet machine."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test is timed; where a change is judged, the same examples are drawn every time.
settings.register_profile("steady", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real label files and videos beside the checkout; the test skips where they are absent.

    MSAVQA_SHARED_DATA names another place. MSAVQA_NO_SKIPS=1 turns the skip into a failure.
    """
    found = Path(os.environ.get("MSAVQA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not found.is_dir():
        skip_or_fail(f"no real data at {found}")
    return found


def skip_or_fail(reason: str) -> None:
    """Skips a test for want of something outside the project, or fails where MSAVQA_NO_SKIPS is set."""
    if os.environ.get("MSAVQA_NO_SKIPS"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the whole pipeline has run on a tiny world and everything is committed.

    Shared by all tests: clone it (`tests.tiny.clone`), never change it.
    """
    from tests import tiny

    repo = tiny.checkout(tmp_path_factory.mktemp("tiny") / "msavqa")
    tiny.run("dvc", "repro", cwd=repo)
    tiny.commit(repo, "what the tiny world gave")
    return repo


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of tiny networks with random weights; tests copy it before they change it."""
    from tests import random_bundle

    return random_bundle.make(tmp_path_factory.mktemp("model")).path
