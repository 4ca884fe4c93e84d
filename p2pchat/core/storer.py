"""What a node keeps for others: how records are accepted, replaced, evicted and refused (PROTOCOL.md 3.2).

Rules:

- One entry a (loc, writer): a higher seq replaces it, an equal seq is accepted with identical bytes only, a lower one
  is refused. A replaced entry keeps the prefix under which it came: nobody moves another's record into his own quota.
- A slot holds at most 16 entries, at most 4 of one prefix. Where that is full, only strictly more work displaces the
  entry with least work: of the prefix that has 4, or of a prefix that has most entries.
- A node holds a bounded number of records of one prefix and in all; the one whose loc is farthest goes first, and a
  newcomer that is no closer than it is refused.
- The node's own records are subject to the slot rule alone: what this user publishes no stranger's quota displaces.
- An expired entry counts for nothing. A refusal changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Protocol

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import position
from p2pchat.core.params import Params

OWN_PREFIX: Final = b""


class CheckedRecord(Protocol):
    """What the storer needs of a record that passed the check of PROTOCOL.md 3.2."""

    @property
    def writer(self) -> bytes: ...
    @property
    def seq(self) -> int: ...
    @property
    def expiry(self) -> int: ...
    @property
    def work(self) -> int: ...


Check = Callable[[bytes, bytes, int], CheckedRecord]
"""(loc, record bytes, now in unix seconds) → the record; raises PeerError for what is refused."""


class Put(Enum):
    """What became of a put."""

    NEW = "accepted, and not known before"
    SAME = "accepted; these bytes were here already"
    REFUSED = "refused"


class Held(NamedTuple):
    """An entry as it is written down: what was put, by whom, and what the check found.

    Args:
        loc, writer: 32 bytes each.
        raw: the record's bytes.
        prefix: of the peer who put it, or :data:`OWN_PREFIX`.
        seq, expiry: unix seconds.
        work: bits.
    """

    loc: bytes
    raw: bytes
    prefix: bytes
    writer: bytes
    seq: int
    expiry: int
    work: int

    def __repr__(self) -> str:
        return "Held(…)"


class _Key(NamedTuple):
    """Where an entry stands in an order: by distance or by expiry."""

    rank: int
    loc: bytes
    writer: bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    loc: bytes = field(repr=False)
    raw: bytes = field(repr=False)
    record: CheckedRecord = field(repr=False)
    prefix: bytes = field(repr=False)
    distance: int = field(repr=False)

    @property
    def by_distance(self) -> _Key:
        return _Key(self.distance, self.loc, self.record.writer)

    @property
    def by_expiry(self) -> _Key:
        return _Key(self.record.expiry, self.loc, self.record.writer)


class Storer:
    """The records that one node holds.

    Args:
        own: this node's PeerID, from which distances are measured.
        params: consensus constants.
        check: the validation of PROTOCOL.md 3.2.

    ``on_change`` is called with (loc, writer) whenever such an entry has come, changed or gone; it must neither block
    nor raise.
    """

    def __init__(self, own: PeerId, params: Params, check: Check) -> None:
        self.on_change: Callable[[bytes, bytes], None] = _ignore
        self._position = position(own)
        self._params = params
        self._check = check
        self._slots: dict[bytes, dict[bytes, _Entry]] = {}
        self._far: list[_Key] = []
        self._far_of_prefix: dict[bytes, list[_Key]] = {}
        self._expiring: list[_Key] = []

    def __len__(self) -> int:
        return len(self._expiring)

    def put(self, loc: bytes, raw: bytes, *, prefix: bytes, now_s: int) -> Put:
        """Keep ``raw`` for ``loc`` if the rules allow it.

        Args:
            loc: 32 bytes.
            raw: the record's bytes.
            prefix: of the peer who puts it, or :data:`OWN_PREFIX`.
            now_s: unix seconds.
        """
        self.expire(now_s)
        slot = self._slots.get(loc, {})
        if any(entry.raw == raw for entry in slot.values()):
            return Put.SAME
        try:
            record = self._check(loc, raw, now_s)
        except PeerError:
            return Put.REFUSED
        return self._admit(loc, raw, prefix, record)

    def restore(self, held: Held, now_s: int) -> Put:
        """Take back what this node kept when it last ran, by the same rules but without checking it again."""
        if held.expiry <= now_s:
            return Put.REFUSED
        return self._admit(held.loc, held.raw, held.prefix, held)

    def entry(self, loc: bytes, writer: bytes) -> Held | None:
        """What is kept of ``writer`` for ``loc`` (32 bytes each), as :meth:`restore` takes it."""
        entry = self._slots.get(loc, {}).get(writer)
        if entry is None:
            return None
        record = entry.record
        return Held(loc, entry.raw, entry.prefix, writer, record.seq, record.expiry, record.work)

    def _admit(self, loc: bytes, raw: bytes, prefix: bytes, record: CheckedRecord) -> Put:
        slot = self._slots.get(loc, {})
        known = slot.get(record.writer)
        if known is not None:
            if record.seq <= known.record.seq:
                return Put.REFUSED
            self._remove(known)
            self._insert(_Entry(loc, raw, record, known.prefix, known.distance))
            return Put.NEW
        entry = _Entry(loc, raw, record, prefix, position(loc) ^ self._position)
        victims = self._victims(slot, entry)
        if victims is None:
            return Put.REFUSED
        for victim in victims:
            self._remove(victim)
        self._insert(entry)
        return Put.NEW

    def get(self, loc: bytes, now_s: int) -> tuple[bytes, ...]:
        """The records of a slot (at most 16) that have not expired."""
        self.expire(now_s)
        return tuple(entry.raw for entry in self._slots.get(loc, {}).values())

    def expire(self, now_s: int) -> None:
        """Forget what has expired."""
        while self._expiring and self._expiring[0].rank <= now_s:
            self._remove(self._entry(self._expiring[0]))

    def _victims(self, slot: dict[bytes, _Entry], entry: _Entry) -> list[_Entry] | None:
        """What must go so that ``entry`` may come; None: it is refused."""
        victims: list[_Entry] = []
        weakest = self._weakest(list(slot.values()), entry.prefix)
        if weakest is not None:
            if entry.record.work <= weakest.record.work:
                return None
            victims.append(weakest)
        if entry.prefix == OWN_PREFIX:
            return victims
        for prefix, bound in ((entry.prefix, self._params.records_per_prefix), (None, self._params.records_total)):
            ranked = self._far if prefix is None else self._far_of_prefix.get(prefix, [])
            leaving = [victim for victim in victims if victim.prefix != OWN_PREFIX and prefix in (None, victim.prefix)]
            if len(ranked) - len(leaving) < bound:
                continue
            farthest = next(key for key in reversed(ranked) if all(key != victim.by_distance for victim in leaving))
            if entry.distance >= farthest.rank:
                return None
            victims.append(self._entry(farthest))
        return victims

    def _weakest(self, entries: Sequence[_Entry], prefix: bytes) -> _Entry | None:
        """The entry of a full slot that a newcomer of ``prefix`` may displace; None: there is room."""
        of_prefix = [entry for entry in entries if entry.prefix == prefix]
        if len(of_prefix) < self._params.slot_entries_per_prefix:
            if len(entries) < self._params.slot_entries:
                return None
            counts = Counter(entry.prefix for entry in entries)
            of_prefix = [entry for entry in entries if counts[entry.prefix] == max(counts.values())]
        return min(of_prefix, key=lambda entry: entry.record.work)

    def _entry(self, key: _Key) -> _Entry:
        return self._slots[key.loc][key.writer]

    def _insert(self, entry: _Entry) -> None:
        self._slots.setdefault(entry.loc, {})[entry.record.writer] = entry
        insort(self._expiring, entry.by_expiry)
        if entry.prefix != OWN_PREFIX:
            insort(self._far, entry.by_distance)
            insort(self._far_of_prefix.setdefault(entry.prefix, []), entry.by_distance)
        self.on_change(entry.loc, entry.record.writer)

    def _remove(self, entry: _Entry) -> None:
        slot = self._slots[entry.loc]
        del slot[entry.record.writer]
        if not slot:
            del self._slots[entry.loc]
        _discard(self._expiring, entry.by_expiry)
        if entry.prefix != OWN_PREFIX:
            _discard(self._far, entry.by_distance)
            of_prefix = self._far_of_prefix[entry.prefix]
            _discard(of_prefix, entry.by_distance)
            if not of_prefix:
                del self._far_of_prefix[entry.prefix]
        self.on_change(entry.loc, entry.record.writer)


def _ignore(_loc: bytes, _writer: bytes) -> None:
    """Nobody writes down what changes."""


def _discard(ranked: list[_Key], key: _Key) -> None:
    del ranked[bisect_left(ranked, key)]
