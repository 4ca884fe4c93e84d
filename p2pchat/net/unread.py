"""What strangers have sent and nobody here has read yet, on all connections of a host: bounded.

Rules:

- A little of each connection never counts: whoever asks and reads the answer is not affected by what others do.
- Where all of it together is too much, a connection that holds more than its even share takes no more, and ends. Those
  that fill their share slowly can go on until each has it: twice the bound at most.
- What others hold is added up as they last said it, and counted anew when that is too much, now and then.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

_AGAIN_S: Final = 0.25  # between two counts


class Holder(Protocol):
    """A connection. ``unread``: bytes; it is not kept from ending."""

    @property
    def lost(self) -> bool: ...

    @property
    def unread(self) -> int: ...


class Unread:
    """That of one host.

    Args:
        most_bytes: in all.
        free_bytes: of one connection, that never count.
    """

    def __init__(self, most_bytes: int, free_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._free_bytes = free_bytes
        self._held: dict[Holder, int] = {}
        self._total = 0
        self._counted_at = float("-inf")

    def takes(self, holder: Holder, held: int) -> bool:
        """Whether the connection of a stranger may hold ``held`` bytes, what is about to come among them."""
        if held <= self._free_bytes:
            return True
        self._total += held - self._held.get(holder, 0)
        self._held[holder] = held
        if self._total <= self._most_bytes:
            return True
        now = trio.current_time()
        if now >= self._counted_at + _AGAIN_S:
            self._counted_at = now
            self._count(holder, held)
        return self._total <= self._most_bytes or held <= self._most_bytes // len(self._held)

    def _count(self, holder: Holder, held: int) -> None:
        others = {each: each.unread for each in self._held if each is not holder and not each.lost}
        self._held = {each: size for each, size in others.items() if size > self._free_bytes} | {holder: held}
        self._total = sum(self._held.values())
