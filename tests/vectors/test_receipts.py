"""core and store against the vectors of PROTOCOL.md 5.4, which a second implementation made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.receipt import Read, decode_read, encode_read
from p2pchat.store import messages, receipts
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect
from tests.unit.store.conversations import queue, receive
from tests.vectors import independent_receipts

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_receipts.PATH.read_text(encoding="utf-8"))


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=str(case.get("name", i))) for i, case in enumerate(VECTORS[kind])]


@pytest.fixture
def tx() -> Iterator[Tx]:
    """Of a database with one contact."""
    connection = connect(None, bytes(32))
    migrate(connection)
    tx = Tx(connection, 1)
    tx.execute("INSERT INTO contact (uid, name, state, trust) VALUES (zeroblob(8), 'Bob', 'matched', 'claimed')")
    yield tx
    connection.close()


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_receipts.make() == VECTORS


@pytest.mark.parametrize("case", cases("body"))
def test_a_body(case: Case) -> None:
    read = Read(bytes.fromhex(case["message_id"]), case["run"])
    assert encode_read(read).hex() == case["body"]
    assert decode_read(bytes.fromhex(case["body"])) == read


@pytest.mark.parametrize("case", cases("body_refused"))
def test_a_body_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_read(bytes.fromhex(case["body"]))


@pytest.mark.parametrize("case", cases("told"))
def test_what_is_told(case: Case, tx: Tx) -> None:
    for n, message_id in case["came"]:
        receive(tx, 1, n, bytes.fromhex(message_id))
    read = receipts.newest(tx, 1, 1_000)
    assert read is not None
    assert encode_read(read).hex() == case["body"]


@pytest.mark.parametrize("case", cases("taken"))
def test_what_is_taken(case: Case, tx: Tx) -> None:
    for n, state, acked in case["messages"]:
        queue(tx, 1, n, bytes.fromhex(case["ids"][str(n)]))
        tx.execute("UPDATE message SET state = ?, delivered_ms = ? WHERE n = ?", (state, acked, n))
    for at, ((newest, run), states) in enumerate(zip(case["receipts"], case["states"], strict=True), 20):
        tx.now_ms = at
        receipts.take(tx, 1, Read(bytes.fromhex(newest), run))
        assert [row.state for row in messages.page_after(tx, 1, 0, 1_000)] == states
