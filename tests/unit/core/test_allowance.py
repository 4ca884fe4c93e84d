"""Buckets that fill slowly, and the table of them."""

from __future__ import annotations

from p2pchat.core.allowance import Allowance, Allowances


def test_a_burst_and_then_as_much_as_comes_back() -> None:
    allowance = Allowance(100, 10, now=5.0)
    assert allowance.spend(60, 5.0)
    assert allowance.spend(40, 5.0)
    assert not allowance.spend(1, 5.0)
    assert allowance.spend(10, 6.0)
    assert not allowance.spend(11, 7.0)


def test_it_holds_no_more_than_the_burst_however_long_nothing_is_asked() -> None:
    allowance = Allowance(100, 10, now=0.0)
    assert not allowance.spend(101, 1e9)


def test_who_asks_on_after_a_refusal_gets_nothing_of_what_was_left() -> None:
    allowance = Allowance(100, 10, now=0.0)
    assert not allowance.spend(101, 0.0)
    assert not allowance.spend(1, 0.0)
    assert allowance.spend(20, 2.0)


def test_everyone_has_an_allowance_of_their_own() -> None:
    allowances = Allowances[str](100, 10, keys=10)
    assert allowances.spend("a", 100, 0.0)
    assert not allowances.spend("a", 1, 0.0)
    assert allowances.spend("b", 100, 0.0)


def test_the_table_is_bounded_and_who_was_not_charged_for_longest_goes() -> None:
    allowances = Allowances[str](100, 0, keys=2)
    for key in ("a", "b", "a", "c"):  # b goes
        allowances.spend(key, 50, 0.0)
    assert len(allowances) == 2
    assert not allowances.spend("a", 1, 0.0)
    assert allowances.spend("b", 100, 0.0)
