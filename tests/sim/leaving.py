"""Leave what waits for a contact in its mailboxes: the least that a depositor does, for simulations of the owner.

Everything that is on its way in the sending session goes, in a Flight each as long as nothing came back on it.
"""

from __future__ import annotations

from p2pchat.core.delivery import Window
from p2pchat.core.mailbox import Bundle, BundleIs, unseal_bundle
from p2pchat.core.presence import Mailbox
from p2pchat.core.wire import Batch, Flight, Frame
from p2pchat.net.mailbox import visit
from p2pchat.services import greet, presence
from p2pchat.services.context import Context
from p2pchat.services.deliver import Cursor, next_outgoing, sending_session
from p2pchat.services.leave import leave
from p2pchat.store import presence as store
from p2pchat.store import sessions
from p2pchat.store.db import Tx
from p2pchat.store.presence import MailboxesOf
from p2pchat.testing.cluster import Node


async def places(node: Node, name: str) -> MailboxesOf | None:
    """Where ``name`` says, read now, that boxes can be left."""
    context, contact = running(node), (await node.contact(name)).id
    await presence.seek(context, contact)
    return await node.database.run(lambda tx: store.mailboxes_of(tx, contact))


def running(node: Node) -> Context:
    assert node.running is not None
    return node.running.context


async def waiting(node: Node, name: str) -> list[Frame]:
    """Everything that is not acknowledged, sealed if it was not yet."""
    context, contact = running(node), (await node.contact(name)).id
    cursor = Cursor()

    def sealed(tx: Tx) -> list[Frame]:
        next_outgoing(tx, context, contact, cursor, Window(1 << 24))  # what is stored comes before what waits
        row = sending_session(tx, contact)
        assert row is not None
        while next_outgoing(tx, context, contact, Cursor({row.id: 1 << 40}), Window(1 << 24)).envelopes:
            pass
        envelopes = [each.envelope for each in sessions.unacknowledged(tx, row.id, 0, 10_000)]
        flight = row.session.flight
        if flight is not None and not row.session.confirmed:
            part = (flight.ephemeral, flight.kem_ciphertext, flight.prekey_id, flight.sender)
            return [Flight(*part, envelope) for envelope in envelopes]
        return [Batch((envelope,)) for envelope in envelopes]

    return await node.database.run(sealed)


async def leave_all(
    node: Node, name: str, frames: list[Frame], only: Mailbox | None = None, ttl_s: int = 86_400
) -> int:
    """Leave ``frames`` at every mailbox that ``name`` tells of; how many boxes that were."""
    context, where = running(node), await places(node, name)
    assert where is not None
    left = 0
    for mailbox in where.mailboxes if only is None else (only,):
        async with visit(context.network, mailbox.peer_id, [mailbox.address]) as there:
            for frame in frames:
                await leave(context, there, mailbox, where.key, frame, int(context.now()) + ttl_s)
                left += 1
    return left


async def fetch_bundle(node: Node, name: str) -> bytes:
    """The bundle of ``name`` at its first mailbox."""
    context, where = running(node), await places(node, name)
    assert where is not None
    assert where.bundle_key is not None
    mailbox = where.mailboxes[0]
    async with visit(context.network, mailbox.peer_id, [mailbox.address]) as there:
        return unseal_bundle((await there.ask(Bundle(mailbox.token), BundleIs)).bundle, where.bundle_key)


async def open_session(node: Node, name: str) -> None:
    """A new session with ``name``, of the bundle at its mailbox, in place of the one that is sent on."""
    context, contact, raw = running(node), (await node.contact(name)).id, await fetch_bundle(node, name)

    def opened(tx: Tx) -> bool:
        row = sending_session(tx, contact)
        return greet.make_flight(tx, context, contact, raw, replace=row.id if row is not None else None)

    assert await node.database.run(opened)
