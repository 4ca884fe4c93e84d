"""``mailbox.offer``, ``mailbox.transparency`` and the events of mailboxes; and that what they say is true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import mailbox_objects, objects
from p2pchat.base.errors import StoreError, UnsupportedProtocol, UsageError
from p2pchat.base.limits import MAILBOX_TOTAL_BYTES
from p2pchat.control import render
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.mailbox import Ack, Deposit, Granted, seal_box
from p2pchat.core.mailbox_link import decode_mailbox_link
from p2pchat.core.wire import Ack as AckFrame
from p2pchat.core.wire import encode_frame
from p2pchat.services.holding import opaque_id
from p2pchat.store import meta
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import write_key
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import Cluster, Node
from p2pchat.testing.entropy import SeededEntropy
from tests.sim.mailboxes import NO_SIGNATURE, Box, context_of, offering, talk
from tests.sim.people import ALICE, BOB, meet

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it
OF_BOXES = ("mailbox", "mailbox_bundle", "mailbox_token", "mailbox_total", "mailbox_past", "deposit", "event")


def methods(node: Node, own: Path | None = None) -> Methods:
    assert node.running is not None
    return Methods(node.running.context, node.running.life.online, "default", 0.0, own=own)


async def offer(node: Node, **params: object) -> mailbox_objects.MailboxOffer:
    shown = await methods(node)("mailbox.offer", params, CONNECTION)
    assert isinstance(shown, mailbox_objects.MailboxOffer)
    return shown


async def shown(node: Node, own: Path | None = None) -> mailbox_objects.Transparency:
    found = await methods(node, own)("mailbox.transparency", {}, CONNECTION)
    assert isinstance(found, mailbox_objects.Transparency)
    return found


async def test_what_is_offered_is_in_effect_when_the_reply_comes_and_over_a_restart(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder, visitor, box = await cluster.add("Holder"), cluster.network.node(), Box(SeededEntropy(1))
        first = await offer(holder)
        assert (first.for_, first.quota, first.invite) == ("nobody", MAILBOX_TOTAL_BYTES, None)
        with pytest.raises(UnsupportedProtocol):
            async with talk(visitor, holder):
                pass
        made = await offer(holder, **{"for": "anyone", "quota": 5 << 20})
        assert (made.for_, made.quota) == ("anyone", 5 << 20)
        assert made.invite is not None
        link = decode_mailbox_link(made.invite, "invite")
        assert (link.peer_id, link.addresses) == (holder.network.peer_id, holder.network.addresses())
        async with talk(visitor, holder) as at:
            assert await at.ask_as(box.owner, box.grant()) == Granted(5 << 20, 14 * 86_400)
        await cluster.crash(holder)
        await cluster.start(holder)
        again = await offer(holder)
        assert (again.for_, again.quota, again.owners) == ("anyone", 5 << 20, 1)
        async with talk(visitor, holder):
            pass
        assert (await offer(holder, quota=6 << 20)).for_ == "anyone"
        assert msgspec.to_builtins(await offer(holder, **{"for": "nobody"}))["invite"] is None
        with pytest.raises(UnsupportedProtocol):
            async with talk(visitor, holder):
                pass


async def test_an_idempotency_key_offers_once(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder = await cluster.add("Holder")
        await offer(holder, **{"for": "anyone", "idempotency_key": "k"})
        await offer(holder, **{"for": "contacts"})
        repeated = await offer(holder, **{"for": "anyone", "idempotency_key": "k"})
        assert (repeated.for_, repeated.replayed) == ("anyone", True)
        assert (await offer(holder)).for_ == "contacts"


@pytest.mark.parametrize(
    "params", [{"for": "all"}, {"for": 1}, {"quota": 1_048_575}, {"quota": "2G"}, {"for_": "anyone"}]
)
async def test_what_cannot_be_offered_names_the_parameter(autojump_clock: MockClock, params: dict[str, object]) -> None:
    async with Cluster.running() as cluster:
        with pytest.raises(UsageError) as caught:
            await offer(await cluster.add("Holder"), **params)
        assert caught.value.data == {"param": next(iter(params))}


async def test_what_is_held_is_told_and_events_name_it_alike(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder, visitor, box = await cluster.add("Holder"), cluster.network.node(), Box(SeededEntropy(1))
        await offering(holder, Offer("anyone"))
        bus = context_of(holder).bus
        mark, _ = bus.transient_after(0)
        began_s = int(cluster.now())
        async with talk(visitor, holder) as at:
            await at.ask_as(box.owner, box.grant())
            await at.ask(*[Deposit(box.token, 60 * n, bytes(1_024 * n)) for n in (1, 2)])
            await at.ask_as(box.owner, Ack(box.owner.public, (1,), NO_SIGNATURE))
        found = await shown(holder)
        assert (found.boxes, found.bytes, found.offer.for_) == (1, 2_048, "anyone")
        (held,) = found.mailboxes
        assert (held.id, held.boxes, held.bytes) == (opaque_id(box.owner.public), 1, 2_048)
        assert held.oldest_ms is not None
        assert held.until_ms == held.oldest_ms + 120_000
        assert 0 <= held.seen_ms - began_s * 1000 <= 2_000
        (deleted,) = found.deleted
        assert (deleted.day, deleted.why, deleted.boxes, deleted.bytes) == ("2027-01-15", "fetched", 1, 1_024)
        await trio.sleep(3)
        _, told = bus.transient_after(mark)

        def render_all(tx: Tx) -> Iterator[objects.Event]:
            return (render.transient(tx, event, lambda _: False) for event in told)

        events = list(await holder.database.run(lambda tx: list(render_all(tx))))
        of_mailbox = [(each.seq, each.type, each.data) for each in events if each.type.startswith("mailbox.")]
        assert of_mailbox == [
            (None, "mailbox.deposited", {"mailbox": held.id, "boxes": 2, "bytes": 3_072}),
            (None, "mailbox.deleted", {"mailbox": held.id, "boxes": 1, "bytes": 1_024}),
        ]


async def test_the_passphrase_is_looked_at(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Cluster.running() as cluster:
        holder = await cluster.add("Holder")
        write_key(tmp_path / "key", bytes(32), None, SeededEntropy(1).bytes)
        found = await shown(holder, tmp_path)
        assert not found.passphrase
        assert found.locked_reveals.startswith("This profile has no passphrase")
        (tmp_path / "key").unlink()
        write_key(tmp_path / "key", bytes(32), b"a passphrase", SeededEntropy(1).bytes)
        found = await shown(holder, tmp_path)
        assert found.passphrase
        assert found.locked_reveals.startswith("Without the passphrase")
        (tmp_path / "key").unlink()
        with pytest.raises(StoreError):
            await shown(holder, tmp_path)


def dumped(tx: Tx, tables: tuple[str, ...]) -> bytes:
    rows = (row for table in tables for row in tx.all(f"SELECT * FROM {table}"))  # noqa: S608
    return b"".join(value if isinstance(value, bytes) else f"<{value}>".encode() for row in rows for value in row)


async def test_nothing_that_is_stored_of_boxes_names_a_person_or_an_address(autojump_clock: MockClock) -> None:
    """Bob, a contact, owns a mailbox, and leaves boxes in it that hold his name: only ciphertext is there."""
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        before = await alice.database.run(lambda tx: dumped(tx, ("event",)))
        await offering(alice, Offer("contacts"))
        entropy, key = SeededEntropy(4), x25519_pair(bytes(range(32)))
        box = Box(entropy)
        frame = encode_frame(AckFrame(((b"Bob canary 16 by", b"+821098765432 16"),)))
        stranger = cluster.network.node(host="203.1.113.77")
        async with talk(bob.network, alice) as owner, talk(stranger, alice) as depositor:
            await owner.ask_as(box.owner, box.grant(b"sealed"))
            for at in (owner, depositor):
                await at.ask(Deposit(box.token, 600, seal_box(frame, key.public, entropy)))
        stored = await alice.database.run(lambda tx: dumped(tx, OF_BOXES))
        assert await alice.database.run(lambda tx: dumped(tx, ("event",))) == before
        root = context_of(bob).identity.root.public
        canaries = (
            *(b"Bob", b"canary", BOB.encode(), ALICE.encode(), root, box.token, key.public),
            *(bytes(bob.network.peer_id), bytes(bob.network.peer_id)[-32:], bytes(stranger.peer_id)),
            *(b"203.1.113", bytes((203, 1, 113)), bytes(bob.network.addresses()[0]), bytes(stranger.addresses()[0])),
        )
        meaningless = stored.replace(before, b"")
        assert [canary for canary in canaries if canary in meaningless] == []
        assert box.owner.public in stored  # it is really searched
        offers = await alice.database.run(lambda tx: meta.get(tx, "mailbox_offer"))
        assert offers is not None
