"""Attacks on discovery (PROTOCOL.md 3.1 to 3.5), each with what the users see, and that nobody else is affected.

========================================================  =============================================================
attack                                                    test
========================================================  =============================================================
who knows both numbers fills the slot: few prefixes       here: ``of_few_prefixes…``
… more prefixes, more work, before and after the hellos   here: ``with_enough_prefixes…``, ``entries_that_stand…``
… a hello a day that nobody answers for                   here: ``a_hello_a_day…``
… copies an eph, poses in my role, writes junk            here: ``copies_and_junk…``; test_claimants
… poses as the other beside the true one                  here: ``of_two_claimants…``; test_claimants
… poses as the other alone, or first                      here: ``a_lone_impostor…``; test_claimants
… stands between the two and relays the SMS proof         test_sms_proof_hostile
replays records, cards, reaches across slots and times    test_replays
refused forms: future, expired, bool, trailing, huge      here: ``copies_and_junk…``; unit/core/test_record_refusals;
…                                                         test_dht_liars, test_dht_hostile; scripts/fuzz
a contact forges presence, names another's node, a victim test_forged_presence; test_hostile_contacts; test_strangers
… writes into rdv slots, also after it was blocked        test_forged_presence; test_blocked_replays
an invite used by twenty at once, again, flooded          test_hostile_invitees; test_invites
who was blocked replays all it has, and looks around      test_block; test_blocked_replays
a storer lies, stalls, floods, leads astray               test_dht_liars; test_dht_hostile
twenty Sybils in one, five and twenty prefixes            test_dht_sybils (``scripts/bench sybils``)
========================================================  =============================================================

In each of these a third person meets Alice, or talks with her, while it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as count_from

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.core.crypto import KeyPair
from p2pchat.core.discovery import encode_hello, reach_root, reply_root
from p2pchat.core.events import EventKind
from p2pchat.core.pair import load_pair
from p2pchat.core.presence import PresenceSlot
from p2pchat.core.record import check_record, work_bits
from p2pchat.core.slots import Slot
from p2pchat.core.verify import safety_number
from p2pchat.services import contacts as book
from p2pchat.services.places import idsec_of
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.number_knower import (
    CAROL,
    HARD_BITS,
    HOUR_S,
    Knower,
    given_reaches,
    knows_where,
    matched,
    meet_and_talk,
    root_of,
    seen,
    talk,
)
from tests.sim.people import ALICE, BOB
from tests.sim.verifying import Person, code_in, wrong

LOW_ORDER = (
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
)
pytestmark = pytest.mark.usefixtures("rare_pings")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(41):
        yield


async def people(cluster: Cluster) -> tuple[Node, Node, Node]:
    return await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB), await cluster.add("Carol", CAROL)


async def look_for_each_other(alice: Node, bob: Node) -> None:
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")


async def choose(node: Node, name: str, claimant: str | None = None) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: book.choose(tx, context, book.resolve(tx, context, name), claimant))


async def entries(knower: Knower, slot: Slot, nodes: tuple[Node, ...]) -> set[int]:
    """How many entries of a slot the nodes have."""
    return {len(await knower.read(slot.loc, node)) for node in nodes}


def count(node: Node, kind: EventKind) -> int:
    return [event.kind for event in node.events].count(kind)


# -- the slot is filled ------------------------------------------------------------------------------------------------


async def test_of_few_prefixes_four_hellos_each_stand_and_hold_a_match_up_for_a_day(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = nodes = await people(cluster)
        knower = Knower(cluster, ALICE, BOB)
        slot = knower.slot()
        poses = await knower.crowd(slot, 3, nodes)
        assert await entries(knower, slot, nodes) == {12}  # of twenty
        await look_for_each_other(alice, bob)
        await meet_and_talk(alice, carol)
        assert await entries(knower, slot, nodes) == {14}  # the two real ones, with less work than any
        # each sees the other claim, and that it is not settled: twelve more may show a card yet
        assert await seen(alice, "Bob") == await seen(bob, "Alice") == ("pending", 1, "claimed")
        held_up_s = await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=30 * HOUR_S, step_s=600)
        assert held_up_s > 23 * HOUR_S
        await talk(alice, bob)
        # whose numbers they look for they have told, and who they are; not where
        assert await knower.cards(poses, carol) == {root_of(alice), root_of(bob)}
        assert await knower.reaches(poses, carol) == []


async def test_a_hello_a_day_that_nobody_answers_for_holds_a_match_up_until_the_users_choose(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = nodes = await people(cluster)
        knower = Knower(cluster, ALICE, BOB)
        poses = [knower.pose(knower.slot(), role) for role in (0, 1)]
        for pose in poses:
            await knower.hello(pose, nodes)
        await look_for_each_other(alice, bob)
        await meet_and_talk(alice, carol)
        await trio.sleep(20 * HOUR_S)
        poses += [knower.pose(knower.slot(), role) for role in (0, 1)]
        for pose in poses[2:]:
            await knower.hello(pose, nodes)
        await trio.sleep(10 * HOUR_S)
        assert await seen(alice, "Bob") == await seen(bob, "Alice") == ("pending", 1, "claimed")
        await choose(alice, "Bob")
        await choose(bob, "Alice")
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=60)
        await talk(alice, bob)
        assert await knower.reaches(poses, carol) == []


async def test_with_enough_prefixes_and_more_work_a_match_is_denied_while_that_lasts_and_nothing_is_learnt(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = nodes = await people(cluster)
        knower = Knower(cluster, ALICE, BOB)
        slot = knower.slot()
        poses = await knower.crowd(slot, 4, nodes, age_s=60 * HOUR_S)  # for another twelve hours
        assert await entries(knower, slot, nodes) == {16}
        await look_for_each_other(alice, bob)
        await meet_and_talk(alice, carol)
        await trio.sleep(11 * HOUR_S)
        # not even at home do their hellos stand, with as much work as they do
        assert await entries(knower, slot, nodes) == {16}
        for node, name in ((alice, "Bob"), (bob, "Alice")):
            assert await seen(node, name) == ("pending", 0, "claimed")
            mined = await node.database.run(lambda tx: tx.one("SELECT bits FROM published WHERE loc = ?", (slot.loc,)))
            assert mined == (CHEAP.work_bits_max,)
            assert await given_reaches(node, name) == 0
        assert await knower.cards(poses, carol) == set()
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=36 * HOUR_S, step_s=600)
        await talk(alice, bob)


@pytest.mark.parametrize(("prefixes", "stands"), [(1, True), (5, True), (20, False)])
async def test_entries_that_stand_go_for_more_work_of_many_prefixes_and_are_replaced_by_nobody(
    prefixes: int, stands: bool, autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = nodes = await people(cluster)
        knower = Knower(cluster, ALICE, BOB)
        slot = knower.slot()
        await bob.add(ALICE, "Alice")
        await trio.sleep(5)
        [hello] = await knower.read(slot.loc, carol)
        real = check_record(slot.loc, hello, int(cluster.now()), CHEAP)
        # under Bob's writer nobody but Bob writes, and what anybody may redo is its work
        mallory = KeyPair(knower.writer().secret, real.writer)
        forged = knower.sealed(slot, mallory, encode_hello(1, bytes(31) + b"\x09"), HARD_BITS)
        assert await knower.put(slot.loc, forged, nodes) == [False] * 3
        assert await knower.put(slot.loc, harder(hello), nodes) == [False] * 3
        await meet_and_talk(alice, carol)
        await knower.crowd(slot, prefixes, nodes)
        for node in nodes:
            found = await knower.read(slot.loc, node)
            of_bob = [
                raw for raw in found if check_record(slot.loc, raw, int(cluster.now()), CHEAP).writer == real.writer
            ]
            assert of_bob == ([hello] if stands else [])
            assert len(found) == (5 if prefixes == 1 else 16)
        assert await seen(bob, "Alice") == ("pending", 0, "claimed")
        await talk(alice, carol)


def harder(raw: bytes) -> bytes:
    """The same record with more work: its nonce is not signed."""
    copies = (raw[:-8] + nonce.to_bytes(8, "big") for nonce in count_from(0))
    return next(copy for copy in copies if work_bits(copy) > work_bits(raw))


async def test_a_full_slot_is_not_taken_for_a_wrong_clock(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = nodes = await people(cluster)
        knower = Knower(cluster, ALICE, BOB)
        slot = knower.slot()
        for n in range(16):
            raw = knower.sealed(slot, knower.writer(), b"", HARD_BITS)
            assert await knower.put(slot.loc, raw, nodes, n % 4) == [True] * 3
        await bob.add(ALICE, "Alice")
        late = await cluster.add("Dave", "+821044444444", skew_s=1200)
        await late.add(CAROL, "Carol")
        await meet_and_talk(alice, carol)
        await trio.sleep(60)
        assert bob.running is not None
        assert late.running is not None
        assert (bob.running.context.health.clock_ok, late.running.context.health.clock_ok) == (True, False)


# -- what stands in it is not what it should be ------------------------------------------------------------------------


async def test_copies_and_junk_change_nothing_and_one_warning_tells_of_a_pose_in_the_own_role(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await trio.sleep(73 * HOUR_S)  # no reinstallation of hers may stand there any more
        bob, carol = await cluster.add("Bob", BOB), await cluster.add("Carol", CAROL)
        nodes = alice, bob, carol
        await bob.add(ALICE, "Alice")
        await trio.sleep(5)
        knower = Knower(cluster, ALICE, BOB)
        slot = knower.slot()
        [bobs] = await knower.met(knower.pose(slot, 0), carol)
        data = [encode_hello(1, bobs)] * 2 + [encode_hello(0, bobs)]  # under other writers; and as if he were Alice
        data += [encode_hello(1, eph) for eph in LOW_ORDER]
        data += [b"\xdd\xff\xff\xff\xff", b"\xc0", bytes(702), encode_hello(1, bobs) + b"\0"]
        data += [b"\x93\x01\xc3\xc4\x20" + bobs]  # True for 1
        elsewhere = PresenceSlot(slot.gate, slot.loc, bytes(32))  # what nobody opens
        records = [knower.sealed(slot, knower.writer(), each) for each in data]
        records.append(knower.sealed(elsewhere, knower.writer(), encode_hello(1, bobs)))
        for n, raw in enumerate(records):
            assert await knower.put(slot.loc, raw, nodes, n % 4) == [True] * 3
        await alice.add(BOB, "Bob")
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=60)
        await talk(alice, bob)
        await meet_and_talk(alice, carol)
        # and hers, as if Bob were she
        alices = next(eph for eph in await knower.met(knower.pose(slot, 1), carol) if eph != bobs)
        await knower.put(slot.loc, knower.sealed(slot, knower.writer(), encode_hello(1, alices), HARD_BITS), nodes)
        await trio.sleep(HOUR_S)
        assert await seen(alice, "Bob") == await seen(bob, "Alice") == ("matched", 1, "claimed")
        assert (count(alice, EventKind.NODE_WARNING), count(bob, EventKind.NODE_WARNING)) == (1, 0)
        assert count(alice, EventKind.CONTACT_KEY_CHANGED) == count(bob, EventKind.CONTACT_KEY_CHANGED) == 0


# -- somebody poses as one of the two ----------------------------------------------------------------------------------


async def reaches_for(node: Node) -> int:
    """How many entries of others the node could read in the slots where its only contact would leave a reach."""
    assert node.running is not None
    context = node.running.context

    def slots(tx: Tx) -> list[tuple[Slot, bytes]]:
        found: list[tuple[Slot, bytes]] = []
        for era, raw in tx.all("SELECT era, state FROM pair_slot"):
            state = load_pair(bytes(raw), idsec_of(context, era, tx))
            for known in state.candidates:
                reply = reply_root(state.root, state.epoch, state.own.eph, known.eph)
                found.append((Slot(reach_root(reply), state.epoch), state.idsec))
        return found

    looked = await node.database.run(slots)
    assert looked
    own = await node.database.run(lambda tx: {bytes(raw) for (raw,) in tx.all("SELECT record FROM published")})
    return sum([len(set((await context.dht.walk(slot.loc)).records) - own) for slot, _ in looked])


async def test_of_two_claimants_neither_is_given_anything_and_the_chosen_one_alone_gets_what_waited(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = await people(cluster)
        mallory = await cluster.add("Mallory", BOB)
        await bob.add(ALICE, "Alice")
        await mallory.add(ALICE, "Alice")
        await trio.sleep(60)
        await alice.add(BOB, "Bob")
        await alice.send("Bob", "for Bob alone")
        await meet_and_talk(alice, carol)
        await trio.sleep(HOUR_S)
        assert await seen(alice, "Bob") == ("pending", 2, "claimed")
        assert (await alice.contact("Bob")).root is None
        assert await given_reaches(alice, "Bob") == await reaches_for(mallory) == await reaches_for(bob) == 0
        for node in (bob, mallory):
            assert await seen(node, "Alice") == ("pending", 1, "claimed")
            assert not await knows_where(node, "Alice")
        assert not await knows_where(alice, "Bob")
        await choose(alice, "Bob", root_of(bob).hex())
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=600)
        await talk(alice, bob)
        await trio.sleep(HOUR_S)
        assert await bob.received("Alice") == ["for Bob alone", "ping"]
        assert await given_reaches(alice, "Bob") == 1
        assert (await reaches_for(mallory), await knows_where(mallory, "Alice")) == (0, False)
        assert (await seen(mallory, "Alice"), await mallory.received("Alice")) == (("pending", 1, "claimed"), [])


async def test_a_lone_impostor_is_matched_and_neither_passes_the_proof_nor_has_the_safety_number(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = await people(cluster)
        mallory = await cluster.add("Mallory", BOB)
        await mallory.add(ALICE, "Alice")
        await alice.add(BOB, "Bob")
        await eventually(lambda: matched((alice, "Bob"), (mallory, "Alice")), within_s=60)
        await meet_and_talk(alice, carol)
        assert await seen(alice, "Bob") == ("matched", 1, "claimed")  # as THREAT-MODEL.md says
        hers, his = Person(alice), Person(mallory)
        code = code_in(await hers.ask("Bob"))  # which goes to Bob's telephone
        await his.until(EventKind.CONTACT_PROOF_ASKED, 1)
        await his.prove("Alice", wrong(code))
        await hers.until(EventKind.CONTACT_PROOF_RESULT, 1)
        assert await hers.results() == [False]
        real = safety_number(root_of(alice), root_of(bob))  # which Bob reads out
        assert (await hers.safety("Bob")).safety_number != real
        with pytest.raises(UsageError) as refused:
            await hers.verify("Bob", safety_number=real)
        assert refused.value.error_name == "UNTRUSTED_KEY"
        assert await seen(alice, "Bob") == ("matched", 1, "claimed")
        await talk(alice, carol)
