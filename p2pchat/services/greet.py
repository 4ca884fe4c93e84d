"""Open sessions: answer bundle requests of those who hold ask32, and make first flights toward contacts.

Source: PROTOCOL.md 4.1, 4.2, 4.6.
"""

from __future__ import annotations

from p2pchat.base.errors import HandshakeError
from p2pchat.base.ids import PeerId
from p2pchat.core.boxes import is_kept
from p2pchat.core.crypto import equal
from p2pchat.core.events import EventKind
from p2pchat.core.keys import Cert
from p2pchat.core.prekeys import Bundle, ask_proof, make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.session import next_ms, open_session, seal
from p2pchat.core.wire import OPEN, Item, encode_content
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context, tell
from p2pchat.services.deliver import sending_session
from p2pchat.store import contact_peers, contacts, custody, prekeys, presence, sessions
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.sessions import SessionRow

REFUSED = b""


def answer_request(tx: Tx, context: Context, proof: bytes, requester: PeerId) -> bytes:
    """A fresh bundle for whoever proves to hold ask32, else the constant refusal."""
    asks = [own.ask for own in presence.all_own(tx)] or [context.profile.ask]
    if not any(equal(ask_proof(ask, context.network.peer_id, requester), proof) for ask in asks):
        return REFUSED
    spk = prekeys.newest_spk(tx, tx.now_s + context.params.skew_s)
    if spk is None or spk.made_s + context.params.spk_replaced_s <= tx.now_s:
        spk = make_signed_prekey(context.entropy, tx.now_s)
        prekeys.add_spk(tx, spk)
    secret = make_bundle(context.identity, spk, context.entropy, tx.now_s, context.params)
    prekeys.add(tx, secret, requester)
    return secret.bundle


def may_open(tx: Tx, context: Context, contact: int) -> bool:
    """Whether a new session with ``contact`` may be opened now: whom Reach named, and once in 10 minutes."""
    row = contacts.get(tx, contact)
    if row is None or row.root is None or row.state in ("blocked", "request"):
        return False
    # a time farther off than the gap was set by a clock that was ahead
    return not tx.now_s < row.flight_after_s <= tx.now_s + context.params.new_session_gap_s


def ask_of(tx: Tx, context: Context, contact: int, peer: PeerId, *, force: bool) -> bytes | None:
    """The ask32 with which ``peer``, a node that the contact has published, is asked for a bundle; None: not now.

    Args:
        force: a Nack that was believed has settled that a new session may be opened.
    """
    if not force and not may_open(tx, context, contact):
        return None
    rows = contact_peers.of_contact(tx, contact)
    return next((row.ask for row in rows if row.peer == peer and row.published), None)


def make_flight(tx: Tx, context: Context, contact: int, raw_bundle: bytes, *, replace: int | None) -> bool:
    """Make a session and its first envelope, ready to leave; whether there is a session to send on now.

    Args:
        replace: the session that a Nack condemned. If another sends by now, none is made (flights have crossed).

    Raises:
        HandshakeError, DecodeError: the bundle is not the contact's.
    """
    row = contacts.get(tx, contact)
    current = sending_session(tx, contact)
    if row is None or row.root is None or row.state in ("blocked", "request"):
        return False  # blocked since the bundle was asked for
    if current is not None and current.id != replace:
        return True
    bundle = open_bundle(raw_bundle, row.root, tx.now_s, context.params)
    ms = next_ms(tx.now_ms, row.highest_ms, context.params)
    if current is not None and (not current.session.confirmed or current.session.ms >= ms):
        # the peer has never had it, or a clock that was ahead would have it sent on in place of the new one
        sessions.forget(tx, current.id)
    _fly(tx, context, row, bundle, None)
    if replace is not None:
        contacts.set_flight_after(tx, contact, tx.now_s + context.params.new_session_gap_s)
    return True


def make_kept_flight(tx: Tx, context: Context, contact: int, raw_bundle: bytes) -> None:
    """Make a session with a bundle of a mailbox, for a contact who is away and has none that can send there.

    One of before, of which nothing was received, stays: its flight may have arrived. It sends no more.

    Raises:
        HandshakeError, DecodeError: the bundle is not the contact's.

    Source: PROTOCOL.md 6.5.
    """
    row, current = contacts.get(tx, contact), sending_session(tx, contact)
    if row is None or row.root is None or row.state != "matched":
        return  # blocked since the bundle was asked for
    if not needs_kept_flight(tx, context, current) or not may_open(tx, context, contact):
        return
    bundle = open_bundle(raw_bundle, row.root, tx.now_s, context.params)
    if current is not None and current.session.ms >= next_ms(tx.now_ms, row.highest_ms, context.params):
        sessions.forget(tx, current.id)  # of a clock that was ahead: it would send in place of the new one
    _fly(tx, context, row, bundle, bundle.iat)


def needs_kept_flight(tx: Tx, context: Context, current: SessionRow | None) -> bool:
    """Whether nothing that is sealed in ``current``, the session to send on, can wait in a mailbox."""
    return current is None or not (current.session.confirmed or is_kept(current.kept_s, tx.now_s, context.params))


def _fly(tx: Tx, context: Context, row: ContactRow, bundle: Bundle, kept_s: int | None) -> None:
    """A session of ``bundle``, and its first envelope, which opens it."""
    if bundle.cert.epoch_ms < row.epoch_ms:
        raise HandshakeError("a bundle of an older device")
    ms = next_ms(tx.now_ms, row.highest_ms, context.params)
    session = open_session(context.identity, bundle, ms, context.entropy, context.params)
    opened = Item(context.message_id(), OPEN, b"")
    session, sealed = seal(session, encode_content([opened]), context.entropy, context.params)
    added = sessions.add(tx, row.id, session, kept_s)
    sessions.add_envelope(tx, added, sealed, 0, 0)
    note_device(tx, row, ms, bundle.cert)


def note_device(tx: Tx, row: ContactRow, ms: int, cert: Cert) -> None:
    """Note a flight's ms and the device; a newer one than the one known is told to the user, and fetches nothing that
    is held for that one."""
    contacts.raise_highest_ms(tx, row.id, ms)
    contacts.set_device(tx, row.id, cert.epoch_ms, cert.raw)
    if row.epoch_ms and cert.epoch_ms > row.epoch_ms:
        tx.emit(contact_event(tx, EventKind.CONTACT_KEY_CHANGED, row.id))
        tell(tx, EventKind.MESSAGE_UNHELD, custody.void(tx, row.id), row.id)


def condemn(tx: Tx, context: Context, contact: int, eid: bytes, peer: PeerId) -> int | None:
    """A Nack for ``eid`` came from ``peer``: the session to replace, or None if the Nack is not to be believed.

    Believed only from a PeerID that the contact has published, and once in 10 minutes (PROTOCOL.md 5.2, 4.6).
    """
    known = sessions.sent(tx, eid)
    current = sending_session(tx, contact)
    published = any(row.peer == peer and row.published for row in contact_peers.of_contact(tx, contact))
    if (
        known is None
        or current is None
        or known.session != current.id
        or not published
        or not may_open(tx, context, contact)
    ):
        return None
    return current.id
