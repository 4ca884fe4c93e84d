"""Whether envelopes that were sealed with the texts they hold continue what is on a stream."""

from __future__ import annotations

import pytest

from p2pchat.services.deliver import Cursor, Outgoing, continues, has_left
from p2pchat.store.sessions import EnvelopeRow

SESSION = 7


def outgoing(first: int, after: int) -> Outgoing:
    return Outgoing((), (EnvelopeRow(first, b"e" * 16, b"", 1, 1),), SESSION, wants_session=False, after=after)


@pytest.mark.parametrize(("last", "goes_on", "is_there"), [(4, False, False), (5, True, False), (6, True, True)])
def test_an_envelope_goes_after_all_that_were_sealed_before_it(last: int, goes_on: bool, is_there: bool) -> None:
    cursor = Cursor(last={SESSION: last})
    assert continues(cursor, outgoing(6, after=5)) == goes_on
    assert has_left(cursor, outgoing(6, after=5)) == is_there


def test_what_nothing_goes_before_begins_a_stream() -> None:
    assert continues(Cursor(), outgoing(1, after=0))
    assert not continues(Cursor(last={SESSION + 1: 9}), outgoing(6, after=5))
