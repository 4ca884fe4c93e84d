"""What was read, in both directions, and with whom that is told (PROTOCOL.md 5.4).

Of each contact two bounds are kept, so that a long conversation is not looked through at every receipt, whatever a
contact leaves out or repeats: up to ``read_position`` everything that came is read, but what came late, which is noted
one by one; of the own messages those up to number ``read_n`` are read, have ended, or are so far below what was read
that they stay as they are.
"""

from __future__ import annotations

from typing import Final

from p2pchat.core.receipt import RUN_MAX, Read
from p2pchat.core.wire import READ, TEXT
from p2pchat.store import meta
from p2pchat.store.db import Tx

_ON: Final = b"\1"
_OFF: Final = b"\0"
_KEY: Final = "receipts"


def for_all(tx: Tx) -> bool | None:
    """What holds where nothing else was said for a contact; None: nothing was said at all."""
    value = meta.get(tx, _KEY)
    return None if value is None else value == _ON


def set_for_all(tx: Tx, *, on: bool) -> None:
    """Receipts that wait for whom they are off are withdrawn."""
    meta.put(tx, _KEY, _ON if on else _OFF)
    _withdraw(tx)


def set_for(tx: Tx, contact: int, on: bool | None) -> None:
    """With one contact; None: as with everybody."""
    tx.execute("UPDATE contact SET receipts = ? WHERE id = ?", (on, contact))
    _withdraw(tx)


def are_on(tx: Tx, contact: int) -> bool:
    """Whether receipts go to a contact, and count that come from it."""
    row = tx.one("SELECT receipts FROM contact WHERE id = ?", (contact,))
    own = row[0] if row is not None else None
    return bool(own) if own is not None else for_all(tx) is not False


def _withdraw(tx: Tx) -> None:
    off = for_all(tx) is False
    tx.execute(
        "DELETE FROM notice WHERE kind = ? AND contact IN (SELECT id FROM contact WHERE coalesce(receipts, ?) = 0)",
        (READ, not off),
    )


def mark(tx: Tx, contact: int, position: int) -> list[tuple[int, bool]]:
    """What came up to ``position`` is read now; what changed, in order: row ids, and whether each is a text."""
    values = (tx.now_ms, contact, position)
    rows = tx.all(
        "UPDATE message SET state = 'read', read_ms = ?1 WHERE contact = ?2 AND incoming = 1 AND state = 'received' "
        "AND id <= ?3 AND id > (SELECT read_position FROM contact WHERE id = ?2) RETURNING id, kind",
        values,
    )
    rows += tx.all(
        "UPDATE message SET state = 'read', read_ms = ?1 WHERE contact = ?2 AND incoming = 1 AND state = 'received' "
        "AND id IN (SELECT message FROM late WHERE contact = ?2 AND message <= ?3) RETURNING id, kind",
        values,
    )
    tx.execute("DELETE FROM late WHERE contact = ? AND message <= ?", (contact, position))
    tx.execute("UPDATE contact SET read_position = max(read_position, ?) WHERE id = ?", (position, contact))
    return sorted((row_id, kind == TEXT) for row_id, kind in rows)


def newest(tx: Tx, contact: int, position: int) -> Read | None:
    """The receipt for the texts up to ``position``; None where there is none.

    Those with number 0 came from somebody else, whom the contact was taken for.
    """
    rows = tx.execute(
        "SELECT wire_id, n FROM message WHERE contact = ? AND incoming = 1 AND id <= ? AND kind = ? AND n > 0 "
        "ORDER BY id DESC LIMIT ?",
        (contact, position, TEXT, RUN_MAX),
    )
    first = next(rows, None)
    if first is None:
        return None
    message_id, n = first
    run = 1
    for _, before in rows:
        if before != n - run:
            break  # one that is missing, or came later
        run += 1
    return Read(bytes(message_id), run)


def take(tx: Tx, contact: int, read: Read) -> tuple[list[int], list[int]]:
    """Own messages that ``contact`` has read → read; row ids that have become delivered by that, and read.

    What never left is not among them, nor what has ended (but for what failed as no ack came on the streams that it was
    for), nor what is not known to have arrived before the newest of them: it came later, and stands behind what was
    read.
    """
    found = tx.one(
        "SELECT n, coalesce(delivered_ms, ?), read_n FROM message JOIN contact ON contact.id = message.contact "
        "WHERE contact = ? AND incoming = 0 AND wire_id = ? AND message.state != 'queued'",
        (tx.now_ms, contact, read.message_id),
    )
    if found is None or found[0] <= found[2]:
        return [], []
    n, arrived_ms, floor = found
    first = max(floor, n - read.run) + 1
    delivered = tx.all(
        "UPDATE message SET state = 'delivered', delivered_ms = ? WHERE incoming = 0 AND contact = ? "
        "AND n BETWEEN ? AND ? AND (state = 'sent' OR (state = 'failed' AND live = 1 AND sent_ms IS NOT NULL)) "
        "RETURNING id",
        (tx.now_ms, contact, first, n),
    )
    told = tx.all(
        "UPDATE message SET state = 'read', read_ms = ? WHERE incoming = 0 AND contact = ? "
        "AND n BETWEEN ? AND ? AND state = 'delivered' AND (n >= ? OR delivered_ms <= ?) RETURNING id",
        (tx.now_ms, contact, floor + 1, n, first, arrived_ms),
    )
    tx.execute(
        "UPDATE contact SET read_n = coalesce((SELECT min(n) - 1 FROM message WHERE incoming = 0 AND contact = ?1 "
        "AND n BETWEEN ?2 AND ?3 AND state IN ('queued', 'sent', 'delivered')), ?3) WHERE id = ?1",
        (contact, max(floor, n - RUN_MAX) + 1, n),
    )
    return sorted(row[0] for row in delivered), sorted(row[0] for row in told)


def begin_anew(tx: Tx, contact: int) -> None:
    """What has arrived of the own messages went to somebody else, whom the contact was taken for: what is told from now
    on is not about them. What came was of that one, too, whom no receipt goes to."""
    tx.execute("UPDATE message SET n = 0 WHERE contact = ? AND incoming = 1", (contact,))
    tx.execute(
        "UPDATE contact SET read_n = max(read_n, coalesce((SELECT max(n) FROM message "
        "WHERE incoming = 0 AND contact = ?1 AND state IN ('delivered', 'read')), 0)) WHERE id = ?1",
        (contact,),
    )
    reorder(tx, contact)


def reorder(tx: Tx, contact: int) -> None:
    """What came may stand in another order now."""
    tx.execute("UPDATE contact SET read_position = 0 WHERE id = ?", (contact,))
