"""What must hold when all is well again between Alice and Bob, and stores that are thrown back."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from p2pchat.core.session import Session
from p2pchat.services import deliver
from p2pchat.store import sessions
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Node, eventually


async def sending(node: Node, name: str) -> bytes | None:
    """The name of the session that ``node`` sends on."""
    contact = await node.contact(name)
    row = await node.database.run(lambda tx: deliver.sending_session(tx, contact.id))
    return None if row is None else row.session.ad


async def whole(alice: Node, bob: Node, *, in_order: bool = True) -> bool:
    """Whether nothing waits and both send on one session; AssertionError where something came twice or disordered.

    Args:
        in_order: not where a store was thrown back: what it seals under keys that were used comes again later.
    """
    if alice.running is None or bob.running is None:
        return False
    there, back = await bob.received("Alice"), await alice.received("Bob")
    sent_there, sent_back = await alice.texts_sent("Bob"), await bob.texts_sent("Alice")
    for came, sent in ((there, sent_there), (back, sent_back)):
        assert came == sent[: len(came)] if in_order else len(set(came)) == len(came)
    if await alice.outbox() or await bob.outbox():
        return False
    for came, sent in ((there, sent_there), (back, sent_back)):
        assert came == sent if in_order else sorted(came) == sorted(sent)
    ads = await sending(alice, "Bob"), await sending(bob, "Alice")
    return ads[0] is not None and ads[0] == ads[1]


async def both_say(alice: Node, bob: Node, *texts: str) -> None:
    for text in texts:
        await alice.send("Bob", text)
        await bob.send("Alice", text)


async def converge(alice: Node, bob: Node, within_s: float = 1800.0, *, in_order: bool = True) -> None:
    """Wait until all is whole, and stays so when both say something again."""
    await eventually(lambda: whole(alice, bob, in_order=in_order), within_s=within_s, step_s=20)
    await both_say(alice, bob, f"and at {trio.current_time()}?")
    await eventually(lambda: whole(alice, bob, in_order=in_order), within_s=60)


def forget_sessions(tx: Tx) -> None:
    tx.execute("DELETE FROM session")


@dataclass(frozen=True)
class Snapshot:
    """The sessions of a store at one moment, for throwing it back to them as the restored copy of a disk would."""

    rows: dict[int, Session] = field(repr=False)

    @classmethod
    async def of(cls, node: Node) -> Snapshot:
        """As they are now."""

        def found(tx: Tx) -> dict[int, Session]:
            ids = [row[0] for row in tx.all("SELECT id FROM session")]
            rows = [sessions.get(tx, session) for session in ids]
            return {row.id: row.session for row in rows if row is not None}

        return cls(await node.database.run(found))

    async def restore(self, node: Node) -> None:
        """Those of them that are there still are as they were."""

        def back(tx: Tx) -> None:
            for session, state in self.rows.items():
                row = sessions.get(tx, session)
                if row is not None:
                    sessions.save(tx, row, state)

        await node.database.run(back)
