"""What goes through one circuit of a relay, and how much through all of them.

Rules:

- A chunk is read when the one before has left, and no more than the meter lets through: a reader that is slow, or a
  relay that is busy, slows the sender down, and nothing piles up here.
- The limits end a circuit by resetting both streams; its two ends' clean ends pass through.
"""

from __future__ import annotations

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.net.transport import Stream


class Meter:
    """So many bytes a second for all who share it, each chunk in its turn.

    Args:
        bytes_per_s: in the long run.
        burst_s: for how long more than that may pass after a pause.
    """

    def __init__(self, bytes_per_s: float, burst_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_s
        self._due = trio.current_time() - burst_s

    async def spend(self, count: int) -> None:
        """Wait until ``count`` more bytes may pass."""
        now = trio.current_time()
        self._due = max(self._due, now - self._burst_s) + count / self._bytes_per_s
        if self._due > now:
            await trio.sleep_until(self._due)


class Overdrawn(NetError):
    """A circuit has reached a limit that its ends were told."""


async def carry(asker: Stream, target: Stream, meter: Meter) -> None:
    """Carry bytes both ways until both ends have ended, one is lost, or a limit is reached; then reset both.

    Raises:
        Overdrawn: a limit was reached.
    """
    ends_at = trio.current_time() + limits.RELAY_CIRCUIT_S
    is_overdrawn = False

    async def one_way(source: Stream, sink: Stream, scope: trio.CancelScope) -> None:
        nonlocal is_overdrawn
        left = limits.RELAY_CIRCUIT_BYTES
        try:
            while data := await source.read(limits.RELAY_CHUNK_BYTES):
                left -= len(data)
                if left < 0:
                    is_overdrawn = True
                    break
                scope.deadline = min(ends_at, trio.current_time() + limits.RELAY_IDLE_S)
                await meter.spend(len(data))
                await sink.write(data)
            else:
                await sink.close()
                return
        except NetError:
            pass  # an end is lost: the circuit ends, which the other one learns by the reset
        scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + limits.RELAY_IDLE_S
            nursery.start_soon(one_way, asker, target, nursery.cancel_scope)
            nursery.start_soon(one_way, target, asker, nursery.cancel_scope)
    finally:
        await asker.reset()
        await target.reset()
    if is_overdrawn or trio.current_time() >= ends_at:
        raise Overdrawn("a circuit has reached its limit")
