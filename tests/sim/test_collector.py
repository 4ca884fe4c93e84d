"""Own mailboxes, with holders that keep to the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import DecryptionError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import wire
from p2pchat.core.mailbox import Grant, token_hash, unseal_bundle
from p2pchat.core.mailbox_link import Holder, encode_mailbox_link
from p2pchat.core.params import DAY_S, Params
from p2pchat.core.wire import Flight
from p2pchat.net.mailbox import MAILBOX
from p2pchat.services import answers, block, mailboxes
from p2pchat.services.context import Context
from p2pchat.store import contact_peers, own_mailbox
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from tests.sim.box_holder import BoxHolder
from tests.sim.leaving import fetch_bundle, leave_all, open_session, places, running, waiting
from tests.sim.people import meet

HOUR_S = 3600
pytestmark = pytest.mark.usefixtures("rare_pings")


async def use(node: Node, *holders: BoxHolder, auto: bool = False) -> None:
    """As ``mailbox.use`` with the links of these holders."""
    context = running(node)
    links = [encode_mailbox_link(Holder(each.node.peer_id, each.node.addresses())) for each in holders]
    settled = await mailboxes.request(context, links or None, auto=auto)
    await context.db.run(lambda tx: mailboxes.settle(tx, context, settled))
    assert await mailboxes.publish(context) is None
    if settled.failure is not None:
        raise settled.failure


SHORT = replace(
    CHEAP,
    record_ttl_s=6 * HOUR_S,
    presence_every_s=HOUR_S,
    presence_life_s=8 * HOUR_S,
    mailbox_key_life_s=HOUR_S,
    mailbox_key_kept_s=6 * HOUR_S,
)
"""Tokens live for 8 hours, the earlier ones for 5 more; what is given up is emptied for 6."""


@asynccontextmanager
async def alice_and_bob(
    holders: int = 2, params: Params = CHEAP
) -> AsyncGenerator[tuple[Cluster, Node, Node, list[BoxHolder]]]:
    """The two, matched; Bob has that many mailboxes, and is down."""
    async with Cluster.running(params=params) as cluster:
        alice, bob = await meet(cluster)
        found = [BoxHolder(cluster, number + 1) for number in range(holders)]
        await cluster.add("Dave")  # who stays: Bob's presence is kept somewhere
        await use(bob, *found)
        await cluster.crash(bob)
        yield cluster, alice, bob, found


async def settled(node: Node) -> bool:
    return await node.outbox() == 0


async def has(node: Node, name: str, texts: list[str]) -> bool:
    return await node.received(name) == texts


async def has_all(node: Node, name: str, texts: list[str]) -> bool:
    return sorted(await node.received(name)) == sorted(texts)


async def emptied(*holders: BoxHolder) -> bool:
    return not any(kept.boxes for holder in holders for kept in holder.kept.values())


async def admits(holder: BoxHolder, token: bytes) -> bool:
    """Whether that token, and no other, admits a deposit."""
    return holder.only().tokens == (token_hash(token),)


async def told(node: Node, count: int) -> bool:
    return len(await node.database.run(own_mailbox.told)) == count


async def uses(node: Node, *holders: BoxHolder) -> bool:
    """Whether these are in use, and no other."""
    return {each.peer for each in await node.database.run(own_mailbox.in_use)} == {h.node.peer_id for h in holders}


def candidates_are(context: Context, *holders: BoxHolder) -> None:
    """Let the DHT know these holders, which take no part in it."""
    known = tuple((holder.node.peer_id, holder.node.addresses()) for holder in holders)

    def known_peers() -> tuple[tuple[PeerId, tuple[Address, ...]], ...]:
        return known

    context.dht.known_peers = known_peers  # type: ignore[method-assign]


async def test_what_was_left_while_the_owner_was_away_is_there_once_and_in_order(autojump_clock: MockClock) -> None:
    async with alice_and_bob() as (cluster, alice, bob, holders):
        texts = [f"text {n}" for n in range(150)]
        for text in texts:
            await alice.send("Bob", text)
            if text.endswith("0"):  # else all are in one envelope
                await waiting(alice, "Bob")
        assert await leave_all(alice, "Bob", await waiting(alice, "Bob")) >= 2 * 15
        await cluster.crash(alice)
        await cluster.start(bob)
        await eventually(lambda: has(bob, "Alice", texts), within_s=5)
        await trio.sleep(60)
        assert await bob.received("Alice") == texts
        assert [holder.only().boxes for holder in holders] == [{}, {}]
        await cluster.start(alice)
        await eventually(lambda: settled(alice), within_s=60)
        assert await bob.received("Alice") == texts


async def test_what_comes_both_ways_is_shown_once_and_the_boxes_are_deleted(autojump_clock: MockClock) -> None:
    async with alice_and_bob() as (cluster, alice, bob, holders):
        await alice.send("Bob", "both ways")
        await leave_all(alice, "Bob", await waiting(alice, "Bob"))
        await cluster.start(bob)  # Alice is there, too
        await eventually(lambda: settled(alice), within_s=60)
        await eventually(lambda: emptied(*holders), within_s=60)
        assert await bob.received("Alice") == ["both ways"]


async def test_a_session_of_the_bundle_at_a_mailbox_reaches_one_who_is_away_for_22_days(
    autojump_clock: MockClock,
) -> None:
    async with alice_and_bob(1) as (cluster, alice, bob, (holder,)):
        await open_session(alice, "Bob")
        texts = [f"text {n}" for n in range(5)]
        for text in texts:
            await alice.send("Bob", text)
            await waiting(alice, "Bob")
        frames = await waiting(alice, "Bob")
        assert len(frames) == 6  # with the first, which holds nothing
        assert all(isinstance(frame, Flight) for frame in frames)
        await leave_all(alice, "Bob", frames[::-1], ttl_s=14 * DAY_S)  # out of order, too
        await cluster.crash(alice)
        boxes = [box for box, _ in holder.only().boxes.values()]
        await cluster.crash(cluster.nodes["Dave"])  # time in which nobody does anything costs nothing
        await trio.sleep(22 * DAY_S - HOUR_S)
        await cluster.start(bob)
        await eventually(lambda: has_all(bob, "Alice", texts), within_s=60)
        for box in boxes:  # and from a holder that lies about having deleted them
            holder.put(box)
        await eventually(lambda: emptied(holder), within_s=60)
        assert sorted(await bob.received("Alice")) == texts


async def test_the_bundle_is_made_anew_every_day_and_the_earlier_ones_stay_good(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1) as (cluster, alice, bob, (holder,)):
        first = holder.only().bundle
        raw = await fetch_bundle(alice, "Bob")
        await open_session(alice, "Bob")
        await alice.send("Bob", "with the first bundle")
        await cluster.crash(alice)
        await cluster.start(bob)
        await trio.sleep(3 * DAY_S + HOUR_S)
        assert holder.only().bundle != first
        assert 3 <= holder.asked_for(Grant) <= 6
        await cluster.crash(bob)
        await cluster.start(alice)
        assert await fetch_bundle(alice, "Bob") != raw
        await leave_all(alice, "Bob", await waiting(alice, "Bob"))
        await cluster.crash(alice)
        await cluster.start(bob)
        await eventually(lambda: has(bob, "Alice", ["with the first bundle"]), within_s=60)


async def test_acks_in_boxes_settle_and_are_answered_with_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[int, list[tuple[bytes, bytes]]]] = []

    async def leave_acks(_: Context, contact: int, acks: list[tuple[bytes, bytes]]) -> None:
        left.append((contact, acks))

    monkeypatch.setattr(answers, "leave_acks", leave_acks)
    async with alice_and_bob(1) as (cluster, alice, bob, (holder,)):
        mine = BoxHolder(cluster, 9)
        await use(alice, mine)
        await alice.send("Bob", "one")
        await leave_all(alice, "Bob", await waiting(alice, "Bob"))
        await cluster.crash(alice)
        await cluster.start(bob)
        await eventually(lambda: emptied(holder), within_s=60)
        ((contact, acks),) = left
        assert contact == (await bob.contact("Alice")).id
        await leave_all(bob, "Alice", [wire.Ack(tuple(acks)), wire.Ack(((bytes(16), bytes(16)),))])
        await cluster.crash(bob)
        await cluster.start(alice)
        await eventually(lambda: settled(alice), within_s=60)
        await eventually(lambda: emptied(mine), within_s=60)
        assert len(left) == 1
        assert [row.state for row in await alice.conversation("Bob") if not row.incoming] == ["delivered"]


async def test_a_holder_is_not_taken_for_the_node_of_those_whose_boxes_it_holds(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1) as (cluster, alice, bob, (holder,)):
        await alice.send("Bob", "one")
        await leave_all(alice, "Bob", await waiting(alice, "Bob"))
        await cluster.crash(alice)
        await cluster.start(bob)
        await eventually(lambda: has(bob, "Alice", ["one"]), within_s=60)
        assert await bob.database.run(lambda tx: contact_peers.of_node(tx, holder.node.peer_id)) == []


async def test_a_contact_is_not_shown_as_seen_by_what_lay_in_a_box(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1) as (cluster, alice, bob, _):
        await alice.send("Bob", "one")
        await leave_all(alice, "Bob", await waiting(alice, "Bob"), ttl_s=14 * DAY_S)
        await cluster.crash(alice)
        await trio.sleep(5 * HOUR_S)
        await cluster.start(bob)
        before = await bob.contact("Alice")
        await eventually(lambda: has(bob, "Alice", ["one"]), within_s=60)
        after = await bob.contact("Alice")
        assert after.last_seen_ms == before.last_seen_ms
        assert after.heard_ms > before.heard_ms


async def test_in_time_tokens_are_new_and_the_earlier_ones_good_for_a_while(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1, SHORT) as (cluster, alice, bob, (holder,)):
        before = await places(alice, "Bob")
        assert before is not None
        (old,) = before.mailboxes
        await cluster.crash(alice)
        await cluster.start(bob)
        await trio.sleep(9 * HOUR_S)
        (new,) = await bob.database.run(own_mailbox.told)
        assert new.token != old.token
        assert holder.only().tokens == (token_hash(new.token), token_hash(old.token))
        await eventually(lambda: admits(holder, new.token), within_s=6 * HOUR_S, step_s=60)


@pytest.mark.slow
async def test_a_parting_voids_tokens_and_keys_at_once_and_gives_up_what_their_node_holds(
    autojump_clock: MockClock,
) -> None:
    async with alice_and_bob(2) as (cluster, alice, bob, (first, second)):
        before = await places(alice, "Bob")
        assert before is not None
        await cluster.start(bob)
        bobs_alice = (await bob.contact("Alice")).id
        await bob.database.run(
            lambda tx: contact_peers.save(tx, bobs_alice, first.node.peer_id, first.node.addresses(), bytes(32), 1)
        )
        await bob.database.run(own_mailbox.name_contacts)
        context = running(bob)
        row = await bob.contact("Alice")
        await bob.database.run(lambda tx: block.block(tx, context, row))
        assert [each.peer for each in await bob.database.run(own_mailbox.everyone)] == [second.node.peer_id]
        assert await bob.database.run(own_mailbox.told) == ()
        stale = {token_hash(each.token) for each in before.mailboxes}
        (old,) = second.kept
        await eventually(lambda: told(bob, 1), within_s=120)
        (new,) = second.kept.keys() - {old}
        assert stale.isdisjoint(second.kept[new].tokens)
        assert len(second.kept[new].tokens) == 1
        key = await bob.database.run(lambda tx: own_mailbox.newest_key(tx, context.entropy, context.params).public)
        assert key != before.key
        sealed = second.kept[new].bundle
        assert before.bundle_key is not None
        with pytest.raises(DecryptionError):
            unseal_bundle(sealed, before.bundle_key)
        await trio.sleep(4 * DAY_S)  # in which what is given up otherwise is emptied and ended
        assert [len(second.askers[each]) for each in (old, new)] == [1, 1]
        assert second.askers[old] != second.askers[new]  # nothing that it was told shows that they are one
        assert len(second.kept) == 2


async def test_with_auto_a_holder_that_vanished_is_replaced_within_a_day(autojump_clock: MockClock) -> None:
    async with alice_and_bob(2) as (cluster, alice, bob, (gone, stays)):
        third = BoxHolder(cluster, 7)
        await cluster.start(bob)
        context = running(bob)
        context.dht.add_peer(third.node.peer_id, third.node.addresses())
        await bob.database.run(lambda tx: own_mailbox.set_auto(tx, on=True))
        await context.tell_mailboxes()
        cluster.network.down(gone.node)
        await trio.sleep(10 * HOUR_S)
        assert {each.peer for each in await bob.database.run(own_mailbox.in_use)} == {
            gone.node.peer_id,
            stays.node.peer_id,
        }
        candidates_are(context, third)
        took = await eventually(lambda: uses(bob, stays, third), within_s=14 * HOUR_S, step_s=600)
        assert took < 14 * HOUR_S

        async def is_known() -> bool:
            where = await places(alice, "Bob")
            return where is not None and {each.peer_id for each in where.mailboxes} == {
                stays.node.peer_id,
                third.node.peer_id,
            }

        await eventually(is_known, within_s=15 * HOUR_S, step_s=600)  # she is connected, and reads every 12 h or so


async def test_without_auto_what_the_user_chose_is_never_replaced(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1) as (cluster, _alice, bob, (gone,)):
        other = BoxHolder(cluster, 7)
        await cluster.start(bob)
        candidates_are(running(bob), other)
        cluster.network.down(gone.node)
        await trio.sleep(2 * DAY_S)
        assert await uses(bob, gone)


async def test_a_holder_that_was_given_up_is_emptied_and_ended(autojump_clock: MockClock) -> None:
    async with alice_and_bob(2, SHORT) as (cluster, alice, bob, (first, second)):
        await cluster.start(bob)
        await use(bob, second)
        await alice.send("Bob", "to the one that was given up")
        where = await places(alice, "Bob")
        assert where is not None
        assert [each.peer_id for each in where.mailboxes] == [second.node.peer_id]
        await trio.sleep(60)
        assert len(first.kept) == 1
        await trio.sleep(7 * HOUR_S)
        assert first.kept == {}
        assert len(second.kept) == 1
        assert [each.peer for each in await bob.database.run(own_mailbox.everyone)] == [second.node.peer_id]


async def test_use_says_which_holder_could_not_be_had_and_keeps_the_other(autojump_clock: MockClock) -> None:
    async with alice_and_bob(0) as (cluster, _alice, bob, _):
        down, refuses, good = (BoxHolder(cluster, number) for number in (4, 5, 6))
        cluster.network.down(down.node)
        refuses.offers = False
        await cluster.start(bob)
        with pytest.raises(UsageError, match="That node could not be reached: it has to be on") as caught:
            await use(bob, down)
        assert (caught.value.error_name, caught.value.data) == ("PEER_OFFLINE", {"failed": [0]})
        assert await uses(bob)
        with pytest.raises(UsageError, match=r"The second holds nothing for you.*; the other is in use") as caught:
            await use(bob, good, refuses)
        assert (caught.value.error_name, caught.value.data) == ("PEER_OFFLINE", {"failed": [1]})
        assert await uses(bob, good)
        with pytest.raises(UsageError, match="That node could not be reached"):
            await use(bob, down)
        assert await uses(bob, good)
        with pytest.raises(UsageError, match=r"The first could not .*; the second holds nothing for you") as caught:
            await use(bob, down, refuses)
        assert caught.value.data == {"failed": [0, 1]}
        gone = BoxHolder(cluster, 7)
        cluster.network.down(gone.node)
        with pytest.raises(UsageError, match="Each of the two could not be reached"):
            await use(bob, down, gone)
        assert await uses(bob, good)


async def test_a_contact_whose_node_offers_is_used_by_name_and_never_one_who_is_blocked(
    autojump_clock: MockClock,
) -> None:
    async with alice_and_bob(0) as (cluster, alice, bob, _):
        await cluster.start(bob)
        context = running(bob)
        holder = BoxHolder(cluster, 3)
        alice.network.handle(MAILBOX, holder.serve)
        holder.node = alice.network
        settled_now = await mailboxes.request(context, ["Alice"], auto=False)
        await context.db.run(lambda tx: mailboxes.settle(tx, context, settled_now))
        assert await mailboxes.publish(context) is None
        (mailbox,) = await bob.database.run(own_mailbox.in_use)
        assert mailbox.contact == (await bob.contact("Alice")).id
        row = await bob.contact("Alice")
        await bob.database.run(lambda tx: block.block(tx, context, row))
        assert await bob.database.run(own_mailbox.everyone) == []
        with pytest.raises(UsageError) as caught:
            await mailboxes.request(context, ["Alice"], auto=False)
        assert caught.value.error_name == "BLOCKED"
        link = encode_mailbox_link(Holder(alice.network.peer_id, alice.network.addresses()))
        with pytest.raises(UsageError) as caught:
            await mailboxes.request(context, [link], auto=False)
        assert caught.value.error_name == "BLOCKED"
        await trio.sleep(60)
        with pytest.raises(UsageError, match="No node"):
            await use(bob, auto=True)
        assert await uses(bob)


async def test_what_is_named_twice_or_is_oneself_is_refused_and_nothing_is_asked(autojump_clock: MockClock) -> None:
    async with alice_and_bob(0) as (cluster, _alice, bob, _):
        good = BoxHolder(cluster, 4)
        await cluster.start(bob)
        context = running(bob)
        with pytest.raises(UsageError, match="with: names the same node twice"):
            await use(bob, good, good)
        own = encode_mailbox_link(Holder(context.network.peer_id, context.network.addresses()))
        with pytest.raises(
            UsageError, match="with: holds a link to this node itself; name a node that is on while yours"
        ):
            await mailboxes.request(context, [own], auto=False)
        with pytest.raises(UsageError, match="with: holds yourself; name a node that is on while yours is off"):
            await mailboxes.request(context, ["self"], auto=False)
        assert good.kept == {}
        assert await uses(bob)
