"""Storers that lie, stall, flood or lead astray: what happens, and that nothing else is affected (PROTOCOL.md 3.7).

In each test one storer lies among honest ones, and what honest ones hold is found all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.dht_wire import Push, Request, ToldPeer
from p2pchat.core.framing import with_length
from p2pchat.core.lookup import position
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.work import mine
from p2pchat.net.addresses import from_socket, peer_id_from_key
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Stream
from p2pchat.testing.memnode import MemoryNode
from tests.sim.dht_world import EPOCH_S, PARAMS, SLOT, SMALL, Peer, World, record, world
from tests.sim.test_dht_hostile import meet, reply, router, storer, told

LOC = SLOT.loc
OTHER_SLOT = Slot(bytes(32), 2)
OTHER_ROOT = Slot(b"r" * 32, 1)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def old(life_s: int) -> bytes:
    params = replace(PARAMS, record_ttl_s=life_s)
    unmined = prepare_record(SLOT, ed25519_pair(bytes([9] * 32)), b"data", EPOCH_S - 1_000, bytes(24), params)
    return finish(unmined, mine(unmined.digest, PARAMS.work_bits))


LIES = {
    "a forged ciphertext": lambda: flipped(record(1), 200),
    "a forged writer's signature": lambda: flipped(record(1), 900),
    "a forged expiry": lambda: flipped(record(1), 80),
    "a record of the slot of another epoch": lambda: record(1, slot=OTHER_SLOT),
    "a record of another root": lambda: record(1, slot=OTHER_ROOT),
    "an expired record": lambda: old(900),
    "a record from the future": lambda: record(1, seq=EPOCH_S + PARAMS.skew_s + 60),
    "nothing but zeros": lambda: bytes(969),
}


async def among_honest(w: World, answer: Callable[[Request], list[bytes]]) -> tuple[Peer, MemoryNode]:
    """A reader that knows two honest storers, who hold the second writer's record, and the liar."""
    reader, honest, _ = await w.grow(3)
    await honest.dht.walk(LOC, put=record(2))
    liar = w.net.node()
    storer(liar, answer)
    router(liar)
    await meet(reader, liar)
    return reader, liar


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_record_that_is_none_of_this_slot_and_time_is_dropped_told_or_pushed(
    lie: Callable[[], bytes], autojump_clock: MockClock
) -> None:
    false = lie()

    def answer(asked: Request) -> list[bytes]:
        push = [with_length(encode(Push(LOC, false)))] if asked.watch_s else []
        stored = None if asked.put is None else True
        return [reply(asked, records=(false,), watch_s=asked.watch_s, stored=stored), *push]

    async with world() as w:
        reader, liar = await among_honest(w, answer)
        found = await reader.dht.walk(LOC, put=record(3), watch_s=60)
        await trio.sleep(1)
        assert set(found.records) == {record(2), record(3)}
        assert (found.answered, found.failed) == (4, 0)
        assert reader.pushes == []
        assert reader.dht.storer.get(LOC, EPOCH_S) == (record(2), record(3))
        assert liar.peer_id in [link.peer for link in reader.node.links()]


async def test_an_older_record_of_a_writer_does_not_hide_the_newer_one(autojump_clock: MockClock) -> None:
    """Serving what was replaced but has not expired is what a storer can do; one honest answer undoes it."""
    async with world() as w:
        reader, _ = await among_honest(w, lambda asked: [reply(asked, records=(record(2, seq=EPOCH_S - 50),))])
        assert (await reader.dht.walk(LOC)).records == (record(2),)


async def test_a_storer_that_accepts_and_never_answers_costs_one_walk_and_no_record(autojump_clock: MockClock) -> None:
    async with world(replace(SMALL, k=2)) as w:
        reader, _ = await among_honest(w, lambda asked: [])
        began = trio.current_time()
        assert (await reader.dht.walk(LOC)).records == (record(2),)
        assert trio.current_time() - began <= SMALL.soft_unknown_s + 0.1
        await trio.sleep(SMALL.hard_s)
        began = trio.current_time()
        assert (await reader.dht.walk(LOC)).records == (record(2),)
        assert trio.current_time() - began <= 0.1


async def test_a_storer_that_trickles_its_answer_is_given_up_at_the_hard_deadline(autojump_clock: MockClock) -> None:
    async def trickle(stream: Stream) -> None:
        await stream.read(1000)
        for _ in range(100):
            await stream.write(b"\0")
            await trio.sleep(0.5)

    async with world() as w:
        reader, liar = await among_honest(w, lambda asked: [])
        liar.handle(RECORDS, trickle)
        began = trio.current_time()
        found = await reader.dht.walk(LOC)
        assert (found.records, found.failed) == ((record(2),), 1)
        assert trio.current_time() - began <= SMALL.hard_s + 0.1


def nobodies(count: int, hosts: Callable[[int], str]) -> tuple[ToldPeer, ...]:
    return tuple(
        ToldPeer(bytes(peer_id_from_key(number.to_bytes(32, "big"))), (bytes(from_socket(hosts(number), 4001)),))
        for number in range(count)
    )


async def test_more_closer_peers_than_the_wire_allows_end_the_stream_and_are_not_learnt(
    autojump_clock: MockClock,
) -> None:
    """A million of them would be cut off at 64 KiB already; 21 short ones are refused as well."""
    async with world() as w:
        crowd = nobodies(21, lambda number: f"10.9.9.{number}")
        reader, liar = await among_honest(w, lambda asked: [reply(asked, peers=crowd)])
        found = await reader.dht.walk(LOC)
        assert (found.records, found.answered, found.failed) == ((record(2),), 3, 1)
        assert all(reader.dht._book.get(peer_id_from_key(n.to_bytes(32, "big"))) is None for n in range(21))
        flood = (60_000_000).to_bytes(4, "big") + bytes(65_536)
        storer(liar, lambda asked: [flood])
        await trio.sleep(SMALL.backoff_min_s)
        assert (await reader.dht.walk(LOC)).records == (record(2),)


async def test_a_storer_that_tells_of_itself_and_of_the_asker_leads_nowhere(autojump_clock: MockClock) -> None:
    async with world() as w:
        asked_about = []

        def answer(asked: Request) -> list[bytes]:
            asked_about.append(asked)
            return [reply(asked, peers=told(liar, reader.node, liar))]

        reader, liar = await among_honest(w, lambda asked: answer(asked))
        found = await reader.dht.walk(LOC)
        assert (found.records, found.answered) == ((record(2),), 4)
        assert len(asked_about) == 1
        assert reader.dht._book.get(reader.node.peer_id) is None


@pytest.mark.parametrize(
    "hosts",
    [lambda number: f"9.8.{number}.7", lambda number: f"9.8.7.{number + 1}"],
    ids=["anywhere", "all in one prefix"],
)
async def test_twenty_nearer_peers_that_do_not_exist_hide_nothing(
    hosts: Callable[[int], str], autojump_clock: MockClock
) -> None:
    async with world() as w:
        honest = [await w.add(f"20.{number}.1.1") for number in range(8)]
        for peer in honest[1:]:
            await peer.join(honest[0])
        await honest[3].dht.walk(LOC, put=record(2))
        made = nobodies(2_000, hosts=lambda _: "9.9.9.9")
        nearest = sorted(made, key=lambda one: position(one.peer_id) ^ position(LOC))[:20]
        crowd = tuple(
            ToldPeer(one.peer_id, (bytes(from_socket(hosts(number), 4001)),)) for number, one in enumerate(nearest)
        )
        liar = w.net.node(host="30.1.1.1")
        storer(liar, lambda asked: [reply(asked, peers=crowd)])
        router(liar)
        reader = await w.add("40.1.1.1")
        await reader.join(honest[0])
        await meet(reader, liar)
        began = trio.current_time()
        found = await reader.dht.walk(LOC)
        assert record(2) in found.records
        assert found.complete
        assert trio.current_time() - began < 1
        assert all(not reader.dht._book.of(peer_id_from_key(one.peer_id[-32:])).in_table for one in crowd)


async def test_a_storer_that_floods_pushes_is_heard_once_a_record_and_stops_nobody(autojump_clock: MockClock) -> None:
    async with world() as w:
        false = [with_length(encode(Push(LOC, flipped(record(1), 200 + n)))) for n in range(200)]
        true = [with_length(encode(Push(LOC, record(3))))] * 200

        def answer(asked: Request) -> list[bytes]:
            return [reply(asked, watch_s=asked.watch_s), *((*false, *true) if asked.watch_s else ())]

        reader, _ = await among_honest(w, answer)
        await reader.dht.walk(LOC, watch_s=600)
        await trio.sleep(1)
        assert [data for _, _, data in reader.pushes] == [record(3)]
        await w.peers[1].dht.walk(LOC, put=record(4))
        await trio.sleep(1)
        assert [data for _, _, data in reader.pushes] == [record(3), record(4)]


async def test_pushes_beyond_the_lease_end_the_stream_and_are_not_told(autojump_clock: MockClock) -> None:
    async with world() as w:
        streams: list[Stream] = []

        async def serve(stream: Stream) -> None:
            streams.append(stream)
            assert honest_answers is not None
            await honest_answers(stream)

        reader, liar = await among_honest(w, lambda asked: [reply(asked, watch_s=asked.watch_s)])
        honest_answers = liar._handlers.get(RECORDS)
        liar.handle(RECORDS, serve)
        await reader.dht.walk(LOC, watch_s=60)
        await trio.sleep(60 + 61)
        await streams[-1].write(with_length(encode(Push(LOC, record(3)))))
        await trio.sleep(1)
        assert reader.pushes == []
        assert w.net.kill_streams(reader.node, liar, RECORDS) == 0


async def test_many_closer_peers_of_two_prefixes_do_not_talk_a_storer_out_of_its_slots(
    autojump_clock: MockClock,
) -> None:
    """Ten that are closer count as four where they have two prefixes; the putter may be a fifth."""
    params = replace(SMALL, k=10, refuse_beyond_closer=6)
    for prefixes, stored in ((2, True), (10, False)):
        async with world(params) as w:
            victim, putter = await w.add("20.1.1.1"), await w.add("21.1.1.1")
            own = position(victim.node.peer_id) ^ position(LOC)
            keys = (peer_id_from_key(number.to_bytes(32, "big")) for number in range(100_000))
            closer = (peer for peer in keys if position(peer) ^ position(LOC) < own)
            for number in range(10):
                sybil = w.net.node(next(closer), f"30.1.{number % prefixes}.{number + 1}")
                storer(sybil, lambda asked: [reply(asked, stored=True)])
                await meet(victim, sybil)
            victim.dht._explorer._census.region = lambda neighbours: 0  # type: ignore[method-assign]
            await putter.join(victim)
            await putter.dht.walk(LOC, put=record(1))
            assert (record(1) in victim.dht.storer.get(LOC, EPOCH_S)) is stored
