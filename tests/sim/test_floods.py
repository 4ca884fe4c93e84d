"""A peer that has the node work for nothing is cut off and counted, contact or not; one that talks never is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.limits import FRUITLESS_BURST_US, FRUITLESS_US_PER_S, WRITE_STALL_S
from p2pchat.base.refusals import Refusal
from p2pchat.core.framing import with_length
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import (
    Ack,
    Batch,
    BundleRequest,
    Flight,
    Frame,
    Hello,
    Nack,
    Ping,
    Pong,
    decode_frame,
    encode_frame,
)
from p2pchat.net.pump import FrameReader
from p2pchat.net.transport import Stream
from p2pchat.services.charges import ACK_US
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.light import LightPeer, Person, acquaint
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet
from tests.sim.test_receipts import mark

WHO = ("stranger", "contact")
FULL_S = FRUITLESS_BURST_US / FRUITLESS_US_PER_S


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(23):
        yield


def packed(frame: Frame) -> bytes:
    return with_length(encode_frame(frame))


@dataclass(slots=True)
class Scene:
    """Alice, whom Mallory is connected to; Bob is a friend of hers."""

    cluster: Cluster
    alice: Node
    mallory: MemoryNode
    person: Person
    entropy: SeededEntropy

    def proof(self) -> bytes:
        """Of Alice's true ask32."""
        return ask_proof(self.alice.profile.ask, self.alice.network.peer_id, self.mallory.peer_id)

    def refused(self, kind: Refusal) -> int:
        assert self.alice.running is not None
        return self.alice.running.context.charges.refusals[kind]

    async def connect(self) -> Stream:
        await self.mallory.dial(self.alice.network.peer_id, self.alice.network.addresses())
        return await self.mallory.open(self.alice.network.peer_id, MSG_PROTOCOL)

    async def open(self) -> Stream:
        stream = await self.connect()
        await stream.write(packed(Hello(0)))
        return stream

    async def flood(self, stream: Stream, data: bytes, *, writes: int = 1) -> int:
        """Write ``data`` so often, unless that ends the stream before; the frames that came back until it was cut."""
        answers = 0

        async def write() -> None:
            with suppress(NetError):  # the reader meets it, too
                for _ in range(writes):
                    await stream.write(data)

        async def read() -> None:
            nonlocal answers
            reader = FrameReader(stream, 1 << 20)
            while await reader.read() is not None:
                answers += 1

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                with pytest.raises(NetError):
                    await read()
        return answers


@asynccontextmanager
async def scene(who: str) -> AsyncGenerator[Scene]:
    """``who``: whether Alice knows Mallory."""
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        entropy = SeededEntropy(23)
        owner = alice.running.context.identity if alice.running is not None else None
        assert owner is not None
        person = await alice.database.run(lambda tx: acquaint(tx, "Mallory", owner, entropy))
        mallory = cluster.network.node(person.peer if who == "contact" else None)
        yield Scene(cluster, alice, mallory, person, entropy)
        await bob.send("Alice", "still there?")
        assert await eventually(lambda: has(alice, "still there?"), within_s=5) < 1


async def has(node: Node, text: str) -> bool:
    return text in await node.received("Bob")


def junk_flight(entropy: SeededEntropy) -> Flight:
    """Of a bundle that nobody gave out."""
    return Flight(entropy.bytes(32), entropy.bytes(1088), entropy.bytes(16), entropy.bytes(300), entropy.bytes(363))


Make = Callable[[Scene], bytes]
FLOODS: dict[str, tuple[Make, int]] = {
    "pings": (lambda _: b"".join(packed(Ping(token)) for token in range(1_000)), 700),
    "pongs": (lambda _: packed(Pong(1)) * 20_000, 2),
    "nacks": (lambda s: b"".join(packed(Nack(s.entropy.bytes(16))) for _ in range(2_000)), 2),
    "acks for what was never sent": (
        lambda s: packed(Ack(tuple((s.entropy.bytes(16), s.entropy.bytes(16)) for _ in range(1_024)))) * 20,
        2,
    ),
    "bundle requests": (lambda s: packed(BundleRequest(s.proof())) * 200, 70),
    "refused bundle requests": (lambda s: packed(BundleRequest(bytes(32))) * 200, 70),
    "first flights that are refused": (
        lambda s: b"".join(packed(junk_flight(s.entropy)) for _ in range(200)),
        130,
    ),
    "envelopes that nothing opens": (
        lambda s: b"".join(packed(Batch((s.entropy.bytes(363),))) for _ in range(5_000)),
        2_600,
    ),
    "large envelopes that nothing opens": (
        lambda s: b"".join(packed(Batch((s.entropy.bytes(260_000),))) for _ in range(30)),
        25,
    ),
}
"""A flood, and the most answers that it may bring."""


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_is_cut_off_and_counted(kind: str, who: str, autojump_clock: MockClock) -> None:
    make, most = FLOODS[kind]
    async with scene(who) as s:
        stream = await s.open()
        assert await s.flood(stream, make(s), writes=2) <= most + 3  # Hello, and what Alice has to say to a contact
        await trio.sleep(0.1)
        assert s.refused(Refusal.STREAM_EXCESSIVE) == 1
        assert s.mallory.links() == ()


@pytest.mark.parametrize("who", WHO)
async def test_who_comes_again_finds_the_allowance_as_it_was(who: str, autojump_clock: MockClock) -> None:
    async with scene(who) as s:
        for _ in range(5):
            await s.flood(await s.open(), packed(Ping(1)) * 1_000)
        assert s.refused(Refusal.STREAM_EXCESSIVE) == 5
        with pytest.raises(NetError):
            await (await s.open()).read(1)  # refused before Alice says Hello
        await trio.sleep(FULL_S)
        stream = await s.open()
        await stream.write(packed(Ping(7)))
        reader = FrameReader(stream, 1 << 20)
        with trio.fail_after(5):
            while decode_frame(await reader.read() or b"") != Pong(7):
                pass


@pytest.mark.parametrize("who", WHO)
async def test_malformed_frames_end_their_stream_and_at_last_the_connection(
    who: str, autojump_clock: MockClock
) -> None:
    async with scene(who) as s:
        streams = 0
        while streams == 0 or s.mallory.links():
            stream = await s.open()
            await s.flood(stream, with_length(b"\x92\x63\x00"))
            streams += 1
        too_much = s.refused(Refusal.STREAM_EXCESSIVE)  # the last one, where the allowance ends before its frame
        assert 20 <= s.refused(Refusal.STREAM_MALFORMED) == streams - too_much <= 50
        assert too_much <= 1


async def test_junk_instead_of_frames_is_read_no_further_than_its_first_length(autojump_clock: MockClock) -> None:
    async with scene("stranger") as s:
        stream = await s.open()
        assert await s.flood(stream, b"\xff" * 60_000, writes=1_000) <= 1
        assert s.refused(Refusal.STREAM_MALFORMED) == 1


async def test_repeats_are_answered_and_not_without_end(autojump_clock: MockClock) -> None:
    async with scene("contact") as s:
        stream = await s.open()
        batch = packed(LightPeer(s.person, stream, s.entropy).seal(["once"], int(s.cluster.now() * 1000)))
        assert await s.flood(stream, batch * 10_000) <= 6_700
        assert s.refused(Refusal.STREAM_EXCESSIVE) == 1
        assert [row.text for row in await s.alice.conversation("Mallory")] == ["once"]


@pytest.mark.parametrize("opens", [True, False])
async def test_envelopes_far_ahead_in_their_chain_are_cut_off(opens: bool, autojump_clock: MockClock) -> None:
    async with scene("contact") as s:
        stream = await s.open()
        now_ms = int(s.cluster.now() * 1000)
        peer = LightPeer(s.person, stream, s.entropy)

        def ahead() -> Batch:
            return [peer.seal(["further"], now_ms) for _ in range(990)][-1]

        if opens:
            far = [ahead() for _ in range(15)]
        else:
            whole = ahead().envelopes[0]
            far = [Batch((whole[:-16] + s.entropy.bytes(16),)) for _ in range(15)]
        assert await s.flood(stream, b"".join(map(packed, far))) <= 15 + 3
        assert s.refused(Refusal.STREAM_EXCESSIVE) == 1


async def test_a_peer_that_never_reads_is_given_up_and_held_for_no_more_than_a_window(
    autojump_clock: MockClock,
) -> None:
    async with scene("contact") as s:
        stream = await s.open()
        began = trio.current_time()

        async def ask() -> None:
            while True:  # as fast as is allowed for ever: bundles are the longest answers
                await stream.write(packed(BundleRequest(s.proof())))
                await trio.sleep(0.31)

        with trio.fail_after(300), pytest.raises(NetError):
            await ask()
        assert trio.current_time() - began > WRITE_STALL_S
        assert s.refused(Refusal.STREAM_STALLED) == 1
        assert s.refused(Refusal.STREAM_EXCESSIVE) == 0


async def test_who_answers_pings_and_acknowledges_nothing_is_given_up(autojump_clock: MockClock) -> None:
    async with scene("contact") as s:
        stream = await s.open()
        await s.alice.send("Mallory", "never acknowledged")
        reader = FrameReader(stream, 1 << 20)

        async def answer_pings() -> None:
            while (body := await reader.read()) is not None:
                frame = decode_frame(body)
                if isinstance(frame, Ping):
                    await stream.write(packed(Pong(frame.token)))

        with trio.fail_after(120), pytest.raises(NetError):
            await answer_pings()
        assert s.refused(Refusal.STREAM_STALLED) == 1


async def test_ten_thousand_texts_in_envelopes_of_any_size_cost_nothing(autojump_clock: MockClock) -> None:
    async with scene("contact") as s:
        peer = LightPeer(s.person, await s.connect(), s.entropy)
        await peer.greet()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run, s.cluster.now)
            for number in range(1_000):
                await peer.send(f"{number}", now_ms=int(s.cluster.now() * 1000))
            await peer.send(*(f"{number}" for number in range(9_000)), now_ms=int(s.cluster.now() * 1000))
            with trio.fail_after(60):
                while peer.waiting:  # noqa: ASYNC110  a virtual clock
                    await trio.sleep(0.1)
            assert s.alice.running is not None
            assert set(s.alice.running.context.charges.refusals.counts().values()) == {0}
            nursery.cancel_scope.cancel()
        assert len(await s.alice.conversation("Mallory")) == 10_000


async def test_an_honest_peer_whose_streams_are_reset_again_and_again_is_not_cut_off(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        for round_ in range(40):
            for number in range(50):
                await bob.send("Alice", f"{round_}.{number}")
            cluster.network.kill_streams(alice.network, bob.network)
            await trio.sleep(0.2)
        with trio.fail_after(600):
            while await bob.outbox():  # noqa: ASYNC110  a virtual clock
                await trio.sleep(1)
        assert len(await alice.received("Bob")) == 2_000
        for node in (alice, bob):
            assert node.running is not None
            counts = node.running.context.charges.refusals.counts()
            assert counts[Refusal.STREAM_EXCESSIVE] == counts[Refusal.STREAM_MALFORMED] == 0


async def test_whose_texts_are_read_one_by_one_is_not_charged_for_the_acks_of_the_receipts(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = 150
    monkeypatch.setattr(limits, "FRUITLESS_BURST_US", ACK_US * few)  # enough for bundles, streams and pings
    monkeypatch.setattr(limits, "FRUITLESS_US_PER_S", 0.0)
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        assert bob.running is not None
        for number in range(few + 20):
            text = f"{number}"
            await alice.send("Bob", text)
            await eventually(lambda text=text: arrived(bob, text), within_s=1)  # type: ignore[misc]
            await mark(bob, "Alice")
            await eventually(lambda: no_receipt_waits(bob), within_s=1)
        assert bob.running.context.charges.refusals[Refusal.STREAM_EXCESSIVE] == 0


async def arrived(node: Node, text: str) -> bool:
    return await node.database.run(lambda tx: tx.one("SELECT 1 FROM message WHERE text = ?", (text,)) is not None)


async def no_receipt_waits(node: Node) -> bool:
    return await node.database.run(lambda tx: tx.one("SELECT 1 FROM notice") is None)
