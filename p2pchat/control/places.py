"""Places for connections: how many are served at once, and who makes room for whom.

Rules:

- When all places are taken, whoever has wanted nothing for the longest makes room for the newest: nothing of theirs is
  under way, they have no subscription, and nothing waits to be read by them. A line that was begun and not ended is
  nothing yet. So neither connections that were forgotten nor lines that never end keep a person's command out.
- Nobody makes room who was served within ``CONTROL_IDLE_S``; where all were, the newest is refused.
- What all have begun to send and not ended is bounded, too: whoever goes beyond it is ended, but for a little that each
  may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from p2pchat.api.codec import FrameError
from p2pchat.base import limits

_FEW: Final = 4
"""Of so many open files one may be a client's where the system allows few."""


def places_of(open_files: int) -> int:
    """How many connections are served at once by a process that may have so many open files."""
    return max(1, min(limits.CONTROL_CONNECTIONS, max(open_files - limits.OPEN_FILES_KEPT, open_files // _FEW)))


class Occupant(Protocol):
    """One connection."""

    @property
    def idle_since(self) -> float | None:
        """Since when nothing is wanted, in seconds on a clock of its own; None: something is under way."""
        ...

    async def make_room(self) -> None:
        """Tell the client that it has to go, and end. Returns at once."""
        ...


class Places:
    """Who is served.

    Args:
        most: at the same time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: set[Occupant] = set()

    def __iter__(self) -> Iterator[Occupant]:
        return iter(tuple(self._taken))

    def __len__(self) -> int:
        return len(self._taken)

    async def take(self, newest: Occupant, now_s: float) -> bool:
        """Whether there is a place for ``newest``; somebody else may have had to go.

        Args:
            now_s: on the clock of the occupants.
        """
        if len(self._taken) >= self.most:
            idlest = self._idlest(now_s - limits.CONTROL_IDLE_S)
            if idlest is None:
                return False
            self._taken.discard(idlest)
            await idlest.make_room()
        self._taken.add(newest)
        return True

    def leave(self, occupant: Occupant) -> None:
        """Give the place of ``occupant`` to others, if it still has one."""
        self._taken.discard(occupant)

    def _idlest(self, before_s: float) -> Occupant | None:
        idle = ((since_s, each) for each in self._taken if (since_s := each.idle_since) is not None)
        since_s, idlest = min(idle, key=lambda found: found[0], default=(before_s, None))
        return idlest if since_s <= before_s else None


class Unfinished:
    """Bytes of frames that have begun and not ended, of all connections together."""

    def __init__(self) -> None:
        self.total = 0


class Begun:
    """One connection's part of :class:`Unfinished`."""

    def __init__(self, unfinished: Unfinished) -> None:
        self._all = unfinished
        self._size = 0

    def is_now(self, size: int) -> None:
        """Say how many bytes wait for their end.

        Raises:
            FrameError: RATE_LIMITED, they are too many, with those of all others.
        """
        self._all.total += size - self._size
        self._size = size
        if size > limits.CONTROL_UNFINISHED_FREE_BYTES and self._all.total > limits.CONTROL_UNFINISHED_BYTES:
            raise FrameError(
                f"Frames that are not ended have more than {limits.CONTROL_UNFINISHED_BYTES} bytes in all.",
                name="RATE_LIMITED",
            )
