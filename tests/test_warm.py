"""A command that begins warm is as a fresh one: what it finds, what it says, how it ends."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import warm
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

FINDS = """
import json, os, resource, signal, sys, threading
print(json.dumps({
    "words": [sys.argv, sys.orig_argv], "path": sys.path, "executable": sys.executable,
    "flags": list(sys.flags), "stdin": sys.stdin.read(),
    "main": [__name__, __file__, __spec__ and __spec__.name, sys.modules["__main__"].__dict__ is globals()],
    "names": sorted(globals()), "folder": os.getcwd(), "environment": dict(os.environ), "mask": os.umask(0),
    "cpus": sorted(os.sched_getaffinity(0)), "limit": resource.getrlimit(resource.RLIMIT_FSIZE),
    "files": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
    "signals": [str(signal.getsignal(number)) for number in range(1, 32)],
    "streams": [(one.encoding, one.errors, one.line_buffering, one.write_through, type(one.buffer).__name__)
                for one in (sys.stdin, sys.stdout, sys.stderr)],
    "ours": [name for name in sys.modules if name.split(".")[0] in ("data", "msavqa", "pipeline", "tests")],
}))
"""
PARENT = "import os; print(os.getppid())"
ENDS = {
    "whole": "",
    "a code": "sys.exit(3)",
    "more than a byte": "sys.exit(-1)",
    "a word": "sys.exit('because')",
    "an error": "raise ValueError('because')",
    "interrupted": "raise KeyboardInterrupt",
    "killed": "os.kill(os.getpid(), 9)",
    "ended": "os.kill(os.getpid(), 15)",
    "at once": "os._exit(4)",
    "a thread": "threading.Timer(0.2, lambda: print('the thread ends')).start()",
    "told late": "atexit.register(print, 'last words')",
    "a pool": "from concurrent.futures import *; ThreadPoolExecutor().submit(print, 'of the pool')",
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of warm commands; the test's own is where modules are found."""
    found = warm.folder()
    if found is None:
        pytest.skip("commands begin as ever here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return found


def module(text: str) -> str:
    """The name of a new module in the working directory."""
    name = f"module{len(list(Path().iterdir()))}"
    Path(f"{name}.py").write_text(text, encoding="utf-8")
    return name


def done(folder: Path, *words: str, **how: Any) -> tuple[int, str, str]:
    """Runs `python` of a folder: exit code, stdout, stderr."""
    ended = subprocess.run(
        [str(folder / "python"), *words], capture_output=True, text=True, check=False, timeout=120, **how
    )
    return ended.returncode, ended.stdout, ended.stderr


FRESH = Path(sys.executable).parent


def is_warm(pid: str | int) -> bool:
    """Whether a process is the server."""
    return "warm.py" in " ".join(psutil.Process(int(pid)).cmdline())


def test_it_finds_what_a_fresh_one_finds(commands: Path) -> None:
    name = module(FINDS)
    how = {"input": "given", "umask": 0o27, "env": {**os.environ, "DVC_STAGE": "é"}}
    words = ("prlimit", "--fsize=1000000", "taskset", "--cpu-list", "0") if shutil.which("prlimit") else ()
    found = []
    for folder in (FRESH, commands):
        ended = subprocess.run(
            [*words, str(folder / "python"), "-m", name, "a", "b c"],
            capture_output=True, text=True, check=True, **how,
        )  # fmt: skip
        found.append(json.loads(ended.stdout))
    assert found[1] == found[0]
    assert found[1]["stdin"] == "given"
    assert found[1]["mask"] == 0o27


def test_a_script_finds_what_a_fresh_one_finds(commands: Path) -> None:
    said = [
        subprocess.run([str(folder / "dvc"), "--version"], capture_output=True, text=True, check=True).stdout
        for folder in (FRESH, commands)
    ]
    assert said[1] == said[0]


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_as_a_fresh_one_ends(commands: Path, how: str) -> None:
    name = module(f"import atexit, os, sys, threading\nprint('first')\n{ENDS[how]}\n")
    fresh, begun_warm = (done(folder, "-m", name) for folder in (FRESH, commands))
    assert begun_warm[:2] == fresh[:2]
    assert begun_warm[2].splitlines()[-1:] == fresh[2].splitlines()[-1:]


def test_it_is_a_fork(commands: Path) -> None:
    code, said, _ = done(commands, "-m", module(PARENT))
    assert code == 0
    assert is_warm(said)


@pytest.mark.parametrize("how", ["other words", "a variable", "a file", "no server"])
def test_what_a_fork_is_not_trusted_with_begins_as_ever(commands: Path, tmp_path: Path, how: str) -> None:
    words, more = ["-m", module(PARENT)], {}
    if how == "other words":
        words = ["-c", PARENT]
    elif how == "a variable":
        more = {"env": {**os.environ, "PYTHONHASHSEED": "1"}}
    elif how == "a file":
        more = {"pass_fds": [os.open(os.devnull, os.O_RDONLY)]}
    else:
        commands = Path(shutil.copytree(commands, tmp_path / "alone", ignore=lambda *_: ["socket"]))
    code, said, _ = done(commands, *words, **more)
    for file in more.get("pass_fds", []):
        os.close(file)
    assert code == 0
    assert int(said) == os.getpid()


def test_forks_draw_other_numbers(commands: Path) -> None:
    name = module(
        "import random, uuid, tempfile, numpy\n"
        "print(random.random(), uuid.uuid4(), tempfile.mktemp(), numpy.random.random(), sep='\\n')\n"
    )
    first, other = (done(commands, "-m", name)[1].splitlines() for _ in range(2))
    assert len(first) == 4
    assert all(one != two for one, two in zip(first, other, strict=True))


def waiting(commands: Path) -> "subprocess.Popen[str]":
    """A command that says its number, waits, and ends with 5 where it is asked to."""
    name = module(
        "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    return subprocess.Popen([str(commands / "python"), "-m", name], stdout=subprocess.PIPE, text=True)


def test_it_is_handed_signals(commands: Path) -> None:
    with waiting(commands) as command:
        assert command.stdout is not None
        fork = int(command.stdout.readline())
        command.terminate()
        assert command.wait(30) == 5
        assert fork != command.pid


def test_it_is_killed_with_its_command(commands: Path) -> None:
    with waiting(commands) as command:
        assert command.stdout is not None
        fork = psutil.Process(int(command.stdout.readline()))
        command.kill()
        fork.wait(30)
        assert command.wait(30) == -signal.SIGKILL


def test_who_asks_and_is_gone_at_once_stops_nobody(commands: Path) -> None:
    for said in (b"", b"half", (1000).to_bytes(8, "little")):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(commands / "socket"))
            asking.sendall(said)
    assert is_warm(done(commands, "-m", module(PARENT))[1])


def test_many_run_side_by_side(commands: Path) -> None:
    name = module("import sys, time\ntime.sleep(0.5)\nprint(sys.argv[1])\n")
    begun = [
        subprocess.Popen([str(commands / "python"), "-m", name, str(one)], stdout=subprocess.PIPE, text=True)
        for one in range(8)
    ]
    assert [one.communicate(timeout=60)[0] for one in begun] == [f"{one}\n" for one in range(8)]


@pytest.mark.parametrize("end", ["pass", "import os; os.kill(os.getpid(), 9)"])
def test_the_server_ends_with_who_started_it(commands: Path, end: str) -> None:
    name = module(PARENT)
    code = (
        "import subprocess; from tests import warm; warm.IMPORTED = (); folder = warm.folder()\n"
        f"said = subprocess.check_output([folder / 'python', '-m', '{name}'], text=True)\n"
        f"print(said + str(folder), flush=True)\n{end}\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip
    pid, folder = said.splitlines()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid)).wait(30)
    assert not Path(folder).exists()


def test_all_begin_fresh_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAVQA_TESTS_FRESH", "1")
    assert warm.folder.__wrapped__() is None
