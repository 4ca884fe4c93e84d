"""Bundles: what a peer gives out so that a session can be opened with it (PROTOCOL.md 4.1).

    b      = [1, iat, exp, spk32, kem_pk1184, opk32 or nil]
    bundle = [cert as bin, b as bin, sig_device("p2pchat/1 bundle\\0" ‖ b)]

Every request is answered with a fresh one-time pair, whose private half is on disk before the bundle leaves and is gone
once a flight was accepted with it, or when the bundle has expired. A *reusable* bundle, for mailboxes, has none: it may
be used by many, and its private halves stay as long as a flight may be on its way (PROTOCOL.md 6.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import HandshakeError
from p2pchat.base.ids import PeerId, RootKey
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import (
    KEM_SEED_BYTES,
    Entropy,
    KeyPair,
    blake2b,
    blake2b_plain,
    kem_public,
    sign,
    verify,
    x25519_pair,
)
from p2pchat.core.keys import CERT_MAX_BYTES, Cert, Identity, open_cert
from p2pchat.core.params import Params
from p2pchat.core.stored import load
from p2pchat.core.structs import U64, Bytes16, Bytes32, Bytes64, Form, KemPublic
from p2pchat.core.wire import BUNDLE_MAX_BYTES

_BODY_MAX_BYTES: Final = 1_536
_LABEL: Final = b"p2pchat/1 bundle\0"


class _Body(Form, frozen=True):
    version: Literal[1]
    iat: U64
    exp: U64
    spk: Bytes32
    kem: KemPublic
    opk: Bytes32 | None


class _Bundle(Form, frozen=True):
    cert: Annotated[bytes, Meta(max_length=CERT_MAX_BYTES)]
    body: Annotated[bytes, Meta(max_length=_BODY_MAX_BYTES)]
    signature: Bytes64


class _Secret(Form, frozen=True):
    version: Literal[1]
    prekey_id: Bytes16
    bundle: Annotated[bytes, Meta(max_length=BUNDLE_MAX_BYTES)]
    spk_secret: Bytes32
    opk_secret: Bytes32 | None
    kem_seed: Bytes64
    expires_s: U64


_bundles: Decoder[_Bundle] = Decoder(_Bundle, BUNDLE_MAX_BYTES)
_bodies: Decoder[_Body] = Decoder(_Body, _BODY_MAX_BYTES)
_secrets: Decoder[_Secret] = Decoder(_Secret, BUNDLE_MAX_BYTES + 256)


@dataclass(frozen=True, slots=True)
class SignedPrekey:
    """A signed prekey and when it was made (unix seconds): it is given out for ``spk_replaced_s`` after that."""

    pair: KeyPair = field(repr=False)
    made_s: int


@dataclass(frozen=True, slots=True)
class PrekeySecret:
    """The private half of one bundle.

    Args:
        prekey_id: 16 bytes.
        bundle: what goes on the wire.
        spk: the signed prekey it was made with.
        opk: the one-time X25519 pair; None in a reusable bundle.
        kem_seed: of the ML-KEM key, 64 bytes.
        expires_s: unix time from which no flight is accepted with it.
    """

    prekey_id: bytes = field(repr=False)
    bundle: bytes = field(repr=False)
    spk: KeyPair = field(repr=False)
    opk: KeyPair | None = field(repr=False)
    kem_seed: bytes = field(repr=False)
    expires_s: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle of someone else. ``iat``, ``exp``: unix seconds; ``spk``, ``kem``, ``opk``: public keys."""

    raw: bytes = field(repr=False)
    prekey_id: bytes = field(repr=False)
    cert: Cert
    iat: int
    exp: int
    spk: bytes = field(repr=False)
    kem: bytes = field(repr=False)
    opk: bytes | None = field(repr=False)


def make_signed_prekey(entropy: Entropy, now_s: int) -> SignedPrekey:
    """A fresh signed prekey."""
    return SignedPrekey(x25519_pair(entropy.bytes(32)), now_s)


def make_bundle(identity: Identity, spk: SignedPrekey, entropy: Entropy, now_s: int, params: Params) -> PrekeySecret:
    """A bundle with a fresh one-time pair, to be stored before its ``bundle`` leaves. Source: PROTOCOL.md 4.1."""
    opk, kem_seed = x25519_pair(entropy.bytes(32)), entropy.bytes(KEM_SEED_BYTES)
    expires_s = now_s + params.bundle_life_s
    raw = _signed(identity, _Body(1, now_s, expires_s, spk.pair.public, kem_public(kem_seed), opk.public))
    return PrekeySecret(prekey_id(raw), raw, spk.pair, opk, kem_seed, expires_s)


def make_reusable_bundle(
    identity: Identity, spk: SignedPrekey, entropy: Entropy, now_s: int, params: Params
) -> PrekeySecret:
    """A bundle without a one-time pair, for mailboxes: given out for a week, good for flights for 22 days.

    Source: PROTOCOL.md 6.4.
    """
    kem_seed = entropy.bytes(KEM_SEED_BYTES)
    raw = _signed(
        identity, _Body(1, now_s, now_s + params.bundle_life_max_s, spk.pair.public, kem_public(kem_seed), None)
    )
    return PrekeySecret(prekey_id(raw), raw, spk.pair, None, kem_seed, now_s + params.spk_kept_s)


def _signed(identity: Identity, body: _Body) -> bytes:
    b = encode(body)
    return encode(_Bundle(identity.cert.raw, b, sign(identity.device, _LABEL + b)))


def is_of(raw: bytes, identity: Identity) -> bool:
    """Whether an own bundle has the certificate that ``identity`` has: no flight opens with another's."""
    return _bundles.decode(raw).cert == identity.cert.raw


def open_bundle(raw: bytes, expected_root: RootKey, now_s: int, params: Params) -> Bundle:
    """The bundle, signed by a device of ``expected_root`` and valid at ``now_s`` (unix seconds).

    Raises:
        DecodeError: malformed.
        HandshakeError: another's, badly signed, not yet or no longer valid.

    Source: PROTOCOL.md 4.1.
    """
    form = _bundles.decode(raw)
    body = _bodies.decode(form.body)
    cert = open_cert(form.cert, now_s * 1000)
    if cert.root != expected_root:
        raise HandshakeError("a bundle is not of the root that was asked")
    if not verify(cert.device, _LABEL + form.body, form.signature):
        raise HandshakeError("a bundle is not signed by its device")
    if not 0 < body.exp - body.iat <= params.bundle_life_max_s:
        raise HandshakeError("a bundle has a life that is refused")
    if body.iat > now_s + params.skew_s or now_s >= body.exp:
        raise HandshakeError("a bundle is not valid now")
    return Bundle(raw, prekey_id(raw), cert, body.iat, body.exp, body.spk, body.kem, body.opk)


def prekey_id(bundle: bytes) -> bytes:
    """The 16 bytes by which a flight names its bundle. Source: PROTOCOL.md 4.1."""
    return blake2b_plain(bundle, 16)


def ask_proof(ask32: bytes, responder: PeerId, requester: PeerId) -> bytes:
    """The 32 bytes that entitle ``requester`` to a bundle of ``responder``. Source: PROTOCOL.md 4.1."""
    return blake2b("dcd1/ask", bytes(responder) + bytes(requester), 32, ask32)


def dump_prekey(secret: PrekeySecret) -> bytes:
    """The secrets in plain, for an encrypted database."""
    opk = None if secret.opk is None else secret.opk.secret
    spk = secret.spk.secret
    return encode(_Secret(1, secret.prekey_id, secret.bundle, spk, opk, secret.kem_seed, secret.expires_s))


def load_prekey(data: bytes) -> PrekeySecret:
    """The inverse of :func:`dump_prekey`.

    Raises:
        Corrupt: ``data`` was not dumped so.
    """
    stored = load(_secrets, data)
    opk = None if stored.opk_secret is None else x25519_pair(stored.opk_secret)
    spk = x25519_pair(stored.spk_secret)
    return PrekeySecret(stored.prekey_id, stored.bundle, spk, opk, stored.kem_seed, stored.expires_s)
