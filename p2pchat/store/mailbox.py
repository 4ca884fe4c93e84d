"""Mailboxes that this node holds for others: owners' keys, hashes of tokens, sealed bundles and boxes.

Rules:

- Nothing here says whose a mailbox is, who left a box, or from where: keys made for this one mailbox, hashes, opaque
  bytes, and times to the second of arrivals.
- No question reads boxes but the one for a box: an index holds whatever else is asked, and totals are kept.
- Whatever deletes does so in parts of :data:`PART_BYTES`, which are overwritten; who asks goes on until none is left.
- What has expired is not there, though it may not have been deleted yet.

Source: PROTOCOL.md 6.2, 6.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import Final, Literal, NamedTuple

from p2pchat.base.ids import PeerId
from p2pchat.core.params import DAY_S
from p2pchat.store import meta
from p2pchat.store.db import Row, Tx

PART_BYTES: Final = 4 * 1024 * 1024

_PART_BOXES: Final = 1_024
_SEEN_EVERY_S: Final = 3_600  # nearer than that nobody needs to know when an owner was there
_INTEGER_MAX: Final = (1 << 63) - 1  # of a column; numbers of boxes are asked for up to 2^64 - 1
_PAST_KEPT_DAYS: Final = 30
_HELD_BY: Final = "mailboxes_held_by"

Why = Literal["fetched", "expired", "ended"]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox: its row, its owner's key (32 bytes), and the bytes of the boxes in it."""

    id: int
    owner: bytes = field(repr=False)
    size: int


class Listed(NamedTuple):
    """One box: its number in its mailbox, its bytes, and until which unix second it is held."""

    n: int
    size: int
    until_s: int


class Gone(NamedTuple):
    """A box that was deleted: of which mailbox, its number and bytes."""

    mailbox: int
    n: int
    size: int


@dataclass(frozen=True, slots=True)
class Stock:
    """A mailbox as it stands: times in unix seconds, None where it is empty."""

    owner: bytes = field(repr=False)
    boxes: int
    size: int
    oldest_s: int | None
    until_s: int | None
    seen_s: int


class Past(NamedTuple):
    """What was deleted on one day, by unix seconds / 86,400."""

    day: int
    why: Why
    boxes: int
    size: int


# -- mailboxes ---------------------------------------------------------------------------------------------------------


def of_owner(tx: Tx, owner: bytes) -> Mailbox | None:
    """The mailbox of ``owner``, its 32-byte key."""
    row = tx.one("SELECT id, owner, bytes FROM mailbox WHERE owner = ?", (owner,))
    return None if row is None else Mailbox(*row)


def of_token(tx: Tx, token_hash: bytes) -> Mailbox | None:
    """The mailbox that a token admits to, by its 32-byte hash."""
    row = tx.one(
        "SELECT id, owner, bytes FROM mailbox_token JOIN mailbox ON mailbox.id = mailbox_token.mailbox WHERE hash = ?",
        (token_hash,),
    )
    return None if row is None else Mailbox(*row)


def count(tx: Tx) -> int:
    """How many mailboxes there are."""
    row = tx.one("SELECT count(*) FROM mailbox")
    return int(row[0]) if row is not None else 0


def total(tx: Tx) -> tuple[int, int]:
    """How many boxes there are in all, and their bytes."""
    row = tx.one("SELECT boxes, bytes FROM mailbox_total")
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def are_free(tx: Tx, token_hashes: Iterable[bytes], owner: bytes) -> bool:
    """Whether none of these tokens admits to a mailbox of anybody but ``owner``: one token, one mailbox."""
    found = (of_token(tx, each) for each in token_hashes)
    return all(mailbox is None or mailbox.owner == owner for mailbox in found)


def make(tx: Tx, owner: bytes) -> Mailbox:
    """A new mailbox for ``owner``, who has none. No token admits to it yet."""
    row_id = tx.insert("INSERT INTO mailbox (owner, seen_s) VALUES (?, ?)", (owner, tx.now_s))
    return Mailbox(row_id, owner, 0)


def renew(tx: Tx, mailbox: int, token_hashes: Iterable[bytes], bundle: bytes) -> None:
    """From now on these tokens admit to it and no other, and this is its bundle; empty for none."""
    tx.execute("DELETE FROM mailbox_token WHERE mailbox = ?", (mailbox,))
    tx.many("INSERT INTO mailbox_token VALUES (?, ?)", [(each, mailbox) for each in dict.fromkeys(token_hashes)])
    tx.execute(
        "INSERT INTO mailbox_bundle VALUES (?, ?) ON CONFLICT DO UPDATE SET bundle = excluded.bundle", (mailbox, bundle)
    )


def bundle(tx: Tx, mailbox: int) -> bytes:
    """Its sealed bundle; empty where there is none."""
    row = tx.one("SELECT bundle FROM mailbox_bundle WHERE mailbox = ?", (mailbox,))
    return b"" if row is None else bytes(row[0])


def seen(tx: Tx, mailbox: int) -> None:
    """Its owner was there; noted to the hour."""
    tx.execute(
        "UPDATE mailbox SET seen_s = ? WHERE id = ? AND seen_s NOT BETWEEN ? AND ?",
        (tx.now_s, mailbox, tx.now_s - _SEEN_EVERY_S, tx.now_s),
    )


# -- boxes -------------------------------------------------------------------------------------------------------------


def deposit(tx: Tx, mailbox: int, box: bytes, until_s: int) -> int:
    """Keep ``box`` until unix second ``until_s``; its number, which rises in the mailbox."""
    size = len(box)
    row = tx.one(
        "UPDATE mailbox SET next_n = next_n + 1, boxes = boxes + 1, bytes = bytes + ? WHERE id = ? "
        "RETURNING next_n - 1",
        (size, mailbox),
    )
    assert row is not None  # noqa: S101  who calls has found it in this transaction
    tx.execute(
        "INSERT INTO deposit (mailbox, n, arrived_s, until_s, bytes, box) VALUES (?, ?, ?, ?, ?, ?)",
        (mailbox, row[0], tx.now_s, until_s, size, box),
    )
    tx.execute(
        "INSERT INTO mailbox_total VALUES (1, 1, ?) "
        "ON CONFLICT DO UPDATE SET boxes = boxes + 1, bytes = bytes + excluded.bytes",
        (size,),
    )
    return int(row[0])


def listing(tx: Tx, mailbox: int, after: int, limit: int) -> list[Listed]:
    """The first ``limit`` boxes above number ``after`` that have not expired, in their order."""
    if after > _INTEGER_MAX:
        return []
    rows = tx.all(
        "SELECT n, bytes, until_s FROM deposit WHERE mailbox = ? AND n > ? AND until_s > ? ORDER BY n LIMIT ?",
        (mailbox, after, tx.now_s, limit),
    )
    return [Listed(*row) for row in rows]


def fetch(tx: Tx, mailbox: int, numbers: Sequence[int], limit_bytes: int, overhead: int) -> list[tuple[int, bytes]]:
    """Of ``numbers`` in their order those that are there, each once: the first, and as many more as fit.

    Args:
        limit_bytes: of all that is returned.
        overhead: bytes that each takes beside its box.
    """
    sizes = ((n, _size(tx, mailbox, n)) for n in dict.fromkeys(numbers))
    there = ((n, size + overhead) for n, size in sizes if size)
    fitting: list[tuple[int, bytes]] = []
    used = 0
    for n, size in there:
        used += size
        if fitting and used > limit_bytes:
            break
        row = tx.one("SELECT box FROM deposit WHERE mailbox = ? AND n = ?", (mailbox, n))
        assert row is not None  # noqa: S101  its size was found in this transaction
        fitting.append((n, bytes(row[0])))
    return fitting


def _size(tx: Tx, mailbox: int, n: int) -> int:
    """The bytes of a box; 0 where it is not there."""
    row = _row(tx, mailbox, n)
    return 0 if row is None else int(row[3])


def _row(tx: Tx, mailbox: int, n: int) -> Row | None:
    """(id, mailbox, n, bytes) of a box that has not expired."""
    if n > _INTEGER_MAX:
        return None
    return tx.one(
        "SELECT id, mailbox, n, bytes FROM deposit WHERE mailbox = ? AND n = ? AND until_s > ?", (mailbox, n, tx.now_s)
    )


# -- what goes ---------------------------------------------------------------------------------------------------------


def ack(tx: Tx, mailbox: int, numbers: Sequence[int]) -> tuple[list[Gone], Sequence[int]]:
    """Delete these boxes: what was deleted now, and the numbers that are left to ask for."""
    asked = list(dict.fromkeys(numbers))
    found: list[Row] = []
    used = 0
    for index, n in enumerate(asked):
        row = _row(tx, mailbox, n)
        if row is None:
            continue
        used += row[3]
        if found and used > PART_BYTES:
            return _delete(tx, found, "fetched"), asked[index:]
        found.append(row)
    return _delete(tx, found, "fetched"), ()


def expire(tx: Tx) -> list[Gone]:
    """Delete of what has expired a part; empty where there is nothing."""
    rows = tx.execute(
        "SELECT id, mailbox, n, bytes FROM deposit WHERE until_s <= ? ORDER BY until_s LIMIT ?", (tx.now_s, _PART_BOXES)
    )
    return _delete(tx, _part(rows), "expired")


def end(tx: Tx, mailbox: int) -> list[Gone]:
    """Delete of a mailbox a part of its boxes; with the last of them it goes itself. No token admits to it any more."""
    tx.execute("DELETE FROM mailbox_token WHERE mailbox = ?", (mailbox,))
    rows = tx.execute(
        "SELECT id, mailbox, n, bytes FROM deposit WHERE mailbox = ? ORDER BY n LIMIT ?", (mailbox, _PART_BOXES)
    )
    gone = _delete(tx, _part(rows), "ended")
    if tx.one("SELECT 1 FROM deposit WHERE mailbox = ? LIMIT 1", (mailbox,)) is None:
        tx.execute("DELETE FROM mailbox WHERE id = ?", (mailbox,))
    return gone


def unseen(tx: Tx, before_s: int) -> int | None:
    """A mailbox whose owner was not there since unix second ``before_s``."""
    row = tx.one("SELECT id FROM mailbox WHERE seen_s < ? LIMIT 1", (before_s,))
    return None if row is None else int(row[0])


def is_anew(tx: Tx, own: PeerId) -> bool:
    """Whether nothing is left of what was held under another node key, of which a part is ended: owners know a holder
    by its PeerID, and who serves what another node served is known to be the same."""
    if meta.get(tx, _HELD_BY) == bytes(own):
        return True
    row = tx.one("SELECT id FROM mailbox LIMIT 1")
    if row is None:
        meta.put(tx, _HELD_BY, bytes(own))
        return True
    end(tx, row[0])
    return False


def redate(tx: Tx, ttl_max_s: int) -> None:
    """What a clock that was ahead has dated is kept as long as it may be from now on, and no longer."""
    latest_s = tx.now_s + ttl_max_s
    tx.execute(
        "UPDATE deposit SET until_s = ?1, arrived_s = min(arrived_s, ?2) WHERE until_s > ?1", (latest_s, tx.now_s)
    )
    tx.execute("UPDATE mailbox SET seen_s = ?1 WHERE seen_s > ?1", (tx.now_s,))
    today = tx.now_s // DAY_S
    tx.execute("DELETE FROM mailbox_past WHERE day NOT BETWEEN ? AND ?", (today - _PAST_KEPT_DAYS, today))


def next_expiry(tx: Tx) -> int | None:
    """The unix second at which the next box expires."""
    row = tx.one("SELECT min(until_s) FROM deposit")
    return None if row is None or row[0] is None else int(row[0])


def _part(rows: Iterable[Row]) -> list[Row]:
    """The first rows of (id, mailbox, n, bytes), at least one, that are no more than a part."""
    found = list(rows)
    fitting = sum(1 for _ in takewhile(lambda used: used <= PART_BYTES, accumulate(row[3] for row in found)))
    return found[: max(fitting, 1)]


def _delete(tx: Tx, rows: Sequence[Row], why: Why) -> list[Gone]:
    if not rows:
        return []
    gone = [Gone(*row[1:]) for row in rows]
    tx.many("DELETE FROM deposit WHERE id = ?", [row[:1] for row in rows])
    boxes, sizes = Counter(each.mailbox for each in gone), Counter[int]()
    for each in gone:
        sizes[each.mailbox] += each.size
    tx.many(
        "UPDATE mailbox SET boxes = boxes - ?, bytes = bytes - ? WHERE id = ?",
        [(boxes[mailbox], sizes[mailbox], mailbox) for mailbox in boxes],
    )
    tx.execute("UPDATE mailbox_total SET boxes = boxes - ?, bytes = bytes - ?", (len(gone), sizes.total()))
    tx.execute(
        "INSERT INTO mailbox_past VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET boxes = boxes + excluded.boxes, bytes = bytes + excluded.bytes",
        (tx.now_s // DAY_S, why, len(gone), sizes.total()),
    )
    return gone


# -- what there is -----------------------------------------------------------------------------------------------------


def stock(tx: Tx) -> list[Stock]:
    """Every mailbox, in the order in which they were made."""
    rows = tx.all(
        "SELECT owner, boxes, bytes, (SELECT arrived_s FROM deposit WHERE mailbox = mailbox.id ORDER BY n LIMIT 1), "
        "(SELECT max(until_s) FROM deposit WHERE mailbox = mailbox.id), seen_s FROM mailbox ORDER BY id"
    )
    return [Stock(*row) for row in rows]


def past(tx: Tx) -> list[Past]:
    """What was deleted in the last 30 days, the oldest first."""
    return [Past(*row) for row in tx.all("SELECT day, why, boxes, bytes FROM mailbox_past ORDER BY day, why")]
