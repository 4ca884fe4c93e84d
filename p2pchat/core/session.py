"""Sessions: a ratchet with a peer, and which of several may send (PROTOCOL.md 4.2, 4.5, 4.6).

Rules:

- A session exists once its first envelope was sealed or has opened, and is named by ``ad``, on both sides the same.
- It is *confirmed* once anything authenticated was received on it; until then the initiator sends its flight again.
- Only sessions with the peer's newest device send, and of these the one with the highest ``ms``, then the lowest
  ``ad``: both sides choose the same one without asking. The others only receive.

A session never changes: every operation returns another one, to be committed with what it produced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, structs

from p2pchat.base.errors import InternalError
from p2pchat.base.ids import RootKey
from p2pchat.base.silent import Silent
from p2pchat.core import ratchet as dr
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import Entropy
from p2pchat.core.handshake import FlightPart, accept, initiate
from p2pchat.core.keys import Cert, Identity
from p2pchat.core.params import Params
from p2pchat.core.prekeys import Bundle, PrekeySecret
from p2pchat.core.ratchet import RatchetState
from p2pchat.core.ratchet_state import CORE_MAX_BYTES
from p2pchat.core.stored import load
from p2pchat.core.structs import Bytes16, Bytes32, Form, KemCiphertext, Positive
from p2pchat.core.wire import CONTENT_OVERHEAD_BYTES, SENDER_MAX_BYTES, eid

_STORED_MAX_BYTES: Final = CORE_MAX_BYTES + 2_048


class Session(Silent, msgspec.Struct, frozen=True):
    """One session. Equal ``ad`` on both sides; ``flight`` is None once confirmed, and always for the responder.

    Args:
        peer_root: the person at the other end.
        peer_epoch_ms: of the device at the other end.
        initiator: whether this side made the flight.
        ms: the session's time, by which several are ordered.
        ad: 32 bytes, BLAKE2b of the transcript.
        rdv: 32 bytes, the root of the slots where both ends find each other again (PROTOCOL.md 3.4); None of a session
            that a version before it has made.
        ratchet: the keys.
        confirmed: whether anything authenticated was received on it.
        flight: what precedes the first envelope until then.
    """

    peer_root: RootKey
    peer_epoch_ms: int
    initiator: bool
    ms: int
    ad: bytes
    rdv: bytes | None
    ratchet: RatchetState
    confirmed: bool
    flight: FlightPart | None

    def confirm(self) -> Session:
        """The session after something authenticated came back on it, a true ack included: the flight flies no more."""
        return self if self.confirmed else structs.replace(self, confirmed=True, flight=None)


class Sealed(Silent, msgspec.Struct, frozen=True):
    """An envelope, the 16-byte id under which it is acked, and the 16 bytes that a true ack carries."""

    envelope: bytes
    eid: bytes
    ack: bytes


def next_ms(now_ms: int, highest_ms: int, params: Params) -> int:
    """The ``ms`` of a new session.

    Args:
        now_ms: unix time in ms.
        highest_ms: the highest used or seen with this peer, 0 where none was. What a clock that was ahead has used
            does not count: the peer would refuse every flight until that time.
        params: the clock skew.

    Source: PROTOCOL.md 4.2.
    """
    return max(now_ms, highest_ms + 1) if highest_ms < now_ms + params.skew_s * 1000 else now_ms


def open_session(identity: Identity, bundle: Bundle, ms: int, entropy: Entropy, params: Params) -> Session:
    """A session as its initiator; the first :func:`seal` makes the envelope that goes with its flight.

    Args:
        identity: of this node.
        bundle: verified, and of a device not older than the newest seen of its root.
        ms: from :func:`next_ms`.
        entropy: for the keys.
        params: ``kem_every``.

    Raises:
        HandshakeError: the bundle is our own, or one of its keys is refused.

    Source: PROTOCOL.md 4.2.
    """
    initiated = initiate(identity, bundle, ms, entropy, params)
    return Session(
        peer_root=bundle.cert.root,
        peer_epoch_ms=bundle.cert.epoch_ms,
        initiator=True,
        ms=ms,
        ad=initiated.ad,
        rdv=initiated.rdv,
        ratchet=initiated.ratchet,
        confirmed=False,
        flight=initiated.flight,
    )


def accept_session(
    identity: Identity,
    secret: PrekeySecret,
    flight: FlightPart,
    envelope: bytes,
    now_ms: int,
    entropy: Entropy,
    params: Params,
) -> tuple[Session, bytes, bytes, Cert]:
    """A session as its responder, proven by its first envelope.

    The caller then holds ``peer_root`` and ``peer_epoch_ms`` against what it expects, and commits in one transaction:
    the session, the content, the eid with its ack, the replay tag, and the deletion of ``secret``.

    Args:
        identity: of this node.
        secret: the private half that ``flight.prekey_id`` names.
        flight: from a decoded frame; its replay tag is new.
        envelope: that came with it.
        now_ms: unix time in ms.
        entropy: for the answering chain.
        params: the limits.

    Returns:
        The session, the content, the 16-byte ack, the certificate of the peer's device.

    Raises:
        HandshakeError, DecodeError, DecryptionError: see :func:`p2pchat.core.handshake.accept`.
        DecodeError, DecryptionError, LimitError: the envelope does not open.

    Source: PROTOCOL.md 4.2.
    """
    accepted = accept(identity, secret, flight, now_ms, params)
    ratchet, content, ack = dr.decrypt(accepted.ratchet, envelope, accepted.ad, now_ms // 1000, entropy, params)
    session = Session(
        peer_root=accepted.cert.root,
        peer_epoch_ms=accepted.cert.epoch_ms,
        initiator=False,
        ms=accepted.ms,
        ad=accepted.ad,
        rdv=accepted.rdv,
        ratchet=ratchet,
        confirmed=True,
        flight=None,
    )
    return session, content, ack, accepted.cert


def seal(session: Session, content: bytes, entropy: Entropy, params: Params) -> tuple[Session, Sealed]:
    """Seal the content of one envelope, from :func:`p2pchat.core.wire.encode_content`.

    Raises:
        LimitError: 2^32 envelopes went out without an answer.
    """
    if len(content) > params.item_bytes + CONTENT_OVERHEAD_BYTES:
        raise InternalError("the content of an envelope would exceed its bound")
    ratchet, envelope, ack = dr.encrypt(session.ratchet, content, session.ad, entropy)
    return structs.replace(session, ratchet=ratchet), Sealed(envelope, eid(envelope), ack)


def open_envelope(
    session: Session, envelope: bytes, now_s: int, entropy: Entropy, params: Params
) -> tuple[Session, bytes, bytes]:
    """Open an envelope of the peer: the session, now confirmed, the content and the 16-byte ack.

    Raises:
        DecodeError, DecryptionError, ReplayError, LimitError: see :func:`p2pchat.core.ratchet.decrypt`.
    """
    ratchet, content, ack = dr.decrypt(session.ratchet, envelope, session.ad, now_s, entropy, params)
    return structs.replace(session, ratchet=ratchet).confirm(), content, ack


def passed_over(session: Session, envelope: bytes, params: Params) -> int:
    """How many keys of other envelopes are derived to open this one; see :func:`p2pchat.core.ratchet.passed_over`."""
    return dr.passed_over(session.ratchet, envelope, session.ad, params)


def choose_sending(sessions: Sequence[Session], highest_epoch_ms: int = 0) -> Session | None:
    """The one session with a peer that may send, or None when a new one must be opened.

    Args:
        sessions: all with that peer's root.
        highest_epoch_ms: the highest seen of that root anywhere; a card may tell of a device that no session is with.

    Source: PROTOCOL.md 4.6.
    """
    newest_ms = max((session.peer_epoch_ms for session in sessions), default=0)
    candidates = [s for s in sessions if s.peer_epoch_ms == max(newest_ms, highest_epoch_ms)]
    return min(candidates, key=lambda session: (-session.ms, session.ad), default=None)


class _Flight(Form, frozen=True):
    ephemeral: Bytes32
    kem_ciphertext: KemCiphertext
    prekey_id: Bytes16
    sender: Annotated[bytes, Meta(max_length=SENDER_MAX_BYTES)]


class _Session(Form, frozen=True):
    version: Literal[1, 2]
    peer_root: Bytes32
    peer_epoch_ms: Positive
    initiator: bool
    ms: Positive
    ad: Bytes32
    confirmed: bool
    flight: _Flight | None
    ratchet: Annotated[bytes, Meta(max_length=CORE_MAX_BYTES)]


class _SessionWithRdv(_Session, frozen=True):  # version 2
    rdv: Bytes32


_sessions: Decoder[_SessionWithRdv] = Decoder(_SessionWithRdv, _STORED_MAX_BYTES)
_earlier: Decoder[_Session] = Decoder(_Session, _STORED_MAX_BYTES)


def dump_session(session: Session) -> bytes:
    """Everything but the skipped keys, secrets in plain, for an encrypted database: at most 6 KiB."""
    part, flight = session.flight, None
    if part is not None:
        flight = _Flight(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender)
    root, epoch_ms, core = bytes(session.peer_root), session.peer_epoch_ms, dr.dump_core(session.ratchet)
    rest = (root, epoch_ms, session.initiator, session.ms, session.ad, session.confirmed, flight, core)
    return encode(_Session(1, *rest) if session.rdv is None else _SessionWithRdv(2, *rest, session.rdv))


def dump_skipped(session: Session) -> bytes:
    """The skipped keys, to be written again only when ``session.ratchet.skipped`` is another object."""
    return dr.dump_skipped(session.ratchet)


def load_session(core: bytes, skipped: bytes) -> Session:
    """The session that :func:`dump_session` and :func:`dump_skipped` wrote.

    Raises:
        Corrupt: these are not such bytes.
    """
    stored: _Session = load(_earlier, core) if core[1:2] == b"\x01" else load(_sessions, core)
    part, flight = stored.flight, None
    if part is not None:
        flight = FlightPart(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender)
    return Session(
        peer_root=RootKey(stored.peer_root),
        peer_epoch_ms=stored.peer_epoch_ms,
        initiator=stored.initiator,
        ms=stored.ms,
        ad=stored.ad,
        rdv=stored.rdv if isinstance(stored, _SessionWithRdv) else None,
        ratchet=dr.load(stored.ratchet, skipped),
        confirmed=stored.confirmed,
        flight=flight,
    )
