"""Which entries of watched slots have been told: each is news once, whoever hands it over and however often.

- Only slots under a lease are remembered, so that what is kept is bounded by what is watched.
- The nonce of a record is signed by nobody: the same content with other work is no news.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from p2pchat.core.crypto import blake2b_plain

_HASH_BYTES: Final = 16
_NONCE_BYTES: Final = 8
_PER_SLOT: Final = 64


class Told:
    """The memory of what was told, by slot."""

    def __init__(self) -> None:
        self._slots: OrderedDict[bytes, tuple[float, OrderedDict[bytes, None]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slots)

    def lease(self, loc: bytes, until: float, now: float) -> None:
        """Remember what is told of ``loc`` (32 bytes) until then, on the clock of ``now``."""
        _, known = self._slots.pop(loc, (0.0, OrderedDict[bytes, None]()))
        self._slots[loc] = until, known
        while self._slots and next(iter(self._slots.values()))[0] <= now:
            self._slots.popitem(last=False)

    def has(self, loc: bytes, record: bytes) -> bool:
        """Whether this content of ``loc`` was told."""
        return loc in self._slots and _content(record) in self._slots[loc][1]

    def note(self, loc: bytes, record: bytes) -> bool:
        """It is told now; whether that is news."""
        if loc not in self._slots:
            return True
        known = self._slots[loc][1]
        content = _content(record)
        if content in known:
            return False
        known[content] = None
        if len(known) > _PER_SLOT:
            known.popitem(last=False)
        return True


def _content(record: bytes) -> bytes:
    return blake2b_plain(record[:-_NONCE_BYTES], _HASH_BYTES)
