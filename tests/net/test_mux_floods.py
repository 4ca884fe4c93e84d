"""Streams, control frames and data below the streams, without end: the connection goes, is counted, and nobody else's
does. Guard 25 of p2pchat/net/guard.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import ConnectionClosedError

from p2pchat.base import limits
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal
from p2pchat.net.guard import GuardedYamux
from p2pchat.net.libp2p_host import Libp2pHost
from tests.contract.lab import ECHO, echo, read_all
from tests.net.hosts import DATA, PING, SYN, WINDOW_UPDATE, frame, muxes, rogue, two_hosts

pytestmark = pytest.mark.net

RST = 8
FLOODS: dict[str, Callable[[int], bytes]] = {
    "streams": lambda i: frame(WINDOW_UPDATE, SYN, 2 * i + 1),
    "streams with data, reset at once": lambda i: frame(DATA, SYN, 2 * i + 1, b"x") + frame(DATA, RST, 2 * i + 1),
    "pings of Yamux": lambda i: frame(PING, SYN, 0, length=i),
    "resets of no stream": lambda i: frame(WINDOW_UPDATE, RST, 2 * i + 1),
    "data for no stream": lambda _: frame(DATA, 0, 7, bytes(60_000)),
    "empty data for no stream": lambda _: frame(DATA, 0, 7),
}
FRAMES = 10_000


async def talks(a: Libp2pHost, b: Libp2pHost) -> bool:
    await a.dial(b.peer_id, b.addresses())
    stream = await a.open(b.peer_id, ECHO)
    await stream.write(b"honest")
    await stream.close()
    return await read_all(stream) == b"honest"


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_below_the_streams_ends_its_connection_alone(kind: str) -> None:
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        assert await talks(a, b)
        (honest,) = muxes(b)
        async with rogue(b) as secured:
            written = 0
            with suppress(ConnectionClosedError), trio.fail_after(20):
                for index in range(FRAMES):
                    await secured.write(FLOODS[kind](index))
                    written = index
                    await trio.lowlevel.checkpoint()
            with trio.fail_after(20):
                while muxes(b) != [honest]:  # noqa: ASYNC110  a real socket
                    await trio.sleep(0.01)
        assert b.refusals[Refusal.CONNECTION_EXCESSIVE] == 1
        assert written < FRAMES
        assert not honest.lost
        assert await talks(a, b)


@pytest.mark.parametrize("way", ["excess", "disconnect"])
async def test_who_was_cut_off_waits_before_it_is_let_in_again(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CUT_OFF_S", 3_600.0)
    monkeypatch.setattr(limits, "CUT_OFF_MOST_S", 3_600.0)
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        await a.dial(b.peer_id, b.addresses())
        async with rogue(b) as secured:
            with trio.fail_after(20):
                while len(muxes(b)) != 2:  # noqa: ASYNC110  a real socket
                    await trio.sleep(0.01)
                if way == "disconnect":
                    await b.disconnect(PeerId(muxes(b)[1].peer_id.to_bytes()))
                else:
                    with suppress(ConnectionClosedError):
                        for index in range(FRAMES):
                            await secured.write(FLOODS["streams"](index))
                while len(muxes(b)) != 1:  # noqa: ASYNC110  a real socket
                    await trio.sleep(0.01)
        assert await talks(a, b)  # who is in stays in
        with trio.move_on_after(0.3) as scope:
            async with rogue(b, b"\x67" * 32):
                pass
        assert scope.cancelled_caught


async def test_as_many_streams_as_an_honest_peer_opens_cost_nothing() -> None:
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        for _ in range(int(limits.MUX_BURST_US / 1_000 / 2)):
            assert await talks(a, b)
        assert b.refusals.counts() == dict.fromkeys(map(str, Refusal), 0)


async def test_what_was_on_its_way_to_a_stream_that_is_reset_costs_nobody_the_connection() -> None:
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        assert await talks(a, b)
        (theirs,) = muxes(b)
        async with rogue(b) as secured:
            for number in range(1, 1 + 2 * limits.STREAMS_PER_PEER, 2):  # a window on each, and all are reset
                await secured.write(frame(WINDOW_UPDATE, SYN, number) + frame(WINDOW_UPDATE, RST, number))
                for _ in range(4):
                    await secured.write(frame(DATA, 0, number, bytes(65_000)))
            await secured.write(frame(PING, SYN, 0, length=77))
            await until_answered(b, theirs)
        assert b.refusals[Refusal.CONNECTION_EXCESSIVE] == 0


async def until_answered(b: Libp2pHost, other: GuardedYamux) -> None:
    """Until the rogue's frames are read: its connection is idle and lives."""
    (mux,) = [each for each in muxes(b) if each is not other]
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert not mux.lost
