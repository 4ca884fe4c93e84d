"""The table of errors: the one place where a name, its JSON-RPC code and its exit status stand together.

Rules:

- ``error.data.name`` is the contract; codes and sentences may be read but not relied on.
- A name that the table lacks (of an inner layer, or of a newer daemon) is shown as its family's, never as a crash.
- The sentence of an error is safe to show and to log: it holds no number, text, key, full id or address.

Source: docs/CONTROL-API.md, "Errors".
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2pchat.base.errors import NetError, P2PChatError, StoreError


class Row(NamedTuple):
    """One line of the table; ``code`` is None where no reply carries the name."""

    code: int | None
    name: str
    exit_status: int


TABLE: Final = (
    Row(-32700, "PARSE", 65),
    Row(-32600, "INVALID_REQUEST", 65),
    Row(-32601, "METHOD_NOT_FOUND", 65),
    Row(-32602, "INVALID_PARAMS", 65),
    Row(-32603, "INTERNAL", 70),
    Row(1001, "LOCKED", 77),
    Row(1002, "FORBIDDEN", 77),
    Row(1010, "IDEMPOTENCY_CONFLICT", 65),
    Row(1020, "CONTACT_NOT_FOUND", 66),
    Row(1021, "MESSAGE_NOT_FOUND", 66),
    Row(1022, "AMBIGUOUS", 66),
    Row(1023, "UNTRUSTED_KEY", 76),
    Row(1024, "BLOCKED", 76),
    Row(1030, "PEER_OFFLINE", 75),
    Row(1031, "TIMEOUT", 75),
    Row(1032, "RATE_LIMITED", 75),
    Row(1040, "CURSOR_EXPIRED", 65),
    Row(1050, "STORE", 74),
    Row(1051, "TOO_LARGE", 74),
    Row(1052, "NO_SPACE", 74),
    Row(1053, "CORRUPT", 74),
    Row(1060, "ALREADY_EXISTS", 73),
    Row(1061, "ALREADY_RUNNING", 73),
    Row(1062, "ADDRESS_IN_USE", 74),
    Row(None, "NO_DAEMON", 69),
    Row(None, "NO_PROFILE", 66),
)
_ROWS: Final = {row.name: row for row in TABLE}
_INTERNAL: Final = _ROWS["INTERNAL"]


class ApiError(P2PChatError):
    """An error reply, as the caller of the socket sees it.

    Args:
        name: ``error.data.name`` of the reply.
        message: its sentence.
        data: the other fields of ``error.data``, such as ``retry_after_ms``.
    """

    def __init__(self, name: str, message: str, data: dict[str, object] | None = None) -> None:
        super().__init__(message, name=name, data=data)


class NoDaemon(ApiError):
    """Nothing answers on the socket: there is no daemon, or it went away."""

    def __init__(self, message: str) -> None:
        super().__init__("NO_DAEMON", message)


def code(name: str) -> int:
    """The JSON-RPC code of ``name``; that of INTERNAL for a name without one."""
    number = _ROWS.get(name, _INTERNAL).code
    return -32603 if number is None else number


def is_known(name: str) -> bool:
    """Whether the table has ``name``."""
    return name in _ROWS


def exit_status(name: str) -> int:
    """What a command that failed with ``name`` exits with; 70 for a name that this version does not know."""
    return _ROWS.get(name, _INTERNAL).exit_status


def reply_name(error: P2PChatError) -> str | None:
    """The table's name for ``error``, or None where the caller cannot do anything about it (a defect of ours)."""
    row = _ROWS.get(error.error_name)
    if row is not None and row.code is not None and row is not _INTERNAL:
        return row.name
    if isinstance(error, StoreError):
        return "STORE"
    if isinstance(error, NetError):
        return "PEER_OFFLINE"
    return None
