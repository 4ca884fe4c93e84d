"""What a running network can be told: one JSON object a line, one line back.

Rules:

- The socket is abstract (Linux): it has no file, ends with its process, and its name is taken while a network runs.
- Networks of a kind have their own names: a lab (:mod:`netlab.wire`) may be called as what runs in it is.
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
from typing import Any, Final, NamedTuple

_LINE_BYTES: Final = 1 << 20
_WITHIN_S: Final = 10.0
_LOOK_S: Final = 0.01

Handler = Callable[[Mapping[str, Any]], object]


class LabError(Exception):
    """A network refused, or there is none; the message is for people."""


class Kind(NamedTuple):
    """A kind of networks: what their sockets' names begin with, and what people call one."""

    prefix: str
    noun: str


LAB: Final = Kind("netlab/", "lab")


def listen(name: str, kind: Kind = LAB) -> socket.socket:
    """Take the name.

    Raises:
        LabError: another network of this kind has it.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"\0{kind.prefix}{name}")
    except OSError as error:
        server.close()
        raise LabError(f"A {kind.noun} {name!r} is running already.") from error
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


def ask(name: str, request: Mapping[str, object], kind: Kind = LAB) -> Any:  # noqa: ANN401  JSON
    """Tell the network ``name`` something.

    Raises:
        LabError: it refuses, or there is none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_WITHIN_S)
        try:
            connection.connect(f"\0{kind.prefix}{name}")
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _line(connection)
        except OSError as error:
            raise LabError(f"No {kind.noun} {name!r} is running.") from error
    return value(line)


def end(name: str, kind: Kind = LAB) -> None:
    """Have a network end, and wait until its process has.

    Raises:
        LabError: it does not, or there is none.
    """
    pid = ask(name, {"do": "status"}, kind)["pid"]
    ask(name, {"do": "end"}, kind)
    deadline = time.monotonic() + _WITHIN_S
    while not has_ended(pid):
        if time.monotonic() > deadline:
            raise LabError(f"The {kind.noun} {name!r} does not end.")
        time.sleep(_LOOK_S)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or nobody has waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True  # no such process is what is asked for


def value(line: bytes) -> Any:  # noqa: ANN401  JSON
    """What a reply holds.

    Raises:
        LabError: it is a refusal, or empty.
    """
    if not line:
        raise LabError("The network has ended.")
    told = json.loads(line)
    if "error" in told:
        raise LabError(told["error"])
    return told["ok"]


def running(kind: Kind = LAB) -> list[str]:
    """The names of all networks of a kind."""
    listed = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
    paths = {line.split()[-1] for line in listed[1:]}
    return sorted(path.removeprefix(f"@{kind.prefix}") for path in paths if path.startswith(f"@{kind.prefix}"))


def meant(name: str | None, kind: Kind, default: str) -> str:
    """The network that is meant: the named one, else the only one; ``default`` where none runs.

    Raises:
        LabError: there are several.
    """
    if name is not None:
        return name
    names = running(kind)
    if len(names) > 1:
        raise LabError(f"Several {kind.noun}s are running, --name one of them: {', '.join(names)}.")
    return names[0] if names else default


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _LINE_BYTES:
        more = connection.recv(1 << 16)
        if not more:
            break
        data += more
    return data
