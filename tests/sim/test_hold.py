"""What a node keeps for others, over restarts and crashes (PROTOCOL.md 3.2)."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import StoreError
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.storer import Held
from p2pchat.core.work import mine
from p2pchat.services import hold
from p2pchat.store import held
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node

SLOT = Slot(bytes(32), 1)
BATCH_S = 31.0


def record(cluster: Cluster, writer: int, *, life_s: int = CHEAP.record_ttl_s) -> bytes:
    params = dataclasses.replace(CHEAP, record_ttl_s=life_s)
    seq = int(cluster.now())
    unmined = prepare_record(SLOT, ed25519_pair(bytes([writer] * 32)), b"data", seq, bytes(24), params)
    return finish(unmined, mine(unmined.digest, CHEAP.work_bits))


async def put(node: Node, data: bytes) -> None:
    assert node.running is not None
    assert (await node.running.context.dht.walk(SLOT.loc, put=data)).stored == 2


def kept(node: Node) -> set[bytes]:
    assert node.running is not None
    context = node.running.context
    return set(context.dht.storer.get(SLOT.loc, int(context.now())))


async def rows(node: Node) -> list[Held]:
    return (await node.database.run(lambda tx: held.page(tx, 0, 1000)))[1]


async def test_what_is_held_for_others_is_there_after_a_crash_except_the_last_batch(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        first, second = record(cluster, 1), record(cluster, 2)
        await put(alice, first)
        await trio.sleep(BATCH_S)
        await put(alice, second)
        assert kept(alice) == kept(bob) == {first, second}
        await cluster.crash(bob)
        await cluster.start(bob)
        await trio.sleep(1)
        assert kept(bob) == {first}


async def test_a_clean_stop_saves_the_last_batch_too(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        await put(alice, record(cluster, 1))
        assert bob.running is not None
        await bob.running.life.save()
        await cluster.crash(bob)
        await cluster.start(bob)
        await trio.sleep(1)
        assert kept(bob) == kept(alice) != set()


async def test_who_kept_it_and_under_which_prefix_comes_back_too(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        await put(alice, record(cluster, 1))
        await trio.sleep(BATCH_S)
        prefixes = {}
        for node in (alice, bob):
            (row,) = await rows(node)
            prefixes[node.name] = row.prefix
            await cluster.crash(node)
            await cluster.start(node)
            await trio.sleep(1)
            assert node.running is not None
            assert node.running.context.dht.storer.entry(row.loc, row.writer) == row
        assert prefixes == {"alice": b"", "bob": b"peer" + bytes(alice.network.peer_id)}


async def test_what_expires_leaves_the_file_while_the_node_runs_and_while_it_does_not(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        await put(alice, record(cluster, 1, life_s=700))
        await put(alice, record(cluster, 2, life_s=3_000))
        await trio.sleep(BATCH_S)
        assert len(await rows(bob)) == 2
        await trio.sleep(1_300)
        assert len(await rows(bob)) == 1
        await cluster.crash(bob)
        await trio.sleep(3_000)
        assert len(await rows(bob)) == 1
        await cluster.start(bob)
        await trio.sleep(BATCH_S)
        assert await rows(bob) == []


async def test_a_newer_record_that_came_before_the_rows_were_loaded_stays(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        await put(alice, record(cluster, 1))
        await trio.sleep(BATCH_S)
        (old,) = await rows(bob)
        await trio.sleep(1)
        await put(alice, newer := record(cluster, 1))
        assert bob.running is not None
        context = bob.running.context
        await hold.Hold(context).load()
        assert kept(bob) == {newer}
        assert newer != old.raw


async def test_quotas_hold_for_what_is_loaded_and_what_does_not_come_in_leaves_the_file(
    autojump_clock: MockClock,
) -> None:
    params = dataclasses.replace(CHEAP, slot_entries=2)
    async with Cluster.running(params=params) as cluster:
        alice = await cluster.add("alice")
        await trio.sleep(1)
        raw = record(cluster, 1)
        entries = [Held(SLOT.loc, raw, b"p%d" % i, bytes([i] * 32), 1, int(cluster.now()) + 900, 5) for i in range(5)]
        await alice.database.run(lambda tx: held.save(tx, entries, ()))
        await cluster.crash(alice)
        await cluster.start(alice)
        await trio.sleep(BATCH_S)
        assert alice.running is not None
        assert len(alice.running.context.dht.storer) == len(await rows(alice)) == 2


async def test_under_another_node_key_nothing_of_it_is_kept(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        await put(alice, record(cluster, 1))
        await trio.sleep(BATCH_S)

        def renew(tx: Tx) -> None:
            tx.execute("UPDATE meta SET value = ? WHERE key = 'held_by'", (b"another",))

        await bob.database.run(renew)
        assert len(await rows(bob)) == 1
        await bob.database.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_RENEWED)))
        await trio.sleep(5)
        assert kept(bob) == set()
        assert await rows(bob) == []


async def test_what_the_disk_refuses_is_written_the_next_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tx: Tx, entries: object, gone: object) -> None:
        raise StoreError("full")

    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        with monkeypatch.context() as patched:
            patched.setattr(held, "save", refuse)
            await put(alice, record(cluster, 1))
            await trio.sleep(BATCH_S)
            assert await rows(bob) == []
        await trio.sleep(BATCH_S)
        assert len(await rows(bob)) == 1


async def test_many_changes_do_not_wait_for_the_half_minute(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "_MANY", 3)
    monkeypatch.setattr(hold, "_ROWS", 2)
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("alice"), await cluster.add("bob")
        await trio.sleep(1)
        for writer in range(3):
            await put(alice, record(cluster, writer))
        await trio.sleep(1)
        assert len(await rows(bob)) == 3
        await cluster.crash(bob)
        await cluster.start(bob)
        await trio.sleep(1)
        assert len(kept(bob)) == 3
