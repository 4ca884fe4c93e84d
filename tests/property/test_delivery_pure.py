"""The window of a stream and the schedule of retries, whatever is asked of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.delivery import Window, retry_after_s
from p2pchat.core.params import PRODUCTION

LIMIT = 1_000
quick = settings(deadline=None, derandomize=True, max_examples=300)
names = st.sampled_from([b"a", b"b", b"c", b"d"])
steps = st.lists(st.tuples(names, st.integers(1, 2_500), st.booleans()), max_size=40)
tries = st.integers(0, 10**6)
jitters = st.floats(0, 1, exclude_max=True)


@quick
@given(steps)
def test_the_window_counts_each_that_is_in_flight_once_and_nothing_else(taken: list[tuple[bytes, int, bool]]) -> None:
    window, flying = Window(LIMIT), dict[bytes, int]()
    for eid, size, leaves in taken:
        if leaves:
            admitted = window.admits(size)
            assert admitted == (not flying or size <= LIMIT - sum(flying.values()))
            if not admitted:
                continue
            window.left(eid, size)
            flying[eid] = size
        else:
            assert window.settled(eid) == (flying.pop(eid, None) is not None)
        assert window.room() == max(0, LIMIT - sum(flying.values()))
        assert window.idle == (not flying)
    for eid in list(flying):
        window.settled(eid)
    assert (window.room(), window.idle) == (LIMIT, True)


@quick
@given(steps)
def test_nothing_joins_what_fills_the_window(taken: list[tuple[bytes, int, bool]]) -> None:
    """What is in flight is below the limit, or it is one envelope alone; sizes never change between repeats."""
    window, flying = Window(LIMIT), dict[bytes, int]()
    sizes = {eid: size for eid, size, _ in taken}
    for eid, _, leaves in taken:
        if not leaves:
            window.settled(eid)
            flying.pop(eid, None)
        elif eid not in flying and window.admits(sizes[eid]):
            window.left(eid, sizes[eid])
            flying[eid] = sizes[eid]
        assert sum(flying.values()) <= LIMIT or len(flying) == 1


@quick
@given(tries, jitters)
def test_a_pause_is_between_a_fifth_below_a_second_and_a_fifth_above_ten_minutes(count: int, jitter: float) -> None:
    pause_s = retry_after_s(count, jitter, PRODUCTION)
    assert 0.8 <= pause_s <= 720.0
    assert retry_after_s(count, 0.0, PRODUCTION) <= pause_s


@quick
@given(tries, tries, jitters)
def test_more_failures_never_make_a_pause_shorter(one: int, other: int, jitter: float) -> None:
    fewer, more = sorted((one, other))
    assert retry_after_s(fewer, jitter, PRODUCTION) <= retry_after_s(more, jitter, PRODUCTION)


@quick
@given(tries, jitters, jitters)
def test_jitter_moves_a_pause_by_a_fifth_each_way_and_no_more(count: int, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert retry_after_s(count, less, PRODUCTION) <= retry_after_s(count, more, PRODUCTION)
    assert retry_after_s(count, more, PRODUCTION) <= 1.5 * retry_after_s(count, less, PRODUCTION) + 1e-9
