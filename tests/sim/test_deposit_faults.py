"""A disk that fails once, at every statement of a deposit in turn: at the holder, and at who leaves it there.

Whatever failed: a custody that was said has its box, nothing is told or kept twice, and a text stays in the outbox
until the contact itself has it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.crypto import blake2b_plain, sign
from p2pchat.core.events import EventKind
from p2pchat.core.mailbox import Custody, Fetch, Fetched, Reason, Refused, custody_statement
from p2pchat.services import depositors
from p2pchat.store import messages
from p2pchat.store.db import Database
from p2pchat.testing.faulty import FaultyConnection
from tests.sim.holders import fetch
from tests.sim.mailboxes import NO_SIGNATURE, talk
from tests.sim.struck import Faulty
from tests.sim.test_deposit import World, world
from tests.sim.test_holder import listed, scene


async def every_one_of_a_box(under: Callable[[Database], Faulty], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was struck at a holder, one after the other until there is nothing left, each time while boxes come."""
    monkeypatch.setattr(depositors, "MAILBOX_PREFIX_BYTES", 3_072)  # what was counted and not kept leaves no room
    async with (
        scene() as scenery,
        talk(scenery.depositor, scenery.holder) as depositor,
        talk(scenery.owner, scenery.holder) as owner,
    ):
        said: list[bytes] = []
        struck: list[str] = []
        disk = under(scenery.holder.database)
        while not struck or struck[-1]:
            await trio.sleep(10)
            deposits = [scenery.deposit(), scenery.deposit(2_048)]
            disk.arm(len(struck) + 1)
            answers = await depositor.ask(*deposits)
            struck.append(disk.struck)
            disk.arm(0)
            assert {type(each) for each in answers} <= {Custody, Refused}
            assert all(each == Refused(Reason.NO_SPACE, 0) for each in answers if isinstance(each, Refused))
            pairs = zip(deposits, answers, strict=True)
            said += [deposit.box for deposit, answer in pairs if isinstance(answer, Custody)]
            numbers = await listed(owner, scenery.box)
            fetched = (
                await owner.ask_as(scenery.box.owner, Fetch(scenery.box.owner.public, tuple(numbers), NO_SIGNATURE))
                if numbers
                else Fetched(())
            )
            assert isinstance(fetched, Fetched)
            assert [each.box for each in fetched.boxes] == said
            assert await scenery.total() == (len(said), sum(map(len, said)))
        assert len(said) == 2  # of the last time, at which nothing failed
    return struck[:-1]


async def every_one_of_a_custody(under: Callable[[Database], Faulty], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same at who leaves a text there."""
    async with world(monkeypatch, holders=1) as w:
        struck: list[str] = []
        texts: list[str] = []
        disk = under(w.alice.database)
        while not struck or struck[-1]:
            texts.append(f"text {len(texts)}")
            row = await w.alice.send("Bob", texts[-1])
            disk.arm(len(struck) + 1)
            await trio.sleep(20)  # nobody looks meanwhile: that would be the one it strikes
            struck.append(disk.struck)
            disk.arm(0)
            await w.until_all("held", 1_000)
            await custody_is_true(w)
            assert await w.alice.database.run(messages.outbox_size) == len(texts)
            assert w.told(EventKind.MESSAGE_HELD)[row.id] == 1
        assert w.told(EventKind.MESSAGE_HELD).total() == len(texts)
        assert not w.told(EventKind.MESSAGE_UNHELD)
        frames = w.holders[0].frames(w.mailboxes.key)
        await w.cluster.crash(w.alice)
        await w.cluster.start(w.bob)
        await fetch(w.bob, w.alice, frames)
        assert await w.bob.received("Alice") == texts
    return struck[:-1]


async def test_the_disk_of_a_holder_fails_at_every_statement_of_a_deposit(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck = await every_one_of_a_box(FaultyConnection.under, monkeypatch)
    assert "COMMIT" in struck
    assert any("INSERT INTO deposit" in each for each in struck)


async def test_the_disk_of_who_leaves_it_fails_at_every_statement(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    struck = await every_one_of_a_custody(FaultyConnection.under, monkeypatch)
    assert "COMMIT" in struck
    for part in ("INSERT INTO custody", "INSERT INTO envelope"):
        assert any(part in each for each in struck), part


async def custody_is_true(w: World) -> None:
    """Each that is written down is the holder's word for a box that was left there."""
    (holder,) = w.holders
    there = {blake2b_plain(box, 32): box for box in holder.boxes}
    for until_s, receipt in await w.alice.database.run(lambda tx: tx.all("SELECT until_s, receipt FROM custody")):
        box = there[bytes(receipt)[:32]]
        assert sign(holder.key, custody_statement(box, until_s)) == bytes(receipt)[32:]
