"""Commands of end-to-end tests begin as forks of a process that has imported what they import.

A stage spends 1 to 5 s of CPU on importing torch, pandas or DVC before it does anything, and the tests start
hundreds of them. `folder()` holds a `python`, a `dvc` and a `msavqa` to go first on PATH. Each hands its
words, environment and open files to a server; the server, which has imported those packages and nothing of
ours, forks; the fork does what a fresh interpreter does from there on: its own working directory, limits,
signals and exit code, and our modules read from where it stands.

Whatever a fork could not be trusted with begins as ever, by the real command: `python` with other words than
`-m`, an environment that differs in a name that an import might read, more open files than three, a server
that is gone. MSAVQA_TESTS_FRESH=1 leaves all to the real commands, as do systems other than Linux. What forks
share is the seed of Python's hashes; `make repro`, which runs before the tests, has a seed a process.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import io
import marshal
import os
import resource
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

IMPORTED = (
    "av", "matplotlib.figure", "numba", "pandera.pandas", "pyarrow.parquet", "pydantic", "rich.progress",
    "rich.table", "safetensors.torch", "scipy.stats", "sklearn.ensemble", "timm", "torch._dynamo",
    "torchvision", "typer", "zarr", "dvc.cli.parser", "dvc.repo.experiments", "dvc.repo.reproduce",
    "scmrepo.git",
)  # fmt: skip
"""Packages of others."""
HARMLESS = ("PATH", "PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES", "DVC_ROOT", "DVC_STAGE")
HARMLESS_PREFIXES = (
    "_MP_FORK_", "AWS_", "CELERY_LOG_", "DVC_EXP_", "GIT_", "MAKE", "MFLAGS", "MSAVQA_", "PYTEST_",
)  # fmt: skip
"""Variables that no import of these packages reads."""
COMMANDS = ("python", "dvc", "msavqa")


@functools.cache
def folder() -> Path | None:
    """A folder of commands that begin warm, to go first on PATH; None where commands begin as ever.

    The first call starts the server; it ends with this process.
    """
    if sys.platform != "linux" or os.environ.get("MSAVQA_TESTS_FRESH"):
        return None
    found = Path(tempfile.mkdtemp(prefix="warm-"))
    source = Path(__file__).with_name("warm_command.py").read_text(encoding="utf-8")
    for name in COMMANDS:
        (found / name).write_text(f"#!{sys.executable} -ISB\n{source}", encoding="utf-8")
        (found / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:  # commands wait here until the server has imported all
        listening.bind(str(found / "socket"))
        listening.listen(64)
        lease, mine = os.pipe()  # the server ends when this process closes its end, or is gone
        server = subprocess.Popen(
            [sys.executable, __file__, str(listening.fileno()), str(lease), *IMPORTED],
            cwd="/", env={**os.environ, "OMP_NUM_THREADS": "1"}, pass_fds=[listening.fileno(), lease],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(lease)
    atexit.register(_stop, server, mine, found)
    return found


def _stop(server: "subprocess.Popen[bytes]", mine: int, folder: Path) -> None:
    os.close(mine)
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)


def read_by_imports(variables: dict[str, str]) -> dict[str, str]:
    """The variables that an import might read."""
    return {
        name: value
        for name, value in variables.items()
        if name not in HARMLESS and not name.startswith(HARMLESS_PREFIXES)
    }


class Server:
    """Imports, then forks for each command that asks; `serve` returns in the forks alone."""

    def __init__(self, listening: socket.socket, lease: int, *, imported: Sequence[str]) -> None:
        self._listening, self._lease = listening, lease
        self._variables = read_by_imports(dict(os.environ))
        for name in imported:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        # What has threads cannot be forked safely; the one of pyarrow's jemalloc looks after itself.
        names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
        self._alone = len(names) - names.count("jemalloc_bg_thd") == 1
        self._open: dict[int, tuple[socket.socket, int]] = {}  # file of a fork's end -> who asked, its pid
        self._selector = selectors.DefaultSelector()
        gc.collect()
        gc.freeze()

    def serve(self) -> dict[str, Any]:
        """What a fork has to do."""
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._lease, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    job = self._begin(self._listening.accept()[0])
                    if job is not None:
                        return job
                elif key.fileobj == self._lease:
                    for _, pid in self._open.values():
                        os.kill(pid, signal.SIGKILL)
                    shutil.rmtree(Path(self._listening.getsockname()).parent, ignore_errors=True)
                    os._exit(0)
                elif key.fd in self._open:
                    self._end(key.fd)
                else:  # who asked is gone: killed, for it waits for us
                    self._selector.unregister(key.fileobj)
                    for asking, pid in self._open.values():
                        if asking is key.fileobj:
                            os.kill(pid, signal.SIGKILL)

    def _begin(self, asking: socket.socket) -> dict[str, Any] | None:
        head, files, _, _ = socket.recv_fds(asking, 8, 3)
        body = bytearray()
        while len(head) < 8 or len(body) < int.from_bytes(head, "little"):
            more = asking.recv(1 << 20) if len(head) == 8 else b""
            if not more:  # who asked is gone
                for file in files:
                    os.close(file)
                asking.close()
                return None
            body += more
        job: dict[str, Any] = marshal.loads(body)  # noqa: S302
        same = read_by_imports(job["environment"]) == self._variables
        pid = os.fork() if same and self._alone else -1
        if pid == 0:
            asking.close()
            self._leave()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            return job
        for file in files:
            os.close(file)
        asking.sendall(max(pid, 0).to_bytes(8, "little"))
        if pid < 0:
            asking.close()
        else:
            ended = os.pidfd_open(pid)
            self._open[ended] = (asking, pid)
            self._selector.register(ended, selectors.EVENT_READ)
            self._selector.register(asking, selectors.EVENT_READ)
        return None

    def _end(self, ended: int) -> None:
        asking, pid = self._open.pop(ended)
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(ended)
        os.close(ended)
        with contextlib.suppress(KeyError):
            self._selector.unregister(asking)
        with contextlib.suppress(OSError):  # it may be gone
            asking.sendall(status.to_bytes(8, "little"))
        asking.close()

    def _leave(self) -> None:
        """Closes all that is the server's."""
        self._selector.close()
        self._listening.close()
        os.close(self._lease)
        for ended, (asking, _) in self._open.items():
            asking.close()
            os.close(ended)


def become(job: dict[str, Any]) -> None:
    """Gives this fork what a fresh interpreter would have: its folder, limits, environment and streams."""
    os.chdir(job["cwd"])
    os.umask(job["umask"])
    os.sched_setaffinity(0, job["cpus"])
    for which, limit in job["limits"]:
        resource.setrlimit(which, limit)
    os.environ.clear()
    os.environ.update(job["environment"])
    for number, name, mode in ((0, "stdin", "rb"), (1, "stdout", "wb"), (2, "stderr", "wb")):
        old = getattr(sys, name)
        at_once = old.write_through  # PYTHONUNBUFFERED
        new = io.TextIOWrapper(
            open(number, mode, buffering=0 if at_once and number else -1, closefd=False),  # noqa: SIM115
            encoding=old.encoding, errors=old.errors, write_through=at_once,
            line_buffering=not at_once and (name == "stderr" or os.isatty(number)),
        )  # fmt: skip
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    importlib.invalidate_caches()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def run(real: str, words: list[str], cwd: str) -> None:
    """Runs `python -m MODULE ...`, or the script of another command, in a module `__main__` of its own."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __annotations__={})
    if os.path.basename(real) == "python":
        sys.orig_argv = [sys.executable, *words]
        sys.argv = words[1:]
        sys.path[0] = cwd
        runpy._run_module_as_main(words[1])  # type: ignore[attr-defined]
    else:
        sys.orig_argv = [sys.executable, real, *words]
        sys.argv = [real, *words]
        sys.path[0] = os.path.dirname(real)
        main.__file__ = real
        exec(compile(Path(real).read_text(encoding="utf-8"), real, "exec"), main.__dict__)


def end(work: Callable[[], None]) -> None:
    """Works and ends this process as the interpreter would, but takes no module apart: half a second."""
    code = 0
    try:
        work()
    except SystemExit as leaving:
        if isinstance(leaving.code, int):
            code = leaving.code & 0xFF
        elif leaving.code is not None:
            print(leaving.code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = -signal.SIGINT
    except BaseException:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as queue:
        asked = Server(queue, int(sys.argv[2]), imported=sys.argv[3:]).serve()
    become(asked)
    end(lambda: run(asked["words"][0], asked["words"][1:], asked["cwd"]))
