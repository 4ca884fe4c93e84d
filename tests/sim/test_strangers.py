"""What a peer that nobody knows gets: one constant refusal, a Nack, or its stream reset; and nobody else notices."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.limits import PREKEYS_PER_PEER
from p2pchat.core.prekeys import ask_proof, open_bundle
from p2pchat.core.wire import (
    FEATURES,
    Ack,
    Batch,
    Bundle,
    BundleRequest,
    Bye,
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
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.store import contact_peers
from p2pchat.store.db import Row, Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"


class Stranger:
    """A peer that speaks frames as it likes."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._reader = FrameReader(stream, 1 << 20)

    async def send(self, frames: Sequence[Frame]) -> None:
        await write_frames(self.stream, [encode_frame(frame) for frame in frames])

    async def next(self) -> Frame | None:
        """The next frame, None at the end of the stream however it came."""
        try:
            data = await self._reader.read()
        except NetError:
            return None
        return None if data is None else decode_frame(data)


@asynccontextmanager
async def one_stranger() -> AsyncIterator[tuple[Cluster, Node, MemoryNode]]:
    with fixed_schedule(3):
        async with Cluster.running() as cluster:
            alice = await cluster.add("Alice", ALICE)
            node = cluster.network.node()
            await node.dial(alice.network.peer_id, alice.network.addresses())
            yield cluster, alice, node


def rows_of(table: str, tx: Tx) -> list[Row]:
    return tx.all(f"SELECT * FROM {table}")  # noqa: S608  the table is named below


async def knock(node: MemoryNode, alice: Node) -> Stranger:
    stranger = Stranger(await node.open(alice.network.peer_id, MSG_PROTOCOL))
    await stranger.send([Hello(0)])
    assert await stranger.next() == Hello(FEATURES)
    return stranger


async def test_no_bundle_without_a_proof_for_both_peer_ids(autojump_clock: MockClock) -> None:
    async with one_stranger() as (_, alice, node):
        stranger = await knock(node, alice)
        me, her, ask = node.peer_id, alice.network.peer_id, alice.profile.ask
        wrong = [bytes(32), ask_proof(bytes(32), her, me), ask_proof(ask, me, her), ask_proof(ask, her, her)]
        for proof in wrong:
            await stranger.send([BundleRequest(proof)])
            assert await stranger.next() == Bundle(b"")
        await stranger.send([BundleRequest(ask_proof(ask, her, me))])
        answer = await stranger.next()
        assert isinstance(answer, Bundle)
        assert alice.running is not None
        context = alice.running.context
        root = context.identity.cert.root
        assert open_bundle(answer.bundle, root, int(context.now()), context.params).cert.root == root


async def test_asking_for_bundles_fills_nothing(autojump_clock: MockClock) -> None:
    async with one_stranger() as (_, alice, node):
        stranger = await knock(node, alice)
        proof = ask_proof(alice.profile.ask, alice.network.peer_id, node.peer_id)
        for _ in range(50):
            await stranger.send([BundleRequest(proof)])
            assert await stranger.next() != Bundle(b"")
        assert len(await alice.database.run(partial(rows_of, "prekey"))) == PREKEYS_PER_PEER


async def test_envelopes_and_flights_that_nothing_opens_are_answered_with_nacks(autojump_clock: MockClock) -> None:
    async with one_stranger() as (_, alice, node):
        stranger = await knock(node, alice)
        chance = random.Random(1)
        envelopes = [chance.randbytes(400) for _ in range(3)]
        await stranger.send([Batch(tuple(envelopes))])
        assert [await stranger.next() for _ in envelopes] == [Nack(eid(envelope)) for envelope in envelopes]
        flight = Flight(
            chance.randbytes(32), chance.randbytes(1088), chance.randbytes(16), chance.randbytes(300), envelopes[0]
        )
        await stranger.send([flight, Ping(5)])
        assert await stranger.next() == Nack(eid(envelopes[0]))
        assert await stranger.next() == Pong(5)
        for table in ("message", "session", "received", "replay_tag", "contact_peer"):
            assert await alice.database.run(partial(rows_of, table)) == [], table


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x10\x00\x01" + bytes(100),
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x02\x92\x09",
        b"\x00\x00\x00\x03\x92\x0a\x00",
        b"\x00\x00\x00\x02\x91\x00",
        b"\x00\x00\x00\x05\x92\x07\xcc\x01\x00",
        b"\x00\x00\x00\x03\x92\x02\xc0",
    ],
)
async def test_junk_ends_that_stream_alone(junk: bytes, autojump_clock: MockClock) -> None:
    async with one_stranger() as (_, alice, node):
        stranger, other = await knock(node, alice), await knock(node, alice)
        await stranger.stream.write(junk)
        assert await stranger.next() is None
        await other.send([Ping(1)])
        assert await other.next() == Pong(1)


async def test_a_frame_before_hello_a_second_hello_and_an_unasked_bundle_end_the_stream(
    autojump_clock: MockClock,
) -> None:
    async with one_stranger() as (_, alice, node):
        early = Stranger(await node.open(alice.network.peer_id, MSG_PROTOCOL))
        await early.send([Ping(1)])
        while (frame := await early.next()) is not None:
            assert frame == Hello(FEATURES)  # a reset may overtake it
        for frame in (Hello(0), Bundle(b"")):
            stranger = await knock(node, alice)
            await stranger.send([frame])
            assert await stranger.next() is None


async def test_an_ack_of_nothing_is_ignored_and_bye_ends_politely(autojump_clock: MockClock) -> None:
    async with one_stranger() as (_, alice, node):
        stranger = await knock(node, alice)
        await stranger.send([Ack(((bytes(16), bytes(16)),)), Nack(bytes(16)), Ping(9)])
        assert await stranger.next() == Pong(9)
        await stranger.send([Bye()])
        assert await stranger.next() is None


async def test_silence_is_ended_after_30_seconds_and_no_hello_after_10(autojump_clock: MockClock) -> None:
    async with one_stranger() as (_, alice, node):
        mute = Stranger(await node.open(alice.network.peer_id, MSG_PROTOCOL))
        started = trio.current_time()
        assert await mute.next() == Hello(FEATURES)
        assert await mute.next() is None
        assert trio.current_time() - started == pytest.approx(10, abs=1)
        await node.dial(alice.network.peer_id, alice.network.addresses())
        silent = await knock(node, alice)
        started = trio.current_time()
        while await silent.next() is not None:
            pass
        assert 29 < trio.current_time() - started <= 46


async def test_contacts_talk_on_while_a_stranger_floods(autojump_clock: MockClock) -> None:
    async with one_stranger() as (cluster, alice, node):
        bob = await cluster.add("Bob", BOB)
        await alice.add(BOB, "Bob")
        await bob.add(ALICE, "Alice")

        async def flood() -> None:
            chance = random.Random(2)
            while True:
                try:
                    stranger = await knock(node, alice)
                    for _ in range(20):
                        await stranger.send([Batch(tuple(chance.randbytes(300) for _ in range(64)))])
                    await trio.sleep(0.1)
                except NetError:
                    await trio.sleep(0.1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            for number in range(20):
                await alice.send("Bob", str(number))

            async def arrived() -> bool:
                return len(await bob.received("Alice")) == 20

            assert await eventually(arrived, within_s=60) < 60
            nursery.cancel_scope.cancel()


async def test_a_contact_that_publishes_anothers_peer_id_takes_no_messages_away(autojump_clock: MockClock) -> None:
    with fixed_schedule(5):
        async with Cluster.running() as cluster:
            alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
            mallory = await alice.add("+821055556666", "Mallory")  # added first: its row comes first, too
            bobs, where = bob.network.peer_id, bob.network.addresses()
            await alice.database.run(lambda tx: contact_peers.save(tx, mallory.id, bobs, where, bytes(32), 0))
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")
            for number in range(5):
                await alice.send("Bob", str(number))
                await bob.send("Alice", str(number))

            async def arrived() -> bool:
                return len(await bob.received("Alice")) == len(await alice.received("Bob")) == 5

            assert await eventually(arrived, within_s=300) < 300
