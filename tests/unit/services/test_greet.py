"""A newer device of a known person is told of, once, and never goes back."""

from __future__ import annotations

from p2pchat.base.ids import ContactId, RootKey
from p2pchat.core.events import EventKind
from p2pchat.core.keys import create_identity
from p2pchat.services.greet import note_device
from p2pchat.store import contacts
from p2pchat.store.db import Database, Tx
from p2pchat.testing.entropy import SeededEntropy


async def test_a_newer_device_is_told_of_and_an_older_one_changes_nothing() -> None:
    db = Database.open(None, bytes(32), lambda: 1_000, threaded=False)
    told: list[EventKind] = []
    db.listen(lambda events: told.extend(event.kind for event in events))
    row = await db.run(lambda tx: contacts.add(tx, ContactId(bytes(8)), "Bob", "+821098765432", 100))
    await db.run(lambda tx: contacts.set_root(tx, row.id, RootKey(bytes(32)), 0))

    def note(ms: int, epoch_ms: int, tx: Tx) -> None:
        current = contacts.get(tx, row.id)
        assert current is not None
        note_device(tx, current, ms, create_identity(SeededEntropy(epoch_ms), epoch_ms).cert)

    for ms, epoch_ms in ((10, 500), (11, 500), (12, 600), (5, 550)):
        await db.run(lambda tx, ms=ms, epoch_ms=epoch_ms: note(ms, epoch_ms, tx))  # type: ignore[misc]
    assert told == [EventKind.CONTACT_KEY_CHANGED]
    after = await db.run(lambda tx: contacts.get(tx, row.id))
    assert after is not None
    assert (after.highest_ms, after.epoch_ms) == (12, 600)
    ((cert,),) = await db.run(lambda tx: tx.all("SELECT cert FROM contact"))
    assert cert == create_identity(SeededEntropy(600), 600).cert.raw
    await db.close()
