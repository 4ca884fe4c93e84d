"""When a contact is polled next (PROTOCOL.md 3.3): the schedule, what begins it again, and how often pushes count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from p2pchat.core.matching import PollSchedule

_EPOCH_CHECK_S: Final = 3 * 3600.0
_TOGETHER_S: Final = 12 * 3600.0
_NUDGE_MIN_S: Final = 0.25
_NUDGE_MAX_S: Final = 300.0


@dataclass(slots=True)
class Search:
    """When a contact is polled next.

    Attributes:
        count: polls since the schedule began, or began again with progress.
        turn: polls in all, for the machine's turns.
        running: still within this schedule.
        renewing: found already, so the schedule ends and begins again with the next epoch.
        slot_begins_at: when the next slot is begun, on trio's clock.
        renewal_at: when the first own record has to be written anew, on trio's clock.
        idle_nudges: pushes in a row that brought nothing: each next one waits longer.
    """

    schedule: PollSchedule
    count: int = 0
    turn: int = 0
    running: bool = False
    renewing: bool = False
    slot_begins_at: float = float("inf")
    renewal_at: float = float("inf")
    idle_nudges: int = 0

    def turns_to(self, *, renewing: bool) -> None:
        """Whether the contact is found; one that is lost again is looked for from the schedule's beginning."""
        if self.renewing and not renewing:
            self.count = 0
        self.renewing = renewing

    def polled(self, *, progress: bool) -> None:
        """A poll is over; progress begins the schedule again."""
        self.count = 0 if progress else self.count + 1
        self.turn += 1
        self.idle_nudges = 0 if progress else self.idle_nudges
        self.running = self.count < len(self.schedule.params.poll_schedule_s)

    def pause_s(self, jitter: float) -> float:
        """Seconds until the next poll, or until the next look at whether there is one to do; ``jitter``: 0 to 1."""
        if self.renewing and not self.running:
            pause_s = _EPOCH_CHECK_S * (0.9 + 0.2 * jitter)
        else:
            pause_s = self.schedule.next_poll_s(self.count, 0.0, jitter)
            renewal_s = self.renewal_at - trio.current_time()
            # the records are to be renewed in time; where that is soon after a poll, one of the two is enough
            if renewal_s < pause_s or (not self.running and renewal_s < pause_s + _TOGETHER_S):
                pause_s = renewal_s
        return max(0.0, min(pause_s, self.slot_begins_at - trio.current_time()))

    def nudged(self, *, meant: bool) -> float:
        """The least seconds between the last poll's start and the one that a nudge asks for.

        Args:
            meant: something happened for this contact; a node that is merely back in the network does not make it
                look again for those it has found.
        """
        if meant or not self.renewing:
            self.count = 0
            self.running = True
        self.idle_nudges += 1
        return min(_NUDGE_MAX_S, _NUDGE_MIN_S * 2.0 ** (self.idle_nudges - 1))
