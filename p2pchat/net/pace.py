"""How fast strangers are answered: what one peer, one network and all together may have this node do (PROTOCOL.md 3.7).

Rules:

- Nothing is refused: who asks too fast waits for the answer, and is not read from meanwhile. So nobody who only has
  much to ask is harmed, and a flood costs no more than is set aside for it.
- Who has had too much waits before it takes anything from what is there for all. That goes by :mod:`~.turns`: networks
  that flood wait for each other, and nobody else waits for them.
- A relay is a network of its own to those who come through it. All relays together may have what one network may, in
  fair turns: who has relays of its own gets no more for it, and takes nothing from those at others.
- Who leaves meanwhile is waited for no longer, and what was not done for it is counted for nobody: who comes, asks and
  leaves again, thousands of times, would have others of its network, or all, wait for hours, and this node remember it
  for as long.
"""

from __future__ import annotations

from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowances
from p2pchat.net.transport import Stream
from p2pchat.net.turns import Share, StrangersTurns, places_of

ROUTE_US: Final = 500.0  # a request for the closest peers
RECORDS_US: Final = 700.0  # one for what is in a slot, and for the closest storers
PUT_US: Final = 400.0  # a record that is looked at, besides
IDENTIFY_US: Final = 400.0
PING_US: Final = 60.0
PING_BYTES_A_US: Final = 100


class Pace:
    """What is set aside for the requests of strangers.

    Args:
        refusals: where it is counted who had to wait.
    """

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._of_peer = Allowances[PeerId](limits.REQUESTS_PEER_US, limits.REQUESTS_PEER_US_PER_S, limits.ALLOWANCES)
        self._of_place = Allowances[bytes](
            limits.REQUESTS_PREFIX_US, limits.REQUESTS_PREFIX_US_PER_S, limits.ALLOWANCES
        )
        self._turns = StrangersTurns(
            Share(limits.REQUESTS_ALL_US, limits.REQUESTS_ALL_US_PER_S),
            Share(limits.REQUESTS_PREFIX_US, limits.REQUESTS_PREFIX_US_PER_S),
            refusals,
            Refusal.REQUEST_PACED,
        )

    async def wait(self, stream: Stream, cost_us: float) -> None:
        """Until the peer of ``stream`` may have a request answered that costs this node ``cost_us`` microseconds.

        Raises:
            NetError: the stream was lost before that.
        """
        wait_s = self._owe(stream, cost_us)
        try:
            if wait_s:
                self._refusals.note(Refusal.REQUEST_PACED)
                await _while_there(stream, wait_s)
            await self._turns.wait(stream, cost_us)
        except BaseException:
            self._owe(stream, -cost_us)
            raise

    def _owe(self, stream: Stream, cost_us: float) -> float:
        now, place = trio.current_time(), places_of(stream)[0]
        return max(self._of_peer.owe(stream.peer, cost_us, now), self._of_place.owe(place, cost_us, now))


async def _while_there(stream: Stream, wait_s: float) -> None:
    """Raises: NetError: ``stream`` was lost meanwhile."""
    until = trio.current_time() + wait_s
    while (left_s := until - trio.current_time()) > 0:
        if stream.is_lost:
            raise NetError("The peer has not waited for its answer.")
        await trio.sleep(min(left_s, limits.TURN_LOOK_S))
