"""The DHT among peers that speak something else, lie, or send junk (PROTOCOL.md 3.7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusals
from p2pchat.core.codec import encode
from p2pchat.core.dht_wire import REQUEST, REQUEST_MAX_BYTES, Push, Reply, Request, ToldPeer
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.kad_wire import FIND_NODE, KadMessage, encode_request
from p2pchat.core.kad_wire import with_length as with_varint
from p2pchat.net.addresses import from_socket, peer_id_from_key
from p2pchat.net.kad import KAD, KadServer
from p2pchat.net.pace import Pace
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Stream
from p2pchat.testing.memnode import MemoryNode
from tests.sim.dht_world import SLOT, Peer, World, record, request, world

LOC = SLOT.loc


def name_of(node: MemoryNode) -> tuple[PeerId, tuple[bytes, ...]]:
    return node.peer_id, node.addresses()


def told(*nodes: MemoryNode) -> tuple[ToldPeer, ...]:
    return tuple(ToldPeer(bytes(n.peer_id), tuple(map(bytes, n.addresses()))) for n in nodes)


async def meet(peer: Peer, node: MemoryNode) -> None:
    assert await peer.dht.bootstrap([(node.peer_id, node.addresses())]) == 1


def router(node: MemoryNode, *known: MemoryNode) -> None:
    """Make ``node`` one that serves the kad wire alone."""
    node.handle(KAD, KadServer(lambda key, stream: told(*known), lambda peer: None, Pace(Refusals())).serve)


def storer(node: MemoryNode, answer: Callable[[Request], list[bytes]]) -> None:
    """Make ``node`` one that answers each request with the given bytes."""

    async def serve(stream: Stream) -> None:
        framing = FrameReader(REQUEST_MAX_BYTES)
        while data := await stream.read(limits.STREAM_READ_BYTES):
            framing.feed(data)
            while (frame := framing.next_frame()) is not None:
                for message in answer(REQUEST.decode(frame)):
                    await stream.write(message)

    node.handle(RECORDS, serve)


def reply(request: Request, **changes: object) -> bytes:
    fields: dict[str, object] = {"id": request.id, "stored": None, "watch_s": 0, "records": (), "peers": ()}
    return with_length(encode(Reply(**{**fields, **changes})))  # type: ignore[arg-type]


async def test_a_peer_that_serves_the_kad_wire_alone_leads_to_storers_but_is_none(autojump_clock: MockClock) -> None:
    async with world() as w:
        far, near = await w.add(), await w.add()
        signpost = w.net.node()
        router(signpost, far.node)
        await far.dht.walk(LOC, put=record(1), get=False)
        await meet(near, signpost)
        found = await near.dht.walk(LOC)
        assert found.records == (record(1),)
        assert (found.answered, found.known, found.failed) == (2, 1, 0)


async def test_a_peer_that_serves_neither_protocol_is_no_failure_and_is_not_told_of(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _ = await w.grow(2)
        client = w.net.node()
        await client.dial(a.node.peer_id, a.node.addresses())
        stream = await client.open(a.node.peer_id, RECORDS)
        await stream.write(with_length(encode(Request(1, LOC, None, True, 0))))
        await trio.sleep(1)
        assert a.dht.peers() == 1
        with pytest.raises(NetError):
            await a.dht.bootstrap([(client.peer_id, client.addresses())])
        newcomer = await w.add()
        await newcomer.join(a)
        await trio.sleep(1)
        assert client.peer_id not in [peer for peer, _ in newcomer.dht.known_peers()]
        assert (await a.dht.walk(LOC)).failed == 0


async def test_a_storer_that_no_longer_serves_records_is_asked_for_the_way_only(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.add(), w.net.node()
        router(b)
        storer(b, lambda asked: [reply(asked)])
        await meet(a, b)
        assert (await a.dht.walk(LOC)).answered == 2
        b.unhandle(RECORDS)
        w.net.kill_streams(a.node, b)
        result = await a.dht.walk(LOC)
        assert (result.answered, result.failed) == (1, 0)
        assert a.dht.peers() == 1
        storer(b, lambda asked: [reply(asked)])  # it had only been starting: asked, it says so
        await trio.sleep(1)
        assert (await a.dht.walk(LOC)).answered == 2


async def test_peers_without_records_are_told_on_the_kad_wire_alone(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, signpost, asker = await w.add(), w.net.node(), w.net.node()
        router(signpost)
        await meet(a, signpost)
        assert (await request(asker, a.node, Request(1, LOC, None, True, 0))).peers == ()
        stream = await asker.open(a.node.peer_id, KAD)
        await stream.write(with_varint(encode_request(KadMessage(FIND_NODE, b"key"))))
        assert bytes(signpost.peer_id) in await stream.read(1000)


async def test_a_peer_that_serves_nothing_any_more_leaves_the_table(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.add(), w.net.node()
        router(b)
        await meet(a, b)
        b.unhandle(KAD)
        w.net.kill_streams(a.node, b)
        assert (await a.dht.walk(LOC)).failed == 0
        assert a.dht.known_peers() == ()


async def test_who_is_told_of_himself_does_not_ask_himself(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, liar = await w.add(), w.net.node()
        storer(liar, lambda asked: [reply(asked, peers=told(a.node))])
        router(liar, a.node)
        await meet(a, liar)
        assert (await a.dht.walk(LOC)).answered == 2
        assert a.dht._book.get(a.node.peer_id) is None


async def test_a_storer_without_the_kad_wire_is_a_storer(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.add(), w.net.node()
        storer(b, lambda asked: [reply(asked)])
        await meet(a, b)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        assert (await a.dht.walk(LOC)).answered == 2


JUNK = {
    "no msgpack": b"\xc1",
    "a reply": encode(Reply(1, None, 0, (), ())),
    "an array of four billion": b"\xdd\xff\xff\xff\xff",
    "a bool for a number": encode([0, True, LOC, None, True, 0]),
    "trailing bytes": encode(Request(1, LOC, None, True, 0)) + b"\0",
    "a short loc": encode([0, 1, LOC[:5], None, True, 0]),
    "not canonical": encode(Request(1, LOC, None, True, 0)).replace(b"\x96\x00\x01", b"\x96\x00\xcc\x01"),
}


@pytest.mark.parametrize("junk", [*map(with_length, JUNK.values()), b"\0\0\0\0", b"\0\0\x10\x01", b"\xff" * 8], ids=str)
async def test_a_malformed_request_resets_its_stream_and_nothing_else(junk: bytes, autojump_clock: MockClock) -> None:
    async with world() as w:
        (a,) = await w.grow(1)
        stranger = w.net.node()
        await stranger.dial(a.node.peer_id, a.node.addresses())
        good, bad = [await stranger.open(a.node.peer_id, RECORDS) for _ in range(2)]
        await bad.write(junk)
        with pytest.raises(NetError):
            await bad.read(1000)
        await good.write(with_length(encode(Request(1, LOC, None, True, 0))))
        assert await good.read(1000) != b""


@pytest.mark.parametrize(
    "junk",
    [
        with_varint(b"\x08\x00\x12\x03key"),  # PUT_VALUE
        with_varint(b"\x08\x01\x12\x03key"),  # GET_VALUE
        with_varint(b"\x08\x04"),  # FIND_NODE without a key
        b"\x80\x80\x80\x80",
        b"\x00",
    ],
    ids=str,
)
async def test_on_the_kad_wire_too_and_so_does_every_other_type(junk: bytes, autojump_clock: MockClock) -> None:
    async with world() as w:
        (a,) = await w.grow(1)
        stranger = w.net.node()
        await stranger.dial(a.node.peer_id, a.node.addresses())
        good, bad = [await stranger.open(a.node.peer_id, KAD) for _ in range(2)]
        await bad.write(junk)
        with pytest.raises(NetError):
            await bad.read(1000)
        await good.write(with_varint(b"\x08\x05") + with_varint(encode_request(KadMessage(FIND_NODE, b"key"))))
        assert await good.read(3) == with_varint(b"\x08\x05")


BAD_ANSWERS: dict[str, Callable[[Request], list[bytes]]] = {
    "another id": lambda asked: [reply(asked, id=asked.id + 1)],
    "a push unasked": lambda asked: [with_length(encode(Push(LOC, record(1))))],
    "junk": lambda asked: [with_length(b"junk")],
    "too long": lambda asked: [b"\0\1\0\1"],
    "a record too short": lambda asked: [reply(asked, records=(b"short",))],
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_a_malformed_answer_costs_the_peer_its_turn_and_nobody_else(
    answer: Callable[[Request], list[bytes]], autojump_clock: MockClock
) -> None:
    async with world() as w:
        a, good = await w.grow(2)
        await good.dht.walk(LOC, put=record(2))
        liar = w.net.node()
        router(liar)
        storer(liar, answer)
        await meet(a, liar)
        began = trio.current_time()
        found = await a.dht.walk(LOC)
        again = await a.dht.walk(LOC)
        assert found.records == again.records == (record(2),)
        assert again.failed == 1
        assert trio.current_time() - began < 1
        assert a.pushes == []


async def test_an_answer_that_nobody_asked_for_ends_the_stream(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, liar = await w.add(), w.net.node()
        storer(liar, lambda asked: [reply(asked) + reply(asked)])
        router(liar)
        await meet(a, liar)
        assert (await a.dht.walk(LOC)).answered == 2
        await trio.sleep(1)
        assert w.net.kill_streams(a.node, liar, RECORDS) == 0


async def test_records_that_are_none_are_dropped_while_the_storer_counts(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, liar = await w.add(), w.net.node()
        storer(liar, lambda asked: [reply(asked, records=(bytes(969), record(1), b"\x99" * 969))])
        router(liar)
        await meet(a, liar)
        found = await a.dht.walk(LOC)
        assert (found.records, found.answered) == ((record(1),), 2)


async def test_pushed_records_are_checked_and_told_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, liar = await w.add(), w.net.node()

        def answer(request: Request) -> list[bytes]:
            push = [with_length(encode(Push(LOC, data))) for data in (bytes(969), record(1), record(1), record(2))]
            return [reply(request, watch_s=60), *(push if request.watch_s else [])]

        storer(liar, answer)
        router(liar)
        await meet(a, liar)
        assert (await a.dht.walk(LOC, watch_s=60)).watched == 1
        await trio.sleep(1)
        assert [data for _, _, data in a.pushes] == [record(1), record(2)]


async def test_a_liar_that_tells_of_hundreds_of_dead_peers_costs_bounded_work(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, liar = await w.add(), w.net.node()
        names = iter(range(10_000))

        def answer(request: Request) -> list[bytes]:
            made = [peer_id_from_key(next(names).to_bytes(32, "big")) for _ in range(20)]
            nowhere = bytes(from_socket("10.9.9.9", 4001))
            return [reply(request, peers=tuple(ToldPeer(bytes(peer), (nowhere,)) for peer in made))]

        storer(liar, answer)
        router(liar)
        await meet(a, liar)
        began = trio.current_time()
        for _ in range(20):
            assert (await a.dht.walk(LOC)).answered == 2
        assert a.dht.peers() == 1
        assert (trio.current_time() - began) / 20 < 3
        assert len(a.dht._book) < 1_000


async def dials_to_a_trap(w: World, liar_host: str, trap_host: str) -> int:
    """How many connections a trap gets of which one at ``liar_host`` tells."""
    a, liar, trap = await w.add("9.9.9.9"), w.net.node(host=liar_host), w.net.node(host=trap_host)
    storer(liar, lambda asked: [reply(asked, peers=told(trap))])
    router(liar, trap)
    await meet(a, liar)
    await a.dht.walk(LOC)
    await trio.sleep(1)
    return len(trap.links())


@pytest.mark.parametrize(
    ("liar", "trap", "dials"),
    [("8.8.8.8", "10.1.1.1", 0), ("8.8.8.8", "127.0.0.1", 0), ("8.8.8.8", "1.1.1.1", 1), ("10.9.9.9", "10.1.1.1", 1)],
)
async def test_nobody_on_the_internet_sends_this_node_to_private_addresses(
    liar: str, trap: str, dials: int, autojump_clock: MockClock
) -> None:
    async with world() as w:
        assert await dials_to_a_trap(w, liar, trap) == dials


async def test_private_addresses_are_not_told_to_the_internet(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, local, public = [await w.add(host) for host in ("1.1.1.1", "10.1.1.1", "9.9.9.9")]
        await a.join(local, public)
        for host, known in (("8.8.8.8", 2), ("10.2.2.2", 3)):
            asker = await w.add(host)
            await asker.join(a)
            await trio.sleep(1)
            assert asker.dht.peers() == known


async def test_a_peer_that_never_answers_is_given_up_at_the_hard_deadline_and_rests(autojump_clock: MockClock) -> None:
    async def swallow(stream: Stream) -> None:
        while await stream.read(1000):
            pass

    async with world() as w:
        a, mute = await w.add(), w.net.node()
        mute.handle(RECORDS, swallow)
        router(mute)
        await meet(a, mute)
        began = trio.current_time()
        found = await a.dht.walk(LOC)
        assert (found.answered, found.failed, found.complete) == (1, 1, False)
        assert trio.current_time() - began == pytest.approx(2.0, abs=0.1)
        assert (await a.dht.walk(LOC)).failed == 1
        assert trio.current_time() - began < 2.1
