"""Objects over a socket between two processes, arrays without a copy."""

import pickle
import socket
import struct
import time
from typing import Any


def send(channel: socket.socket, message: Any) -> None:
    """Sends one object; raises `OSError` where the other end is gone."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    channel.settimeout(None)
    channel.sendall(struct.pack(f"<{len(parts) + 1}Q", len(parts), *(len(part) for part in parts)))
    for part in parts:
        channel.sendall(part)


def receive(channel: socket.socket, *, deadline: float | None = None) -> Any:
    """The next object. Raises `TimeoutError` after `deadline` (of time.monotonic), `EOFError` at the end."""
    (count,) = struct.unpack("<Q", _read(channel, 8, deadline))
    sizes = struct.unpack(f"<{count}Q", _read(channel, 8 * count, deadline))
    head, *buffers = [_read(channel, size, deadline) for size in sizes]
    return pickle.loads(head, buffers=buffers)  # noqa: S301


def _read(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        channel.settimeout(None if deadline is None else max(1e-3, deadline - time.monotonic()))
        got = channel.recv_into(view)
        if got == 0:
            raise EOFError
        view = view[got:]
    return content
