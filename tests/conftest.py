"""Fixtures that many tests share: where the real data is, and a quiet machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from beartype import BeartypeConf
from beartype.claw import beartype_packages
from filelock import FileLock
from hypothesis import settings

SHAPED = ("branches", "learning", "networks", "trunks")
"""Rooms in which jaxtyping checks shapes as well as types, see pyproject.toml; and that of trunks, whose
annotations name a Tensor that only type checkers import."""
# Types of what every other function of ours is given and gives back. jaxtyping would check both twice.
beartype_packages(
    [
        f"msavqa.{room.name}"
        for room in (Path(__file__).parent.parent / "msavqa").iterdir()
        if (room / "__init__.py").is_file() and room.name not in SHAPED
    ],
    # Ray looks into the class of its actor, and stumbles over what beartype puts there.
    conf=BeartypeConf(claw_is_pep526=False, claw_skip_package_names=("msavqa.machine.ray_worker",)),
)

# No test is timed; where a change is judged, the same examples are drawn every time.
settings.register_profile("steady", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent


LONGEST = (
    "test_pipeline.py", "test_score_sample.py", "test_staging.py", "test_fit.py", "test_cli.py",
    "test_own_data.py", "test_house.py", "test_sharing.py", "test_pipeline_cuts.py", "test_ablation.py",
    "test_score.py", "test_score_csv.py", "test_ray.py",
)  # fmt: skip
"""Files that take longest, in the order in which they begin, so that two processes end at the same time. The
first makes the tiny world; what also needs it begins when it is there, for waiting costs a core."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the longest files to the front; the others stay as they are."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def torch_as_it_began() -> Iterator[None]:
    """Every test has the threads and the order of sums that torch began with, whatever stage ran before it.

    The last bit of a sum depends on them.
    """
    _as_it_began()
    yield
    _as_it_began()


def _as_it_began() -> None:
    torch.set_num_threads(THREADS)
    torch.set_deterministic_debug_mode("default")
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's root."""
    return ROOT


def real_data() -> Path | None:
    """The folder of real label files and videos beside the checkout; MSAVQA_SHARED_DATA names another place,
    which must be there."""
    found = Path(os.environ.get("MSAVQA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if found.is_dir():
        return found
    if "MSAVQA_SHARED_DATA" in os.environ:
        pytest.fail(f"no real data at {found}")
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """`real_data`; the test skips where there is none."""
    found = real_data()
    if found is None:
        pytest.skip("no real data beside the checkout")
    return found


def skip_or_fail(reason: str, *, needs: str) -> None:
    """Skips a test for want of a tool (or of `sample`, what `make repro` makes), or fails.

    It fails where MSAVQA_NO_SKIPS, words with commas between, says that this machine has it: see .ci/run.
    """
    if needs in os.environ.get("MSAVQA_NO_SKIPS", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of one test run share; without pytest-xdist: this process's own."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the whole pipeline has run on a tiny world and everything is committed.

    Shared by all tests: clone it (`tests.tiny.clone`), never change it.
    """
    from tests import tiny

    repo = shared_folder(tmp_path_factory) / "tiny" / "msavqa"
    with FileLock(repo.parent.with_suffix(".lock")):  # the other processes of pytest-xdist wait for it
        if not (repo.parent / "made").is_file():
            tiny.checkout(repo)
            tiny.run("dvc", "repro", cwd=repo)
            tiny.commit(repo, "what the tiny world gave")
            (repo.parent / "made").touch()
    return repo


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of tiny networks with random weights; tests copy it before they change it."""
    from tests import random_bundle

    folder = shared_folder(tmp_path_factory) / "model"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "bundle").is_dir():
            random_bundle.make(folder)
    return folder / "bundle"
