"""The storer against any order of puts: its bounds hold, and nothing but its rule takes an entry away."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import position
from p2pchat.core.params import PRODUCTION
from p2pchat.core.storer import OWN_PREFIX, Put, Storer

PARAMS = replace(PRODUCTION, slot_entries=5, slot_entries_per_prefix=2, records_per_prefix=4, records_total=9)
OWN = PeerId(b"own")
LOCS = [bytes([i]) * 32 for i in range(6)]


@dataclass(frozen=True)
class Fake:
    writer: bytes
    seq: int
    expiry: int
    work: int


def check(loc: bytes, raw: bytes, now_s: int) -> Fake:
    writer, seq, expiry, work = raw.split(b",")
    if int(expiry) <= now_s:
        raise PeerError("expired")
    return Fake(writer, int(seq), int(expiry), int(work))


class StorerMachine(RuleBasedStateMachine):
    """Beside the storer, a model of who put what under which prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.storer = Storer(OWN, PARAMS, check)
        self.now_s = 0
        self.prefixes: dict[tuple[bytes, bytes], bytes] = {}

    def entries(self) -> dict[tuple[bytes, bytes], Fake]:
        found = {}
        for loc in LOCS:
            for raw in self.storer.get(loc, self.now_s):
                record = check(loc, raw, self.now_s)
                found[loc, record.writer] = record
        return found

    @rule(
        loc=st.sampled_from(LOCS),
        writer=st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g"]),
        prefix=st.sampled_from([b"p", b"q", b"r", OWN_PREFIX]),
        seq=st.integers(0, 3),
        life_s=st.integers(-1, 20),
        work=st.integers(16, 19),
    )
    def put(self, loc: bytes, writer: bytes, prefix: bytes, seq: int, life_s: int, work: int) -> None:
        before = self.entries()
        raw = b"%s,%d,%d,%d" % (writer, seq, self.now_s + life_s, work)
        known = before.get((loc, writer))
        outcome = self.storer.put(loc, raw, prefix=prefix, now_s=self.now_s)
        after = self.entries()
        if outcome is not Put.NEW:
            assert after == before
            return
        assert known is None or seq > known.seq
        assert after[loc, writer].seq == seq
        if known is None:
            self.prefixes[loc, writer] = prefix
        gone = before.keys() - after.keys()
        assert len(gone) <= (0 if known else 3)
        for slot, other in gone:
            by_work = slot == loc and before[slot, other].work < work
            farther = position(slot) ^ position(OWN) > position(loc) ^ position(OWN)
            assert by_work or (farther and self.prefixes[slot, other] != OWN_PREFIX)

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds

    @invariant()
    def bounds_hold(self) -> None:
        entries = self.entries()
        assert len(self.storer) == len(entries)
        of_slot = Counter(loc for loc, _ in entries)
        of_slot_prefix = Counter((loc, self.prefixes[loc, writer]) for loc, writer in entries)
        of_prefix = Counter(self.prefixes[key] for key in entries)
        own = of_prefix.pop(OWN_PREFIX, 0)
        assert max(of_slot.values(), default=0) <= PARAMS.slot_entries
        assert max(of_slot_prefix.values(), default=0) <= PARAMS.slot_entries_per_prefix
        assert max(of_prefix.values(), default=0) <= PARAMS.records_per_prefix
        assert len(entries) - own <= PARAMS.records_total
        assert all(record.expiry > self.now_s for record in entries.values())


TestStorer = StorerMachine.TestCase
TestStorer.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
