from __future__ import annotations

import math
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.testing.clock import Alarm, JumpClock, sleep


def _clocks() -> list[trio.abc.Clock]:
    return [JumpClock(), MockClock(autojump_threshold=0)]


async def _waker(alarm: Alarm, at: float, found: list[float]) -> None:
    await alarm.wait(at)
    found.append(trio.current_time())


@pytest.mark.parametrize("clock", _clocks())
def test_who_sleeps_wakes_in_time(clock: trio.abc.Clock) -> None:
    async def work() -> list[float]:
        found: list[float] = []
        began = trio.current_time()

        async def one(seconds: float) -> None:
            await sleep(seconds)
            found.append(trio.current_time() - began)

        async with trio.open_nursery() as nursery:
            for seconds in (86_400.0, 0.5, 3.0):
                nursery.start_soon(one, seconds)
            await trio.sleep(1)
            found.append(trio.current_time() - began)
        return found

    assert trio.run(work, clock=clock) == pytest.approx([0.5, 1, 3, 86_400], abs=0.01)


@pytest.mark.parametrize("clock", _clocks())
def test_an_alarm_is_set_anew_and_rung(clock: trio.abc.Clock) -> None:
    async def work() -> list[float]:
        found: list[float] = []
        began = trio.current_time()
        alarm = Alarm()
        alarm.ring()  # nobody waits
        alarm.set(0.0)
        changes = partial(alarm.set, began + 20), partial(alarm.set, began + 40), partial(alarm.ring)
        for change in changes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_waker, alarm, began + 1_000, found)
                await trio.sleep(10)
                change()
        return [at - began for at in found]

    assert trio.run(work, clock=clock) == pytest.approx([20, 40, 50], abs=0.01)


def test_who_is_cancelled_leaves_nothing_behind() -> None:
    async def work() -> float:
        alarm = Alarm()
        for _ in range(3_000):  # more than trio keeps before it looks through its deadlines
            with trio.move_on_after(1) as scope:
                await alarm.wait(trio.current_time() + 100)
            assert scope.cancelled_caught
        began = trio.current_time()
        await alarm.wait(began + 5)
        return trio.current_time() - began

    assert trio.run(work, clock=JumpClock()) == 5


def test_one_waits_at_a_time() -> None:
    async def work() -> None:
        alarm = Alarm()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alarm.wait)
            await trio.sleep(1)
            with pytest.raises(trio.BusyResourceError):
                await alarm.wait(math.inf)
            alarm.ring()

    trio.run(work, clock=JumpClock())


def test_the_clock_stands_still_while_somebody_works() -> None:
    async def work() -> float:
        began = trio.current_time()
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        return trio.current_time() - began

    assert trio.run(work, clock=JumpClock()) == 0
