"""The storer's rule, with records whose work is whatever the test says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import position
from p2pchat.core.params import PRODUCTION
from p2pchat.core.storer import OWN_PREFIX, Held, Put, Storer

OWN = PeerId(b"own")
LOC = b"l" * 32
NOW = 1_000


@dataclass(frozen=True)
class Fake:
    """A record that says of itself what it is: ``writer,seq,expiry,work,salt``."""

    writer: bytes
    seq: int
    expiry: int
    work: int


def raw(writer: str, *, seq: int = NOW, expiry: int = NOW + 100, work: int = 16, salt: str = "") -> bytes:
    return f"{writer},{seq},{expiry},{work},{salt}".encode()


def check(loc: bytes, data: bytes, now_s: int) -> Fake:
    fields = data.split(b",")
    if len(fields) != 5:
        raise PeerError("no record")
    return Fake(fields[0], int(fields[1]), int(fields[2]), int(fields[3]))


def storer(**changes: int) -> Storer:
    return Storer(OWN, replace(PRODUCTION, **changes), check)  # type: ignore[arg-type]


def put(store: Storer, data: bytes, prefix: bytes = b"p", loc: bytes = LOC, now_s: int = NOW) -> Put:
    return store.put(loc, data, prefix=prefix, now_s=now_s)


def names(store: Storer, loc: bytes = LOC) -> set[str]:
    return {data.split(b",")[0].decode() for data in store.get(loc, NOW)}


def fill(store: Storer, *rows: tuple[str, str, int]) -> None:
    for writer, prefix, work in rows:
        assert put(store, raw(writer, work=work), prefix.encode()) is Put.NEW


def test_what_the_check_refuses_is_not_kept() -> None:
    store = storer()
    assert put(store, b"junk") is Put.REFUSED
    assert store.get(LOC, NOW) == ()


def test_a_writer_has_one_entry_and_only_a_higher_seq_replaces_it() -> None:
    store = storer()
    assert put(store, raw("w", seq=NOW)) is Put.NEW
    assert put(store, raw("w", seq=NOW)) is Put.SAME
    assert put(store, raw("w", seq=NOW, salt="other")) is Put.REFUSED
    assert put(store, raw("w", seq=NOW - 1)) is Put.REFUSED
    assert put(store, raw("w", seq=NOW + 1)) is Put.NEW
    assert store.get(LOC, NOW) == (raw("w", seq=NOW + 1),)
    assert len(store) == 1


def test_one_prefix_has_four_entries_and_more_work_displaces_its_least() -> None:
    store = storer()
    fill(store, ("a", "p", 18), ("b", "p", 17), ("c", "p", 19), ("d", "p", 18), ("x", "q", 16))
    assert put(store, raw("e", work=17), b"p") is Put.REFUSED
    assert put(store, raw("e", work=18), b"p") is Put.NEW
    assert names(store) == {"a", "c", "d", "e", "x"}


def test_in_a_full_slot_the_least_work_of_the_biggest_prefix_goes_for_more_work_only() -> None:
    store = storer()
    for prefix, size in (("p", 4), ("q", 4), ("r", 3), ("s", 3), ("t", 2)):
        fill(store, *((f"{prefix}{i}", prefix, 16 if prefix in "rst" else 18 + i) for i in range(size)))
    assert put(store, raw("n", work=18), b"n") is Put.REFUSED
    assert put(store, raw("n", work=19), b"n") is Put.NEW
    assert len(store.get(LOC, NOW)) == 16
    assert len({"p0", "q0"} & names(store)) == 1
    assert "t0" in names(store)


def test_peers_that_count_singly_compete_by_work_alone() -> None:
    store = storer()
    fill(store, *((f"w{i}", f"peer{i}", 20 - (i == 7)) for i in range(16)))
    assert put(store, raw("n", work=19), b"n") is Put.REFUSED
    assert put(store, raw("n", work=20), b"n") is Put.NEW
    assert "w7" not in names(store)


def test_a_replaced_entry_keeps_the_prefix_under_which_it_came() -> None:
    store = storer(slot_entries_per_prefix=1)
    fill(store, ("w", "p", 16), ("v", "q", 16))
    assert put(store, raw("w", seq=NOW + 1), b"q") is Put.NEW
    assert put(store, raw("u", work=17), b"p") is Put.NEW
    assert names(store) == {"u", "v"}


def test_a_known_writer_is_replaced_without_regard_to_a_full_slot() -> None:
    store = storer(slot_entries=1)
    fill(store, ("w", "p", 20))
    assert put(store, raw("w", seq=NOW + 1, work=16), b"p") is Put.NEW


def test_expired_entries_count_for_nothing() -> None:
    store = storer(slot_entries=1)
    assert put(store, raw("w", expiry=NOW + 10, work=20)) is Put.NEW
    assert put(store, raw("v", work=16), now_s=NOW + 9) is Put.REFUSED
    assert store.get(LOC, NOW + 10) == ()
    assert put(store, raw("v", work=16), now_s=NOW + 10) is Put.NEW
    assert len(store) == 1


def by_distance(count: int) -> list[bytes]:
    locs = [bytes([i]) * 32 for i in range(count)]
    return sorted(locs, key=lambda loc: position(loc) ^ position(OWN))


def test_beyond_the_bound_of_a_prefix_its_farthest_record_goes_and_a_farther_newcomer_is_refused() -> None:
    store, locs = storer(records_per_prefix=2), by_distance(4)
    put(store, raw("other"), b"q", locs[3])
    assert put(store, raw("b"), b"p", locs[1]) is Put.NEW
    assert put(store, raw("c"), b"p", locs[2]) is Put.NEW
    assert put(store, raw("d"), b"p", locs[3]) is Put.REFUSED
    assert put(store, raw("a"), b"p", locs[0]) is Put.NEW
    assert [names(store, loc) for loc in locs] == [{"a"}, {"b"}, set(), {"other"}]


def test_beyond_the_bound_of_all_the_farthest_record_goes_whatever_its_prefix() -> None:
    store, locs = storer(records_total=2), by_distance(4)
    put(store, raw("b"), b"p", locs[1])
    put(store, raw("c"), b"q", locs[2])
    assert put(store, raw("d"), b"r", locs[3]) is Put.REFUSED
    assert put(store, raw("a"), b"r", locs[0]) is Put.NEW
    assert [names(store, loc) for loc in locs] == [{"a"}, {"b"}, set(), set()]
    assert len(store) == 2


def test_a_displaced_entry_makes_room_in_its_own_quota() -> None:
    store = storer(slot_entries_per_prefix=1, records_per_prefix=1, records_total=1)
    fill(store, ("a", "p", 16))
    assert put(store, raw("b", work=17), b"p") is Put.NEW
    assert names(store) == {"b"}
    assert len(store) == 1


@pytest.mark.parametrize("quota", ["records_per_prefix", "records_total"])
def test_a_newcomer_that_is_as_far_as_the_farthest_is_refused(quota: str) -> None:
    store = storer(**{quota: 1})
    assert put(store, raw("a")) is Put.NEW
    assert put(store, raw("b", work=20)) is Put.REFUSED
    assert names(store) == {"a"}


def test_an_entry_of_another_prefix_that_goes_makes_no_room_in_the_quota() -> None:
    """In a full slot q's entry goes; p, whose quota is full, has to give up its farthest as well, or is refused."""
    locs = by_distance(3)
    for own_at, slot_at, outcome in ((2, 1, Put.NEW), (0, 1, Put.REFUSED)):
        store = storer(slot_entries=1, records_per_prefix=1)
        assert put(store, raw("of p"), b"p", locs[own_at]) is Put.NEW
        assert put(store, raw("of q"), b"q", locs[slot_at]) is Put.NEW
        assert put(store, raw("new", work=17), b"p", locs[slot_at]) is outcome
        assert names(store, locs[own_at]) == (set() if outcome is Put.NEW else {"of p"})
        assert names(store, locs[slot_at]) == ({"new"} if outcome is Put.NEW else {"of q"})


def test_no_quota_of_others_displaces_the_own_records() -> None:
    store, locs = storer(records_per_prefix=1, records_total=1), by_distance(3)
    assert put(store, raw("mine"), OWN_PREFIX, locs[2]) is Put.NEW
    assert put(store, raw("theirs"), b"p", locs[0]) is Put.NEW
    assert put(store, raw("mine"), OWN_PREFIX, locs[1]) is Put.NEW
    assert [names(store, loc) for loc in locs] == [{"theirs"}, {"mine"}, {"mine"}]


@pytest.mark.parametrize("data", [raw("e", work=16), b"junk", raw("a", seq=NOW - 5)])
def test_a_refusal_changes_nothing(data: bytes) -> None:
    store = storer(slot_entries=2, records_total=2)
    fill(store, ("a", "p", 18), ("b", "q", 17))
    before = store.get(LOC, NOW)
    assert put(store, data, b"r") is Put.REFUSED
    assert store.get(LOC, NOW) == before


# --- what is written down ------------------------------------------------------------------------------------------


def test_every_change_is_told_and_what_is_told_can_be_restored() -> None:
    first, locs = storer(records_total=2), by_distance(3)
    told: dict[tuple[bytes, bytes], None] = {}
    first.on_change = lambda loc, writer: told.update({(loc, writer): None})
    put(first, raw("a", seq=NOW - 1, expiry=NOW + 50), b"p", locs[2])
    put(first, raw("a", seq=NOW, expiry=NOW + 60), b"q", locs[2])
    put(first, raw("mine"), OWN_PREFIX, locs[1])
    put(first, raw("b"), b"q", locs[1])
    put(first, raw("c"), b"q", locs[0])  # a, the farthest, goes
    held = {key: first.entry(*key) for key in told}
    assert held.pop((locs[2], b"a")) is None
    second = storer(records_total=2)
    for entry in held.values():
        assert entry is not None
        assert second.restore(entry, NOW) is Put.NEW
        assert second.entry(entry.loc, entry.writer) == entry
    assert [names(second, loc) for loc in locs] == [{"c"}, {"mine", "b"}, set()]


def test_a_replaced_entry_is_written_down_under_its_first_prefix() -> None:
    store = storer()
    put(store, raw("a", seq=NOW - 1), b"p")
    put(store, raw("a", seq=NOW), b"q")
    assert store.entry(LOC, b"a") == Held(LOC, raw("a"), b"p", b"a", NOW, NOW + 100, 16)


def test_expiry_is_told_too_and_a_refusal_is_not() -> None:
    store, told = storer(), list[bytes]()
    put(store, raw("a", expiry=NOW + 10))
    store.on_change = lambda _, writer: told.append(writer)
    put(store, b"junk")
    put(store, raw("a", expiry=NOW + 10))
    assert told == []
    store.expire(NOW + 10)
    assert told == [b"a"]
    assert store.entry(LOC, b"a") is None


def entry(writer: str, *, seq: int = NOW, expiry: int = NOW + 100, prefix: bytes = b"p", work: int = 16) -> Held:
    return Held(LOC, raw(writer, seq=seq, expiry=expiry, work=work), prefix, writer.encode(), seq, expiry, work)


@pytest.mark.parametrize(
    "refused",
    [
        entry("new", expiry=NOW),
        entry("a", seq=NOW),
        entry("a", seq=NOW - 1),
        entry("new", prefix=b"q", work=16),
    ],
    ids=["expired", "the same", "older", "a full slot"],
)
def test_what_is_restored_comes_in_by_the_rules_of_a_put(refused: Held) -> None:
    store = storer(slot_entries=2)
    fill(store, ("a", "p", 18), ("b", "q", 17))
    before = store.get(LOC, NOW)
    assert store.restore(refused, NOW) is Put.REFUSED
    assert store.get(LOC, NOW) == before


def test_a_held_entry_shows_nothing_of_itself() -> None:
    assert repr(entry("writer")) == "Held(…)"
