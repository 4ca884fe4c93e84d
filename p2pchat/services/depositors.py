"""From where the boxes came that this node holds: how much of one prefix, in one mailbox and in all (PROTOCOL.md 6.3).

Rules:

- It is known in memory alone, of what came since the start: whoever seizes this machine's disk learns no address.
- 12 bytes a box: there may be a million.
- Counted and forgotten where boxes are written and deleted: in jobs of the store, on its thread. What a job has counted
  whose transaction failed is taken back by who gave it, on another one.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from p2pchat.base.limits import MAILBOX_PREFIX_BYTES, MAILBOX_PREFIX_TOTAL_BYTES
from p2pchat.store.mailbox import Gone


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
        self._next = 1
        self._in_all: Counter[int] = Counter()
        self._in_one: Counter[tuple[int, int]] = Counter()
        self._boxes: dict[int, _Boxes] = {}

    def has_room(self, prefix: bytes, mailbox: int, size: int) -> bool:
        """Whether another ``size`` bytes of ``prefix`` may be held in ``mailbox``."""
        with self._lock:
            known = self._ids.get(prefix, 0)
            in_one, in_all = self._in_one[mailbox, known], self._in_all[known]
        return in_one + size <= MAILBOX_PREFIX_BYTES and in_all + size <= MAILBOX_PREFIX_TOTAL_BYTES

    def add(self, prefix: bytes, box: Gone) -> None:
        """A box of ``prefix`` is held; its number is above that of every other in its mailbox."""
        with self._lock:
            known = self._ids.get(prefix)
            if known is None:
                known = self._ids[prefix] = self._next
                self._names[known] = prefix
                self._next += 1
            boxes = self._boxes.setdefault(box.mailbox, _Boxes())
            boxes.numbers.append(box.n)
            boxes.prefixes.append(known)
            self._in_one[box.mailbox, known] += box.size
            self._in_all[known] += box.size

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
        self._in_one[box.mailbox, known] -= box.size
        if self._in_one[box.mailbox, known] <= 0:
            del self._in_one[box.mailbox, known]
        self._in_all[known] -= box.size
        if self._in_all[known] <= 0:
            del self._in_all[known], self._ids[self._names.pop(known)]

    def __len__(self) -> int:
        """How many prefixes are known."""
        return len(self._ids)
