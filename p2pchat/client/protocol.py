"""What goes over the control socket, as a client sees it. Pure: bytes in and out; no socket, no clock, no waiting.

    call ──▶ request() ──▶ bytes ══▶ daemon        daemon ══▶ bytes ──▶ feed() ──▶ next_message() ──▶ a message

==============================  ====================================================================================
a line of the daemon            message
==============================  ====================================================================================
a result or an error, our id    :class:`Reply`
the notification ``event``      :class:`Told`
an error with a null id         :class:`Unasked`: a subscription is over, a request could not be read, or nobody is
                                served
anything else that is JSON-RPC  none: a newer daemon may say more
no object of JSON, a line that  :class:`NoDaemon`: whoever answers is no daemon of p2pchat; what came before it is told
is too long                     first
==============================  ====================================================================================

Bytes may come in any pieces. What a reply or an event holds is passed on as it came; fields of newer daemons are kept.

Source: docs/CONTROL-API.md, "Transport" and "Errors".
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Final, TypedDict, cast

from p2pchat.api.errors import ApiError, NoDaemon

LINE_BYTES: Final = 1 << 24
"""Longest line of either end, its line feed included."""

LOST: Final = "The daemon closed the connection."

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Event(TypedDict):
    """One event. ``seq`` is None where it is not stored, ``ts`` is unix milliseconds."""

    seq: int | None
    ts: int
    type: str
    data: dict[str, object]


class Reply:
    """To the request ``number``: a result, or the error instead of it."""

    __slots__ = ("error", "number", "result")

    def __init__(self, number: int, result: dict[str, object], error: ApiError | None = None) -> None:
        self.number = number
        self.result = result
        self.error = error


class Told:
    """A subscription tells of an event."""

    __slots__ = ("event",)

    def __init__(self, event: Event) -> None:
        self.event = event


class Unasked:
    """An error that belongs to no request."""

    __slots__ = ("error",)

    def __init__(self, error: ApiError) -> None:
        self.error = error


Message = Reply | Told | Unasked


class Protocol:
    """One connection's requests and messages; see above."""

    def __init__(self) -> None:
        self._last = 0
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._lines: deque[bytes] = deque()
        self._ended: str | None = None

    def request(self, method: str, params: Mapping[str, object]) -> tuple[int, bytes]:
        """The number of a new request, and its line. A parameter that is None is sent as null: not given.

        Raises:
            ApiError: INVALID_PARAMS, JSON cannot hold a number among them; TOO_LARGE.
            TypeError: a parameter is of a type that JSON does not have.
        """
        request = {"jsonrpc": "2.0", "id": self._last + 1, "method": method, "params": params}
        try:
            line = _ENCODER.encode(request).encode() + b"\n"
        except ValueError:
            raise ApiError("INVALID_PARAMS", "params: hold what JSON cannot") from None
        if len(line) > LINE_BYTES:
            raise ApiError("TOO_LARGE", f"A request has at most {LINE_BYTES} bytes.")
        self._last += 1
        return self._last, line

    def feed(self, data: bytes) -> None:
        """Add bytes as they came; none: the connection has ended."""
        if not data:
            self._ended = self._ended or LOST
        if self._ended:
            return
        first, *more = data.split(b"\n")
        self._begun.append(first)
        self._begun_bytes += len(first)
        if more:
            self._lines.append(b"".join(self._begun))
            self._lines.extend(more[:-1])
            self._begun = [more[-1]]
            self._begun_bytes = len(more[-1])
        if self._begun_bytes >= LINE_BYTES:
            self._begun.clear()
            self._ended = _OTHER

    def next_message(self) -> Message | None:
        """The oldest message that was not told yet; None until more is fed.

        Raises:
            NoDaemon: there is none and there will be none.
        """
        while self._lines:
            message = self._read(self._lines.popleft())
            if message is not None:
                return message
        if self._ended:
            raise NoDaemon(self._ended)
        return None

    def _read(self, line: bytes) -> Message | None:
        try:
            value: object = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._lines.clear()
            self._ended = _OTHER
            return None
        return _message(cast("dict[str, object]", value))


_OTHER: Final = "What answers on the socket is no daemon of p2pchat."


def _message(value: Mapping[str, object]) -> Message | None:
    if "method" in value:
        event = _object(value.get("params"))
        event.pop("subscription", None)
        return Told(cast("Event", event)) if value["method"] == "event" and event else None
    number, error = value.get("id"), _object(value.get("error"))
    if number is None:
        return Unasked(_api_error(error)) if error else None
    if not isinstance(number, int):
        return None
    return Reply(number, _object(value.get("result")), _api_error(error) if error else None)


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _api_error(error: Mapping[str, object]) -> ApiError:
    data = _object(error.get("data"))
    name = str(data.pop("name", "INTERNAL"))
    return ApiError(name, str(error.get("message", "")), data)
