"""Sessions, the envelopes that were sealed in them, and what was received: the tables behind "exactly once".

A session's state is written in the transaction of the envelope that it sealed or opened. Skipped keys, which can be
large, are written only when they changed; they stand behind the state and are as erasable as that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.limits import SESSIONS_PER_CONTACT
from p2pchat.core.ratchet_state import hints
from p2pchat.core.session import Sealed, Session, dump_session, dump_skipped, load_session
from p2pchat.store.db import Row, Tx
from p2pchat.store.erasable import erasable, value_of


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session with a contact. ``sealed_n``: the highest message number sealed in it; ``presence_n``: own presence;
    ``kept_s``: iat of the bundle at a mailbox that its flight was made with, None where it was another one."""

    id: int
    contact: int
    sealed_n: int
    presence_n: int
    kept_s: int | None
    session: Session = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnvelopeRow:
    """A sealed envelope that the peer has not acknowledged; messages ``n0`` to ``n1``, or none where both are 0."""

    id: int
    eid: bytes
    envelope: bytes = field(repr=False)
    n0: int
    n1: int


@dataclass(frozen=True, slots=True)
class SentRow:
    """An own envelope without its bytes. ``ack``: the 16 bytes that settle it; ``n0`` to ``n1``: its messages;
    ``presence_n``: the own presence in it, or 0; ``live``: the row id of the message for a live stream in it;
    ``held``: whether a holder has it."""

    id: int
    session: int
    contact: int
    ack: bytes = field(repr=False)
    n0: int
    n1: int
    presence_n: int
    live: int | None
    held: bool


@dataclass(frozen=True, slots=True)
class ReceivedRow:
    """An envelope that was opened: its 16-byte ack, and the contact, where an earlier version has noted it."""

    ack: bytes = field(repr=False)
    contact: int | None


_OPEN: Final = "envelope INDEXED BY envelope_open"  # else SQLite goes through all of a session, settled ones too
_SELECT: Final = "SELECT id, contact, sealed_n, presence_n, kept_s, core, skipped FROM session"


def _row(row: Row) -> SessionRow:
    return SessionRow(row[0], row[1], row[2], row[3], row[4], load_session(value_of(row[5]), bytes(row[6])))


def add(tx: Tx, contact: int, session: Session, kept_s: int | None = None) -> SessionRow:
    """Store a new session; a contact's oldest beyond the bound go, and what waits in them is sealed again.

    Args:
        kept_s: iat of the bundle at a mailbox that its flight was made with.
    """
    row_id = tx.insert(
        "INSERT INTO session (contact, ad, core, skipped, used_s, kept_s) VALUES (?, ?, ?, ?, ?, ?)",
        (contact, session.ad, erasable(dump_session(session)), dump_skipped(session), tx.now_s, kept_s),
    )
    _write_hints(tx, row_id, session)
    tx.execute(
        "DELETE FROM session WHERE contact = ?1 AND id NOT IN "
        "(SELECT id FROM session WHERE contact = ?1 ORDER BY id DESC LIMIT ?2)",
        (contact, SESSIONS_PER_CONTACT),
    )
    return SessionRow(row_id, contact, 0, 0, kept_s, session)


def save(tx: Tx, row: SessionRow, session: Session, sealed_n: int = 0, presence_n: int = 0) -> SessionRow:
    """Write what changed between ``row.session`` and ``session``; the numbers are those sealed now, 0 for none."""
    n, given = max(row.sealed_n, sealed_n), max(row.presence_n, presence_n)
    tx.execute(
        "UPDATE session SET core = ?, sealed_n = ?, presence_n = ?, used_s = ? WHERE id = ?",
        (erasable(dump_session(session)), n, given, tx.now_s, row.id),
    )
    if session.ratchet.skipped is not row.session.ratchet.skipped:
        tx.execute("UPDATE session SET skipped = ? WHERE id = ?", (dump_skipped(session), row.id))
    if hints(session.ratchet) != hints(row.session.ratchet):
        tx.execute("DELETE FROM session_hint WHERE session = ?", (row.id,))
        _write_hints(tx, row.id, session)
    return SessionRow(row.id, row.contact, n, given, row.kept_s, session)


def _write_hints(tx: Tx, row_id: int, session: Session) -> None:
    tx.many("INSERT INTO session_hint VALUES (?, ?)", [(hint, row_id) for hint in hints(session.ratchet)])


def of_contact(tx: Tx, contact: int) -> list[SessionRow]:
    rows = tx.all(_SELECT + " WHERE contact = ? ORDER BY id", (contact,))
    return [_row(row) for row in rows]


def by_hint(tx: Tx, hint: bytes) -> list[SessionRow]:
    """The sessions that would try a key on an envelope with this hint: one, but for chance."""
    rows = tx.all(_SELECT + " JOIN session_hint ON session = id WHERE hint = ?", (hint,))
    return [_row(row) for row in rows]


def get(tx: Tx, session: int) -> SessionRow | None:
    row = tx.one(_SELECT + " WHERE id = ?", (session,))
    return None if row is None else _row(row)


def any_confirmed(tx: Tx) -> bool:
    """Whether anybody has agreed on anything with this device: in a session, or long ago in one that is forgotten."""
    if tx.one("SELECT 1 FROM contact WHERE acked_n > 0 LIMIT 1") is not None:
        return True
    return any(_row(row).session.confirmed for row in tx.execute(_SELECT))


def forget_all(tx: Tx) -> None:
    """Forget every session; what waits in them is sealed again in others."""
    tx.execute("DELETE FROM session")


def forget(tx: Tx, session: int) -> None:
    """Forget a session; what waits in it is sealed again."""
    tx.execute("DELETE FROM session WHERE id = ?", (session,))


def prune(tx: Tx, used_before_s: int, sending: set[int]) -> None:
    """Forget sessions that nothing was sealed or opened in since, but for those that are sent on."""
    idle = {row[0] for row in tx.all("SELECT id FROM session WHERE used_s < ?", (used_before_s,))}
    tx.many("DELETE FROM session WHERE id = ?", [(session,) for session in idle - sending])


def add_envelope(
    tx: Tx, row: SessionRow, sealed: Sealed, n0: int, n1: int, presence_n: int = 0, live: int | None = None
) -> EnvelopeRow:
    """Store what was sealed: messages ``n0`` to ``n1`` and the own presence ``presence_n``, 0: none; or the one message
    in row ``live``, which is for a live stream alone."""
    envelope_id = tx.insert(
        "INSERT INTO envelope (session, contact, eid, ack, n0, n1, bytes, presence_n, live) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row.id, row.contact, sealed.eid, sealed.ack, n0, n1, sealed.envelope, presence_n, live),
    )
    return EnvelopeRow(envelope_id, sealed.eid, sealed.envelope, n0, n1)


def unacknowledged(tx: Tx, session: int, after: int, limit: int, live_after: int = 0) -> list[EnvelopeRow]:
    """Envelopes of ``session`` with an id above ``after`` that no ack has settled, in order.

    Args:
        live_after: one with a message for a live stream alone is left out up to this row id of the message.
    """
    rows = tx.all(
        f"SELECT id, eid, bytes, n0, n1 FROM {_OPEN} WHERE session = ? AND id > ? AND bytes IS NOT NULL "  # noqa: S608
        "AND (live IS NULL OR live > ?) ORDER BY id LIMIT ?",
        (session, after, live_after, limit),
    )
    return [EnvelopeRow(row[0], bytes(row[1]), bytes(row[2]), row[3], row[4]) for row in rows]


def in_flight(tx: Tx, session: int) -> tuple[int, int]:
    """Of the envelopes of ``session`` that no ack has settled: bytes of those with messages; id of the last, or 0."""
    row = tx.one(
        f"SELECT coalesce(sum(length(bytes)) FILTER (WHERE n1 > 0), 0), coalesce(max(id), 0) FROM {_OPEN} "  # noqa: S608
        "WHERE session = ? AND bytes IS NOT NULL",
        (session,),
    )
    assert row is not None  # noqa: S101  an aggregate has one
    return row[0], row[1]


def sent(tx: Tx, eid: bytes) -> SentRow | None:
    """What is kept of an own envelope that is still unacknowledged, be it one for a live stream that is withheld."""
    row = tx.one(
        "SELECT id, session, contact, ack, n0, n1, presence_n, live, "
        "EXISTS (SELECT 1 FROM custody WHERE envelope = envelope.id) FROM envelope WHERE eid = ? "
        "AND (bytes IS NOT NULL OR live IS NOT NULL)",
        (eid,),
    )
    return None if row is None else SentRow(row[0], row[1], row[2], bytes(row[3]), *row[4:])


def settle(tx: Tx, envelope: int) -> None:
    """The peer has it: its bytes are not needed again."""
    tx.execute("UPDATE envelope SET bytes = NULL, live = NULL WHERE id = ?", (envelope,))


def withhold_expired(tx: Tx) -> None:
    """What was said to have expired does not arrive later: envelopes of which no message waits are not sent again.

    The peer keeps the keys of what it misses in the chain. An own presence and notices that went with them are given
    again.
    """
    rows = tx.all(
        "UPDATE envelope SET bytes = NULL WHERE bytes IS NOT NULL AND n1 > 0 AND NOT EXISTS (SELECT 1 FROM message "
        "WHERE incoming = 0 AND message.contact = envelope.contact AND n BETWEEN n0 AND n1 "
        "AND state IN ('queued', 'sent')) RETURNING id, session, presence_n"
    )
    given = {session for _, session, presence_n in rows if presence_n}
    tx.many("UPDATE session SET presence_n = 0 WHERE id = ?", [(session,) for session in given])
    tx.many("UPDATE notice SET envelope = NULL WHERE envelope = ?", [(envelope,) for envelope, _, _ in rows])


def received_ack(tx: Tx, eid: bytes) -> ReceivedRow | None:
    """The ack that answered this eid before, or None if it is new."""
    row = tx.one("SELECT ack, contact FROM received WHERE eid = ?", (eid,))
    return None if row is None else ReceivedRow(bytes(row[0]), row[1])


def note_received(tx: Tx, contact: int, eid: bytes, ack: bytes, until_s: int) -> None:
    tx.execute("INSERT INTO received (contact, eid, ack, until_s) VALUES (?, ?, ?, ?)", (contact, eid, ack, until_s))


def prune_received(tx: Tx, now_s: int) -> None:
    # in the order of arrival, so that only what goes is looked at
    tx.execute(
        "DELETE FROM received WHERE id < "
        "coalesce((SELECT id FROM received WHERE until_s >= ? ORDER BY id LIMIT 1), 1 << 62)",
        (now_s,),
    )
    tx.execute("DELETE FROM envelope WHERE bytes IS NULL AND id < (SELECT max(id) FROM envelope)")
