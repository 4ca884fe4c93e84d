"""The table of errors: the one place where a name, its JSON-RPC code and its exit status stand together.

Rules:

- ``error.data.name`` is the contract; codes and sentences may be read but not relied on.
- A name that the table lacks (of an inner layer, or of a newer daemon) is shown as its family's, never as a crash.
- The sentence of an error is safe to show and to log: it holds no number, text, key, full id or address.

docs/CONTROL-API.md, "Errors", and ``rpc.discover`` are made of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2pchat.base.errors import NetError, P2PChatError, StoreError


class Row(NamedTuple):
    """One line of the table; ``code`` is None where no reply carries the name; ``meaning`` for a person (Markdown)."""

    code: int | None
    name: str
    exit_status: int
    meaning: str


TABLE: Final = (
    Row(-32700, "PARSE", 65, "not JSON, not msgpack"),
    Row(-32600, "INVALID_REQUEST", 65, "not a request"),
    Row(-32601, "METHOD_NOT_FOUND", 65, "there is no such method"),
    Row(-32602, "INVALID_PARAMS", 65, "`data.param` names the parameter"),
    Row(-32603, "INTERNAL", 70, "a defect of the node; its log has it under `data.ref`"),
    Row(1001, "LOCKED", 77, "the profile's passphrase is needed: `p2pchat unlock`"),
    Row(
        1002,
        "FORBIDDEN",
        77,
        "a wrong passphrase; nothing to lock, there is no passphrase; this device was replaced "
        "(`data.replaced_ms`); a directory that is open to others; a port that this user may not listen at",
    ),
    Row(1010, "IDEMPOTENCY_CONFLICT", 65, "the key was used with other parameters"),
    Row(1020, "CONTACT_NOT_FOUND", 66, "`data.near` has near names"),
    Row(1021, "MESSAGE_NOT_FOUND", 66, "no message has that id, or it was deleted"),
    Row(1022, "AMBIGUOUS", 66, "several contacts fit"),
    Row(1023, "UNTRUSTED_KEY", 76, "the key is not the one that was matched; a proof was wrong"),
    Row(1024, "BLOCKED", 76, "the contact is blocked"),
    Row(
        1030,
        "PEER_OFFLINE",
        75,
        "a node cannot be reached; the contact is not connected (`live_only`); or the message can no longer "
        "get as far as was waited for",
    ),
    Row(1031, "TIMEOUT", 75, "not in the time given; what was sent goes on"),
    Row(1032, "RATE_LIMITED", 75, "too many connections, subscriptions or open invites"),
    Row(1040, "CURSOR_EXPIRED", 65, "`data.oldest` is the oldest event kept"),
    Row(
        1050,
        "STORE",
        74,
        "the disk or the database refused, or can only be read; a database or backup of a newer p2pchat",
    ),
    Row(1051, "TOO_LARGE", 74, "a text, or a reply"),
    Row(1052, "NO_SPACE", 74, "the disk is full"),
    Row(
        1053,
        "CORRUPT",
        74,
        "the database, or a backup, is damaged; of a daemon that has ended: `p2pchat doctor --fix`",
    ),
    Row(1060, "ALREADY_EXISTS", 73, "a second init; a file that is there already"),
    Row(1061, "ALREADY_RUNNING", 73, "a second daemon"),
    Row(1062, "ADDRESS_IN_USE", 74, "a port is taken"),
    Row(None, "NO_DAEMON", 69, "nothing answers on the socket"),
    Row(None, "NO_PROFILE", 66, "the profile was never made"),
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
