"""How dense the network is, by what this node's own walks have shown (PROTOCOL.md 3.7).

Rules:

- What counts is how far from a key that nobody could foresee the k-th closest storer was: keys of bucket refreshes,
  never locs, around which an attacker can gather peers of his own.
- The median of the last ones is taken, together with the own neighbourhood as the table has it now, which is all there
  is before the first refresh. The k-th neighbour or half as far as the 2 k-th, whichever is farther: a crowd around
  this node shall not pass for a dense network.
- With fewer than k storers there is nothing to expect: all of them store.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import position

_KEPT: Final = 6
_KEY_TRIES: Final = 16_384  # some 20 ms; enough for networks of some 100,000


class Census:
    """Expects ``k`` storers within :meth:`region` of any target."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._seen: deque[int] = deque(maxlen=_KEPT)

    def note(self, target: int, answered: Sequence[PeerId], storers: int) -> None:
        """A walk toward an unforeseeable ``target`` was answered by ``answered``, ``storers`` of whom are storers."""
        if len(answered) >= self._k and storers:
            farthest = max(position(peer) ^ target for peer in answered)
            self._seen.append(farthest * self._k // storers)

    def region(self, neighbours: Sequence[int]) -> int:
        """The distance within which k storers are to be expected; 0 where that is not known.

        Args:
            neighbours: the distances of the storers closest to this node, ascending, 2 k where so many are known.
        """
        k = self._k
        if len(neighbours) < k:
            return 0
        here = neighbours[k - 1]
        if len(neighbours) >= 2 * k:
            here = max(here, neighbours[2 * k - 1] // 2)
        seen = sorted((*self._seen, here))
        return seen[len(seen) // 2]


def key_between(target: int, least: int, most: int, seed: bytes) -> bytes | None:
    """A 32-byte key, drawn from ``seed``, from ``least`` up to ``most`` away from ``target``; None: none was found."""
    for attempt in range(_KEY_TRIES):
        key = hashlib.sha256(seed + attempt.to_bytes(4, "big")).digest()
        if least <= position(key) ^ target < most:
            return key
    return None
