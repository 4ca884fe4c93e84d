"""A blocking client of the control socket: the standard library alone, so that a command starts fast.

    with Client(ProfilePaths().socket) as client:
        client.call("message.send", to="Bob", text="Hello", idempotency_key="greeting-1")
        for event in client.events(types=["message.received"]):
            print(event["data"])

Rules:

- An error reply is raised as :class:`ApiError`, a daemon that is not there or goes away as :class:`NoDaemon`.
- Notifications that arrive while a reply is awaited are kept for :meth:`Client.events`.
- What a reply holds is passed on as it came; fields of newer daemons are kept.

Source: docs/CONTROL-API.md, "Transport".
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Self, cast

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client.whose import refuse_others

LINE_BYTES: Final = 1 << 24
"""Longest line of a daemon, its line feed included."""

_LOST: Final = "The daemon closed the connection."


class Client:
    """One connection to the daemon. Not for several threads at once, but for :meth:`interrupt`.

    Args:
        socket_path: the daemon's socket, as ``ProfilePaths(profile).socket`` gives it.
        timeout_s: how long a reply may take; None for as long as it takes.

    Raises:
        NoDaemon: nothing answers there.
        ApiError: FORBIDDEN, the socket is another user's.
    """

    def __init__(self, socket_path: str | os.PathLike[str], *, timeout_s: float | None = 30.0) -> None:
        self._timeout_s = timeout_s
        self._last_id = 0
        self._events: deque[dict[str, object]] = deque()
        self._socket = _connect(os.fspath(socket_path))
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; what was asked and not answered is still carried out."""
        self._file.close()
        self._socket.close()

    def interrupt(self) -> None:
        """End the connection for the thread that waits on it: its call or its events end with NoDaemon. The one method
        that another thread may call."""
        with suppress(OSError):  # the daemon was the first to end it
            self._socket.shutdown(socket.SHUT_RDWR)

    def call(self, method: str, /, **params: object) -> dict[str, object]:
        """The result of one call. A parameter that is None is sent as null: not given.

        Raises:
            ApiError: the daemon's error reply; TIMEOUT where none came within ``timeout_s``.
            NoDaemon: the connection ended before the reply.
        """
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        self._send(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        while True:
            message = self._receive(self._timeout_s)
            if "method" in message or _ends_subscription(message):
                self._events.append(message)
            elif "error" in message:
                raise _api_error(message["error"])
            elif message.get("id") == self._last_id:
                return _object(message.get("result"))

    def events(
        self, *, since: int | str = "now", types: Sequence[str] | None = None, until: float | None = None
    ) -> Iterator[dict[str, object]]:
        """Events as they happen, without end; the subscription runs when this returns.

        Args:
            since: ``now``, or the ``seq`` of the last event that is known (0: everything that is kept).
            types: which, such as ``message.*``; None for all.
            until: a time of ``time.monotonic`` at which the wait ends; None for never.

        Raises:
            ApiError: CURSOR_EXPIRED, or another error reply; TIMEOUT at ``until`` (from the iterator).
            NoDaemon: the daemon ended (also from the iterator).
        """
        subscription = self.call("events.subscribe", since=since, types=types)["subscription"]
        return self._notified(subscription, until)

    def wait_closed(self, timeout_s: float) -> bool:
        """Whether the daemon closes the connection within ``timeout_s``."""
        try:
            while True:
                self._receive(timeout_s)
        except NoDaemon:
            return True
        except ApiError:
            return False

    def _notified(self, subscription: object, until: float | None) -> Iterator[dict[str, object]]:
        while True:
            message = self._events.popleft() if self._events else self._next(until)
            if "error" in message:
                raise _api_error(message["error"])
            params = _object(message.get("params"))
            if params.pop("subscription", None) == subscription:
                yield params

    def _next(self, until: float | None) -> dict[str, object]:
        if until is None:
            return self._receive(None)
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise ApiError("TIMEOUT", "It has not happened in the time given.")
        try:
            return self._receive(left_s)
        except NoDaemon:
            raise
        except ApiError:
            raise ApiError("TIMEOUT", "It has not happened in the time given.") from None

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._timeout_s)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise ApiError("TIMEOUT", f"The daemon took nothing for {self._timeout_s:g} seconds.") from None
        except OSError:
            raise NoDaemon(_LOST) from None

    def _receive(self, timeout_s: float | None) -> dict[str, object]:
        self._socket.settimeout(timeout_s)
        try:
            line = self._file.readline(LINE_BYTES)
        except TimeoutError:
            raise ApiError("TIMEOUT", f"The daemon did not answer within {timeout_s:g} seconds.") from None
        except OSError:
            raise NoDaemon(_LOST) from None
        if not line.endswith(b"\n"):
            raise NoDaemon(_LOST)
        try:
            return _object(json.loads(line))
        except ValueError:
            raise NoDaemon("What answers on the socket is no daemon of p2pchat.") from None


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)  # a daemon that hangs must not hang its callers: a full backlog is an error
    try:
        connection.connect(path)
        refuse_others(connection)
    except ApiError:
        connection.close()
        raise
    except PermissionError:
        connection.close()
        raise ApiError("FORBIDDEN", "The daemon's socket belongs to another user.") from None
    except OSError:
        connection.close()
        raise NoDaemon("No daemon answers on the socket; start one with: p2pchat daemon") from None
    return connection


def _ends_subscription(message: dict[str, object]) -> bool:
    """Whether it is an error that belongs to no request; that a request could not be read has no id either."""
    error = _object(message.get("error"))
    unread = _object(error.get("data")).get("name") in ("PARSE", "INVALID_REQUEST")
    return bool(error) and message.get("id") is None and not unread


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _api_error(value: object) -> ApiError:
    error = _object(value)
    data = _object(error.get("data"))
    name = str(data.pop("name", "INTERNAL"))
    return ApiError(name, str(error.get("message", "")), data)
