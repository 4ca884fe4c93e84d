"""Who was blocked has kept everything: what it sent and got, ask32, the roots of slots. None of it leads anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.prekeys import ask_proof
from p2pchat.core.presence import PresenceKey, presence_epoch
from p2pchat.core.record import check_record
from p2pchat.core.rendezvous import encode_rendezvous, rendezvous_slots
from p2pchat.core.wire import (
    FEATURES,
    Ack,
    Batch,
    Bundle,
    BundleRequest,
    Flight,
    Frame,
    Hello,
    Nack,
    Ping,
    Pong,
    decode_frame,
    eid,
    encode_frame,
)
from p2pchat.net.dht import Dht, WalkResult
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.services import block, link
from p2pchat.services import contacts as book
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.store import contact_peers, sessions
from p2pchat.store import presence as presences
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.number_knower import CAROL, HOUR_S, Knower, meet_and_talk, seen, talk
from tests.sim.people import ALICE, BOB, meet

pytestmark = pytest.mark.usefixtures("rare_pings")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(43):
        yield


async def part(node: Node, name: str, how: str) -> None:
    assert node.running is not None
    context = node.running.context

    def do(tx: Tx) -> None:
        row = book.resolve(tx, context, name)
        if how == "blocked":
            block.block(tx, context, row)
        elif how == "removed":
            book.remove(tx, context, row)
        else:
            book.choose(tx, context, row, (b"m" * 32).hex())

    await node.database.run(do)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Every frame that any node has sent on a message stream."""
    frames: list[Frame] = []

    async def overheard(stream: object, bodies: list[bytes]) -> None:
        frames.extend(map(decode_frame, bodies))
        await write_frames(stream, bodies)  # type: ignore[arg-type]

    monkeypatch.setattr(link, "write_frames", overheard)
    return frames


@pytest.mark.parametrize("how", ["blocked", "removed", "chosen away"])
async def test_what_was_sent_before_tells_nothing_about_the_new_node(
    how: str, said: list[Frame], autojump_clock: MockClock
) -> None:
    """The same answers as from a node that Bob has never heard of, so that he cannot tell whose it is."""
    async with Cluster.running() as cluster:
        carol = await cluster.add("Carol", CAROL)
        alice, bob = await meet(cluster)
        await talk(alice, bob)
        asks = [peer.ask for peer in await bob.database.run(lambda tx: contact_peers.of_contact(tx, 1)) if peer.ask]
        assert asks
        kept = [frame for frame in said if isinstance(frame, Flight | Batch | Ack)]
        assert {type(frame) for frame in kept} == {Flight, Batch, Ack}
        await part(alice, "Bob", how)
        await trio.sleep(5)
        await cluster.crash(bob)  # his node is quiet; he himself knocks from elsewhere
        before = [row.text for row in await alice.conversation("Bob")] if how != "removed" else []
        answers: dict[str, list[Frame]] = {}
        for node in (alice, carol):
            answers[node.name] = await knock(cluster, node, kept, asks)
        assert answers["Alice"] == answers["Carol"]
        envelopes = [e for frame in kept if not isinstance(frame, Ack) for e in envelopes_of(frame)]
        assert answers["Alice"] == [Nack(eid(e)) for e in envelopes] + [Bundle(b"")] * len(asks) + [Pong(7)]
        if how != "removed":
            assert [row.text for row in await alice.conversation("Bob")] == before
            assert (await alice.contact("Bob")).state == ("blocked" if how == "blocked" else "pending")
        await meet_and_talk(alice, carol)


def envelopes_of(frame: Flight | Batch) -> tuple[bytes, ...]:
    return frame.envelopes if isinstance(frame, Batch) else (frame.envelope,)


async def knock(cluster: Cluster, node: Node, frames: list[Flight | Batch | Ack], asks: list[bytes]) -> list[Frame]:
    """All that a node answers to a stranger who says all this, in order."""
    stranger = cluster.network.node()
    await stranger.dial(node.network.peer_id, node.network.addresses())
    stream = await stranger.open(node.network.peer_id, MSG_PROTOCOL)
    proofs = [BundleRequest(ask_proof(ask, node.network.peer_id, stranger.peer_id)) for ask in asks]
    await write_frames(stream, [encode_frame(frame) for frame in (Hello(0), *frames, *proofs, Ping(7))])
    reader = FrameReader(stream, CHEAP.frame_bytes)
    heard: list[Frame] = []
    while not heard or heard[-1] != Pong(7):
        heard.append(decode_frame(await reader.read() or b""))
    await stream.reset()
    assert heard.pop(0) == Hello(FEATURES)
    return heard


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Dht, bytes]]:
    """Which node has looked or written where."""
    found: list[tuple[Dht, bytes]] = []
    walk = Dht.walk

    async def noted(
        self: Dht, loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0
    ) -> WalkResult:
        found.append((self, loc))
        return await walk(self, loc, put=put, get=get, watch_s=watch_s)

    monkeypatch.setattr(Dht, "walk", noted)
    return found


async def test_where_the_blocked_one_looks_and_writes_nobody_is(
    walked: list[tuple[Dht, bytes]], autojump_clock: MockClock
) -> None:
    """He knows the pair's slot, the slots of their session, and the presence that he was given."""
    async with Cluster.running() as cluster:
        carol, dave = await cluster.add("Carol", CAROL), await cluster.add("Dave")
        alice, bob = await meet(cluster)
        await meet_and_talk(alice, carol)
        await trio.sleep(60)
        held = await bob.database.run(lambda tx: presences.held(tx, 1))
        [first, *_] = await bob.database.run(partial(sessions.of_contact, contact=1))
        assert held is not None
        assert first.session.rdv is not None
        await cluster.crash(carol)  # so that Alice has somebody to meet in slots of a session
        await part(alice, "Bob", "blocked")
        await cluster.crash(bob)
        blocked_s = int(cluster.now())
        told = len(alice.events)
        knower = Knower(cluster, ALICE, BOB)
        rdv = [slot for slot, _ in rendezvous_slots(first.session.rdv, blocked_s, CHEAP)]
        bobs = encode_rendezvous(PresenceKey(9, b"g" * 32, presence_epoch(blocked_s, CHEAP), b"k" * 32))
        await trio.sleep(60)
        walked.clear()
        for slot in (*rdv, knower.slot()):
            for data in (bobs, b"junk"):
                assert (
                    await knower.put(slot.loc, knower.sealed(slot, knower.writer(), data), (dave, alice)) == [True] * 2
                )
        await knower.hello(knower.pose(knower.slot(), 1), (dave, alice))
        await trio.sleep(13 * HOUR_S)
        assert alice.running is not None
        own = [loc for dht, loc in walked if dht is alice.running.context.dht]
        assert own  # the new presence, Carol's, and the slots of Carol's session
        known = {slot.loc for slot in (*rdv, knower.slot())} | {held.key.loc}
        assert not known & set(own)
        for loc in known:
            for raw in await knower.read(loc, dave):
                record = check_record(loc, raw, int(cluster.now()), CHEAP)
                assert record.writer in knower.writers or record.seq <= blocked_s
        assert await seen(alice, "Bob") == ("blocked", 1, "claimed")
        assert [event for event in alice.events[told:] if event.contact == 1] == []
        assert await alice.database.run(lambda tx: presences.held(tx, 1)) is None
        await cluster.start(carol)
        await talk(alice, carol, within_s=8 * HOUR_S)
