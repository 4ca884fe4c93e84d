"""What strangers leave unread in all: :mod:`p2pchat.net.unread`."""

from __future__ import annotations

from dataclasses import dataclass

import trio
from trio.testing import MockClock

from p2pchat.net.unread import Unread

KIB = 1024
MOST, FREE, EACH = 6_400 * KIB, 64 * KIB, 768 * KIB


@dataclass(eq=False)
class End:
    unread: int = 0
    lost: bool = False


def push(unread: Unread, end: End, length: int) -> bool:
    """More comes; where it is too much the connection ends."""
    end.lost = end.lost or not unread.takes(end, end.unread + length)
    end.unread = 0 if end.lost else end.unread + length
    return not end.lost


async def test_a_crowd_that_reads_nothing_holds_no_more_than_twice_the_bound(autojump_clock: MockClock) -> None:
    unread, crowd, most = Unread(MOST, FREE), [End() for _ in range(512)], 0
    for _ in range(EACH // (16 * KIB)):
        for end in crowd:
            if not end.lost:
                push(unread, end, 16 * KIB)
            most = max(most, sum(each.unread for each in crowd))
        await trio.sleep(0.1)
    assert 512 * FREE < most <= 2 * MOST + 512 * FREE


async def test_who_reads_what_comes_is_not_affected(autojump_clock: MockClock) -> None:
    unread, crowd, honest = Unread(MOST, FREE), [End() for _ in range(64)], End()
    for _ in range(48):
        for end in crowd:
            if not end.lost:
                push(unread, end, 16 * KIB)
        assert push(unread, honest, 60 * KIB)
        honest.unread = 0
        await trio.sleep(0.1)
    assert any(end.lost for end in crowd)


async def test_what_was_read_makes_room_again(autojump_clock: MockClock) -> None:
    unread, first = Unread(MOST, FREE), [End() for _ in range(8)]
    assert all(push(unread, end, EACH) for end in first)
    assert not push(unread, End(), 8 * EACH)
    for end in first:
        end.unread = 0
    await trio.sleep(1)
    assert all(push(unread, End(), EACH) for _ in range(8))


async def test_connections_that_have_ended_count_no_more(autojump_clock: MockClock) -> None:
    unread = Unread(MOST, FREE)
    for _ in range(50):
        end = End()
        assert push(unread, end, EACH)
        end.lost = True
        await trio.sleep(1)
    assert len(unread._held) <= MOST // EACH + 1
