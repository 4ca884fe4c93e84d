"""Where others say that they see this node: votes, which nobody has to believe.

Rules:

- A vote is a prefix's, not a peer's: of each prefix the latest one counts, for one address of IPv4 and one of IPv6.
- A vote is forgotten :data:`VOTE_S` after it was given, and beyond :data:`VOTERS` the oldest is.
- Nothing is true for being voted for: what is found here is asked about (PROTOCOL.md 7.3), or tried.

Source: PROTOCOL.md 7.3.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from p2pchat.base.ids import Address

VOTE_S: Final = 3_600.0
VOTERS: Final = 64
CANDIDATES: Final = 4


class Observations:
    """The votes. Times are seconds on any clock that does not go back."""

    def __init__(self) -> None:
        self._votes: OrderedDict[tuple[bytes, str], tuple[Address, float]] = OrderedDict()  # oldest first

    def note(self, prefix: bytes, kind: str, address: Address, now: float) -> None:
        """Somebody of ``prefix`` sees this node at ``address``, which is of ``kind`` ip4 or ip6."""
        self._votes.pop((prefix, kind), None)
        self._votes[prefix, kind] = address, now
        if len(self._votes) > VOTERS:
            self._votes.popitem(last=False)

    def candidates(self, now: float) -> tuple[Address, ...]:
        """What was voted for within the last hour, at most 4 addresses, those with the most votes first."""
        while self._votes and next(iter(self._votes.values()))[1] + VOTE_S <= now:
            self._votes.popitem(last=False)
        counts = Counter(address for address, _ in reversed(self._votes.values()))
        return tuple(address for address, _ in counts.most_common(CANDIDATES))

    def clear(self) -> None:
        """The network is another one."""
        self._votes.clear()
