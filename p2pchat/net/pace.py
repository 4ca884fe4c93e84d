"""How fast strangers are answered: what one peer, one network and all together may have this node do (PROTOCOL.md 3.7).

Rules:

- Nothing is refused: who asks too fast waits for the answer, and is not read from meanwhile. So nobody who only has
  much to ask is harmed, and a flood costs no more than is set aside for it.
- Who has had too much waits before it takes anything from what is there for all.
- Who leaves meanwhile is waited for no longer, and what was not done for it is counted for nobody: who comes, asks and
  leaves again, thousands of times, would have others of its network, or all, wait for hours, and this node remember it
  for as long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowance, Allowances
from p2pchat.net.hearsay import prefix_of_putter
from p2pchat.net.transport import Stream

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
        self._of_prefix = Allowances[bytes](
            limits.REQUESTS_PREFIX_US, limits.REQUESTS_PREFIX_US_PER_S, limits.ALLOWANCES
        )
        self._of_all = Allowance(limits.REQUESTS_ALL_US, limits.REQUESTS_ALL_US_PER_S, 0.0)

    async def wait(self, stream: Stream, cost_us: float) -> None:
        """Until the peer of ``stream`` may have a request answered that costs this node ``cost_us`` microseconds.

        Raises:
            NetError: the stream was lost before that.
        """
        prefix = prefix_of_putter(stream.remote_host, stream.peer)

        def owe_own(us: float) -> float:
            now = trio.current_time()
            return max(self._of_peer.owe(stream.peer, us, now), self._of_prefix.owe(prefix, us, now))

        def owe_all(us: float) -> float:
            return self._of_all.owe(us, trio.current_time())

        for owe in (owe_own, owe_all):
            wait_s = owe(cost_us)
            if wait_s:
                self._refusals.note(Refusal.REQUEST_PACED)
                await _while_there(stream, wait_s, partial(owe, -cost_us))


async def _while_there(stream: Stream, wait_s: float, take_back: Callable[[], object]) -> None:
    """Wait; who is not there in the end has ``take_back`` called.

    Raises:
        NetError: ``stream`` was lost meanwhile.
    """
    until = trio.current_time() + wait_s
    try:
        while (left_s := until - trio.current_time()) > 0:
            if stream.is_lost:
                raise NetError("The peer has not waited for its answer.")
            await trio.sleep(min(left_s, limits.REQUESTS_LOOK_S))
    except BaseException:
        take_back()
        raise
