"""Who may come near: the user's rules and the modes, in whole nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.base.errors import DiskFull, NetError, UnsupportedProtocol
from p2pchat.base.limits import RULES
from p2pchat.base.refusals import Refusal
from p2pchat.core.access import Access, Mode
from p2pchat.net.addresses import endpoint, format_peer_id
from p2pchat.net.autonat import AUTONAT
from p2pchat.net.circuits import HOP, STOP
from p2pchat.net.dcutr import DCUTR
from p2pchat.net.kad import KAD
from p2pchat.net.mailbox import MAILBOX
from p2pchat.net.records import RECORDS
from p2pchat.services import access
from p2pchat.services.context import Reach
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.store import rules
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.calling import call, refused
from tests.sim.people import ALICE, BOB, is_matched, meet
from tests.sim.relays import meet_through_relays, relay

CAROL = "+821055555555"
CONTACTS = Reach(mode="contacts")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(9):
        yield


def connected(one: Node, other: Node) -> bool:
    return any(link.peer == other.network.peer_id for link in one.network.links())


def online(node: Node, contact: int) -> bool:
    return node.running is not None and node.running.life.online(contact)


async def listed(node: Node) -> list[objects.Rule]:
    found = await call(node, "net.rules")
    assert isinstance(found, objects.Rules)
    return found.rules


async def settled(*nodes: Node) -> bool:
    return not any([await node.outbox() for node in nodes])


def name(node: Node) -> str:
    return format_peer_id(node.network.peer_id)


def host(node: Node) -> str:
    return endpoint(node.network.addresses()[0]).host


async def test_rules_that_cannot_be_read_end_no_node_and_count_as_soon_as_they_can(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, is_ill = access.load, False

    def load(tx: Tx, reach: Reach) -> Access:
        if is_ill:
            raise DiskFull("of another's write in the same commit")
        return reads(tx, reach)

    monkeypatch.setattr(access, "load", load)
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await eventually(lambda: _is(connected(alice, bob)))
        is_ill = True
        with pytest.raises(DiskFull):
            await call(alice, "net.deny", what=name(bob))
        assert connected(alice, bob)  # what was there counts until the new rule can be read
        await cluster.crash(bob)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.start, bob)
            await trio.sleep(60)
            is_ill = False
        await trio.sleep(600)
        assert not connected(alice, bob)
        await call(alice, "net.forget", what=name(bob))
        await eventually(lambda: _is(connected(alice, bob)))


@pytest.mark.parametrize("by", ["contact", "peer", "network"])
async def test_a_contact_that_is_denied_waits_and_loses_nothing(autojump_clock: MockClock, by: str) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        what = {"contact": "Bob", "peer": name(bob), "network": host(bob)}[by]
        await eventually(lambda: _is(connected(alice, bob)))
        rule = await call(alice, "net.deny", what=what)
        assert isinstance(rule, objects.Rule)
        assert (rule.kind, rule.allow) == (by, False)
        assert not connected(alice, bob)
        await alice.send("Bob", "from Alice")
        await bob.send("Alice", "from Bob")
        await trio.sleep(900)
        assert not connected(alice, bob)
        assert (await alice.received("Bob"), await bob.received("Alice")) == ([], [])
        assert (await alice.contact("Bob")).state == (await bob.contact("Alice")).state == "matched"
        assert alice.network.refusals[Refusal.CONNECTION_DENIED] > 0
        await call(alice, "net.forget", what=what)
        took_s = await eventually(partial(settled, alice, bob))
        assert took_s < 10
        assert (await alice.received("Bob"), await bob.received("Alice")) == (["from Bob"], ["from Alice"])


async def _is(condition: bool) -> bool:
    return condition


async def test_a_new_node_of_a_denied_contact_is_denied_too(autojump_clock: MockClock) -> None:
    """It blocks somebody, and so has another node key: where it is now stands in its presence."""
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        carol = await cluster.add("Carol", CAROL)
        await bob.add(CAROL, "Carol")
        await carol.add(BOB, "Bob")
        await eventually(lambda: is_matched(bob, "Carol"))
        await call(alice, "net.deny", what="Bob")
        before = bob.network.peer_id
        await call(bob, "contacts.block", to="Carol")
        await eventually(lambda: _is(bob.network.peer_id != before))
        await alice.send("Bob", "waits")
        await bob.send("Alice", "waits, too")
        await trio.sleep(4 * 3600)
        assert (await alice.received("Bob"), await bob.received("Alice")) == ([], [])
        assert not online(alice, (await alice.contact("Bob")).id)
        await call(alice, "net.forget", what="Bob")
        await eventually(partial(settled, alice, bob), within_s=4 * 3600)


async def test_only_those_whom_the_user_names_come_in(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        carol = await cluster.add("Carol", CAROL)
        alice, bob = await meet(cluster)
        await alice.add(CAROL, "Carol")
        await carol.add(ALICE, "Alice")
        await eventually(lambda: is_matched(alice, "Carol"))
        await call(alice, "net.allow", what="Bob")
        for everything in ("0.0.0.0/0", "::/0"):
            await call(alice, "net.deny", what=everything)
        assert (connected(alice, bob), connected(alice, carol)) == (True, False)
        await bob.send("Alice", "from Bob")
        await carol.send("Alice", "from Carol")
        await trio.sleep(600)
        assert (await alice.received("Bob"), await alice.received("Carol")) == (["from Bob"], [])
        await call(alice, "net.allow", what=name(carol))
        await eventually(partial(settled, carol))


async def test_rules_outlive_a_restart(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await call(alice, "net.deny", what="Bob")
        await cluster.crash(alice)
        await cluster.start(alice)
        await bob.send("Alice", "waits")
        await trio.sleep(600)
        assert not connected(alice, bob)
        assert [(rule.kind, rule.what, rule.allow) for rule in await listed(alice)] == [("contact", "Bob", False)]


async def test_what_is_said_of_one_is_one_rule(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        bob = await alice.add(BOB, "Bob")
        other = await cluster.add("Other")
        first = await call(alice, "net.deny", what="192.0.2.0/24", idempotency_key="once")
        assert await call(alice, "net.deny", what="::ffff:192.0.2.0/120") == first
        await call(alice, "net.allow", what=name(other))
        await call(alice, "net.deny", what="bob")
        await call(alice, "net.allow", what=BOB)
        await call(alice, "net.deny", what="2001:DB8::1")
        shown = [(rule.kind, rule.what, rule.contact_id, rule.allow) for rule in await listed(alice)]
        assert sorted(shown, key=str) == sorted(
            [
                ("network", "192.0.2.0/24", None, False),
                ("peer", name(other), None, True),
                ("contact", "Bob", bob.uid.hex(), True),
                ("network", "2001:db8::1/128", None, False),
            ],
            key=str,
        )
        again = await call(alice, "net.deny", what="192.0.2.0/24", idempotency_key="once")
        assert isinstance(again, objects.Rule)
        assert again.replayed is True
        conflict = await refused(alice, "net.allow", what="192.0.2.0/24", idempotency_key="once")
        assert conflict.error_name == "IDEMPOTENCY_CONFLICT"
        gone = await call(alice, "net.forget", what="192.0.2.0/24")
        assert isinstance(gone, objects.Rule)
        assert gone.what == "192.0.2.0/24"
        assert len(await listed(alice)) == 3


async def test_what_names_nobody_is_refused_in_a_sentence(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        for what in ("192.0.2.1/24", "10.0.0.0/33", "fe80::1%eth0/64", "12D3KooW" + "1" * 30, name(alice), "self"):
            error = await refused(alice, "net.deny", what=what)
            assert (error.error_name, error.data["param"]) == ("INVALID_PARAMS", "what"), what
            assert error.message.startswith("what: ")
            assert what not in error.message.split()
        unknown = await refused(alice, "net.allow", what="Bib")
        assert (unknown.error_name, unknown.data["near"]) == ("CONTACT_NOT_FOUND", ["Bob"])
        nothing = await refused(alice, "net.forget", what="192.0.2.1")
        assert nothing.error_name == "INVALID_PARAMS"
        assert await listed(alice) == []


async def test_there_is_room_for_so_many_rules(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)

        def fill(tx: Tx) -> None:
            for number in range(RULES):
                rules.put(tx, rules.Subject(network=f"10.{number >> 8}.{number & 255}.0/24"), allow=False)

        await alice.database.run(fill)
        assert (await refused(alice, "net.deny", what="192.0.2.1")).error_name == "INVALID_PARAMS"
        changed = await call(alice, "net.allow", what="10.0.0.0/24")
        assert isinstance(changed, objects.Rule)
        assert changed.allow


async def test_who_is_removed_takes_the_rule_along_and_who_is_blocked_keeps_it(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        await alice.add(CAROL, "Carol")
        for what in ("Bob", "Carol"):
            await call(alice, "net.deny", what=what)
        await call(alice, "contacts.block", to="Bob")
        await call(alice, "contacts.remove", to="Carol")
        assert [rule.what for rule in await listed(alice)] == ["Bob"]


async def test_a_rule_goes_with_its_contact_into_another(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        bob, other, third = [await alice.add(f"+821{n}12345678", f"Bob {n}") for n in (1, 6, 7)]

        def join(tx: Tx) -> list[tuple[int | None, bool]]:
            rules.put(tx, rules.Subject(contact=other.id), allow=False)
            rules.hand_over(tx, bob.id, other.id)
            rules.put(tx, rules.Subject(contact=third.id), allow=True)
            rules.hand_over(tx, bob.id, third.id)
            return [(row.about.contact, row.allow) for row in rules.everyone(tx)]

        assert await alice.database.run(join) == [(bob.id, False), (third.id, True)]


# modes


async def served(asker: Node, node: Node) -> frozenset[str]:
    await asker.network.dial(node.network.peer_id, node.network.addresses())
    return (await asker.network.learn(node.network.peer_id))[1]


async def test_contacts_only_people_meet_and_strangers_are_served_the_upkeep(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        stranger = await cluster.add("Stranger")
        cluster.reach = CONTACTS
        alice, bob = await meet(cluster)
        await call(alice, "mailbox.offer", **{"for": "anyone"})
        await alice.send("Bob", "to Bob")
        await bob.send("Alice", "to Alice")
        await eventually(partial(settled, alice, bob))
        for one, other in ((alice, bob), (bob, alice)):
            assert {MSG_PROTOCOL, DCUTR, RECORDS, KAD} <= await served(other, one)
        assert MAILBOX in await served(bob, alice)
        seen = await served(stranger, alice)
        assert {RECORDS, KAD, AUTONAT, STOP} <= seen
        assert not seen & {MSG_PROTOCOL, DCUTR, MAILBOX}
        for protocol in (MSG_PROTOCOL, DCUTR, MAILBOX):
            with pytest.raises(UnsupportedProtocol):
                await stranger.network.open(alice.network.peer_id, protocol)
        assert alice.network.refusals[Refusal.STREAM_DENIED] == 3
        status = await call(alice, "node.status")
        assert isinstance(status, objects.Status)
        assert status.mode == "contacts"


async def test_contacts_only_who_is_invited_comes_in(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.reach = CONTACTS
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob")
        await cluster.add("Another")
        invite = await call(alice, "identity.invite")
        assert isinstance(invite, objects.Invite)
        await call(bob, "contacts.add", invite=invite.invite, name="Alice")
        await eventually(lambda: is_matched(bob, "Alice"))
        await bob.send("Alice", "invited")
        await eventually(partial(settled, bob))


async def test_contacts_only_a_contacts_new_device_gets_through(autojump_clock: MockClock) -> None:
    """Its PeerID is unknown until its rendezvous and presence are read; then it is the contact's like any other."""
    async with Cluster.running() as cluster:
        cluster.reach = CONTACTS
        alice, bob = await meet(cluster)
        await cluster.add("Another")
        await bob.send("Alice", "before")
        await eventually(partial(settled, alice, bob))
        saved = await bob.backup()
        await cluster.crash(bob)
        new = await cluster.restore(bob, saved)
        assert new.network.peer_id != bob.network.peer_id
        await new.send("Alice", "from the new device")
        await alice.send("Bob", "to the new device")
        await eventually(partial(settled, alice, new), within_s=4 * 3600)
        assert (await alice.received("Bob"))[-1] == "from the new device"
        assert MSG_PROTOCOL in await served(new, alice)


async def test_contacts_only_who_is_no_contact_any_more_is_a_stranger(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice", ALICE, reach=CONTACTS), await cluster.add("Bob", BOB)
        await alice.add(BOB, "Bob")
        await bob.add(ALICE, "Alice")
        await eventually(lambda: is_matched(alice, "Bob"))
        await call(alice, "contacts.remove", to="Bob")
        await trio.sleep(60)  # it has another node key by now
        assert MSG_PROTOCOL not in await served(bob, alice)


async def test_lan_only_nobody_beyond_is_dialled_let_in_or_told_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        far = [await relay(cluster, number) for number in range(2)]
        cluster.reach = Reach(mode="lan", relay_offer="on")
        alice, bob = await meet(cluster)
        carrier = await cluster.add("Carrier", host="100.64.0.9")
        await alice.send("Bob", "to Bob")
        await eventually(partial(settled, alice))
        for node in (*far, carrier):
            with pytest.raises(NetError):
                await node.network.dial(alice.network.peer_id, alice.network.addresses())
            with pytest.raises(NetError):
                await alice.network.dial(node.network.peer_id, node.network.addresses())
        await trio.sleep(3600)
        assert [link.path for link in alice.network.links()] == ["lan"]
        assert not await served(bob, alice) & {HOP, STOP, AUTONAT, DCUTR}
        assert carrier.network.addresses() == ()


@pytest.mark.parametrize("mode", ["open", "contacts"])
async def test_without_relays_nothing_goes_through_any(autojump_clock: MockClock, mode: Mode) -> None:
    async with Cluster.running() as cluster:
        between = [await relay(cluster, number) for number in range(2)]
        alice = await cluster.add("Alice", ALICE, is_hidden=True, reach=Reach(relay_use=False, mode=mode))
        bob = await cluster.add("Bob", BOB, is_hidden=True)
        await alice.add(BOB, "Bob")
        await bob.add(ALICE, "Alice")
        await trio.sleep(1800)
        assert alice.network.circuits() == ()
        assert bob.network.circuits() != ()
        assert not connected(alice, bob)
        assert not await is_matched(alice, "Bob")
        assert STOP not in await served(between[0], alice)
        assert all(link.path != "relayed" for link in alice.network.links())


async def test_a_rule_about_a_person_counts_through_relays(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.network.blocks_punching = True
        alice, bob, _ = await meet_through_relays(cluster)
        await call(alice, "net.deny", what="Bob")
        await bob.send("Alice", "waits")
        await trio.sleep(600)
        assert not connected(alice, bob)
        await call(alice, "net.forget", what="Bob")
        await eventually(partial(settled, bob))
