"""Taking a message back closes its place among the numbers only where nothing behind it has left."""

from __future__ import annotations

import pytest

from p2pchat.base.ids import ContactId
from p2pchat.store import contacts, live, messages
from p2pchat.store.db import Database, Tx
from tests.unit.store.conversations import queue


@pytest.mark.parametrize("ends", ["sent", "delivered", "deleted", "failed"])
async def test_what_has_left_keeps_its_number_whatever_became_of_it(ends: str) -> None:
    """One for a live stream alone stays behind where the stream is not for it."""
    database = Database.open(None, bytes(32), lambda: 1_800_000_000_000, threaded=False)

    def job(tx: Tx) -> list[int]:
        alice = contacts.add(tx, ContactId(bytes(8)), "Alice", None, None).id
        stays, leaves, last = (queue(tx, alice, contacts.take_n(tx, alice), bytes([n])) for n in range(3))
        live.mark(tx, [stays])
        if ends == "failed":
            live.mark(tx, [leaves])
        messages.mark_sent(tx, alice, 2, 2)
        if ends in ("delivered", "deleted"):
            messages.mark_delivered(tx, alice, 2, 2)
        if ends == "deleted":
            messages.forget(tx, leaves)
        if ends == "failed":
            live.fail(tx, leaves, "the connection ended")
        row = messages.get(tx, stays)
        assert row is not None
        messages.cancel(tx, row, "cancelled by the user")
        return [each.n for each in messages.these(tx, [leaves, last])] + [contacts.take_n(tx, alice)]

    assert await database.run(job) == [2, 3, 4]
    await database.close()
