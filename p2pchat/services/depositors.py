"""From where the boxes came that this node holds: how much of one prefix, in one mailbox and in all (PROTOCOL.md 6.3).

Rules:

- It is known in memory alone, of what came since the start: whoever seizes this machine's disk learns no address.
- 12 bytes a box: there may be a million.
- A prefix is a network of the internet, or one address or PeerID that has none (private, loopback, relayed): of those
  one can have as many as it likes, so they are held to a bound together, too.
- Counted and forgotten where boxes are written and deleted: in jobs of the store, on its thread. What a job has counted
  whose transaction failed is taken back by who gave it, on another one.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

from p2pchat.base.limits import (
    MAILBOX_PREFIX_BYTES,
    MAILBOX_PREFIX_TOTAL_BYTES,
    MAILBOX_SINGLE_BYTES,
    MAILBOX_SINGLE_TOTAL_BYTES,
)
from p2pchat.store.mailbox import Gone

_NOBODY: Final = 0
_SINGLE: Final = 1  # all prefixes that are one address or PeerID, as if they were one
_FIRST: Final = 2


class _Boxes:
    """Of one mailbox: numbers, rising, and the prefix of each."""

    def __init__(self) -> None:
        self.numbers = array("Q")
        self.prefixes = array("I")


class Depositors:
    """What of each prefix is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[bytes, int] = {}
        self._names: dict[int, bytes] = {}
        self._single: set[int] = set()
        self._next = _FIRST
        self._in_all: Counter[int] = Counter()
        self._in_one: Counter[tuple[int, int]] = Counter()
        self._boxes: dict[int, _Boxes] = {}

    def has_room(self, prefix: bytes, mailbox: int, size: int, *, single: bool) -> bool:
        """Whether another ``size`` bytes of ``prefix`` may be held in ``mailbox``.

        Args:
            single: it is one address or PeerID.
        """
        with self._lock:
            known = self._ids.get(prefix, _NOBODY)
            return self._fits(known, mailbox, size, MAILBOX_PREFIX_BYTES, MAILBOX_PREFIX_TOTAL_BYTES) and (
                not single or self._fits(_SINGLE, mailbox, size, MAILBOX_SINGLE_BYTES, MAILBOX_SINGLE_TOTAL_BYTES)
            )

    def _fits(self, known: int, mailbox: int, size: int, most: int, most_in_all: int) -> bool:
        return self._in_one[mailbox, known] + size <= most and self._in_all[known] + size <= most_in_all

    def add(self, prefix: bytes, box: Gone, *, single: bool) -> None:
        """A box of ``prefix`` is held; its number is above that of every other in its mailbox."""
        with self._lock:
            known = self._ids.get(prefix)
            if known is None:
                known = self._ids[prefix] = self._next
                self._names[known] = prefix
                self._next += 1
                if single:
                    self._single.add(known)
            boxes = self._boxes.setdefault(box.mailbox, _Boxes())
            boxes.numbers.append(box.n)
            boxes.prefixes.append(known)
            for each in self._counted(known):
                self._in_one[box.mailbox, each] += box.size
                self._in_all[each] += box.size

    def remove(self, gone: Iterable[Gone]) -> None:
        """These are held no longer; of those from before the start nothing is known."""
        with self._lock:
            for box in gone:
                self._remove(box)

    def _remove(self, box: Gone) -> None:
        boxes = self._boxes.get(box.mailbox)
        if boxes is None:
            return
        index = bisect_left(boxes.numbers, box.n)
        if index == len(boxes.numbers) or boxes.numbers[index] != box.n:
            return
        known = boxes.prefixes[index]
        del boxes.numbers[index], boxes.prefixes[index]
        if not boxes.numbers:
            del self._boxes[box.mailbox]
        for each in self._counted(known):
            self._in_one[box.mailbox, each] -= box.size
            if self._in_one[box.mailbox, each] <= 0:
                del self._in_one[box.mailbox, each]
            self._in_all[each] -= box.size
        if self._in_all[known] <= 0:
            del self._in_all[known], self._ids[self._names.pop(known)]
            self._single.discard(known)

    def _counted(self, known: int) -> tuple[int, ...]:
        return (known, _SINGLE) if known in self._single else (known,)

    def __len__(self) -> int:
        """How many prefixes are known."""
        return len(self._ids)
