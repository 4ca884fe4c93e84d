"""What is held of one prefix: counted while it is held, in one mailbox and in all."""

from __future__ import annotations

import pytest

from p2pchat.services import depositors
from p2pchat.services.depositors import Depositors
from p2pchat.store.mailbox import Gone

HOME, AWAY = b"ip4\x01\x02\x03", b"ip4\x01\x02\x04"


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depositors, "MAILBOX_PREFIX_BYTES", 4)
    monkeypatch.setattr(depositors, "MAILBOX_PREFIX_TOTAL_BYTES", 6)
    monkeypatch.setattr(depositors, "MAILBOX_SINGLE_BYTES", 6)
    monkeypatch.setattr(depositors, "MAILBOX_SINGLE_TOTAL_BYTES", 9)


def test_a_prefix_has_room_in_one_mailbox_and_in_all() -> None:
    counted = Depositors()
    assert counted.has_room(HOME, 1, 4, single=False)
    assert not counted.has_room(HOME, 1, 5, single=False)
    counted.add(HOME, Gone(1, 1, 4), single=False)
    assert not counted.has_room(HOME, 1, 1, single=False)
    assert counted.has_room(HOME, 2, 2, single=False)
    assert not counted.has_room(HOME, 2, 3, single=False)
    assert counted.has_room(AWAY, 1, 4, single=False)


def test_what_goes_makes_room_once_and_of_what_was_not_counted_nothing_is_known() -> None:
    counted = Depositors()
    for n in range(1, 4):
        counted.add(HOME, Gone(1, n, 1), single=False)
    counted.add(AWAY, Gone(1, 9, 1), single=False)
    assert len(counted) == 2
    counted.remove([Gone(1, 2, 1), Gone(1, 2, 1), Gone(1, 5, 1), Gone(7, 1, 1)])
    assert counted.has_room(HOME, 1, 2, single=False)
    assert not counted.has_room(HOME, 1, 3, single=False)
    counted.remove([Gone(1, 1, 1), Gone(1, 3, 1)])
    assert counted.has_room(HOME, 1, 4, single=False)
    assert len(counted) == 1  # nothing is remembered of who has nothing here
    counted.remove([Gone(1, 9, 1)])
    assert len(counted) == 0
    counted.add(HOME, Gone(1, 10, 4), single=False)
    assert not counted.has_room(HOME, 1, 1, single=False)


def test_those_who_count_singly_have_a_bound_together_too() -> None:
    counted = Depositors()
    phones = [b"peer" + bytes([n]) for n in range(4)]
    counted.add(phones[0], Gone(1, 1, 4), single=True)
    assert not counted.has_room(phones[0], 1, 1, single=True)
    assert counted.has_room(phones[1], 1, 2, single=True)
    assert not counted.has_room(phones[1], 1, 3, single=True)
    assert counted.has_room(HOME, 1, 4, single=False)  # who does not has his own
    counted.add(phones[1], Gone(2, 1, 4), single=True)
    assert counted.has_room(phones[2], 3, 1, single=True)
    assert not counted.has_room(phones[2], 3, 2, single=True)
    counted.remove([Gone(1, 1, 4)])
    assert counted.has_room(phones[2], 3, 4, single=True)
    counted.remove([Gone(2, 1, 4)])
    assert len(counted) == 0
    assert counted.has_room(phones[3], 1, 4, single=True)
