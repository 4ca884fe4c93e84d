"""Two hundred days (PROTOCOL.md 3.1 to 3.4): epochs, eras, clocks that go wrong, rotation, ratchets, expiry."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count, pairwise

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.core.presence import open_presence, presence_epoch
from p2pchat.core.record import check_record
from p2pchat.core.slots import Slot, derive_root, epoch, era, next_slot_s
from p2pchat.net import dht as dht_module
from p2pchat.net.dht import Dht, WalkResult
from p2pchat.services import herald, hold, invites, join, link, meeting_point, standing, upgrade, upkeep
from p2pchat.store import contacts
from p2pchat.store import presence as store
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, START_S, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

HOUR_S = 3600
DAY_S = 24 * HOUR_S
DAYS = 200
SKEW_S = 295.0  # to either side: two clocks may differ by 600 s
PATIENT = dataclasses.replace(CHEAP, watch_max_s=12 * HOUR_S)
ALICE, BOB, NOBODY = "+821012345678", "+821098765432", "+821033333333"


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(41):
        yield


@pytest.fixture
def _unhurried(rare_checks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks every minute whether something changed looks every few hours: the days go by so much faster."""
    monkeypatch.setattr(link, "HEARTBEAT_S", 6 * HOUR_S)
    monkeypatch.setattr(link, "SILENCE_S", 13 * HOUR_S)
    monkeypatch.setattr(link, "_PINGS_A_PROBE", 2)
    monkeypatch.setattr(herald, "_CHECK_S", HOUR_S)
    monkeypatch.setattr(join, "ALONE_CHECK_S", HOUR_S)
    for module, name in ((limits, "RELAY_LOOK_S"), (upgrade, "_IDLE_S"), (standing, "_EVERY_S")):
        monkeypatch.setattr(module, name, 6 * HOUR_S)
    monkeypatch.setattr(meeting_point, "_UNWANTED_S", 6 * HOUR_S)
    monkeypatch.setattr(upkeep, "_EVERY_S", 6 * HOUR_S)
    monkeypatch.setattr(hold, "_EXPIRY_S", 6 * HOUR_S)
    monkeypatch.setattr(limits, "REFRESH_CHECK_S", 6 * HOUR_S)
    monkeypatch.setattr(limits, "REFRESH_AFTER_S", DAY_S)


class Puts:
    """Every walk that puts: when, where, what; by everybody."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seqs: dict[bytes, list[int]] = defaultdict(list)
        walk = Dht.walk

        async def noted(
            dht: Dht, loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0
        ) -> WalkResult:
            result = await walk(dht, loc, put=put, get=get, watch_s=watch_s)
            for raw in result.records:  # whatever a node believes another to have kept has not expired by its clock
                assert check_record(loc, raw, int(dht._now()), CHEAP).expiry > dht._now()
            if put is not None:
                seq = check_record(loc, put, int(cluster.now() + SKEW_S), CHEAP).seq
                if seq not in self.seqs[loc]:
                    self.seqs[loc].append(seq)
            return result

        monkeypatch.setattr(dht_module.Dht, "walk", noted)

    def pauses_h(self, locs: list[bytes]) -> list[float]:
        """The hours between two records of one slot."""
        return [(b - a) / HOUR_S for loc in locs for a, b in pairwise(self.seqs[loc])]


async def hellos(node: Node, number: str) -> list[bytes]:
    """The slots of the pair of numbers in all the epochs so far."""
    assert node.running is not None
    found: list[bytes] = []
    for each in range(era(START_S, CHEAP), era(int(node.now()), CHEAP) + 1):
        root = derive_root(node.number, number, each, CHEAP)
        epochs = range(epoch(root, START_S, CHEAP), epoch(root, int(node.now()), CHEAP) + 2)
        found += [Slot(root, at).loc for at in epochs]
    return found


async def both_matched(alice: Node, bob: Node, names: tuple[str, str]) -> bool:
    return {(await alice.contact(names[0])).state, (await bob.contact(names[1])).state} == {"matched"}


async def told(sender: Node, to: str, text: str) -> None:
    await sender.send(to, text)

    async def delivered() -> bool:
        return all(row.state == "delivered" for row in await sender.conversation(to) if not row.incoming)

    await eventually(delivered, within_s=2 * DAY_S, step_s=30)


async def reads_presence(reader: Node, of: str) -> bool:
    """Whether what the reader holds opens the record that stands there now."""
    contact = await reader.contact(of)
    held = await reader.database.run(lambda tx: store.held(tx, contact.id))
    assert held is not None
    assert reader.running is not None
    records = (await reader.running.context.dht.walk(held.key.loc)).records
    return [open_presence(held.key, raw, int(reader.now()), CHEAP).presence.peer_id for raw in records] != []


def kept_secrets(tx: Tx) -> tuple[list[int], list[int], int]:
    """(eras of idsec, weeks of the own presence keys, rows of pair slots, roots and own records)"""
    eras = [row[0] for row in tx.all("SELECT era FROM idsec ORDER BY era")]
    weeks = [own.epoch for own in store.all_own(tx)]
    everything = "SELECT (SELECT count(*) FROM pair_slot) + (SELECT count(*) FROM pair_root) + count(*) FROM published"
    return eras, weeks, int(tx.all(everything)[0][0])


async def check_secrets(node: Node) -> None:
    """Nothing is kept for longer than it is needed, so that who takes the disk reads nothing older."""
    eras, weeks, rows = await node.database.run(kept_secrets)
    now = int(node.now())
    slack_s = 7 * HOUR_S  # the pause of upkeep
    first_needed = era(now - CHEAP.idsec_kept_s - slack_s, CHEAP)
    assert all(first_needed <= each <= era(now + CHEAP.publish_next_s, CHEAP) + 1 for each in eras)
    oldest_week = presence_epoch(now - CHEAP.read_previous_s - slack_s, CHEAP)
    assert all(week >= oldest_week for week in weeks)
    assert len(weeks) <= 3
    assert rows < 100


@pytest.mark.slow
@pytest.mark.usefixtures("_unhurried")
async def test_two_hundred_days(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    async with Cluster.running(params=PATIENT, seed=7) as cluster:
        puts = Puts(cluster, monkeypatch)
        for name in ("Carol", "Dave", "Erin"):
            await cluster.add(name)
        alice = await cluster.add("Alice", ALICE, skew_s=SKEW_S)
        bob = await cluster.add("Bob", BOB, skew_s=-SKEW_S)
        await alice.add(BOB, "Bob")
        await bob.add(ALICE, "Alice")
        await alice.add(NOBODY, "Nobody")
        assert await eventually(partial(both_matched, alice, bob, ("Bob", "Alice")), within_s=HOUR_S) < 60
        said, sought_s = count(1), cluster.now()
        for day in range(1, DAYS + 1):
            await trio.sleep(DAY_S)
            await check_secrets(alice)
            await check_secrets(bob)
            if day % 5 == 0:
                await told(alice, "Bob", f"{next(said)}")
                await told(bob, "Alice", f"{next(said)}")
                assert await reads_presence(alice, "Bob")
                assert await reads_presence(bob, "Alice")
            if day % 23 == 0:  # a week away, and back elsewhere
                await cluster.crash(bob)
                cluster.network.move(bob.network)
                await trio.sleep(7 * DAY_S)
                await cluster.start(bob)
            if cluster.now() - sought_s >= 20 * DAY_S:
                sought_s = cluster.now()
                await alice.add(NOBODY, "Nobody")
        numbers = [own.n for own in await alice.database.run(store.all_own)]
        assert numbers[0] >= DAYS // 28
        assert await bob.received("Alice") == [str(n) for n in range(1, next(said)) if n % 2]
        hours = puts.pauses_h(await hellos(alice, NOBODY))
        assert len(hours) > DAYS * 24 / 36
        assert min(hours) >= 24
        assert max(hours) <= 36.1
        assert len({round(pause) for pause in hours}) == 12 + 1  # nobody publishes by the hour


@pytest.mark.usefixtures("_unhurried")
@pytest.mark.parametrize("boundary", ["epoch", "era"])
@pytest.mark.parametrize("skew_s", [(SKEW_S, -SKEW_S), (-SKEW_S, SKEW_S), (0.0, 2 * SKEW_S), (-2 * SKEW_S, 0.0)])
async def test_clocks_that_disagree_about_the_slot_do_not_keep_two_apart(
    boundary: str, skew_s: tuple[float, float], autojump_clock: MockClock
) -> None:
    """For ten minutes one has begun the next slot and the other not: each reads and writes where the other does."""
    async with Cluster.running(seed=9) as cluster:
        for name in ("Carol", "Dave", "Erin"):
            await cluster.add(name)
        now = int(cluster.now())
        root = derive_root(ALICE, BOB, era(now, CHEAP), CHEAP)
        left_s = next_slot_s(root, now, CHEAP) + CHEAP.publish_next_s
        if boundary == "era":
            left_s = CHEAP.era_s - now % CHEAP.era_s
        await trio.sleep(left_s - 30)
        alice = await cluster.add("Alice", ALICE, skew_s=skew_s[0])
        bob = await cluster.add("Bob", BOB, skew_s=skew_s[1])
        await alice.add(BOB, "Bob")
        await trio.sleep(20)
        await bob.add(ALICE, "Alice")
        assert await eventually(partial(both_matched, alice, bob, ("Bob", "Alice")), within_s=HOUR_S) < 30


@pytest.mark.slow
@pytest.mark.usefixtures("_unhurried")
async def test_two_who_were_apart_for_a_hundred_days_meet_again(autojump_clock: MockClock) -> None:
    """Each has rotated, moved, and ended what the other could read; no number helps: what is left is their session."""
    async with Cluster.running(params=PATIENT, seed=11) as cluster:
        for name in ("Carol", "Dave", "Erin"):
            await cluster.add(name)
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        await introduce(alice, bob)
        await trio.sleep(DAY_S)
        first = [await number_of_presence(node) for node in (alice, bob)]
        await cluster.crash(bob)
        await trio.sleep(45 * DAY_S)
        await cluster.crash(alice)
        cluster.network.move(alice.network)
        cluster.network.move(bob.network)
        await cluster.start(bob)
        await trio.sleep(55 * DAY_S)
        await cluster.start(alice)
        await told(alice, "Bob", "still there?")
        assert [await number_of_presence(node) for node in (alice, bob)] > [n + 1 for n in first]


async def introduce(alice: Node, bob: Node) -> None:
    """By an invite: neither has a number."""
    assert alice.running is not None
    assert bob.running is not None
    mine, theirs = alice.running.context, bob.running.context
    made = await alice.database.run(lambda tx: invites.create(tx, mine, 1, DAY_S, ask=False))
    text = invites.link(mine, made)
    await bob.database.run(lambda tx: invites.redeem(tx, theirs, text, "Alice"))

    async def met() -> bool:
        rows = [*await alice.database.run(contacts.everyone), *await bob.database.run(contacts.everyone)]
        return [row.state for row in rows] == ["matched", "matched"]

    await eventually(met, within_s=HOUR_S)
    [row] = await alice.database.run(contacts.everyone)
    await alice.database.run(lambda tx: contacts.set_name(tx, row.id, "Bob"))


async def number_of_presence(node: Node) -> int:
    own = await node.database.run(store.own)
    return own.n if own is not None else 0
