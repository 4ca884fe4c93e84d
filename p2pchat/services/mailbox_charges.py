"""What a request to this node's mailboxes costs it, and the end of who asks for too much.

A price is what the thing takes here in microseconds, roughly. Unlike in a conversation everything has one: a mailbox
can be filled and emptied for ever. Who has used the allowance up is told to ask later (TOO_OFTEN, with ``retry_s``);
who goes on nevertheless is cut off.

Source: PROTOCOL.md 6.2.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from p2pchat.base import limits
from p2pchat.base.errors import LimitError, PeerError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowances
from p2pchat.core.mailbox import Ack, Bundle, Deposit, End, Fetch, Grant, List, Request

STREAM_US: Final = 1_000.0
GRANT_RETRY_S: Final = ceil(1 / limits.MAILBOX_GRANTS_PER_S)
UNKNOWN_US: Final = 2_000.0  # a wrong signature, a token or an owner that is not known, what is not offered

_MALFORMED_US: Final = 20_000.0
_REQUEST_US: Final[dict[type[object], float]] = {
    Grant: 1_500.0,
    Deposit: 300.0,
    List: 500.0,
    Fetch: 350.0,
    Ack: 350.0,
    Bundle: 250.0,
    End: 1_000.0,
}
_ENTRY_US: Final = 40.0  # of Fetch and Ack
_WRITTEN_BYTES_A_US: Final = 50  # or deleted, which is to be overwritten
_READ_BYTES_A_US: Final = 100
_GRANTS_OF_PREFIX: Final = 4  # times those of a PeerID


def of_request(request: Request) -> float:
    """The price of ``request``, but for what is not known before it is done."""
    entries = len(request.numbers) if isinstance(request, Fetch | Ack) else 0
    written = len(request.box) if isinstance(request, Deposit) else 0
    return _REQUEST_US[type(request)] + entries * _ENTRY_US + written / _WRITTEN_BYTES_A_US


def of_read(size: int) -> float:
    """The price of boxes with so many bytes that were read."""
    return size / _READ_BYTES_A_US


def of_deleted(size: int) -> float:
    """The price of boxes with so many bytes that were deleted."""
    return size / _WRITTEN_BYTES_A_US


class MailboxCharges:
    """The allowances of all peers at this node's mailboxes.

    Args:
        clock: seconds, never going back.
        refusals: where it is counted what was refused.
    """

    def __init__(self, clock: Callable[[], float], refusals: Refusals) -> None:
        self.refusals = refusals
        self._clock = clock
        self._work: Allowances[PeerId] = _allowances(limits.MAILBOX_BURST_US, limits.MAILBOX_US_PER_S)
        self._patience: Allowances[PeerId] = _allowances(limits.MAILBOX_PATIENCE, limits.MAILBOX_PATIENCE_PER_S)
        self._grants: Allowances[bytes] = Allowances(
            limits.MAILBOX_GRANTS, limits.MAILBOX_GRANTS_PER_S, limits.ALLOWANCES
        )

    def charge(self, peer: PeerId, cost_us: float) -> int:
        """Before something is done: 0, or after how many seconds it may be asked for again, and is not to be done now.

        Raises:
            LimitError: nothing is to be done for this peer, who has been told that before.
        """
        now = self._clock()
        if self._work.spend(peer, cost_us, now):
            return 0
        self.refusals.note(Refusal.MAILBOX_TOO_OFTEN)
        if not self._patience.spend(peer, 1.0, now):
            raise LimitError("the peer goes on asking a mailbox too often")
        return ceil(cost_us / limits.MAILBOX_US_PER_S)

    def add(self, peer: PeerId, cost_us: float) -> None:
        """What came to light when it was done; who cannot pay it pays with the next request."""
        self._work.spend(peer, cost_us, self._clock())

    def now(self) -> float:
        """On the clock of the allowances, which the store's thread has not."""
        return self._clock()

    def may_make(self, peer: PeerId, prefix: bytes, now: float) -> bool:
        """Whether ``peer``, who asks from ``prefix``, gets another mailbox; it counts as one.

        Concurrency: for jobs of the store alone, which run one after the other.
        """
        return self._grants.spend(bytes(peer), 1.0, now) and self._grants.spend(prefix, 1 / _GRANTS_OF_PREFIX, now)

    def ended(self, peer: PeerId, error: PeerError) -> bool:
        """Count what has ended a stream; whether the connection is to go with it."""
        if isinstance(error, LimitError):
            self.refusals.note(Refusal.MAILBOX_EXCESSIVE)
            return True
        self.refusals.note(Refusal.MAILBOX_MALFORMED)
        return not self._work.spend(peer, _MALFORMED_US, self._clock())


def _allowances(burst: float, per_s: float) -> Allowances[PeerId]:
    return Allowances(burst, per_s, limits.ALLOWANCES)
