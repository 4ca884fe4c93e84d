"""What a peer's frames cost this node without any good coming of it, and the end of who asks for too much of that.

A price is what the thing takes here in microseconds, roughly: the frame's decoding, its answer's write, its share of a
transaction. Texts that open, acks that settle and all else that a conversation needs are free, at whatever speed.

What strangers bring is put off besides, before anything of it is looked up or opened: those of one network, and all
together, may bring so much, however many PeerIDs they have. Contacts have no part in that.

Source: PROTOCOL.md 5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import LimitError, NetError, PeerError, Stalled
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowances
from p2pchat.core.wire import BundleRequest, Flight, Nack, Ping, Pong
from p2pchat.net.transport import Stream
from p2pchat.net.turns import Share, StrangersTurns, TurnLost, places_of
from p2pchat.net.unfinished import FrameUnfinished, Unfinished

STREAM_US: Final = 1_000.0
ACK_US: Final = 40.0  # an entry that settles nothing which is in flight on its stream
PRICES: Final[dict[type[object], float]] = {Ping: 150.0, Pong: 10.0, BundleRequest: 1_500.0, Nack: 100.0}

_MALFORMED_US: Final = 2_000.0
_REPEAT_US: Final = 15.0
_UNOPENED_US: Final = 40.0
_FLIGHT_US: Final = 1_000.0  # refused with its envelope: two to five agreements, a decapsulation, a certificate
_UNOPENED_BYTES_A_US: Final = 64
_PASSED_US: Final = 10.0  # and as much again where it is kept

log = structlog.get_logger()


def of_arrivals(repeats: int, unopened: int, unopened_bytes: int, flights: int, passed: int) -> float:
    """The price of envelopes of which nothing came: those that came before, and those that no session opens.

    Args:
        flights: how many of those that no session opens came as first flights.
        passed: how many keys of envelopes that have not come were derived on the way to those that have.
    """
    unopened_us = unopened * _UNOPENED_US + unopened_bytes / _UNOPENED_BYTES_A_US
    return repeats * _REPEAT_US + unopened_us + flights * _FLIGHT_US + passed * _PASSED_US


class StrangersWait(NetError):
    """Strangers have brought so much that this one is not waited for."""


class Strangers:
    """What all of them together may bring to message streams.

    Args:
        refusals: where it is counted who had to wait, or was refused.
    """

    def __init__(self, clock: Callable[[], float], refusals: Refusals) -> None:
        self._clock = clock
        self._refusals = refusals
        self._pausing = 0
        self._of_place = Allowances[bytes](
            limits.STRANGERS_PREFIX_US, limits.STRANGERS_PREFIX_US_PER_S, limits.ALLOWANCES
        )
        self._turns = StrangersTurns(
            Share(limits.STRANGERS_US, limits.STRANGERS_US_PER_S),
            Share(limits.STRANGERS_PREFIX_US, limits.STRANGERS_PREFIX_US_PER_S),
            refusals,
            Refusal.STRANGER_PACED,
            most=limits.STRANGERS_WAITING,
        )

    async def wait(self, stream: Stream, cost_us: float) -> None:
        """Until the stranger at the other end of ``stream`` may bring what costs this node ``cost_us`` at most.

        Raises:
            StrangersWait: that takes too long; nothing was counted, and it may ask again later.
        """
        place = places_of(stream)[0]
        if self._of_place.owed_s(place, self._clock()) > limits.STRANGERS_WAIT_S:
            raise self._refused()
        wait_s = self._of_place.owe(place, cost_us, self._clock())
        try:
            if wait_s:
                await self._pause(wait_s)
            with trio.move_on_after(limits.STRANGERS_WAIT_S), suppress(TurnLost):
                await self._turns.wait(stream, cost_us)
                return
            raise self._refused()
        except BaseException:
            self._of_place.owe(place, -cost_us, self._clock())
            raise

    async def _pause(self, wait_s: float) -> None:
        if self._pausing >= limits.STRANGERS_WAITING:
            raise self._refused()
        self._refusals.note(Refusal.STRANGER_PACED)
        self._pausing += 1
        try:
            await trio.sleep(wait_s)
        finally:
            self._pausing -= 1

    def _refused(self) -> StrangersWait:
        self._refusals.note(Refusal.STRANGER_REFUSED)
        return StrangersWait("strangers have brought too much")


def of_strangers(arrivals: Sequence[Flight | bytes]) -> float:
    """What envelopes cost at most that nothing opens."""
    flights = [each for each in arrivals if isinstance(each, Flight)]
    envelopes = [each.envelope if isinstance(each, Flight) else each for each in arrivals]
    return of_arrivals(0, len(envelopes), sum(map(len, envelopes)), len(flights), 0)


class Charges:
    """The allowances of all peers.

    Args:
        clock: seconds, never going back.

    ``refusals``: what was refused, here and below. ``unfinished``: what strangers have begun on message streams;
    ``strangers``: what they may bring.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._allowances: Allowances[PeerId] = Allowances(
            limits.FRUITLESS_BURST_US, limits.FRUITLESS_US_PER_S, limits.ALLOWANCES
        )
        self.refusals = Refusals(_tell)
        self.unfinished = Unfinished(limits.STRANGERS_UNFINISHED_BYTES)
        self.strangers = Strangers(clock, self.refusals)

    def charge(self, peer: PeerId, cost_us: float) -> None:
        """Raises: LimitError: ``peer`` has used its allowance up; to be cut off."""
        if cost_us and not self._allowances.spend(peer, cost_us, self._clock()):
            raise LimitError("the peer asks for too much that is of no use")

    def ended(self, peer: PeerId, error: BaseException) -> bool:
        """Count what has ended a message stream; whether the connection is to go with it."""
        if isinstance(error, LimitError):
            self.refusals.note(Refusal.STREAM_EXCESSIVE)
            return True
        if isinstance(error, FrameUnfinished):
            self.refusals.note(Refusal.STREAM_UNFINISHED)
        elif isinstance(error, Stalled):
            self.refusals.note(Refusal.STREAM_STALLED)
        elif isinstance(error, PeerError):
            self.refusals.note(Refusal.STREAM_MALFORMED)
            return not self._allowances.spend(peer, _MALFORMED_US, self._clock())
        return False


def _tell(kind: Refusal, count: int) -> None:
    if kind.is_paced:
        log.info("peer.paced", reason=kind.value, count=count)
    else:
        log.info("peer.cut_off", reason=kind.value, count=count)
