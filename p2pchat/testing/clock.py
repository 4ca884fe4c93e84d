"""A virtual clock that jumps, and waiting that costs next to nothing: days of a network have millions of waits.

:class:`JumpClock` is trio's ``MockClock`` with ``autojump_threshold=0``, without the real clock behind it, and without
the pass of the loop that does nothing but jump. :class:`Alarm` and :func:`sleep` wait on any clock, without a cancel
scope: those were a fifth of what a network in memory costs.
"""

from __future__ import annotations

import math
from typing import Final, Protocol, cast

import trio
import trio._core._run as trio_run

_FOREVER_S: Final = 999_999_999.0


class JumpClock(trio.abc.Clock):
    """Stands still while a task can run, and is at the next deadline as soon as none can.

    For runs in which everybody waits for this clock: it waits for no thread, socket or ``wait_all_tasks_blocked``.
    """

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        """See :class:`trio.abc.Clock`; so are the following."""

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Asked when nobody can run."""
        if math.isinf(deadline):
            return _FOREVER_S
        self._now = max(self._now, deadline)
        return 0.0


class _Deadlines(Protocol):
    """Trio's, which are cancel scopes as a rule."""

    def add(self, deadline: float, cancel_scope: Alarm) -> None: ...
    def remove(self, deadline: float, cancel_scope: Alarm) -> None: ...


class Alarm:
    """Wakes one task, at a time or sooner."""

    # What it registers at trio is as a cancel scope there, which has no public way to be cheap.

    __slots__ = ("_registered_deadline", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self._registered_deadline = math.inf

    async def wait(self, at: float = math.inf) -> None:
        """Until ``at`` on trio's clock, or until it is rung.

        Concurrency: of one task at a time.
        """
        if self._task is not None:
            raise trio.BusyResourceError("somebody waits already")
        self._task = trio.lowlevel.current_task()
        self.set(at)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def set(self, at: float) -> None:
        """Whoever waits does so until ``at``; nothing where nobody waits."""
        if self._task is not None and at != self._registered_deadline:
            context = trio_run.GLOBAL_RUN_CONTEXT
            deadlines = cast(_Deadlines, context.runner.deadlines)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            if self._registered_deadline != math.inf:
                deadlines.remove(self._registered_deadline, self)
            self._registered_deadline = at
            if at != math.inf:
                deadlines.add(at, self)

    def ring(self) -> None:
        """Wake whoever waits; nothing where nobody does."""
        task = self._task
        if task is not None:
            self._off()
            trio.lowlevel.reschedule(task)

    def _off(self) -> None:
        self.set(math.inf)
        self._task = None

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._off()
        return trio.lowlevel.Abort.SUCCEEDED

    def _cancel(self, _: object) -> None:
        """By trio, when the time has come."""
        self.ring()


async def sleep(seconds: float) -> None:
    """As :func:`trio.sleep`."""
    await Alarm().wait(trio.current_time() + seconds)
