"""What was told of watched slots is remembered as long as they are watched, and no longer."""

from __future__ import annotations

from p2pchat.net.told import Told

LOC, OTHER = b"l" * 32, b"o" * 32


def record(content: int, nonce: int = 0) -> bytes:
    return content.to_bytes(961, "big") + nonce.to_bytes(8, "big")


def test_an_entry_is_news_once_whatever_its_work() -> None:
    told = Told()
    told.lease(LOC, 10.0, 0.0)
    assert not told.has(LOC, record(1))
    assert told.note(LOC, record(1))
    assert told.has(LOC, record(1, 5))
    assert not told.note(LOC, record(1, 6))
    assert told.note(LOC, record(2))
    told.lease(LOC, 20.0, 9.0)  # prolonged: nothing is forgotten
    assert not told.note(LOC, record(1))


def test_a_slot_that_is_not_watched_is_not_remembered() -> None:
    told = Told()
    assert told.note(LOC, record(1))
    assert told.note(LOC, record(1))
    assert len(told) == 0


def test_leases_end_and_what_is_kept_is_bounded() -> None:
    told = Told()
    for number in range(1_000):
        told.lease(number.to_bytes(32, "big"), number + 10.0, float(number))
    assert len(told) == 10
    told.lease(LOC, 2_000.0, 1_500.0)
    assert len(told) == 1
    for number in range(10_000):
        told.note(LOC, record(number))
    assert told.note(LOC, record(0))  # long ago, among so many
    assert not told.note(LOC, record(9_999))
    assert not told.has(OTHER, record(1))
