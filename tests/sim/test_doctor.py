"""The doctor of a node among others: what it finds of the network, and the message to itself."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.diagnosis import Finding, advice, text
from p2pchat.base.errors import NetError
from p2pchat.control.dispatch import Methods
from p2pchat.core.access import Access
from p2pchat.net.addresses import from_socket
from p2pchat.net.transport import Network, Standing
from p2pchat.services.context import Tried
from p2pchat.services.doctor import examine_unlocked
from p2pchat.services.standing import Survey
from p2pchat.store import own_mailbox
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.memnode import MemoryNode
from tests.sim.box_holder import BoxHolder
from tests.sim.leaving import running
from tests.sim.people import ALICE
from tests.sim.relays import HOSTS, at_home, has_relays, relay
from tests.sim.verifying import NOBODY

HOME = "93.9.9.9"
SEEN = from_socket(HOME, 4001)


class Passers:
    """Nodes of the moment, and what became of them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.made: list[MemoryNode] = []

    @asynccontextmanager
    async def __call__(self, *, listens: bool = False) -> AsyncGenerator[Network]:
        node = self._cluster.network.node()
        self.made.append(node)
        self._cluster.network.translate(node, from_socket(HOME, 4000 + len(self.made)))
        yield node
        self._cluster.network.down(node)


async def examined(node: Node, passers: Passers | None = None) -> dict[str, Finding]:
    """What is found, in words that have all their facts."""
    context = running(node)
    context.stranger = passers
    found = await examine_unlocked(context, None, send=passers is not None)
    assert all(text(each, "p2pchat") for each in found)
    assert {advice(each, "p2pchat") == "" for each in found if each.state in ("warning", "failed")} <= {False}
    return {each.name: each for each in found}


@pytest.fixture
def _standing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Survey, "_conclude", lambda _: None)


async def at_home_with_relays(cluster: Cluster, count: int = 2) -> tuple[Node, list[Node]]:
    relays = [await relay(cluster, number) for number in range(count)]
    alice = await at_home(cluster, "Alice", ALICE)
    await eventually(lambda: has_relays(alice, count), within_s=120)
    return alice, relays


async def test_a_message_to_itself_comes_back_through_a_relay_and_nothing_is_left(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, relays = await at_home_with_relays(cluster)
        passers = Passers(cluster)
        before = {node.name: len(running(node).dht.known_peers()) for node in (alice, *relays)}
        found = await examined(alice, passers)
        assert found["test"].code == "test.relayed"
        assert found["relays"].facts == {"relays": 2}
        assert passers.made
        await trio.sleep(1)
        made = {node.peer_id for node in passers.made}
        for node in (alice, *relays):
            assert not made & {link.peer for link in node.network.links()}
            assert len(running(node).dht.known_peers()) <= before[node.name]


async def test_relays_that_carry_nothing_are_told_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, relays = await at_home_with_relays(cluster, 1)
        passers = Passers(cluster)

        @asynccontextmanager
        async def cut_off(*, listens: bool = False) -> AsyncGenerator[Network]:
            async with passers(listens=listens) as node:
                for each in (*relays, alice):
                    cluster.network.cut(passers.made[-1], each.network)
                yield node

        running(alice).stranger = cut_off
        found = {each.name: each for each in await examine_unlocked(running(alice), None, send=True)}
        assert found["test"].code == "test.relay_failed"
        assert found["test"].facts == {"relays": 1}
        assert found["relays"].code == "relays.one"


async def test_where_a_router_is_in_between_others_say_what_it_does_with_ports(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, relays = await at_home_with_relays(cluster)
        assert (await examined(alice, Passers(cluster)))["nat"].code == "nat.same_port"
        for number, each in enumerate(relays):
            each.network.sees = lambda node, port=5000 + number: from_socket(HOME, port)  # type: ignore[misc]
        assert (await examined(alice, Passers(cluster)))["nat"].code == "nat.other_ports"
        running(alice).reach = dataclasses.replace(running(alice).reach, mode="lan")
        found = await examined(alice, Passers(cluster))
        assert (found["nat"].code, found["relays"].code) == ("nat.lan_only", "relays.lan_only")
        assert found["mapping"].code == "mapping.lan_only"


@pytest.mark.usefixtures("_standing_is_given")
@pytest.mark.parametrize("hidden", [False, True])
async def test_who_is_reached_has_others_come(autojump_clock: MockClock, hidden: bool) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE, host=HOSTS[0])
        for number in (1, 2):
            await relay(cluster, number)
        await trio.sleep(5)
        alice.network.standing = "public"
        cluster.network.hide(alice.network, is_hidden=hidden)
        found = await examined(alice, Passers(cluster))
        assert (found["nat"].code, found["relays"].code) == ("nat.public", "relays.unneeded")
        if hidden:
            assert (found["test"].code, found["test"].facts["asked"]) == ("test.not_dialled_back", 2)
        else:
            assert (found["test"].code, found["test"].facts) == ("test.dialled_back", {"nodes": 2, "asked": 2})


async def test_alone_and_in_a_local_network(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        found = await examined(alice, Passers(cluster))
        assert found["test"].code == "test.this_machine"
        assert (found["bootstrap"].code, found["dht"].code) == ("bootstrap.nobody_known", "dht.none")
        assert (found["relays"].code, found["nat"].code) == ("relays.alone", "nat.unknown")
        assert found["addresses"].code == "addresses.private"
        assert found["clock"].code == "clock.plausible"
        bob = await cluster.add("Bob")
        await trio.sleep(5)
        found = await examined(alice, Passers(cluster))
        assert (found["test"].code, found["test"].facts) == ("test.local_network", {"inbound": 1})
        assert (found["dht"].code, found["bootstrap"].code) == ("dht.few", "bootstrap.connected")
        assert (await examined(bob))["bootstrap"].code == "bootstrap.known"
        assert (await examined(bob))["clock"].code == "clock.ok"
        running(alice).health.clock_ok = False
        assert (await examined(alice))["clock"].state == "failed"
        await cluster.crash(bob)
        await trio.sleep(120)
        found = await examined(alice)
        assert (found["bootstrap"].code, found["bootstrap"].facts["known"]) == ("bootstrap.nobody_answers", 1)
        running(alice).health.tried = None
        assert (await examined(alice))["bootstrap"].code == "bootstrap.starting"
        assert Tried(strangers=True).anybody


async def test_behind_a_proxy_it_says_why_so_much_is_not_looked_at(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await at_home_with_relays(cluster)
        context = running(alice)
        context.reach = dataclasses.replace(context.reach, proxy=True)
        for found in (await examined(alice), await examined(alice, passers := Passers(cluster))):
            codes = {name: found[name].code for name in ("addresses", "nat", "mapping", "test")}
            assert set(codes.values()) == {f"{name}.proxied" for name in codes}
            assert found["relays"].code == "relays.ok"
        assert passers.made == []


async def test_behind_a_proxy_and_alone(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        carol = await cluster.add("Carol", host=HOSTS[0])  # does not relay
        running(carol).reach = dataclasses.replace(running(carol).reach, proxy=True)
        assert (await examined(carol))["bootstrap"].code == "bootstrap.proxied_alone"
        running(carol).health.proxy = "the proxy does not answer"
        assert (await examined(carol))["bootstrap"].code == "bootstrap.proxy_unusable"
        alice = await at_home(cluster, "Alice", ALICE)
        running(alice).reach = running(carol).reach
        await trio.sleep(10)
        assert (await examined(alice))["relays"].code == "relays.none_proxied"


async def test_without_permission_nobody_is_asked(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await at_home_with_relays(cluster)
        passers = Passers(cluster)
        running(alice).stranger = passers
        found = await examine_unlocked(running(alice), None, send=False)
        assert "test.not_sent" in [each.code for each in found]
        assert passers.made == []


async def test_a_node_that_does_not_answer_at_its_own_addresses(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        cluster.network.hide(alice.network)
        assert (await examined(alice, Passers(cluster)))["test"].code == "test.no_answer"


async def test_whom_the_users_own_rules_keep_away_is_no_firewall(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        nobody = Access(networks={ip_network(each): False for each in ("0.0.0.0/0", "::/0")})
        running(alice).access = nobody
        await alice.network.restrict(nobody)
        assert (await examined(alice, Passers(cluster)))["test"].code == "test.denied"


async def test_a_check_that_cannot_be_made_spoils_no_other(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def none(*, listens: bool = False) -> AsyncGenerator[Network]:
        raise NetError("No more sockets.")
        yield

    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        running(alice).stranger = none
        found = {each.name: each for each in await examine_unlocked(running(alice), None, send=True)}
        assert (found["test"].code, found["test"].facts) == ("test.broken", {"reason": "No more sockets."})
        assert found["dht"].code == "dht.none"


@pytest.mark.usefixtures("_standing_is_given")
@pytest.mark.parametrize(
    ("standing", "nat"), [("unknown", "nat.unknown"), ("private", "nat.private"), ("public", "nat.public")]
)
async def test_what_others_have_confirmed(autojump_clock: MockClock, standing: Standing, nat: str) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        alice.network.standing = standing
        assert (await examined(alice))["nat"].code == nat


async def test_relays_that_there_are_none_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol", host=HOSTS[0])  # does not relay
        alice = await at_home(cluster, "Alice", ALICE)
        await trio.sleep(10)
        assert (await examined(alice))["relays"].code == "relays.none"
        running(alice).reach = dataclasses.replace(running(alice).reach, relay_use=False)
        assert (await examined(alice))["relays"].code == "relays.off"


async def test_the_own_mailboxes(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        assert (await examined(alice))["mailboxes"].code == "mailboxes.none"
        holders = [BoxHolder(cluster, number).node for number in (1, 2)]

        def use(tx: Tx, granted: bool, failed_s: tuple[int, int]) -> None:
            tx.execute("DELETE FROM own_mailbox")
            for holder, seconds in zip(holders, failed_s, strict=True):
                row = own_mailbox.make(holder.peer_id, holder.addresses(), alice.entropy, chosen=True)
                own_mailbox.keep(tx, dataclasses.replace(row, granted_s=tx.now_s, quota=1, heard_s=tx.now_s))
                tx.execute("UPDATE own_mailbox SET failed_s = ? WHERE peer = ?", (seconds, bytes(holder.peer_id)))
            if not granted:
                tx.execute("UPDATE own_mailbox SET granted_s = NULL")

        for granted, failed_s, code in (
            (True, (0, 0), "ok"),
            (True, (600, 0), "failing"),
            (True, (600, 900), "all_failing"),
            (False, (0, 0), "asked"),
        ):
            await alice.database.run(lambda tx, g=granted, f=failed_s: use(tx, g, f))  # type: ignore[misc]
            assert (await examined(alice))["mailboxes"].code == f"mailboxes.{code}"


@pytest.mark.parametrize("state", ["off", "unneeded", "asking", "mapped", "refused"])
async def test_what_became_of_the_routers_port(autojump_clock: MockClock, state: str) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        running(alice).health.mapping = state  # type: ignore[assignment]
        assert (await examined(alice))["mapping"].code == f"mapping.{state}"


async def test_a_device_that_was_replaced_is_in_no_network(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        running(alice).replaced_ms = 1
        found = await examined(alice)
        assert found["device"].code == "device.replaced"
        assert found["test"].code == "test.replaced"
        assert found["test"].state == "skipped"


async def test_the_method(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        assert alice.running is not None
        methods = Methods(running(alice), alice.running.life.online, "work", 0.0)
        reply = await methods("node.doctor", {"send": False}, NOBODY)
        rows = {each.name: each for each in reply.checks}  # type: ignore[attr-defined]
        assert "p2pchat --profile work net bootstrap" in rows["bootstrap"].advice
        assert list(rows)[-1] == "test"
