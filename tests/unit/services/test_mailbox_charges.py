"""What requests to a mailbox cost, and when a peer has had enough of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, LimitError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.mailbox import Ack, Bundle, Deposit, End, Fetch, Grant, List, Request
from p2pchat.services.mailbox_charges import GRANT_RETRY_S, MailboxCharges, of_deleted, of_read, of_request

MALLORY, BOB = PeerId(b"mallory"), PeerId(b"bob")
KEY, SIGNATURE = bytes(32), bytes(64)
HOUR_S = 3_600.0


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def charges(clock: Clock) -> MailboxCharges:
    return MailboxCharges(clock, Refusals())


@pytest.mark.parametrize(
    "request_",
    [
        Grant(KEY, (KEY,), b"", SIGNATURE),
        Deposit(KEY, 1, bytes(1_024)),
        List(KEY, 0, 0, SIGNATURE),
        Fetch(KEY, (1,), SIGNATURE),
        Ack(KEY, (1,), SIGNATURE),
        Bundle(KEY),
        End(KEY, SIGNATURE),
    ],
    ids=lambda request: type(request).__name__,
)
def test_everything_has_a_price(request_: Request) -> None:
    assert 200 < of_request(request_) < 2_000


def test_what_is_larger_costs_more() -> None:
    assert of_request(Deposit(KEY, 1, bytes(524_288))) > of_request(Deposit(KEY, 1, bytes(1_024))) + 10_000
    assert of_request(Ack(KEY, (1,) * 1_024, SIGNATURE)) > of_request(Ack(KEY, (1,), SIGNATURE)) + 40_000
    assert of_request(Fetch(KEY, (1,) * 64, SIGNATURE)) > of_request(Fetch(KEY, (1,), SIGNATURE)) + 2_000
    assert of_deleted(1 << 20) > of_read(1 << 20) > 10_000


def test_a_full_mailbox_is_emptied_within_an_allowance() -> None:
    size, boxes = limits.MAILBOX_OWNER_BYTES, 1_024
    cost = of_deleted(size) + of_read(size) + boxes * of_request(Fetch(KEY, (1,), SIGNATURE)) / 2
    cost += of_request(Ack(KEY, (1,) * 1_024, SIGNATURE))
    assert cost < limits.MAILBOX_BURST_US


def test_who_has_asked_too_much_is_told_when_to_ask_again_and_at_last_cut_off(
    charges: MailboxCharges, clock: Clock
) -> None:
    assert charges.charge(MALLORY, limits.MAILBOX_BURST_US) == 0
    assert charges.charge(MALLORY, 2.5 * limits.MAILBOX_US_PER_S) == 3
    assert charges.charge(BOB, 1_000) == 0
    clock.now = 3.0
    assert charges.charge(MALLORY, 2.5 * limits.MAILBOX_US_PER_S) == 0
    for _ in range(int(limits.MAILBOX_PATIENCE) - 1):
        assert charges.charge(MALLORY, limits.MAILBOX_BURST_US) > 100
    with pytest.raises(LimitError) as caught:
        charges.charge(MALLORY, limits.MAILBOX_BURST_US)
    assert charges.refusals[Refusal.MAILBOX_TOO_OFTEN] == limits.MAILBOX_PATIENCE + 1
    assert charges.ended(MALLORY, caught.value)
    assert charges.refusals[Refusal.MAILBOX_EXCESSIVE] == 1


def test_what_is_malformed_is_counted_and_dear(charges: MailboxCharges) -> None:
    ended = 0
    while not charges.ended(MALLORY, DecodeError("junk")):
        ended += 1
    assert 50 < ended < 500
    assert charges.refusals[Refusal.MAILBOX_MALFORMED] == ended + 1


def test_what_is_found_afterwards_is_paid_with_the_next_request(charges: MailboxCharges) -> None:
    charges.add(MALLORY, 2 * limits.MAILBOX_BURST_US)
    assert charges.charge(MALLORY, 1_000) == 1


def made(charges: MailboxCharges, peers: range, prefix: bytes, each: int) -> int:
    return sum(charges.may_make(PeerId(b"%d" % n), prefix, charges.now()) for n in peers for _ in range(each))


def test_a_peer_gets_four_mailboxes_a_day_and_its_prefix_sixteen(charges: MailboxCharges, clock: Clock) -> None:
    assert made(charges, range(1), b"ip4 home", 9) == 4
    assert made(charges, range(10, 30), b"ip4 away", 1) == 16
    assert made(charges, range(40, 41), b"ip4 near", 99) == 4  # who is refused takes nothing from its neighbours
    assert made(charges, range(41, 60), b"ip4 near", 1) == 12
    clock.now = GRANT_RETRY_S + 1.0
    assert made(charges, range(1), b"ip4 third", 9) == 1
    clock.now += 24 * HOUR_S
    assert made(charges, range(1), b"ip4 third", 9) == 4
