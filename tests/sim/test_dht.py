"""The DHT on the memory network and virtual time (PROTOCOL.md 3.2, 3.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.core.dht_wire import Request
from p2pchat.core.findings import WalkResult
from p2pchat.core.lookup import position
from p2pchat.core.record import work_bits
from p2pchat.net.kad import KAD
from p2pchat.net.records import RECORDS
from tests.sim.dht_world import EPOCH_S, PARAMS, SLOT, SMALL, Peer, record, request, world

LOC = SLOT.loc
ASK = Request(1, LOC, None, True, 0)


def nearest(peers: list[Peer], number: int) -> list[Peer]:
    return sorted(peers, key=lambda peer: position(peer.node.peer_id) ^ position(LOC))[:number]


async def timed_walk(peer: Peer) -> tuple[WalkResult, float]:
    began = trio.current_time()
    result = await peer.dht.walk(LOC)
    return result, trio.current_time() - began


async def test_a_node_alone_stores_and_answers_locally(autojump_clock: MockClock) -> None:
    async with world() as w:
        (alone,) = await w.grow(1)
        assert await alone.dht.walk(LOC, put=record(1), get=False) == WalkResult((), 1, 1, 0, 0, True, 0, 0)
        assert (await alone.dht.walk(LOC)).records == (record(1),)


async def test_two_nodes_suffice(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        put = await a.dht.walk(LOC, put=record(1))
        assert put == WalkResult(
            (record(1),), stored=2, answered=2, failed=0, known=1, complete=True, watched=0, elsewhere=1
        )
        w.net.cut(a.node, b.node)
        assert (await b.dht.walk(LOC)).records == (record(1),)


async def test_what_any_node_puts_any_other_finds_at_the_20_closest(autojump_clock: MockClock) -> None:
    async with world(PARAMS) as w:
        peers = await w.grow(30)
        put = await peers[3].dht.walk(LOC, put=record(1))
        assert (put.stored, put.answered, put.known, put.failed) == (21, 21, 20, 0)
        found = await peers[29].dht.walk(LOC)
        assert found.records == (record(1),)
        assert found.complete
        for storer in nearest([peer for peer in peers if peer is not peers[3]], 20):
            w.net.down(storer.node)
            alone = await storer.dht.walk(LOC)
            assert alone.records == (record(1),)
            assert not alone.complete
            w.net.up(storer.node)


async def test_of_what_storers_hold_the_newest_of_each_writer_is_returned(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, c = await w.grow(3)
        await a.dht.walk(LOC, put=record(1, seq=EPOCH_S))
        await b.dht.walk(LOC, put=record(2))
        w.net.down(c.node)
        await a.dht.walk(LOC, put=record(1, seq=EPOCH_S + 1))
        w.net.up(c.node)
        await trio.sleep(5)
        assert set((await c.dht.walk(LOC)).records) == {record(1, seq=EPOCH_S + 1), record(2)}


async def test_a_refused_put_is_not_counted_as_stored(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await b.dht.walk(LOC, put=record(1, seq=EPOCH_S + 1))
        for refused in (record(1, seq=EPOCH_S), b"junk", record(1, seq=EPOCH_S + 5000)):
            assert (await a.dht.walk(LOC, put=refused)).stored == 0


async def test_30_percent_silently_dead_hold_up_the_first_walk_for_a_second_and_later_ones_hardly(
    autojump_clock: MockClock,
) -> None:
    """The bars of the design: a node's first lookup 1 s, later ones 100 ms (p90)."""
    async with world(replace(PARAMS, k=10, alpha=5)) as w:
        peers = await w.grow(30)
        await peers[0].dht.walk(LOC, put=record(1))
        dead, live = peers[1:10], [peers[0], *peers[10:]]
        w.silence(dead)
        for peer in (live[0], live[5], live[20]):
            first, first_s = await timed_walk(peer)
            assert first_s <= 1.0
            assert first.records == (record(1),)
            assert first.complete
            await trio.sleep(PARAMS.hard_s)
            later = []
            for _ in range(20):
                result, took_s = await timed_walk(peer)
                assert result.answered == 11
                later.append(took_s)
                await trio.sleep(3)
            assert sorted(later)[17] <= 0.1


async def test_with_fewer_than_k_alive_a_walk_waits_for_the_silent_ones_up_to_the_hard_deadline(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        peers = await w.grow(5)
        await peers[0].dht.walk(LOC)
        w.silence(peers[1:3])
        result, took_s = await timed_walk(peers[0])
        assert (result.answered, result.known, result.failed) == (3, 4, 2)
        assert took_s == pytest.approx(SMALL.hard_s + 0.05, abs=0.05 + 1e-9)


async def test_an_answer_after_the_soft_deadline_still_counts(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await b.dht.walk(LOC, put=record(1), get=False)
        w.net.stall(a.node, b.node)
        async with trio.open_nursery() as nursery:

            async def heal() -> None:
                await trio.sleep(1.5)
                w.net.heal(a.node, b.node)

            nursery.start_soon(heal)
            result, took_s = await timed_walk(a)
        assert result.answered == 2
        assert 1.5 <= took_s < 1.6


async def test_a_dead_peer_is_left_alone_for_5_s_and_asked_again_after(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, _ = await w.grow(3)
        await a.dht.walk(LOC)
        w.net.down(b.node)
        result, _ = await timed_walk(a)
        assert (result.answered, result.failed) == (2, 1)
        w.net.up(b.node)
        result, _ = await timed_walk(a)
        assert (result.answered, result.failed) == (2, 1)
        await trio.sleep(SMALL.backoff_min_s)
        result, _ = await timed_walk(a)
        assert (result.answered, result.failed) == (3, 0)


async def test_a_peer_that_comes_back_and_knocks_is_asked_again_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b, c = await w.grow(3)
        w.net.down(b.node)
        for _ in range(6):
            await a.dht.walk(LOC)
            await trio.sleep(100)
        assert a.dht.peers() == 1
        assert (await a.dht.walk(LOC)).failed == 1
        w.net.up(b.node)
        await b.join(c)
        await trio.sleep(1)
        assert a.dht.peers() == 2


async def test_a_resting_peer_is_not_told_to_others(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _, c = await w.grow(3)
        w.net.down(c.node)
        await a.dht.walk(LOC)
        newcomer = await w.add()
        await newcomer.join(a)
        assert (await newcomer.dht.walk(LOC)).known == 2
        assert c.node.peer_id not in [peer for peer, _ in newcomer.dht.known_peers()]


async def test_the_end_of_a_stream_is_no_failure(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await a.dht.walk(LOC)
        assert w.net.kill_streams(a.node, b.node, RECORDS) > 0
        result = await a.dht.walk(LOC)
        assert (result.answered, result.failed) == (2, 0)


async def test_the_end_of_a_stream_during_a_request_leads_to_one_more_try(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await a.dht.walk(LOC)
        results: list[WalkResult] = []
        async with trio.open_nursery() as nursery:

            async def walk() -> None:
                results.append(await a.dht.walk(LOC))

            w.net.stall(a.node, b.node)
            nursery.start_soon(walk)
            await trio.sleep(0.1)
            w.net.kill_streams(a.node, b.node, RECORDS)
            w.net.heal(a.node, b.node)
        assert (results[0].answered, results[0].failed) == (2, 0)


async def test_many_walks_at_once_share_one_stream_a_peer(autojump_clock: MockClock) -> None:
    async with world() as w:
        peers = await w.grow(4)
        results: list[WalkResult] = []

        async def walk(writer: int) -> None:
            results.append(await peers[0].dht.walk(LOC, put=record(writer)))

        async with trio.open_nursery() as nursery:
            for writer in range(1, 2 * limits.WALKS):
                nursery.start_soon(walk, writer)
        assert all(result.answered == 4 for result in results)
        assert len((await peers[3].dht.walk(LOC)).records) <= 16
        assert [w.net.kill_streams(peers[0].node, peer.node, RECORDS) for peer in peers[1:]] == [1, 1, 2]


async def test_a_storer_refuses_when_it_knows_enough_closer_ones(autojump_clock: MockClock) -> None:
    async with world(replace(SMALL, refuse_beyond_closer=9)) as w:
        peers = await w.grow(12)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        by_distance = nearest(peers, 12)
        put = Request(1, LOC, record(1), True, 0)
        stored = [(await request(w.net.node(), peer.node, put)).stored for peer in by_distance]
        assert stored == [True] * 9 + [False] * 3
        far = by_distance[-1]
        assert (await far.dht.walk(LOC, put=record(2))).stored == SMALL.k + 1  # its own it keeps wherever it stands


async def test_the_closest_storers_are_told_without_the_asker_and_in_order_of_distance(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        peers = await w.grow(9)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        told = [peer.peer_id for peer in (await request(peers[3].node, peers[0].node, ASK)).peers]
        assert told == [bytes(p.node.peer_id) for p in nearest([*peers[1:3], *peers[4:]], SMALL.k)]


async def test_at_most_four_entries_of_one_prefix_are_kept(autojump_clock: MockClock) -> None:
    async with world() as w:
        (storer,) = await w.grow(1, ["1.1.1.1"])
        stored = []
        by_work = sorted((record(writer) for writer in range(1, 7)), key=work_bits, reverse=True)
        hosts = ["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5", "8.8.9.1"]
        for data, host in zip(by_work, hosts, strict=True):
            peer = await w.add(host)
            for other in w.peers[1:-1]:
                w.net.cut(peer.node, other.node)
            await peer.join(storer)
            stored.append((await peer.dht.walk(LOC, put=data, get=False)).stored)
        assert stored == [2, 2, 2, 2, 1, 2]


async def test_the_table_is_refreshed_so_that_a_network_that_grew_is_known(autojump_clock: MockClock) -> None:
    async with world() as w:
        first, second = await w.grow(2)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        newcomers = [await w.add() for _ in range(5)]
        for peer in newcomers:
            w.net.cut(second.node, peer.node)  # they cannot knock, but are there an hour later
            await peer.join(first)
        assert second.dht.peers() == 1
        for peer in newcomers:
            w.net.heal(second.node, peer.node)
        await trio.sleep(limits.REFRESH_AFTER_S + 2 * limits.REFRESH_CHECK_S)
        assert second.dht.peers() == 6


async def test_known_peers_are_enough_for_the_next_start(autojump_clock: MockClock) -> None:
    async with world() as w:
        peers = await w.grow(5)
        known = peers[0].dht.known_peers()
        assert {peer for peer, _ in known} == {peer.node.peer_id for peer in peers[1:]}
        assert all(addresses for _, addresses in known)
        newcomer = await w.add()
        assert await newcomer.dht.bootstrap(known) == 4
        await trio.sleep(1)
        assert newcomer.dht.peers() == 5


async def test_a_peer_added_by_hand_or_by_the_local_network_is_met_in_the_background(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        a, b = await w.add(), await w.add()
        a.dht.add_peer(b.node.peer_id, b.node.addresses())
        a.dht.add_peer(a.node.peer_id, a.node.addresses())
        await trio.sleep(1)
        assert a.dht.peers() == 1


async def test_bootstrap_fails_when_nobody_answers(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.add(), await w.add()
        w.net.down(b.node)
        with pytest.raises(NetError):
            await a.join(b)
        with pytest.raises(NetError):
            await a.join()
        with pytest.raises(NetError):
            await a.join(a)


async def test_a_walk_that_is_cancelled_harms_nobody(autojump_clock: MockClock) -> None:
    async with world() as w:
        peers = await w.grow(5)
        with trio.move_on_after(0.005) as scope:
            await peers[0].dht.walk(LOC, put=record(1), watch_s=60)
        assert scope.cancelled_caught
        await trio.sleep(0.1)
        result = await peers[0].dht.walk(LOC)
        assert (result.answered, result.failed, result.records) == (5, 0, (record(1),))


async def test_a_stopped_dht_says_so(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        w.silence([b])
        failures: list[NetError] = []

        async def walk() -> None:
            try:
                await a.dht.walk(LOC)
            except NetError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(walk)
            await trio.sleep(0.1)
            a.scope.cancel()
        with pytest.raises(NetError):
            await a.dht.walk(LOC)
        assert len(failures) == 1


async def test_walks_that_wait_for_their_turn_end_with_the_dht(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        w.silence([b])
        ended: list[int] = []

        async def walk(name: int) -> None:
            with pytest.raises(NetError):
                await a.dht.walk(LOC)
            ended.append(name)

        async with trio.open_nursery() as nursery:
            for name in range(2 * limits.WALKS):
                nursery.start_soon(walk, name)
            await trio.sleep(0.1)
            a.scope.cancel()
        assert len(ended) == 2 * limits.WALKS


async def test_it_stops_cleanly_at_any_moment_of_a_refresh(autojump_clock: MockClock) -> None:
    for moment in range(40):
        async with world(seed=moment) as w:
            peers = await w.grow(4)
            await trio.sleep_until(peers[1].started_at + limits.REFRESH_CHECK_S + moment / 1_000)
            peers[1].scope.cancel()
            await trio.sleep(1)


async def test_beyond_the_bound_the_least_recently_used_streams_are_closed_but_not_watched_ones(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as w:
        peers = await w.grow(7)
        asker, others = peers[0], peers[1:]
        monkeypatch.setattr(limits, "CLIENT_STREAMS", limits.WATCHES_PER_WALK)
        assert (await asker.dht.walk(LOC, watch_s=600)).watched == limits.WATCHES_PER_WALK
        for other in others:
            w.net.kill_streams(asker.node, other.node, KAD)
        for name in range(20):
            result = await asker.dht.walk(bytes([name]) * 32)
            assert (result.answered, result.failed) == (7, 0)
        await trio.sleep(1)
        assert sum(len(other.dht._keeper._watches) for other in others) == limits.WATCHES_PER_WALK
        assert len(asker.dht._records._pool._channels) == limits.WATCHES_PER_WALK


async def test_connections_to_the_closest_storers_are_kept_up(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WARM_PEERS", 4)
    async with world() as w:
        peers = await w.grow(12)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        own = peers[5].node
        others = [peer for peer in peers if peer.node is not own]
        others.sort(key=lambda peer: position(peer.node.peer_id) ^ position(own.peer_id))
        for other in others:
            w.net.cut(own, other.node)
            w.net.heal(own, other.node)
        assert own.links() == ()
        await trio.sleep(limits.REFRESH_CHECK_S + 1)
        assert {link.peer for link in own.links()} == {peer.node.peer_id for peer in others[:4]}


async def test_their_streams_are_not_closed_to_make_room(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WARM_PEERS", 3)
    monkeypatch.setattr(limits, "CLIENT_STREAMS", 5)
    async with world() as w:
        peers = await w.grow(12)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        own = peers[5]
        others = sorted(
            (peer.node.peer_id for peer in peers if peer is not own),
            key=lambda peer: position(peer) ^ position(own.node.peer_id),
        )
        for number in range(20):
            assert (await own.dht.walk(bytes([number]) * 32)).failed == 0
        kept = set(own.dht._records._pool._channels)
        assert set(others[:3]) <= kept
        assert len(kept) <= 5 + SMALL.k  # the walk that was last is not over before it has its answers
