"""Whether strangers reach this node, by what others say who have tried.

Rules:

- A verdict is a prefix's, not a peer's: of each prefix the latest one on an address counts, for :data:`VERDICT_S`.
- An address is *confirmed* by :data:`CONFIRMATIONS` prefixes, if they are more than those that deny it. Once it is, it
  stays so until :data:`DENIALS` prefixes deny it that are more than those that confirm it: who lies has to be the
  majority of those asked, both to have a false address taken and to have a true one given up.
- The node is *public* while an address is confirmed, *private* when none is and of those asked about within the last
  hour :data:`DENIALS` prefixes have denied every one that they were asked about, more than have confirmed any;
  otherwise it stays what it was.

Source: PROTOCOL.md 7.3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final

from p2pchat.base.ids import Address
from p2pchat.net.transport import Standing

VERDICT_S: Final = 3_600.0
CONFIRMATIONS: Final = 2
DENIALS: Final = 3
VERDICTS: Final = 256


class Confirmations:
    """The verdicts, and what follows. Times are seconds on any clock that does not go back.

    ``standing`` is what follows for the node.
    """

    def __init__(self) -> None:
        self.standing: Standing = "unknown"
        self._verdicts: OrderedDict[tuple[Address, bytes], tuple[bool, float]] = OrderedDict()  # oldest first
        self._confirmed: dict[Address, None] = {}

    def confirmed(self) -> tuple[Address, ...]:
        """The addresses that strangers reach."""
        return tuple(self._confirmed)

    def confirm(self, address: Address, prefix: bytes, now: float) -> None:
        """Somebody of ``prefix`` has reached this node at ``address``."""
        self._note(address, prefix, True, now)
        self._conclude(now)

    def deny(self, addresses: Iterable[Address], prefix: bytes, now: float) -> None:
        """Somebody of ``prefix`` has reached it at none of ``addresses``."""
        for address in addresses:
            self._note(address, prefix, False, now)
        self._conclude(now)

    def keep(self, addresses: Collection[Address]) -> bool:
        """Forget what was said of others than ``addresses``, which are no longer this node's; whether anything was.

        Without a confirmed one left nobody knows where the node stands.
        """
        gone = [key for key in self._verdicts if key[0] not in addresses]
        for key in gone:
            del self._verdicts[key]
        lost = [address for address in self._confirmed if address not in addresses]
        for address in lost:
            del self._confirmed[address]
        if gone and not self._confirmed:
            self.standing = "unknown"
        return bool(gone)

    def tally(self, address: Address) -> tuple[int, int]:
        """How many prefixes confirm it, and how many deny it."""
        said = [verdict for (about, _), (verdict, _) in self._verdicts.items() if about == address]
        return said.count(True), said.count(False)

    def _note(self, address: Address, prefix: bytes, verdict: bool, now: float) -> None:
        self._verdicts.pop((address, prefix), None)
        self._verdicts[address, prefix] = verdict, now
        if len(self._verdicts) > VERDICTS:
            self._verdicts.popitem(last=False)

    def _conclude(self, now: float) -> None:
        while next(iter(self._verdicts.values()))[1] + VERDICT_S <= now:  # the one just noted stays
            self._verdicts.popitem(last=False)
        for address in dict.fromkeys(about for about, _ in self._verdicts):
            confirming, denying = self.tally(address)
            if confirming >= CONFIRMATIONS and confirming > denying:
                self._confirmed[address] = None
            elif denying >= DENIALS and denying > confirming:
                self._confirmed.pop(address, None)
        if self._confirmed:
            self.standing = "public"
            return
        confirming_any = {prefix for (_, prefix), (verdict, _) in self._verdicts.items() if verdict}
        denying_all = {prefix for _, prefix in self._verdicts} - confirming_any
        if len(denying_all) >= DENIALS and len(denying_all) > len(confirming_any):
            self.standing = "private"
