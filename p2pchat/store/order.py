"""Where what a contact sent stands: in the order of its numbers, and what comes late in the place that was kept for it.

The id of a row is its place, and the ids that a gap keeps free are given to nobody else. What has no number, or comes
late into no gap that is known, stands where it arrives. Of one contact ``GAPS_PER_CONTACT`` gaps are kept, and more
only where one is filled from within: whoever leaves numbers out costs no more than that. Where there is no room one
goes that nothing can fill any more, since what waits at the sender's expires.

Source: PROTOCOL.md 5.6.
"""

from __future__ import annotations

from typing import Final

from p2pchat.base.limits import GAPS_PER_CONTACT
from p2pchat.core.order import Gap, gap_below
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.store import word_index
from p2pchat.store.db import Tx

_LOOKED_AT: Final = 1000  # messages, to learn the highest number where it is not known


def next_id(tx: Tx) -> int:
    """The first row id that was never given away; those that are kept for late ones lie below it."""
    row = tx.one("SELECT seq FROM sqlite_sequence WHERE name = 'message'")
    return 1 if row is None else int(row[0]) + 1


class Arrivals:
    """Gives row ids to what came together from one device of a contact.

    Attributes:
        late: those ids that were kept.

    Resource handling: :meth:`settle` is called once, in the same transaction, when the rows are stored.
    """

    def __init__(self, tx: Tx, contact: int, device_ms: int) -> None:
        self._tx = tx
        self._contact = contact
        self._device_ms = device_ms
        self._next_id = next_id(tx)
        self._seen: set[bytes] = set()
        self._raised = False
        self.late: list[int] = []
        newest_ms, self._highest = self._known()
        self._is_newest = device_ms >= newest_ms
        if device_ms != newest_ms:
            self._highest = None

    def place(self, n: int, wire_id: bytes) -> int | None:
        """The row id for the message ``wire_id`` with the number ``n`` (0: it has none); None if it is there already.

        One that has the next number is not looked up: it can be there only under a number that was not its own.
        """
        if self._is_newest and n == (self._highest or 0) + 1:
            self._seen.add(wire_id)
            return self._newest(n)
        if wire_id in self._seen or self._is_there(wire_id):
            return None
        self._seen.add(wire_id)
        if n == 0:
            return self._last()
        if self._is_newest and n > (self._highest or 0):
            gap = gap_below(n, self._highest, self._next_id, self._tx.now_s)
            if gap is not None and self._has_room():
                self._note(gap)
                self._next_id = gap.above
            return self._newest(n)
        return self._fill(n)

    def settle(self) -> None:
        """Note how far the numbers go now; what came late is not read, and can be found."""
        if self._raised:
            self._tx.execute(
                "UPDATE contact SET order_ms = ?, order_n = ? WHERE id = ?",
                (self._device_ms, self._highest, self._contact),
            )
        if self.late:
            self._tx.many(
                "INSERT INTO late SELECT ?1, id FROM contact WHERE id = ?2 AND read_position >= ?1",
                [(message, self._contact) for message in self.late],
            )
            word_index.put_back(self._tx, sorted(self.late))

    def _known(self) -> tuple[int, int | None]:
        """Epoch_ms of the newest device of which a text came, and the highest number of it."""
        row = self._tx.one("SELECT order_ms, order_n FROM contact WHERE id = ?", (self._contact,))
        assert row is not None  # noqa: S101  the caller holds the contact in this transaction
        if row[0]:
            return row[0], row[1]
        # a store of before this was kept, or one that was restored: the numbers go on from those that are there
        row = self._tx.one(
            "SELECT max(n) FROM (SELECT n, incoming FROM message WHERE contact = ? ORDER BY id DESC LIMIT ?) "
            "WHERE incoming = 1",
            (self._contact, _LOOKED_AT),
        )
        highest = row[0] if row is not None else None
        self._raised = bool(highest)
        return self._device_ms, highest or None

    def _is_there(self, wire_id: bytes) -> bool:
        values = (self._contact, wire_id)
        return (
            self._tx.one("SELECT 1 FROM message WHERE contact = ? AND incoming = 1 AND wire_id = ?", values) is not None
        )

    def _newest(self, n: int) -> int:
        self._highest, self._raised = n, True
        return self._last()

    def _last(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _fill(self, n: int) -> int:
        row = self._tx.one(
            "SELECT above, n0, n1, told, noted_s FROM gap WHERE contact = ? AND device_ms = ? AND n1 >= ? "
            "ORDER BY n1 LIMIT 1",
            (self._contact, self._device_ms, n),
        )
        if row is None or row[1] > n:
            return self._last()
        gap = Gap(row[0], row[1], row[2], bool(row[3]), row[4])
        self._tx.execute("DELETE FROM gap WHERE above = ?", (gap.above,))
        for left in gap.without(n):
            self._note(left)
        self.late.append(gap.place_of(n))
        return gap.place_of(n)

    def _note(self, gap: Gap) -> None:
        values = (gap.above, self._contact, self._device_ms, gap.n0, gap.n1, gap.told, gap.noted_s)
        self._tx.execute("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _has_room(self) -> bool:
        kept = self._tx.all("SELECT 1 FROM gap WHERE contact = ? LIMIT ?", (self._contact, GAPS_PER_CONTACT))
        if len(kept) < GAPS_PER_CONTACT:
            return True
        life_s = PRODUCTION.message_life_s + DAY_S  # and a clock that was somewhat wrong
        gone = self._tx.all(
            "DELETE FROM gap WHERE above = (SELECT min(above) FROM gap WHERE contact = ? "
            "AND noted_s NOT BETWEEN ? AND ?) RETURNING above",
            (self._contact, self._tx.now_s - life_s, self._tx.now_s + DAY_S),
        )
        return bool(gone)


def begin_anew(tx: Tx, contact: int) -> None:
    """What comes from now on is somebody else's, whose numbers have nothing to do with those so far."""
    tx.execute("DELETE FROM gap WHERE contact = ?", (contact,))
    tx.execute("UPDATE contact SET order_ms = 0, order_n = 0 WHERE id = ?", (contact,))
