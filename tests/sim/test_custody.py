"""When a custody counts no more, and what is told of it (PROTOCOL.md 6.3, 6.5): it is too short, its holder was given
up by the contact, or it is over."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.events import EventKind
from p2pchat.core.mailbox import Answer, Deposit, Request
from p2pchat.core.params import DAY_S
from p2pchat.services import upkeep
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import eventually
from tests.sim.holders import FakeHolder
from tests.sim.test_deposit import World, deposits, world

HELD, UNHELD = EventKind.MESSAGE_HELD, EventKind.MESSAGE_UNHELD
LIFE_S = 3 * DAY_S


def reading_is_due(tx: Tx) -> None:
    """A record was put since the last one was read."""
    tx.execute("UPDATE contact_presence SET seq = seq - 1000")


async def held_by(w: World) -> set[bytes]:
    rows = await w.alice.database.run(lambda tx: tx.all("SELECT DISTINCT holder FROM custody"))
    return {bytes(row[0]) for row in rows}


async def until_held_by(w: World, *holders: FakeHolder, within_s: float = 6 * 3600.0) -> float:
    wanted = {bytes(holder.network.peer_id) for holder in holders}

    async def there() -> bool:
        return await held_by(w) == wanted

    return await eventually(there, within_s=within_s)


# -- of a holder that was given up -------------------------------------------------------------------------------------


async def test_what_a_holder_has_that_the_contact_has_given_up_is_left_with_the_next(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        row = await w.alice.send("Bob", "hello")
        await w.until_all("held")
        former, new = w.holders[0], FakeHolder(w.cluster, 7)
        w.mailboxes.holders[:] = [new]
        await w.alice.database.run(reading_is_due)
        await until_held_by(w, new)
        assert len(new.boxes) == 1
        assert len(former.boxes) == 1
        assert w.told(UNHELD) == {row.id: 1}
        assert w.told(HELD) == {row.id: 2}


async def test_another_token_is_another_mailbox(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch) as w:
        row = await w.alice.send("Bob", "hello")
        await until_held_by(w, *w.holders)
        w.holders[0].token = bytes(32)
        await w.alice.database.run(reading_is_due)

        async def again() -> bool:
            return len(w.holders[0].boxes) == 2

        await eventually(again, within_s=6 * 3600)
        await trio.sleep(60)
        assert len(w.holders[1].boxes) == 1  # whose token is the one it was
        assert (w.told(HELD), w.told(UNHELD)) == ({row.id: 1}, {})  # one of them had it all the time


async def test_a_custody_that_comes_when_its_holder_was_given_up_is_none(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        w.holders[0].answer_after_s = 10.0
        await w.alice.send("Bob", "hello")

        async def asked() -> bool:
            return deposits(w.holders[0]) == 1

        await eventually(asked)
        await w.alice.database.run(lambda tx: tx.execute("UPDATE contact_presence SET mailbox_key = NULL"))
        await trio.sleep(60)
        assert len(w.holders[0].boxes) == 1
        assert await w.states() == ["sent"]
        assert await w.custodies() == 0


# -- that is too short -------------------------------------------------------------------------------------------------


def brief(w: World, request: Request, part: float) -> Answer | None:
    """A custody of a part of what was asked for."""
    if not isinstance(request, Deposit):
        return None
    return w.holders[0].custody(request.box, int(w.cluster.now() + part * request.ttl_s))


async def test_a_custody_of_less_than_half_the_time_is_none(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        w.holders[0].answer = lambda request: brief(w, request, 700 / LIFE_S)
        await w.alice.send("Bob", "hello")
        await trio.sleep(DAY_S)
        assert await w.states() == ["sent"]
        assert deposits(w.holders[0]) < 60
        w.holders[0].answer = lambda request: brief(w, request, 0.51)
        await w.until_all("held", 3 * 3600)


# -- that is over ------------------------------------------------------------------------------------------------------


async def test_its_end_and_its_next_beginning_are_told_on_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 30 * DAY_S)
    async with world(monkeypatch) as w:
        row = await w.alice.send("Bob", "hello")
        await until_held_by(w, *w.holders)
        ends = await w.alice.database.run(lambda tx: tx.all("SELECT max(until_s) FROM custody"))
        for holder in w.holders:
            w.cluster.network.down(holder.network)
        await trio.sleep(ends[0][0] - w.cluster.now() - 2)
        assert not w.told(UNHELD)
        await trio.sleep(4)
        assert w.told(UNHELD) == {row.id: 1}
        assert w.told(HELD) == {row.id: 1}
        for holder in w.holders:
            w.cluster.network.up(holder.network)
        await until_held_by(w, *w.holders)
        assert w.told(HELD) == {row.id: 2}  # by the first of both
        await trio.sleep(LIFE_S - 1200)
        assert w.told(UNHELD) == {row.id: 1}


async def test_its_end_is_told_soon_after_the_clock_was_set(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 30 * DAY_S)
    async with world(monkeypatch, holders=1) as w:
        row = await w.alice.send("Bob", "hello")
        await w.until_all("held")
        w.cluster.network.down(w.holders[0].network)
        w.alice.now.skew_s += LIFE_S + 60
        await trio.sleep(601)
        assert w.told(UNHELD) == {row.id: 1}
