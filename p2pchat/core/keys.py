"""The person (root), the device that it certified, and the device's long-term DH key (PROTOCOL.md 1).

    c    = [1, root_pk32, epoch_ms, device_pk32, ik_pk32]
    cert = [c as bin, sig_root("p2pchat/1 device\\0" ‖ c), sig_device("p2pchat/1 member\\0" ‖ c)]

Signatures are checked over the bytes that were received. An identity is remembered as its three secrets and its epoch;
Ed25519 is deterministic, so its certificate is always the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import HandshakeError
from p2pchat.base.ids import RootKey
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import Entropy, KeyPair, ed25519_pair, sign, verify, x25519_pair
from p2pchat.core.params import PRODUCTION
from p2pchat.core.stored import load
from p2pchat.core.structs import Bytes32, Bytes64, Form, Positive

CERT_MAX_BYTES: Final = 256

_DEVICE_LABEL: Final = b"p2pchat/1 device\0"
_MEMBER_LABEL: Final = b"p2pchat/1 member\0"


class _CertBody(Form, frozen=True):
    version: Literal[1]
    root: Bytes32
    epoch_ms: Positive
    device: Bytes32
    ik: Bytes32


class _Cert(Form, frozen=True):
    c: Annotated[bytes, Meta(max_length=CERT_MAX_BYTES)]
    root_signature: Bytes64
    device_signature: Bytes64


class _Identity(Form, frozen=True):
    version: Literal[1]
    root_seed: Bytes32
    epoch_ms: Positive
    device_seed: Bytes32
    ik_secret: Bytes32


_certs: Decoder[_Cert] = Decoder(_Cert, CERT_MAX_BYTES)
_cert_bodies: Decoder[_CertBody] = Decoder(_CertBody, CERT_MAX_BYTES)
_identities: Decoder[_Identity] = Decoder(_Identity, 256)


@dataclass(frozen=True, slots=True)
class Cert:
    """A verified certificate.

    Args:
        root: the person.
        epoch_ms: unix time in ms at which the device's keys were made.
        device: Ed25519 public key, 32 bytes.
        ik: X25519 public key, 32 bytes.
        c: the signed bytes.
        raw: all of it, as received.
    """

    root: RootKey
    epoch_ms: int
    device: bytes = field(repr=False)
    ik: bytes = field(repr=False)
    c: bytes = field(repr=False)
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """This node's own keys, with the certificate that ties them together."""

    root: KeyPair = field(repr=False)
    device: KeyPair = field(repr=False)
    ik: KeyPair = field(repr=False)
    cert: Cert


def open_cert(raw: bytes, now_ms: int) -> Cert:
    """The certificate, both of whose signatures hold.

    That ``epoch_ms`` is not lower than the highest seen of this root is for the caller to hold: it knows what was seen.

    Args:
        raw: its bytes, from anywhere.
        now_ms: unix time in ms.

    Raises:
        DecodeError: malformed.
        HandshakeError: a signature fails, or it is from the future.

    Source: PROTOCOL.md 1.1.
    """
    cert = _certs.decode(raw)
    body = _cert_bodies.decode(cert.c)
    if body.epoch_ms > now_ms + PRODUCTION.skew_s * 1000:
        raise HandshakeError("a certificate is from the future")
    if not verify(body.root, _DEVICE_LABEL + cert.c, cert.root_signature):
        raise HandshakeError("a certificate is not signed by its root")
    if not verify(body.device, _MEMBER_LABEL + cert.c, cert.device_signature):
        raise HandshakeError("a certificate is not signed by its device")
    return Cert(RootKey(body.root), body.epoch_ms, body.device, body.ik, cert.c, raw)


def create_identity(entropy: Entropy, now_ms: int) -> Identity:
    """A new person with a device that was made at ``now_ms`` (unix ms, positive)."""
    root, device = ed25519_pair(entropy.bytes(32)), ed25519_pair(entropy.bytes(32))
    return _assemble(root, device, x25519_pair(entropy.bytes(32)), now_ms)


def create_device(root_seed: bytes, entropy: Entropy, epoch_ms: int) -> Identity:
    """The person of ``root_seed`` (32 bytes) with a new device.

    Args:
        epoch_ms: unix ms, positive; higher than that of every device of this root that anybody has seen.

    Source: PROTOCOL.md 1.2.
    """
    return _assemble(ed25519_pair(root_seed), ed25519_pair(entropy.bytes(32)), x25519_pair(entropy.bytes(32)), epoch_ms)


def dump_identity(identity: Identity) -> bytes:
    """All secrets of ``identity`` in plain, for an encrypted database."""
    secrets = (identity.root.secret, identity.cert.epoch_ms, identity.device.secret, identity.ik.secret)
    return encode(_Identity(1, *secrets))


def load_identity(data: bytes) -> Identity:
    """The inverse of :func:`dump_identity`.

    Raises:
        Corrupt: ``data`` was not dumped so.
    """
    stored = load(_identities, data)
    root, device = ed25519_pair(stored.root_seed), ed25519_pair(stored.device_seed)
    return _assemble(root, device, x25519_pair(stored.ik_secret), stored.epoch_ms)


def _assemble(root: KeyPair, device: KeyPair, ik: KeyPair, epoch_ms: int) -> Identity:
    c = encode(_CertBody(1, root.public, epoch_ms, device.public, ik.public))
    raw = encode(_Cert(c, sign(root, _DEVICE_LABEL + c), sign(device, _MEMBER_LABEL + c)))
    return Identity(root, device, ik, Cert(RootKey(root.public), epoch_ms, device.public, ik.public, c, raw))
