"""The table of errors, and what becomes of an error that it lacks."""

from __future__ import annotations

import pytest

from p2pchat.api.errors import TABLE, code, exit_status, reply_name
from p2pchat.base.errors import (
    Corrupt,
    DecodeError,
    DiskFull,
    InternalError,
    NetError,
    P2PChatError,
    SchemaTooNew,
    UsageError,
    WrongPassphrase,
)


def test_codes_and_names_are_unique() -> None:
    codes = [row.code for row in TABLE if row.code is not None]
    assert len(set(codes)) == len(codes)
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("name", "status"),
    [("TIMEOUT", 75), ("INVALID_PARAMS", 65), ("NO_DAEMON", 69), ("FORBIDDEN", 77), ("OF_A_NEWER_DAEMON", 70)],
)
def test_exit_statuses(name: str, status: int) -> None:
    assert exit_status(name) == status


def test_a_name_without_a_code_is_internal() -> None:
    assert code("TIMEOUT") == 1031
    assert code("NO_DAEMON") == code("OF_A_NEWER_DAEMON") == code("INTERNAL") == -32603


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (UsageError("x"), "INVALID_PARAMS"),
        (UsageError("x", name="AMBIGUOUS"), "AMBIGUOUS"),
        (WrongPassphrase("x"), "FORBIDDEN"),
        (DiskFull("x"), "NO_SPACE"),
        (Corrupt("x"), "CORRUPT"),
        (SchemaTooNew("x"), "STORE"),
        (NetError("x"), "PEER_OFFLINE"),
        (NetError("x", name="ADDRESS_IN_USE"), "ADDRESS_IN_USE"),
        (InternalError("x"), None),
        (DecodeError("x"), None),
        (UsageError("x", name="MISSPELT"), None),
    ],
)
def test_what_the_caller_is_told(error: P2PChatError, name: str | None) -> None:
    assert reply_name(error) == name
