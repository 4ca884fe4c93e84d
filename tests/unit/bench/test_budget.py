"""What contacts cost is what the wire and the schedules say."""

from __future__ import annotations

import pytest

from bench.budget import ASK_BYTES, CONTACTS, REPLY_BYTES, SLOTS_READ, State, states, table


def test_the_sizes_are_those_of_the_wire() -> None:
    assert ASK_BYTES == 48
    assert 20 * (38 + 8 + 20) < REPLY_BYTES < 20 * (38 + 8 + 20 + 12) + 16
    assert pytest.approx(SLOTS_READ) == 1 + 3 / 7


def test_what_is_kept_and_sent() -> None:
    assert State("one record each", records=1).kept_mb() == pytest.approx(CONTACTS * 20 * 969 / 1e6)
    reading = State("reading once", reads=1)
    assert reading.sent_mb(20) == pytest.approx(CONTACTS * 20 * (ASK_BYTES + REPLY_BYTES) / 1e6)
    putting = State("putting once", puts=1)
    assert putting.sent_mb(20) - reading.sent_mb(20) == pytest.approx(CONTACTS * 20 * 969 / 1e6)


def test_who_is_matched_and_connected_costs_nothing_and_who_is_looked_for_most() -> None:
    by_title = {state.title: state for state in states()}
    assert by_title["matched, connected"].sent_mb(20) == by_title["matched, connected"].kept_mb() == 0
    assert by_title["own presence"].puts * CONTACTS == pytest.approx(2)
    assert by_title["own presence"].records * CONTACTS == pytest.approx(1)
    assert by_title["looked for"].watches == pytest.approx(4 * 86_400 / (0.8 * 3_600))


def test_the_table_has_a_line_a_state_and_a_column_a_size() -> None:
    rows = table({1_000: 20.0, 10_000: 40.0})
    assert len(rows) == 1 + len(states())
    assert {len(row) for row in rows} == {6}
