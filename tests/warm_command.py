"""What stands for `python`, `dvc` and `msavqa` in `tests.warm.folder()`; small, for it begins each time.

It asks the server beside it for a fork that does the work, hands signals on and ends as the fork ends; where
the server may not do it, it becomes the real command.
"""

import array
import contextlib
import marshal
import os
import resource
import signal
import socket
import sys

HANDED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    """Runs the command whose name this file has."""
    here, name = os.path.split(os.path.abspath(sys.argv[0]))
    words = [os.path.join(os.path.dirname(sys.executable), name), *sys.argv[1:]]
    others = [one for one in os.listdir("/proc/self/fd") if int(one) > 2]
    if len(others) < 2 and (name != "python" or words[1:2] == ["-m"]):  # one is the listing itself
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            server.connect(os.path.join(here, "socket"))
            ask(server, words)
    os.execv(words[0], words)


def ask(server: socket.socket, words: list[str]) -> None:
    """Ends as the fork ends; returns where there is none."""
    mask = os.umask(0)
    os.umask(mask)
    limits = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
    job = {
        "words": words, "cwd": os.getcwd(), "environment": dict(os.environ), "umask": mask,
        "limits": [(one, resource.getrlimit(one)) for one in limits], "cpus": list(os.sched_getaffinity(0)),
    }  # fmt: skip
    body = marshal.dumps(job)
    files = array.array("i", [0, 1, 2])
    server.sendmsg([len(body).to_bytes(8, "little")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    server.sendall(body)
    pid = int.from_bytes(server.recv(8), "little")
    if pid == 0:
        return
    for number in HANDED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: os.kill(pid, number))
    answer = server.recv(8)
    status = int.from_bytes(answer, "little") if answer else signal.SIGKILL
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would be this command's
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


main()
