"""In: envelopes and first flights become messages, in one commit, and then an ack.

Look-ups in the order of PROTOCOL.md 4.2: eid (the same ack again), hint, replay tag, then the flight. An envelope that
no session opens is answered with a Nack. Nothing of a refused envelope is stored, and one bad envelope harms no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.errors import DecodeError, DecryptionError, HandshakeError, LimitError, PeerError
from p2pchat.base.ids import PeerId
from p2pchat.core.events import EventKind
from p2pchat.core.handshake import FlightPart, replay_tag
from p2pchat.core.params import Params
from p2pchat.core.receipt import Read
from p2pchat.core.session import accept_session, open_envelope, passed_over
from p2pchat.core.wire import OPEN, PRESENCE, READ, TEXT, Ack, Flight, Frame, Item, Nack, decode_content, decode_text
from p2pchat.core.wire import eid as envelope_eid
from p2pchat.services import presence, prove, receipts
from p2pchat.services.context import Context, tell
from p2pchat.services.deliver import match
from p2pchat.services.greet import note_device
from p2pchat.store import contact_peers, contacts, messages, prekeys, sessions
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming

_HINT_BYTES: Final = 8
_INTEGER_MAX: Final = (1 << 63) - 1  # what a column holds; the wire has 64 bits


@dataclass(slots=True)
class Answer:
    """What goes back: acks to send after the commit, eids that nothing opened, and who was heard.

    ``device_ms``: epoch_ms of the device that was heard, of the oldest if there were several; ``newer``: the
    certificate of one that is newer than that (PROTOCOL.md 5.3). ``repeats``: how many had come before;
    ``unopened_bytes``: of those that nothing opened; ``flights``: how many of those were first flights;
    ``passed``: how many keys were derived for envelopes that have not come. ``whose``: to which contact each ack goes;
    None: to nobody that is known by now.
    """

    acks: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]], repr=False)
    nacks: list[bytes] = field(default_factory=list[bytes])
    contacts: set[int] = field(default_factory=set[int])
    device_ms: int | None = None
    newer: bytes | None = field(default=None, repr=False)
    repeats: int = field(default=0, compare=False)  # these four have a price, and are no part of what goes back
    unopened_bytes: int = field(default=0, compare=False)
    flights: int = field(default=0, compare=False)
    passed: int = field(default=0, compare=False)
    whose: list[int | None] = field(default_factory=list["int | None"], compare=False)

    def frames(self, params: Params) -> list[Frame]:
        """The acks and nacks, as they go back."""
        bound = params.ack_entries
        acks = [Ack(tuple(self.acks[start : start + bound])) for start in range(0, len(self.acks), bound)]
        return [*acks, *map(Nack, self.nacks)]


class _OlderDevice(HandshakeError):
    """A flight was refused for that reason alone: whoever made it is that contact."""

    def __init__(self, contact: int, device_ms: int) -> None:
        super().__init__("an older device of this contact")
        self.contact = contact
        self.device_ms = device_ms


def receive(tx: Tx, context: Context, arrivals: list[Flight | bytes], peer: PeerId | None) -> Answer:
    """Take first flights and bare envelopes in the order in which they came.

    Args:
        peer: from whose stream; None: out of boxes, which somebody else's node held.

    Raises:
        StoreError: what is new could not be kept now.
    """
    answer = Answer()
    devices: dict[int, int] = {}  # which was heard of each contact; an older one counts
    for arrival in arrivals:
        envelope = arrival.envelope if isinstance(arrival, Flight) else arrival
        eid = envelope_eid(envelope)
        known = sessions.received_ack(tx, eid)
        if known is not None:
            answer.acks.append((eid, known.ack))
            answer.whose.append(known.contact)
            answer.repeats += 1
            continue
        tx.need_room()  # whoever sent it keeps it until it is acknowledged
        try:
            ack, contact, device_ms = _open(tx, context, envelope, arrival, answer)
        except _OlderDevice as refusal:
            answer.nacks.append(eid)
            devices[refusal.contact] = refusal.device_ms
            continue
        except PeerError:
            answer.nacks.append(eid)
            answer.unopened_bytes += len(envelope)
            answer.flights += isinstance(arrival, Flight)
            continue
        sessions.note_received(tx, contact, eid, ack, tx.now_s + context.params.eid_kept_s)
        answer.acks.append((eid, ack))
        answer.whose.append(contact)
        answer.contacts.add(contact)
        devices[contact] = min(device_ms, devices.get(contact, device_ms))
    for contact, device_ms in devices.items():
        answer.newer = contacts.newer_cert(tx, contact, device_ms) or answer.newer
        answer.device_ms = min(device_ms, answer.device_ms or device_ms)
    for contact in answer.contacts:
        contacts.heard(tx, contact, there=peer is not None)
        if peer is not None:
            contact_peers.prove(tx, contact, peer)
    return answer


def _open(tx: Tx, context: Context, envelope: bytes, arrival: Flight | bytes, answer: Answer) -> tuple[bytes, int, int]:
    """The ack, the contact, and the epoch_ms of its device; what was passed over is noted in ``answer``."""
    for row in sessions.by_hint(tx, envelope[:_HINT_BYTES]):
        try:
            session, content, ack = open_envelope(row.session, envelope, tx.now_s, context.entropy, context.params)
        except (DecryptionError, DecodeError, HandshakeError, LimitError):
            answer.passed += passed_over(row.session, envelope, context.params)
            continue  # a chance hit of the hint, or junk: another session may fit
        if session.ratchet.skipped is not row.session.ratchet.skipped:
            answer.passed += passed_over(row.session, envelope, context.params)
        sessions.save(tx, row, session)
        _take(tx, context, row.contact, session.peer_epoch_ms, content)
        return ack, row.contact, session.peer_epoch_ms
    if isinstance(arrival, Flight):
        return _accept(tx, context, arrival)
    raise DecryptionError("no session opens this envelope")


def _accept(tx: Tx, context: Context, flight: Flight) -> tuple[bytes, int, int]:
    part = FlightPart(flight.ephemeral, flight.kem_ciphertext, flight.prekey_id, flight.sender)
    tag = replay_tag(part)
    if prekeys.is_replayed(tx, tag):
        raise DecryptionError("a known flight with an envelope that its session does not open")
    secret = prekeys.take(tx, part.prekey_id, tx.now_s)
    if secret is None:
        raise HandshakeError("the prekey is not there")
    session, content, ack, cert = accept_session(
        context.identity, secret, part, flight.envelope, tx.now_ms, context.entropy, context.params
    )
    contact = contacts.by_root(tx, session.peer_root)
    if contact is None or contact.state in ("blocked", "request"):
        raise HandshakeError("nobody that this node expects")
    prekeys.accepted(tx, secret, tag, context.params)  # of a refused one, too: nobody is told twice for it
    if cert.epoch_ms < contact.epoch_ms:
        raise _OlderDevice(contact.id, cert.epoch_ms)
    sessions.add(tx, contact.id, session)
    note_device(tx, contact, session.ms, cert)
    _take(tx, context, contact.id, cert.epoch_ms, content)
    return ack, contact.id, cert.epoch_ms


def _take(tx: Tx, context: Context, contact: int, device_ms: int, content: bytes) -> None:
    """Store what an authenticated envelope held. Undecodable items are kept and never fail the envelope.

    Args:
        device_ms: epoch_ms of the device that the session is with.
    """
    match(tx, contact)
    try:
        items = decode_content(content)
    except DecodeError:
        items = ()  # authenticated, so a newer version wrote it: acknowledged, there is nothing to show
    arrived: list[Incoming] = []
    read: Read | None = None
    for item in items:
        if item.kind == PRESENCE and presence.take(tx, contact, device_ms, item.body):
            continue
        if item.kind in prove.KINDS and prove.take(tx, context, contact, item):
            continue
        if item.kind == READ and (told := receipts.parse(item.body)) is not None:
            read = told  # of several the last: each is looked up among what was sent
            continue
        if item.kind != OPEN:
            arrived.append(incoming(item, tx.now_ms))
    if arrived:
        tell(tx, EventKind.MESSAGE_RECEIVED, messages.receive(tx, contact, device_ms, arrived), contact)
    if read is not None:
        receipts.take(tx, contact, read)


def incoming(item: Item, now_ms: int) -> Incoming:
    """What is stored of an item; of one that cannot be read, all (PROTOCOL.md 4.5)."""
    if item.kind == TEXT:
        try:
            text = decode_text(item.body)
        except DecodeError:
            pass  # of a newer version, like another kind
        else:
            n, ts_ms = min(text.n, _INTEGER_MAX), min(text.ts_ms, _INTEGER_MAX)
            return Incoming(n, item.message_id, TEXT, text.text, None, ts_ms)
    return Incoming(0, item.message_id, item.kind, None, item.body, now_ms)
