"""The first flight: a session out of a bundle, post-quantum and deniable (PROTOCOL.md 4.2).

    tr  = "p2pchat/1 x\\0" ‖ u64(ms) ‖ lp(c_A) ‖ lp(c_B) ‖ lp(bundle) ‖ lp(E) ‖ lp(kct)
    sk  = HKDF(0³², ff³² ‖ DH0 ‖ DH1 ‖ DH2 ‖ DH3 ‖ DH4 ‖ ss, "p2pchat/1 PQXDH" ‖ BLAKE2b-32(tr), 32)
    ad  = BLAKE2b-32(tr)

The initiator's certificate travels under a key that only the two ephemeral agreements and the KEM yield. Nothing here
is proven before the first envelope has opened, and nothing may be stored: see ``session.accept_session``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from msgspec import Meta

from p2pchat.base.errors import HandshakeError
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import (
    NONCE_BYTES,
    ZERO32,
    Entropy,
    aead_open,
    aead_seal,
    blake2b_plain,
    hkdf,
    kem_decapsulate,
    x25519,
    x25519_pair,
)
from p2pchat.core.keys import CERT_MAX_BYTES, Cert, Identity, open_cert
from p2pchat.core.params import Params
from p2pchat.core.prekeys import Bundle, PrekeySecret
from p2pchat.core.ratchet import RatchetState, start_initiator, start_responder
from p2pchat.core.structs import Form, Positive
from p2pchat.core.wire import SENDER_MAX_BYTES

_TRANSCRIPT: Final = b"p2pchat/1 x\0"
_SESSION: Final = b"p2pchat/1 PQXDH"
_SENDER: Final = b"p2pchat/1 sender"
_RENDEZVOUS: Final = b"p2pchat/1 rdv"
_ONES: Final = b"\xff" * 32
_NO_NONCE: Final = bytes(NONCE_BYTES)


class _Sender(Form, frozen=True):
    ms: Positive
    cert: Annotated[bytes, Meta(max_length=CERT_MAX_BYTES)]


_senders: Decoder[_Sender] = Decoder(_Sender, SENDER_MAX_BYTES)


@dataclass(frozen=True, slots=True)
class FlightPart:
    """A first flight without its envelope: 32, 1088, 16 and at most 512 bytes, as in the frame."""

    ephemeral: bytes = field(repr=False)
    kem_ciphertext: bytes = field(repr=False)
    prekey_id: bytes = field(repr=False)
    sender: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Initiated:
    """What the initiator has: the flight to send, and the session's name ``ad``, its ``rdv`` (32 bytes) and ratchet."""

    flight: FlightPart
    ad: bytes = field(repr=False)
    rdv: bytes = field(repr=False)
    ratchet: RatchetState


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a flight yields, unproven until its envelope opens. ``replay_tag``: 16 bytes, to be stored as unique."""

    cert: Cert
    ms: int
    ad: bytes = field(repr=False)
    rdv: bytes = field(repr=False)
    ratchet: RatchetState
    replay_tag: bytes = field(repr=False)


def initiate(identity: Identity, bundle: Bundle, ms: int, entropy: Entropy, params: Params) -> Initiated:
    """A first flight to the owner of ``bundle``.

    Args:
        identity: of this node.
        bundle: verified, and its ``cert.epoch_ms`` not below the highest seen.
        ms: the session's time from :func:`p2pchat.core.session.next_ms`.
        entropy: for the ephemeral key, the encapsulation and the ratchet.
        params: ``kem_every``.

    Raises:
        HandshakeError: the bundle is our own, or one of its keys is refused.
    """
    if bundle.cert.root == identity.cert.root:
        raise HandshakeError("a bundle is our own")
    e = x25519_pair(entropy.bytes(32))
    ss, kem_ciphertext = entropy.encapsulate(bundle.kem)
    dh0 = x25519(identity.ik.secret, bundle.cert.ik)
    dh1 = x25519(identity.ik.secret, bundle.spk)
    dh2 = x25519(e.secret, bundle.cert.ik)
    dh3 = x25519(e.secret, bundle.spk)
    dh4 = b"" if bundle.opk is None else x25519(e.secret, bundle.opk)
    plain = encode(_Sender(ms, identity.cert.raw))
    sender = aead_seal(_sender_key(dh2, dh3, ss), _NO_NONCE, plain, e.public + kem_ciphertext)
    ad = _transcript_hash(ms, identity.cert.c, bundle.cert.c, bundle.raw, e.public, kem_ciphertext)
    sk = _session_key(dh0 + dh1 + dh2 + dh3 + dh4, ss, ad)
    flight = FlightPart(e.public, kem_ciphertext, bundle.prekey_id, sender)
    return Initiated(flight, ad, _rendezvous(sk), start_initiator(sk, bundle.spk, entropy, params))


def accept(identity: Identity, secret: PrekeySecret, flight: FlightPart, now_ms: int, params: Params) -> Accepted:
    """Derive what ``flight`` claims; whose it is stands in the result's ``cert``.

    Args:
        identity: of this node.
        secret: the private half that ``flight.prekey_id`` names.
        flight: from a decoded frame.
        now_ms: unix time in ms.
        params: the clock skew.

    Raises:
        HandshakeError: the bundle has expired, a key or certificate is refused, it is our own, or from the future.
        DecryptionError: the sender part does not open.
        DecodeError: the sender part is malformed.
    """
    if flight.prekey_id != secret.prekey_id or now_ms >= secret.expires_s * 1000:
        raise HandshakeError("a flight is for a bundle that is gone")
    dh2 = x25519(identity.ik.secret, flight.ephemeral)
    dh3 = x25519(secret.spk.secret, flight.ephemeral)
    ss = kem_decapsulate(secret.kem_seed, flight.kem_ciphertext)
    aad = flight.ephemeral + flight.kem_ciphertext
    sender = _senders.decode(aead_open(_sender_key(dh2, dh3, ss), _NO_NONCE, flight.sender, aad))
    cert = open_cert(sender.cert, now_ms)
    if cert.root == identity.cert.root:
        raise HandshakeError("a flight is our own")
    if sender.ms > now_ms + params.skew_s * 1000:
        raise HandshakeError("a flight is from the future")
    dh0 = x25519(identity.ik.secret, cert.ik)
    dh1 = x25519(secret.spk.secret, cert.ik)
    dh4 = b"" if secret.opk is None else x25519(secret.opk.secret, flight.ephemeral)
    ad = _transcript_hash(sender.ms, cert.c, identity.cert.c, secret.bundle, flight.ephemeral, flight.kem_ciphertext)
    sk = _session_key(dh0 + dh1 + dh2 + dh3 + dh4, ss, ad)
    return Accepted(cert, sender.ms, ad, _rendezvous(sk), start_responder(sk, secret.spk), replay_tag(flight))


def replay_tag(flight: FlightPart) -> bytes:
    """16 bytes, unique to a flight whatever else of it is changed. Source: PROTOCOL.md 4.2."""
    return blake2b_plain(flight.ephemeral + flight.kem_ciphertext, 16)


def _lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _transcript_hash(ms: int, c_a: bytes, c_b: bytes, bundle: bytes, ephemeral: bytes, kem_ciphertext: bytes) -> bytes:
    parts = (c_a, c_b, bundle, ephemeral, kem_ciphertext)
    return blake2b_plain(_TRANSCRIPT + ms.to_bytes(8, "big") + b"".join(map(_lp, parts)), 32)


def _session_key(dh: bytes, ss: bytes, ad: bytes) -> bytes:
    return hkdf(ZERO32, _ONES + dh + ss, _SESSION + ad, 32)


def _rendezvous(sk: bytes) -> bytes:
    """The root of the slots where the two ends of a session find each other again. Source: PROTOCOL.md 3.4."""
    return hkdf(ZERO32, sk, _RENDEZVOUS, 32)


def _sender_key(dh2: bytes, dh3: bytes, ss: bytes) -> bytes:
    return hkdf(ZERO32, _ONES + dh2 + dh3 + ss, _SENDER, 32)
