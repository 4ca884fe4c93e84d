"""One message at a time into a store: for tests of what becomes of it."""

from __future__ import annotations

from p2pchat.core.wire import TEXT
from p2pchat.store import messages
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming, MessageRow


def queue(tx: Tx, contact: int, n: int, wire_id: bytes, text: str = "text") -> int:
    """A message for ``contact``, in the outbox; its row id."""
    row_id = messages.highest(tx) + 1
    at = (tx.now_ms, None, None, None)
    messages.queue(tx, [MessageRow(row_id, contact, False, n, wire_id, TEXT, text, "queued", None, *at)])
    return row_id


def receive(tx: Tx, contact: int, n: int, wire_id: bytes, text: str = "text", device_ms: int = 1) -> int:
    """A text that came from the device ``device_ms``; its row id."""
    return _receive(tx, contact, Incoming(n, wire_id, TEXT, text, None, tx.now_ms), device_ms)


def receive_unknown(tx: Tx, contact: int, wire_id: bytes, kind: int = 77) -> int:
    """An item that this version cannot read; its row id."""
    return _receive(tx, contact, Incoming(0, wire_id, kind, None, b"body", tx.now_ms))


def _receive(tx: Tx, contact: int, arrived: Incoming, device_ms: int = 1) -> int:
    (row_id,) = messages.receive(tx, contact, device_ms, [arrived])
    return row_id
