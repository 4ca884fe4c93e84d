"""What a user is told of a mailbox that was not granted, or that took nothing."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import NetError, P2PChatError, PeerError, UnsupportedProtocol
from p2pchat.core.mailbox import Reason
from p2pchat.net.mailbox import MailboxRefused
from p2pchat.services import deposit, mailboxes

NOBODY_THERE = NetError("Nobody is there.", name="TIMEOUT")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MailboxRefused(Reason.NO_SPACE, 0), "has no space left"),
        (MailboxRefused(Reason.TOO_OFTEN, 60), "was asked too often; try later"),
        (MailboxRefused(Reason.REFUSED, 0), mailboxes._NOT_OFFERED),
        (UnsupportedProtocol("It speaks no such protocol."), mailboxes._NOT_OFFERED),
        (NOBODY_THERE, "did not answer in time"),
        (NetError("It closed the connection."), "could not be reached: it has to be on while you name it"),
    ],
)
def test_why_a_node_gave_no_mailbox(error: P2PChatError, said: str) -> None:
    assert mailboxes._why(error) == said


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_for_which_a_mailbox_takes_nothing_has_a_sentence(reason: Reason) -> None:
    assert deposit._why(MailboxRefused(reason, 0)).endswith(".")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnsupportedProtocol("It speaks no such protocol."), "It holds nothing for anybody."),
        (NOBODY_THERE, "Nobody is there."),
        (PeerError("receipt: 3 bytes"), "What it answered is not true, or not of the protocol."),
    ],
)
def test_why_a_mailbox_took_nothing_else(error: NetError | PeerError, said: str) -> None:
    """What a peer did wrong is named to nobody: it may hold what the peer sent."""
    assert deposit._why(error) == said
