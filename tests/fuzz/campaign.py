"""Sends one target its inputs, many at a time, and judges what the daemon made of them.

A target is in order when: the daemon lives; it logged nothing but the declared events of a stranger's misbehaviour; its
honest friend stayed connected and every text between them arrived; whatever was sent was ended; and after a warm-up of
a tenth of the inputs neither memory nor files nor threads grew beyond the tolerances below.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Final

import trio

from p2pchat.net.identify import IDENTIFY
from p2pchat.net.kad import KAD
from p2pchat.net.ping import PING
from p2pchat.net.records import RECORDS
from p2pchat.services.link import MSG_PROTOCOL
from tests.fuzz import control, frames, port
from tests.fuzz.daemon import Pair, Size
from tests.fuzz.feed import Feed
from tests.fuzz.storer import storers

RSS_TOLERANCE_KIB: Final = 16 * 1024
"""How much resident memory may grow between the warm-up and the end: the allocator's noise, not 200 bytes an input."""

DESCRIPTORS_TOLERANCE: Final = 2
THREADS_TOLERANCE: Final = 4

_WARM_UP: Final = 0.1
_SETTLE_S: Final = 25.0
_LOOK_S: Final = 0.5
_SETTLED_S: Final = 0.1
_TALK_S: Final = 2.0
_STRANGERS: Final = 24
_CONNECTIONS: Final = 6
_CLIENTS: Final = 12
_MINED: Final = 16

Worker = Callable[[], Awaitable[None]]


async def _many(count: int, worker: Worker) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(worker)


def _on_streams(protocol: str, generate: port.Generator) -> Callable[[Pair, Feed], Awaitable[None]]:
    return lambda pair, feed: _many(_CONNECTIONS, partial(port.streams, pair.place, feed, protocol, generate))


@cache
def _requests(seed: int) -> frames.Requests:
    return frames.Requests(Random(seed), _MINED)


async def _from_a_contact(pair: Pair, feed: Feed) -> None:
    insider = await trio.to_thread.run_sync(pair.insider)
    await port.streams(pair.place, feed, MSG_PROTOCOL, insider.stream, insider.seed)


TARGETS: Final[dict[str, Callable[[Pair, Feed], Awaitable[None]]]] = {
    "port": lambda pair, feed: _many(_STRANGERS, partial(port.strangers, pair.place, feed)),
    "negotiation": _on_streams("", lambda chance: frames.negotiation(chance, IDENTIFY.encode())),
    "msg": _on_streams(MSG_PROTOCOL, frames.messages),
    "contact": _from_a_contact,
    "records": lambda pair, feed: _on_streams(RECORDS, _requests(feed.seed).stream)(pair, feed),
    "kad": _on_streams(KAD, frames.kad),
    "identify": _on_streams(IDENTIFY, frames.junk),
    "ping": _on_streams(PING, frames.junk),
    "answers": lambda pair, feed: storers(pair, feed, _requests(feed.seed)),
    "socket": lambda pair, feed: _many(_CLIENTS, partial(control.clients, pair.victim.socket, feed)),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a target. ``before`` is measured after the warm-up, both when nothing was under way."""

    target: str
    feed: Feed
    seconds: float
    before: Size
    after: Size
    latencies_ms: tuple[float, ...] = field(repr=False)
    logged: dict[str, int]


async def run(pair: Pair, target: str, *, seed: int, start: int, count: int) -> Report:
    """Send ``count`` inputs of ``target``, beginning with number ``start``."""
    pair.forget()
    feed = Feed(seed, target, start, start + max(1, int(count * _WARM_UP)))
    sizes = [pair.size]
    seconds = 0.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, pair, feed)
        nursery.start_soon(_talk, pair, feed)
        for stop in (feed.stop, start + count):
            began = time.monotonic()
            await feed.until_found(partial(TARGETS[target], pair, feed), stop)
            seconds += time.monotonic() - began
            sizes.append(await _settled(pair, feed, sizes[-1]))
        nursery.cancel_scope.cancel()
    await _last_look(pair, feed)
    _, before, after = sizes
    _compare(feed, before, after)
    return Report(target, feed, seconds, before, after, tuple(pair.latencies_ms), dict(pair.log_kinds))


async def _watch(pair: Pair, feed: Feed) -> None:
    while True:
        await trio.sleep(_LOOK_S)
        for finding in pair.findings():
            feed.found(finding)


async def _talk(pair: Pair, feed: Feed) -> None:
    while True:
        for finding in await trio.to_thread.run_sync(pair.talk):
            feed.found(finding)
        await trio.sleep(_TALK_S)


async def _settled(pair: Pair, feed: Feed, before: Size) -> Size:
    """The size once the daemon has let go of all that was under way, or still has not after a while.

    A search for a contact takes 256 MiB for a second or two.
    """
    size = pair.size
    with trio.move_on_after(_SETTLE_S):
        while not feed.findings and (
            size.descriptors > before.descriptors or size.rss_kib > before.rss_kib + RSS_TOLERANCE_KIB
        ):
            await trio.sleep(_SETTLED_S)
            size = pair.size
    return size


async def _last_look(pair: Pair, feed: Feed) -> None:
    for finding in [*pair.findings(), *await trio.to_thread.run_sync(pair.talk)]:
        feed.found(finding)


def _compare(feed: Feed, before: Size, after: Size) -> None:
    for what, was, is_now, tolerance in (
        ("KiB of memory", before.rss_kib, after.rss_kib, RSS_TOLERANCE_KIB),
        ("open files", before.descriptors, after.descriptors, DESCRIPTORS_TOLERANCE),
        ("threads", before.threads, after.threads, THREADS_TOLERANCE),
    ):
        if is_now > was + tolerance:
            feed.found(f"it grew from {was} to {is_now} {what}")
