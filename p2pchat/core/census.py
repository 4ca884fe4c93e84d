"""How dense the network is, by what this node's own walks have shown (PROTOCOL.md 3.7).

Rules:

- What counts is how far from a key that nobody could foresee the k-th closest storer was: keys of bucket refreshes,
  never locs, around which an attacker can gather peers of his own.
- The median of the last ones is taken, together with the own neighbourhood as the table has it now, which is all there
  is before the first refresh.
- With fewer than k storers there is nothing to expect: all of them store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import position

_KEPT: Final = 15


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

    def region(self, neighbourhood: int) -> int:
        """The distance within which k storers are to be expected; 0 where that is not known.

        Args:
            neighbourhood: the distance of the k-th closest storer from this node, 0 where fewer are known.
        """
        if neighbourhood == 0:
            return 0
        seen = sorted((*self._seen, neighbourhood))
        return seen[len(seen) // 2]
