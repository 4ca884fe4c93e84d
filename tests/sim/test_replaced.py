"""A device that was replaced by a newer one of the same root is told so, stops, and loses nothing (PROTOCOL.md 5.3)."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.api.schema import METHODS
from p2pchat.base.errors import NetError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.control import render
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.events import EventKind
from p2pchat.core.keys import create_device, create_identity
from p2pchat.core.nodes_link import NamedNode, encode_nodes
from p2pchat.core.params import DAY_S
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import FEATURES, TAKES_DEVICE, Device, Hello, Nack, Ping, Pong, eid
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.services import link
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.store import eventlog
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, meet
from tests.sim.test_locking import CONNECTION, methods_of, name_of
from tests.sim.test_opaque_refusals import Flier
from tests.sim.test_restore import agree, epoch_ms, settled, talk
from tests.sim.test_strangers import Stranger, knock, one_stranger

CAROL = "+821055555555"


async def is_replaced(node: Node) -> bool:
    assert node.running is not None
    return node.running.context.replaced_ms is not None


async def is_unreachable(cluster: Cluster, node: Node) -> bool:
    """Whether a stranger who knows where it was finds nobody there."""
    stranger = cluster.network.node()
    try:
        await stranger.dial(node.network.peer_id, node.network.addresses())
    except NetError:
        return True
    await stranger.disconnect(node.network.peer_id)
    return False


@pytest.mark.parametrize("schedule", range(3))
async def test_the_old_device_is_told_when_it_is_started_again(schedule: int, autojump_clock: MockClock) -> None:
    """Though its owner does nothing: the first word to a contact is enough."""
    with fixed_schedule(schedule):
        async with Cluster.running(seed=schedule) as cluster:
            alice, bob = await meet(cluster)
            await alice.add(CAROL, "Carol")
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await alice.send("Carol", "for nobody yet")
            await cluster.crash(alice)
            await trio.sleep(60)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "restored")
            told = len(bob.events)

            await cluster.start(alice)
            took_s = await eventually(lambda: is_replaced(alice), within_s=60)
            assert took_s < 10
            assert alice.running is not None
            context = alice.running.context
            assert context.replaced_ms == epoch_ms(again)
            await eventually(lambda: is_unreachable(cluster, alice), within_s=60)
            assert (context.network.addresses(), context.network.links()) == ((), ())
            assert [event.kind for event in alice.events].count(EventKind.NODE_WARNING) == 1
            assert [(row.text, row.state) for row in await alice.conversation("Carol")] == [
                ("for nobody yet", "queued")
            ]

            await talk(again, bob, "and on")
            assert await agree(again, bob)
            assert not await is_replaced(again)
            assert not await is_replaced(bob)
            assert (await bob.contact("Alice")).epoch_ms == epoch_ms(again)
            kinds = {event.kind for event in bob.events[told:]}
            assert kinds.isdisjoint({EventKind.CONTACT_KEY_CHANGED, EventKind.NODE_WARNING})


async def test_what_waits_on_it_ends_as_anywhere(rare_pings: None, autojump_clock: MockClock) -> None:
    """Messages expire and keys go, though no network is there."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await alice.add(CAROL, "Carol")
            await alice.send("Carol", "for nobody yet")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(60)
            again = await cluster.restore(alice, saved)
            await again.send("Bob", "restored")
            await eventually(lambda: _has(bob, "restored"), within_s=900)
            await cluster.start(alice)
            await eventually(lambda: is_replaced(alice), within_s=7200)
            for node in (again, bob):
                await cluster.crash(node)
            assert await alice.database.run(lambda tx: tx.all("SELECT 1 FROM spk")) != []
            await trio.sleep(31 * DAY_S)
            assert [row.state for row in await alice.conversation("Carol")] == ["expired"]
            assert await alice.database.run(lambda tx: tx.all("SELECT 1 FROM spk UNION SELECT 1 FROM prekey")) == []


async def test_a_device_that_is_not_told_holds_no_text_up(
    rare_pings: None, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contact that was restored itself has no certificate to tell it with: both devices are connected."""

    async def silent(_: link.Link, __: bytes) -> None:
        pass

    monkeypatch.setattr(link.Link, "_tell", silent)
    with fixed_schedule(0):
        async with Cluster.running() as cluster:
            alice, bob = await meet(cluster)
            await bob.send("Alice", "first")
            await eventually(partial(settled, alice, bob), within_s=60)
            again = await cluster.restore(bob, await bob.backup())
            await again.send("Alice", "restored")
            await alice.send("Bob", "to both")
            await eventually(partial(settled, alice, again), within_s=900)
            await trio.sleep(60)
            assert alice.running is not None
            assert alice.running.life.connector is not None
            (links,) = alice.running.life.connector._links.values()
            links.sort(key=lambda each: each.stream.peer != bob.network.peer_id)  # the old one's is the first asked
            assert [each.stream.peer for each in links] == [bob.network.peer_id, again.network.peer_id]

            await alice.send("Bob", "to the newer one")
            await eventually(lambda: _has(again, "to the newer one"), within_s=5)


async def _has(node: Node, text: str) -> bool:
    return text in await node.received("Alice")


async def test_what_the_old_device_sends_before_it_is_told_arrives_and_is_settled(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(bob)
            await alice.send("Bob", "written before the restore")
            await trio.sleep(60)
            await cluster.crash(alice)
            await cluster.start(bob)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "restored")
            await cluster.start(alice)
            await eventually(lambda: is_replaced(alice), within_s=60)
            assert await alice.outbox() == 0
            assert (await bob.received("Alice"))[-1] == "written before the restore"


@pytest.mark.parametrize("schedule", range(4))
async def test_of_two_that_run_at_once_the_newer_one_stays(schedule: int, autojump_clock: MockClock) -> None:
    with fixed_schedule(schedule):
        async with Cluster.running(seed=schedule) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            again = await cluster.restore(alice, await alice.backup())
            await again.send("Bob", "new")
            await alice.send("Bob", "old")
            await eventually(lambda: is_replaced(alice), within_s=3600)
            await talk(again, bob, "and on")
            assert not await is_replaced(again)
            assert await agree(again, bob)
            assert {"new", "old"} >= set(await bob.received("Alice")) - {
                f"{what}, Alice {n}" for what in ("first", "and on") for n in range(3)
            }


async def test_it_says_so_again_at_every_start_and_stays_out_of_the_network(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(60)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "restored")
            await cluster.start(alice)
            await eventually(lambda: is_replaced(alice), within_s=60)
            await cluster.crash(alice)
            await cluster.start(alice)
            assert alice.running is not None
            context = alice.running.context
            assert context.replaced_ms == epoch_ms(again)
            assert context.network.peer_id == peer_id_from_key(ed25519_pair(context.profile.node_seed).public)
            assert not hasattr(context, "dht")
            assert await is_unreachable(cluster, alice)
            await alice.running.life.save()  # as a clean stop does
            assert not alice.running.life.online((await alice.contact("Bob")).id)


async def test_a_backup_of_the_one_that_was_replaced_makes_the_newest(autojump_clock: MockClock) -> None:
    """Be the clock as wrong as it likes: it knows how new the other is."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(3600)
            second = await cluster.restore(alice, saved)
            await talk(second, bob, "second")
            await cluster.start(alice)
            await eventually(lambda: is_replaced(alice), within_s=60)
            third = await cluster.restore(alice, await alice.backup(), skew_s=-1800)
            assert epoch_ms(third) == epoch_ms(second) + 1
            third.now.skew_s = 0.0
            await third.send("Bob", "here again")
            await second.send("Bob", "and I")
            await eventually(lambda: is_replaced(second), within_s=3600)
            await talk(third, bob, "third")
            assert not await is_replaced(third)
            assert await agree(third, bob)


async def test_what_it_refuses_and_what_it_still_does(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(60)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "restored")
            await cluster.start(alice)
            methods = methods_of(alice)
            waiting: list[str] = []
            async with trio.open_nursery() as nursery:

                async def wait() -> None:
                    params: dict[str, object] = {"to": CAROL, "text": "x", "wait": "delivered"}
                    await methods("contacts.add", {"number": CAROL}, CONNECTION)
                    waiting.append(await name_of(methods("message.send", params, CONNECTION)))

                nursery.start_soon(wait)
                with trio.fail_after(60):
                    await eventually(lambda: is_replaced(alice))
            assert waiting == ["FORBIDDEN"]  # it stood in the outbox when the device was replaced

            row = await alice.contact("Bob")
            given: dict[str, dict[str, object]] = {
                "message.send": {"to": "Bob", "text": "x"},
                "message.cancel": {"id": "00"},
                "message.delete": {"id": "00"},
                "message.mark_read": {"id": "00"},
                "contacts.add": {"number": "+821077777777"},
                "contacts.import": {"entries": [{"line": 1, "number": "+821077777777"}]},
                "contacts.rename": {"to": "Bob", "name": "B"},
                "contacts.merge": {"to": "Bob", "other": CAROL},
                "contacts.verify": {"to": "Bob", "safety_number": "1" * 60},
                "contacts.accept": {"id": row.uid.hex()},
                "contacts.refuse": {"id": row.uid.hex()},
                "identity.revoke": {"id": "00"},
                "identity.invite": {},
                "identity.set": {"receipts": False},
                "mailbox.use": {"auto": True},
                "contacts.receipts": {"to": "Bob", "on": False},
                "mailbox.offer": {"for": "anyone"},
                "config.set": {"key": "log.level", "value": "debug"},
                "net.dial": {"address": "/ip4/127.0.0.1/tcp/1/p2p/12D3KooW"},
                "net.bootstrap": {"address": "/ip4/127.0.0.1/tcp/1/p2p/12D3KooW"},
                "net.allow": {"what": "Bob"},
                "net.deny": {"what": "Bob"},
                "net.forget": {"what": "Bob"},
                "net.import": {
                    "links": encode_nodes([NamedNode(PeerId(PEER_ID_PREFIX + bytes(32)), (Address(b"x"),))])
                },
            }
            before = await alice.database.run(lambda tx: tx.all("SELECT * FROM message"))
            for method, spec in METHODS.items():
                if spec.mutating or method in ("net.dial", "net.bootstrap"):
                    params = given.get(method, {"to": ["Bob"]} if method == "contacts.find" else {"to": "Bob"})
                    for key in ({}, {"idempotency_key": "k"}) if spec.mutating else ({},):
                        with pytest.raises(UsageError) as refused:
                            await methods(method, params | key, CONNECTION)
                        assert refused.value.error_name == "FORBIDDEN", method
                        assert "newer device" in refused.value.message
                        assert "backup restore" in refused.value.message
            assert await alice.database.run(lambda tx: tx.all("SELECT * FROM message")) == before

            works: dict[str, dict[str, object]] = {
                "contacts.list": {},
                "contacts.get": {"to": "Bob"},
                "contacts.claimants": {"to": "Bob"},
                "contacts.safety": {"to": "Bob"},
                "message.list": {"to": "Bob"},
                "identity.show": {},
                "identity.qr": {},
                "identity.invites": {},
                "events.fetch": {"since": {"consumer": "bot", "start": 0}},
                "events.ack": {"consumer": "bot", "seq": 1},
                "events.consumers": {},
                "events.forget": {"consumer": "bot"},
                "net.peers": {},
                "net.addrs": {},
                "net.export": {},
                "stats.get": {},
                "config.get": {},
            }
            for method, found in works.items():
                await methods(method, found, CONNECTION)
            status = await methods("node.status", {}, CONNECTION)
            assert isinstance(status, objects.Status)
            assert (status.replaced_ms, status.peers, status.addresses) == (epoch_ms(again), 0, [])
            assert status.outbox == 1
            listed = await methods("message.list", {"to": CAROL}, CONNECTION)
            assert isinstance(listed, objects.Messages)
            explained = await methods("message.explain", {"id": listed.messages[0].id}, CONNECTION)
            assert isinstance(explained, objects.Explanation)
            assert (explained.next_try_ms, explained.text[:14]) == (None, "A newer device")
            events = await alice.database.run(lambda tx: eventlog.after(tx, 0, 1_000))
            (told,) = [event for event in events if event.kind == EventKind.NODE_WARNING]
            shown = await alice.database.run(lambda tx: render.event(tx, told, lambda _: False, bytes(8)))
            assert shown.data == {"replaced_ms": epoch_ms(again)}
            newer = await methods_of(again)("node.status", {}, CONNECTION)
            assert isinstance(newer, objects.Status)
            assert newer.replaced_ms is None


# -- on the wire -----------------------------------------------------------------------------------------------------


async def test_a_contact_tells_once_a_stream_and_only_who_takes_it(autojump_clock: MockClock) -> None:
    async with one_stranger() as (cluster, alice, node):
        proof = ask_proof(alice.profile.ask, alice.network.peer_id, node.peer_id)
        flier = Flier(cluster, alice, await knock(node, alice), proof)
        old = await flier.person()
        _, first = await flier.fly(old)
        await flier.stranger.send([first])
        await flier.answer()  # matched
        newer = create_device(old.root.secret, flier.entropy, old.cert.epoch_ms + 1)
        await trio.sleep(1)
        _, second = await flier.fly(newer)
        await flier.stranger.send([second])
        await flier.answer()

        for features in (0, FEATURES, 2, FEATURES | 1 << 63):
            flier.stranger = Stranger(await node.open(alice.network.peer_id, MSG_PROTOCOL))
            await flier.stranger.send([Hello(features)])
            assert await flier.stranger.next() == Hello(FEATURES)
            flights = [(await flier.fly(old))[1] for _ in range(2)]
            for number, flight in enumerate([*flights, *flights]):
                await flier.stranger.send([flight, Ping(number)])
                assert await flier.answer() == Nack(eid(flight.envelope))
                if features & TAKES_DEVICE and number == 0:
                    assert await flier.answer() == Device(newer.cert.raw)
                assert await flier.answer() == Pong(number)
        flier.stranger = await knock(node, alice)
        await flier.stranger.send([Hello(FEATURES)])  # a second one
        assert await flier.answer() is None


async def test_what_others_say_of_devices_stops_nobody(autojump_clock: MockClock) -> None:
    async with one_stranger() as (cluster, alice, node):
        assert alice.running is not None
        own, entropy = alice.running.context.identity, alice.entropy
        now_ms = int(cluster.now() * 1000)
        other = create_identity(entropy, now_ms + 1)
        newer = create_device(own.root.secret, entropy, own.cert.epoch_ms + 1)
        ignored = [
            other.cert.raw,
            own.cert.raw,
            create_device(own.root.secret, entropy, own.cert.epoch_ms).cert.raw,
            create_device(own.root.secret, entropy, own.cert.epoch_ms - 1).cert.raw,
            create_device(own.root.secret, entropy, now_ms + 660_000).cert.raw,
            newer.cert.raw[:-1] + bytes([newer.cert.raw[-1] ^ 1]),
        ]
        for raw in ignored:
            stranger = await knock(node, alice)
            await stranger.send([Device(raw), Ping(1)])
            assert await stranger.next() == Pong(1)
            await stranger.send([Device(raw)])  # a second one on one stream
            assert await stranger.next() is None
        for raw in (b"", newer.cert.raw[:-1], newer.cert.raw + b"\0"):
            stranger = await knock(node, alice)
            await stranger.send([Device(raw)])
            assert await stranger.next() is None
        assert not await is_replaced(alice)
        stranger = await knock(node, alice)
        await stranger.send([Device(newer.cert.raw)])  # whoever brings it, its root has signed it
        await eventually(lambda: is_replaced(alice), within_s=10)
        assert await stranger.next() is None


async def test_a_contact_of_before_the_frame_is_not_disturbed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old device is of an earlier version: it is told nothing, and no stream is reset for it."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(60)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "restored")
            monkeypatch.setattr(link, "FEATURES", 0)
            await cluster.start(alice)
            await alice.send("Bob", "from an earlier version")
            await eventually(partial(settled, alice), within_s=900)
            await trio.sleep(600)
            assert not await is_replaced(alice)
            await talk(again, bob, "and on")


async def test_the_device_that_this_one_was_by_a_wrong_clock_does_not_replace_it(autojump_clock: MockClock) -> None:
    """A contact whose clock was as wrong has seen it, and says so a day later when that time has come."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice = await cluster.add("Alice", ALICE, skew_s=DAY_S)
            assert alice.running is not None
            ahead = alice.running.context.identity
            alice.now.skew_s = 0.0
            await eventually(lambda: _is_dated_anew(alice, ahead.cert.epoch_ms), within_s=3600)
            await trio.sleep(2 * DAY_S)
            node = cluster.network.node()
            await node.dial(alice.network.peer_id, alice.network.addresses())
            stranger = await knock(node, alice)
            await stranger.send([Device(ahead.cert.raw), Ping(1)])
            assert await stranger.next() == Pong(1)
            assert not await is_replaced(alice)


async def _is_dated_anew(node: Node, dated_ms: int) -> bool:
    return epoch_ms(node) < dated_ms
