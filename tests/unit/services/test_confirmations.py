"""What follows from what others say of whether they reach a node."""

from __future__ import annotations

from p2pchat.net.addresses import from_socket
from p2pchat.services.confirmations import VERDICT_S, VERDICTS, Confirmations

A, B = from_socket("12.0.0.1", 1), from_socket("12.0.0.2", 1)


def said(confirming: int, denying: int, at: float = 0.0, known: Confirmations | None = None) -> Confirmations:
    """So many prefixes about A, the denying first."""
    known = known or Confirmations()
    for number in range(denying):
        known.deny([A], b"no%d" % number, at)
    for number in range(confirming):
        known.confirm(A, b"yes%d" % number, at)
    return known


def test_two_confirm_and_three_deny() -> None:
    results = {(c, d): said(c, d).standing for c in range(4) for d in range(5)}
    public = {row for row, standing in results.items() if standing == "public"}
    private = {row for row, standing in results.items() if standing == "private"}
    assert public == {(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)}
    assert private == {(c, d) for c in range(4) for d in (3, 4)}


def test_what_is_confirmed_stays_until_a_majority_of_three_denies() -> None:
    known = said(2, 0)
    known.deny([A], b"no0", 1.0)
    known.deny([A], b"no1", 1.0)
    assert known.confirmed() == (A,)
    known.deny([A], b"no2", 1.0)
    assert (known.confirmed(), known.standing) == ((), "private")


def test_a_prefix_has_one_voice() -> None:
    known = Confirmations()
    for _ in range(5):
        known.confirm(A, b"one", 0.0)
    assert known.standing == "unknown"
    for _ in range(5):
        known.deny([A], b"other", 0.0)
    assert known.tally(A) == (1, 1)


def test_confirmations_of_different_addresses_do_not_add_up() -> None:
    known = Confirmations()
    known.confirm(A, b"1", 0.0)
    known.confirm(B, b"2", 0.0)
    assert known.standing == "unknown"


def test_one_address_suffices_whatever_is_said_of_others() -> None:
    known = said(2, 0)
    for number in range(5):
        known.deny([B], b"%d" % number, 0.0)
    assert (known.confirmed(), known.standing) == ((A,), "public")


def test_old_verdicts_do_not_count() -> None:
    known = said(1, 0)
    known.confirm(A, b"late", VERDICT_S)
    assert known.standing == "unknown"


def test_an_address_that_is_gone_takes_what_was_said_of_it_along() -> None:
    known = said(2, 0)
    assert known.keep([A]) is False
    assert known.keep([B]) is True
    assert (known.confirmed(), known.standing, known.tally(A)) == ((), "unknown", (0, 0))


def test_it_does_not_grow_without_bound() -> None:
    known = Confirmations()
    for number in range(2 * VERDICTS):
        known.deny([A, B], number.to_bytes(4, "big"), 0.0)
    assert len(known._verdicts) == VERDICTS
