"""Which numbers of a sender are missing between those that came, and the places that are kept for them.

Rules:

- A text whose number is not the next one leaves a *gap*: the numbers between are missing. Directly below its own place
  as many are kept free, so that a late one stands where it would have stood.
- ``PLACES_PER_GAP`` places at most are kept for a gap: of more numbers the highest so many are missing, the others are
  forgotten.
- Below the first text of a device places are kept, too, but it is not said that anything is missing: the numbers before
  may have gone to somebody else, or have come from the device before it.

Source: PROTOCOL.md 5.6.
"""

from __future__ import annotations

import msgspec

from p2pchat.base.limits import PLACES_PER_GAP


class Gap(msgspec.Struct, frozen=True, gc=False):
    """The numbers ``n0`` to ``n1`` are missing, and the places directly below ``above`` are theirs.

    Attributes:
        above: the place of the text that follows them.
        told: whether it is known that they were sent to this reader.
        noted_s: unix seconds at which the gap was noted.
    """

    above: int
    n0: int
    n1: int
    told: bool
    noted_s: int

    @property
    def count(self) -> int:
        """How many numbers are missing."""
        return self.n1 - self.n0 + 1

    def place_of(self, n: int) -> int:
        """The place of the missing number ``n``."""
        return self.above - (self.n1 + 1 - n)

    def without(self, n: int) -> list[Gap]:
        """What is left when ``n`` has come: no gap, one, or one on either side of it."""
        left: list[Gap] = []
        if n > self.n0:
            left.append(Gap(self.place_of(n), self.n0, n - 1, self.told, self.noted_s))
        if n < self.n1:
            left.append(Gap(self.above, n + 1, self.n1, True, self.noted_s))
        return left


def gap_below(n: int, highest: int | None, next_place: int, now_s: int) -> Gap | None:
    """What is missing when ``n`` comes, if anything.

    Args:
        n: above ``highest``, and at least 1.
        highest: of the same device; None: this is its first.
        next_place: the first that is free; the gap's come first, then that of ``n``.
    """
    n0 = max(1 if highest is None else highest + 1, n - PLACES_PER_GAP)
    return None if n0 == n else Gap(next_place + n - n0, n0, n - 1, highest is not None, now_s)
