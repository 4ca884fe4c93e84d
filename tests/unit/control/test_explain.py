"""The words of ``message.explain``, of rows made up here; how rows get there is in tests/sim/test_explain.py."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from p2pchat.base.ids import ContactId, PeerId, RootKey
from p2pchat.control.explain import explanation
from p2pchat.services.attempts import Attempt
from p2pchat.store.contacts import ContactRow
from p2pchat.store.messages import MessageRow

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
BOB = ContactRow(
    id=1,
    uid=ContactId(bytes(8)),
    name="Bob",
    number="+821098765432",
    state="matched",
    trust="unverified",
    root=RootKey(bytes(32)),
    receipts=None,
    epoch_ms=0,
    highest_ms=0,
    next_n=1,
    claimants=1,
    last_seen_ms=None,
    pending_until_s=None,
    flight_after_s=0,
    matched_s=None,
    heard_ms=0,
    invite=None,
    invite_secret=None,
)
HELLO = MessageRow(
    id=1,
    contact=1,
    incoming=False,
    n=1,
    wire_id=bytes(16),
    kind=1,
    text="hello",
    state="queued",
    reason=None,
    created_ms=NOW_MS,
    sent_ms=None,
    delivered_ms=None,
    read_ms=None,
)
SENT = replace(HELLO, state="sent", sent_ms=NOW_MS)
NO_ROOM = Attempt(NOW_MS - HOUR_MS, None, "It has no space left.", mailbox=True)


def words(
    row: MessageRow,
    contact: ContactRow = BOB,
    *tries: Attempt,
    online: bool = False,
    next_ms: int | None = None,
    held: tuple[tuple[PeerId, int], ...] = (),
    mailboxes: int = 0,
) -> str:
    return explanation(
        row,
        contact,
        tries,
        next_ms,
        online=online,
        now_ms=NOW_MS,
        life_ms=24 * HOUR_MS,
        held=held,
        mailboxes=mailboxes,
    ).text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (replace(HELLO, state="cancelled"), "You took it back before it left."),
        (
            replace(HELLO, state="failed", reason="nobody came"),
            "It was not delivered: nobody came.",
        ),
        (
            replace(SENT, state="failed", reason="nobody came"),
            "No word came that it arrived: nobody came. It had left, and may have arrived all the same.",
        ),
    ],
)
def test_what_has_ended(row: MessageRow, said: str) -> None:
    assert words(row) == said


def test_between_two_who_are_connected_it_is_a_matter_of_a_moment() -> None:
    assert words(HELLO, online=True).startswith("Bob is connected; it leaves in a moment.")
    assert words(SENT, online=True).startswith(
        "It has left, and Bob's node has not confirmed it yet. "
        "If the connection ends before that it goes again on the next one."
    )


def test_what_has_left_once_goes_again() -> None:
    assert "It has left once, and was not confirmed: it goes again." in words(SENT)
    assert "left once" not in words(HELLO)


def test_who_was_not_dialled_yet_has_no_last_try() -> None:
    said = words(HELLO, BOB, NO_ROOM, next_ms=NOW_MS + HOUR_MS, mailboxes=1)
    assert "The last try, " not in said
    assert "The next try is in 60 minutes." in said or "The next try is in 1 hour." in said


def test_a_mailbox_that_has_not_taken_it() -> None:
    waiting = "It is left in a mailbox of Bob as soon as one takes it; until then keep your node running."
    assert waiting in words(HELLO, mailboxes=1)
    refused = words(HELLO, BOB, NO_ROOM, mailboxes=1)
    assert waiting in refused
    assert "The last try to leave it in a mailbox, " in refused
    assert "failed: It has no space left." in refused


def test_a_mailbox_that_has_it_no_more() -> None:
    lost = replace(SENT, state="held")
    assert "is there no more. It is left there again." in words(lost, mailboxes=1)
    assert "is there no more. No mailbox of Bob is known now." in words(lost)


def test_of_several_who_claim_to_be_the_contact_one_has_to_be_chosen() -> None:
    several = replace(BOB, state="pending", root=None, claimants=2, pending_until_s=NOW_MS)
    assert words(HELLO, several).startswith("Several people claim to be Bob: choose one, with p2pchat contacts choose.")
