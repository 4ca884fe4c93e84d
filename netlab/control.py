"""What a running wire can be told: one JSON object a line, one line back.

Rules:

- The socket is abstract (Linux): it has no file, ends with its process, and its name is taken while a lab runs.
- Whoever is another user gets nothing but the end of the connection.
- A reply is ``{"ok": VALUE}`` or ``{"error": TEXT}``.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_PREFIX: Final = "netlab/"
_LINE_BYTES: Final = 1 << 20
_WITHIN_S: Final = 10.0
_LOOK_S: Final = 0.01

Handler = Callable[[Mapping[str, Any]], object]


class LabError(Exception):
    """A lab refused, or there is none; the message is for people."""


def listen(name: str) -> socket.socket:
    """Take the name.

    Raises:
        LabError: another lab has it.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"\0{_PREFIX}{name}")
    except OSError as error:
        server.close()
        raise LabError(f"A lab {name!r} is running already.") from error
    server.listen()
    server.setblocking(False)
    return server


def serve(server: socket.socket, handler: Handler) -> None:
    """Answer one connection: one line."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(1.0)
        _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user != os.geteuid():
            return
        try:
            line = _line(connection)
            if line:
                connection.sendall(reply(line, handler))
        except OSError:
            return  # whoever asked has gone


def reply(line: bytes, handler: Handler) -> bytes:
    """The line that answers ``line``."""
    try:
        told: dict[str, object] = {"ok": handler(json.loads(line))}
    except (LabError, ValueError, TypeError, KeyError, OSError) as error:
        told = {"error": str(error) if isinstance(error, LabError | OSError) else f"{type(error).__name__}: {error}"}
    return json.dumps(told).encode() + b"\n"


def ask(name: str, request: Mapping[str, object]) -> Any:  # noqa: ANN401  JSON
    """Tell the lab ``name`` something.

    Raises:
        LabError: it refuses, or there is none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_WITHIN_S)
        try:
            connection.connect(f"\0{_PREFIX}{name}")
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _line(connection)
        except OSError as error:
            raise LabError(f"No lab {name!r} is running.") from error
    return value(line)


def await_end(name: str) -> None:
    """Wait until a lab that was told to end has.

    Raises:
        LabError: it does not.
    """
    deadline = time.monotonic() + _WITHIN_S
    while name in running():
        if time.monotonic() > deadline:
            raise LabError(f"The lab {name!r} does not end.")
        time.sleep(_LOOK_S)


def value(line: bytes) -> Any:  # noqa: ANN401  JSON
    """What a reply holds.

    Raises:
        LabError: it is a refusal, or empty.
    """
    if not line:
        raise LabError("The lab has ended.")
    told = json.loads(line)
    if "error" in told:
        raise LabError(told["error"])
    return told["ok"]


def running() -> list[str]:
    """The names of all labs."""
    listed = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
    paths = {line.split()[-1] for line in listed[1:]}
    return sorted(path.removeprefix(f"@{_PREFIX}") for path in paths if path.startswith(f"@{_PREFIX}"))


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _LINE_BYTES:
        more = connection.recv(1 << 16)
        if not more:
            break
        data += more
    return data
