"""Frames that are not complete: how much of them there may be, of one peer and in all, and for how long."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.base.ids import PeerId
from p2pchat.net.unfinished import FrameUnfinished, Share, Unfinished

ONE, TWO = PeerId(b"one"), PeerId(b"two")
LARGE = 65_537


async def read_on(share: Share, size: int, idle_s: float = 600.0) -> None:
    """A stream of which ``size`` bytes come, and then nothing."""
    with share.reading(idle_s):
        await share.hold(size)
        await trio.sleep_forever()


async def test_a_frame_that_has_begun_has_30_s_and_one_that_has_not_as_long_as_it_is_told(
    autojump_clock: MockClock,
) -> None:
    pool = Unfinished(1_000)
    with pool.share(ONE) as share:
        began = trio.current_time()
        await read_on(share, 0)
        assert trio.current_time() - began == 600
        with pytest.raises(FrameUnfinished, match="in time"):
            await read_on(share, 10)
        assert trio.current_time() - began == 630
        share.note(10)  # what follows a frame that is worked on
        with share.waiting():
            await trio.sleep(300)
        with pytest.raises(FrameUnfinished, match="in time"):
            await read_on(share, 20)
        assert trio.current_time() - began == 960
        assert pool.total == 20
    assert pool.total == 0


async def test_a_frame_that_was_completed_leaves_the_next_its_time(autojump_clock: MockClock) -> None:
    with Unfinished(1_000).share(ONE) as share:
        for _ in range(5):
            with share.reading(600):
                await share.hold(10)
                await trio.sleep(29)
            share.note(5)


async def test_beyond_the_bound_the_largest_goes_and_of_those_the_first(autojump_clock: MockClock) -> None:
    pool, gone = Unfinished(100), list[str]()

    async def stream(name: str, size: int) -> None:
        with pool.share(ONE) as share:
            try:
                await read_on(share, size)
            except FrameUnfinished:
                gone.append(name)

    async with trio.open_nursery() as nursery:
        for name, size, expected in (
            ("a", 20, ""),
            ("b", 40, ""),
            ("c", 40, ""),
            ("d", 1, "b"),
            ("e", 39, "b"),
            ("f", 1, "bc"),
            ("g", 90, "bcg"),
        ):
            nursery.start_soon(stream, name, size)
            await wait_all_tasks_blocked()
            assert "".join(gone) == expected
        assert pool.total == 20 + 1 + 39 + 1
        nursery.cancel_scope.cancel()
    assert pool.total == 0


async def test_whoever_has_to_go_while_it_is_busy_goes_when_it_waits_next(autojump_clock: MockClock) -> None:
    pool = Unfinished(100)
    with pool.share(ONE) as busy, pool.share(TWO) as other:
        busy.note(60)
        other.note(50)
        assert pool.total == 50
        with pytest.raises(FrameUnfinished, match="others"), busy.waiting():
            await trio.sleep(1)
        assert trio.current_time() == 0
        with other.waiting():
            await trio.sleep(1)


async def test_of_one_peer_two_streams_have_much_of_a_frame_and_others_wait(autojump_clock: MockClock) -> None:
    pool = Unfinished(1_000_000)
    reached: list[str] = []

    async def stream(name: str, peer: PeerId, lasts_s: float) -> None:
        with pool.share(peer) as share, share.reading(600):
            await share.hold(LARGE)
            reached.append(name)
            await trio.sleep(lasts_s)
            share.note(0)

    async with trio.open_nursery() as nursery:
        for name, peer in (("a", ONE), ("b", ONE), ("c", ONE), ("d", TWO)):
            nursery.start_soon(stream, name, peer, 10 if name == "a" else 20)
            await wait_all_tasks_blocked()
        assert reached == ["a", "b", "d"]
        await trio.sleep(11)
        assert reached == ["a", "b", "d", "c"]  # which was there in time: its 30 s began when its frame did
        nursery.cancel_scope.cancel()


async def test_who_waits_for_the_peers_others_too_long_goes(autojump_clock: MockClock) -> None:
    pool = Unfinished(1_000_000)
    with pool.share(ONE) as one, pool.share(ONE) as two, pool.share(ONE) as three:
        await one.hold(LARGE)
        await two.hold(LARGE)
        with pytest.raises(FrameUnfinished, match="in time"), three.reading(600):
            await three.hold(LARGE)
        assert trio.current_time() == 30
