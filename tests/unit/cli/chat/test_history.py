"""The stretch that is loaded: pages and events in any order lead to the same rows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.cli.chat import history as history_module
from p2pchat.cli.chat.history import History
from p2pchat.cli.chat.rows import Row
from tests.unit.cli.chat.makers import made, own, rows


def loaded(first: int = 10, last: int = 20, *, at_start: bool = False, at_end: bool = True) -> History:
    history = History()
    history.asked()
    history.begin(rows(range(first, last)), at_start=at_start, at_end=at_end)
    return history


def positions(history: History) -> list[int]:
    return [row.position for row in history.rows]


def test_pages_enlarge_it_at_both_ends() -> None:
    history = loaded(at_end=False)
    assert (history.beyond("older"), history.beyond("newer")) == (10, 19)
    history.extend("older", rows(range(1, 10)), last=True)
    history.extend("newer", rows(range(20, 25)), last=True)
    assert positions(history) == list(range(1, 25))
    assert history.at_start
    assert history.at_end


def test_an_event_adds_at_the_end_that_is_loaded_alone() -> None:
    history = loaded()
    assert history.put(made(20))
    assert positions(history)[-1] == 20
    away = loaded(at_end=False)
    assert not away.put(made(30))
    assert positions(away)[-1] == 19


def test_a_late_one_goes_to_its_place_and_one_from_before_waits_for_its_page() -> None:
    history = History()
    history.begin([made(10), made(12)], at_start=False, at_end=True)
    assert history.put(made(11))
    assert not history.put(made(5))
    assert positions(history) == [10, 11, 12]


def test_an_event_changes_a_row_where_it_is() -> None:
    history = History()
    history.begin([own(1, state="queued"), made(2)], at_start=True, at_end=True)
    assert not history.put(own(1, state="delivered"))
    assert [row.state for row in history.rows] == ["delivered", "received"]


def test_a_row_that_moved_is_there_once() -> None:
    history = loaded(1, 4, at_start=True)
    moved = Row(made(1).id, 9, True, "text 1", "received", None, 0)
    history.put(moved)
    assert positions(history) == [2, 3, 9]


def test_a_page_that_is_older_than_an_event_does_not_undo_it() -> None:
    history = loaded(10, 12)
    history.asked()
    history.put(own(5, state="delivered"))
    history.extend("older", [own(5, state="queued")], last=True)
    assert history.rows[0].state == "delivered"
    history.put(own(5, state="read"))
    assert history.rows[0].state == "read"


def test_what_came_while_the_first_page_was_on_its_way_is_not_lost() -> None:
    history = History()
    history.asked()
    history.put(made(3))
    history.put(made(2))
    history.begin(rows([1, 2]), at_start=True, at_end=True)
    assert positions(history) == [1, 2, 3]


def test_an_answer_that_never_came_leaves_nothing_behind() -> None:
    history = loaded()
    history.asked()
    history.put(made(99))
    history.unanswered()
    history.remove(made(99).id)
    history.asked()
    history.extend("older", rows([9]), last=True)
    assert positions(history) == list(range(9, 20))


def test_a_message_that_is_gone_leaves_its_place() -> None:
    history = loaded(1, 4)
    history.remove(made(2).id)
    history.remove("unknown")
    assert positions(history) == [1, 3]
    assert not history.knows(made(2).id)
    assert not history.holds(2)
    assert history.holds(3)


def test_the_far_end_is_let_go() -> None:
    most = history_module.ROWS
    history = loaded(0, most + 501, at_start=True)
    assert history.is_full
    history.trim(most)
    assert (len(history.rows), history.at_start, history.at_end) == (most, False, True)
    history.extend("older", rows(range(501)), last=True)
    history.trim(0)
    assert (len(history.rows), history.at_start, history.at_end) == (most, True, False)
    assert positions(history) == list(range(most))
    assert not history.knows(made(most + 1).id)


@settings(deadline=None)
@given(st.data())
def test_pages_and_events_lead_to_what_the_daemon_has(data: st.DataObject) -> None:
    """A daemon that gains messages and states, an answer that is as old as its question, events that come later."""
    truth = {n: own(n) for n in range(1, data.draw(st.integers(1, 8)))}
    history, untold = History(), list[Row]()
    history.asked()
    answer = list(truth.values())[-3:]
    begun = False
    for _ in range(data.draw(st.integers(0, 30))):
        match data.draw(st.sampled_from(["new", "state", "event", "answer"])):
            case "new":
                row = own(len(truth) + 1)
                truth[row.position] = row
                untold.append(row)
            case "state" if truth:
                row = own(data.draw(st.sampled_from(sorted(truth))), state=data.draw(st.sampled_from(["sent", "read"])))
                truth[row.position] = row
                untold.append(row)
            case "event" if untold:
                history.put(untold.pop(0))
            case "answer":
                if not begun:
                    at_start = not answer or answer[0].position == 1
                    history.begin(answer, at_start=at_start, at_end=True)
                    begun = True
                elif not history.at_start:
                    history.extend("older", answer, last=not answer or answer[0].position == 1)
                if not history.at_start:
                    history.asked()
                    answer = [row for row in truth.values() if row.position < history.beyond("older")][-3:]
            case _:
                pass
    if not begun:
        history.begin(answer, at_start=not answer or answer[0].position == 1, at_end=True)
    for row in untold:
        history.put(row)
    first = history.beyond("older") if not history.at_start else 0
    assert history.rows == [row for row in truth.values() if row.position >= first]


# -- what is missing, and comes late -----------------------------------------------------------------------------------


def absent(history: History) -> dict[int, int]:
    return {row.position: row.missing for row in history.rows if row.missing}


def test_a_late_one_leaves_less_missing_before_the_next() -> None:
    history = History()
    history.begin([made(1), made(6, missing=4), made(7)], at_start=True, at_end=True)
    assert history.put(made(3, missing=1))
    assert absent(history) == {3: 1, 6: 2}
    assert history.put(made(2))
    assert history.put(made(5, missing=1))
    assert absent(history) == {5: 1}
    assert not history.put(made(6, missing=4, state="read"))  # an event of before
    assert absent(history) == {5: 1}
    assert history.put(made(4))
    assert absent(history) == {}
    assert positions(history) == list(range(1, 8))


def test_a_late_one_that_is_told_before_an_older_page_comes_is_in_its_place() -> None:
    history = History()
    history.asked()
    history.put(made(3, missing=1))
    history.put(made(9))
    history.begin([made(1), made(4, missing=2), made(5)], at_start=True, at_end=True)
    assert positions(history) == [1, 3, 4, 5, 9]
    assert absent(history) == {3: 1}


def test_a_page_that_is_newer_than_an_event_says_what_is_missing() -> None:
    history = History()
    history.asked()
    history.put(made(4, missing=2))
    history.begin([made(1), made(2), made(3), made(4)], at_start=True, at_end=True)
    assert absent(history) == {}


def test_a_late_one_beyond_a_stretch_waits_for_its_page() -> None:
    history = loaded(10, 12)
    history.asked()
    history.put(made(3))
    history.extend("older", rows([8, 9]), last=False)
    assert positions(history) == [8, 9, 10, 11]


def test_what_is_gone_before_its_page_comes_stays_away() -> None:
    history = loaded(10, 12)
    history.asked()
    history.put(made(12))
    history.remove(made(12).id)
    history.extend("older", rows([9]), last=True)
    assert positions(history) == [9, 10, 11]
