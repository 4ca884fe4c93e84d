"""How fast strangers are answered: what one peer, one network and all together may have this node do (PROTOCOL.md 3.7).

Rules:

- Nothing is refused: who asks too fast waits for the answer, and is not read from meanwhile. So nobody who only has
  much to ask is harmed, and a flood costs no more than is set aside for it.
- Who has had too much waits before it takes anything from what is there for all.
"""

from __future__ import annotations

from typing import Final

import trio

from p2pchat.base import limits
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
        """Until the peer of ``stream`` may have a request answered that costs this node ``cost_us`` microseconds."""
        now, prefix = trio.current_time(), prefix_of_putter(stream.remote_host, stream.peer)
        own_s = max(self._of_peer.owe(stream.peer, cost_us, now), self._of_prefix.owe(prefix, cost_us, now))
        if own_s:
            self._refusals.note(Refusal.REQUEST_PACED)
            await trio.sleep(own_s)
        all_s = self._of_all.owe(cost_us, trio.current_time())
        if all_s:
            self._refusals.note(Refusal.REQUEST_PACED)
            await trio.sleep(all_s)
