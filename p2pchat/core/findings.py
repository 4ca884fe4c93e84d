"""What the storers of one walk have said, and what follows from it (PROTOCOL.md 3.3, 3.7).

Rules:

- Answers are united: a record counts whoever hands it over, for its signatures replace trust in storers. Of each writer
  the one with the highest seq is taken; what does not pass the check is dropped.
- "Nothing there" may be believed only when enough of the storers that are known have answered: a walk in a broken
  network finds nothing either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import PeerId
from p2pchat.core.dht_wire import Reply
from p2pchat.core.params import Params
from p2pchat.core.storer import Check, CheckedRecord


@dataclass(frozen=True, slots=True)
class WalkResult:
    """What a walk brought.

    Attributes:
        records: valid records of the slot, of each writer the one with the highest seq.
        stored: how many of the storers that answered hold what was put, the own node among them.
        answered: how many of the k closest storers answered, the own node among them.
        known: how many storers other than the own node are known, at most k.
        failed: how many of those known did not answer, or are resting after a failure.
        complete: whether "nothing there" may be believed: min(10, half of those known) others have answered.
        watched: how many other nodes granted a watch.
        elsewhere: as ``stored``, without the own node.

    Source: PROTOCOL.md 3.7.
    """

    records: tuple[bytes, ...] = field(repr=False)
    stored: int
    answered: int
    failed: int
    known: int
    complete: bool
    watched: int
    elsewhere: int


class Findings:
    """Collects the replies of one walk."""

    def __init__(self) -> None:
        self._records: dict[bytes, None] = {}
        self._holders: set[PeerId] = set()
        self._watched: set[PeerId] = set()

    def add(self, peer: PeerId, reply: Reply) -> None:
        """What ``peer`` has said."""
        self.add_records(reply.records)
        if reply.stored:
            self._holders.add(peer)
        if reply.watch_s:
            self._watched.add(peer)

    def add_records(self, records: Iterable[bytes]) -> None:
        """Entries of the slot, whoever has them."""
        self._records.update(dict.fromkeys(records))

    def result(
        self,
        *,
        own_stored: bool,
        answered: Sequence[PeerId],
        known: int,
        failed: int,
        records: tuple[bytes, ...],
        params: Params,
    ) -> WalkResult:
        """The whole, with what the walk itself counted; ``records`` are those of :meth:`records` that are valid."""
        elsewhere = sum(peer in self._holders for peer in answered)
        return WalkResult(
            records=records,
            stored=own_stored + elsewhere,
            answered=1 + len(answered),
            failed=failed,
            known=known,
            complete=len(answered) >= min(params.answering_storers, (known + 1) // 2),
            watched=len(self._watched),
            elsewhere=elsewhere,
        )

    def records(self, loc: bytes, check: Check, now_s: int) -> tuple[bytes, ...]:
        """The valid records, of each writer the newest."""
        return newest_of_each_writer(loc, self._records, check, now_s)


def newest_of_each_writer(loc: bytes, records: Iterable[bytes], check: Check, now_s: int) -> tuple[bytes, ...]:
    """Those of ``records`` that ``check`` accepts for ``loc`` (32 bytes), of each writer the one with highest seq."""
    newest: dict[bytes, tuple[CheckedRecord, bytes]] = {}
    for raw in records:
        try:
            record = check(loc, raw, now_s)
        except PeerError:
            continue  # what a storer makes up is no record
        known = newest.get(record.writer)
        if known is None or record.seq > known[0].seq:
            newest[record.writer] = record, raw
    return tuple(raw for _, raw in newest.values())
