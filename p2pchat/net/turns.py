"""When handshakes begin: so many a second at most, and from where fewest came lately first.

A handshake is the most that a stranger can have this node do for one packet. What is set aside for that is shared among
those who come: whoever comes from where nobody else does waits for none of those who come in hundreds. Of those who
come from one place the newest is first, since who came long ago may be one that never goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from p2pchat.base import limits
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowance, Allowances
from p2pchat.net.admission import Group


class Turns:
    """Those of one host.

    Args:
        refusals: where it is counted who had to wait.
    """

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._all = Allowance(limits.HANDSHAKES_BURST_US, limits.HANDSHAKES_US_PER_S, trio.current_time())
        # What a group has had lately is what it owes: nothing is saved up.
        self._had = Allowances[bytes](0.0, limits.HANDSHAKES_US_PER_S / 8, limits.ALLOWANCES)
        self._waiting: dict[trio.Event, list[bytes]] = {}  # oldest first
        self._came = trio.Event()

    async def wait(self, groups: Sequence[Group]) -> None:
        """Until one that comes from ``groups``, the last of which holds all, may shake hands."""
        names = [name for name, _ in groups[:-1]]
        if not self._waiting and not self._all.owed_s(trio.current_time()):
            self._take(names)
            return
        turn = trio.Event()
        self._waiting[turn] = names
        self._refusals.note(Refusal.HANDSHAKE_PACED)
        self._came.set()
        try:
            await turn.wait()
        finally:
            self._waiting.pop(turn, None)

    async def run(self) -> None:
        """Give out turns until cancelled."""
        while True:
            await self._came.wait()
            while self._waiting:
                await trio.sleep(self._all.owed_s(trio.current_time()))
                if self._waiting:
                    turn = min(reversed(self._waiting), key=self._had_by)  # of equal ones the newest, as in the gate
                    self._take(self._waiting.pop(turn))
                    turn.set()
            self._came = trio.Event()

    def _had_by(self, turn: trio.Event) -> float:
        now = trio.current_time()
        return sum(self._had.owed_s(name, now) for name in self._waiting[turn])

    def _take(self, names: Sequence[bytes]) -> None:
        now = trio.current_time()
        self._all.owe(limits.HANDSHAKE_US, now)
        for name in names:
            self._had.owe(name, limits.HANDSHAKE_US, now)
