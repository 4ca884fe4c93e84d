"""Bundles and who may ask for one (PROTOCOL.md 4.1)."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import nacl.encoding
import nacl.hash
import nacl.signing
import pytest

from p2pchat.base.errors import Corrupt, DecodeError, HandshakeError
from p2pchat.base.ids import PeerId, RootKey
from p2pchat.core.crypto import kem_public
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import (
    Bundle,
    PrekeySecret,
    ask_proof,
    dump_prekey,
    load_prekey,
    make_bundle,
    make_signed_prekey,
    open_bundle,
)
from p2pchat.testing.entropy import SeededEntropy
from tests.vectors.independent_session import pack

NOW_S = 1_800_000_000


@pytest.fixture
def identity() -> Identity:
    return create_identity(SeededEntropy(1), NOW_S * 1000)


@pytest.fixture
def secret(identity: Identity) -> PrekeySecret:
    entropy = SeededEntropy(2)
    return make_bundle(identity, make_signed_prekey(entropy, NOW_S), entropy, NOW_S, PRODUCTION)


def open_now(identity: Identity, raw: bytes, now_s: int = NOW_S) -> Bundle:
    return open_bundle(raw, identity.cert.root, now_s, PRODUCTION)


def forge(
    identity: Identity, secret: PrekeySecret, fields: dict[str, object], label: bytes = b"p2pchat/1 bundle\0"
) -> bytes:
    """The same bundle by the independent library, with other fields and a true signature."""
    cert, body, _ = msgpack.unpackb(secret.bundle)
    names = ("version", "iat", "exp", "spk", "kem", "opk")
    values = dict(zip(names, msgpack.unpackb(body), strict=True)) | fields
    b = pack(list(values.values()))
    signature = nacl.signing.SigningKey(identity.device.secret).sign(label + b).signature
    return pack([cert, b, signature])


def test_an_own_bundle_opens(identity: Identity, secret: PrekeySecret) -> None:
    bundle = open_now(identity, secret.bundle)
    assert bundle.cert == identity.cert
    assert (bundle.iat, bundle.exp) == (NOW_S, NOW_S + 86_400)
    assert secret.opk is not None
    assert (bundle.spk, bundle.opk) == (secret.spk.public, secret.opk.public)
    assert bundle.kem == kem_public(secret.kem_seed)
    prekey_id = nacl.hash.blake2b(secret.bundle, 16, encoder=nacl.encoding.RawEncoder)
    assert bundle.prekey_id == secret.prekey_id == prekey_id
    assert secret.expires_s == bundle.exp


def test_each_bundle_has_a_pair_of_its_own(identity: Identity) -> None:
    entropy = SeededEntropy(2)
    spk = make_signed_prekey(entropy, NOW_S)
    one, two = (make_bundle(identity, spk, entropy, NOW_S, PRODUCTION) for _ in range(2))
    assert one.spk == two.spk
    assert one.opk != two.opk
    assert one.kem_seed != two.kem_seed
    assert one.prekey_id != two.prekey_id


def test_a_reusable_bundle_has_no_one_time_key(identity: Identity, secret: PrekeySecret) -> None:
    assert open_now(identity, forge(identity, secret, {"opk": None})).opk is None


@pytest.mark.parametrize(
    "fields",
    [
        {"iat": NOW_S + 601},
        {"exp": NOW_S},
        {"iat": NOW_S - 604_801, "exp": NOW_S + 1},
        {"iat": NOW_S + 500, "exp": NOW_S + 400},
        {"iat": NOW_S + 500, "exp": NOW_S + 500},
    ],
    ids=["not yet", "no longer", "too long a life", "negative life", "no life"],
)
def test_a_bundle_out_of_time_is_refused(identity: Identity, secret: PrekeySecret, fields: dict[str, object]) -> None:
    with pytest.raises(HandshakeError):
        open_now(identity, forge(identity, secret, fields))


@pytest.mark.parametrize(
    "fields",
    [{"iat": NOW_S + 600}, {"exp": NOW_S + 1}, {"iat": NOW_S - 604_799, "exp": NOW_S + 1}],
    ids=["skew", "last second", "longest life"],
)
def test_a_bundle_at_its_bounds_opens(identity: Identity, secret: PrekeySecret, fields: dict[str, object]) -> None:
    open_now(identity, forge(identity, secret, fields))


@pytest.mark.parametrize(
    "fields",
    [{"version": 2}, {"iat": -1}, {"spk": b"s" * 31}, {"kem": b"k" * 1183}, {"opk": b""}, {"opk": b"o" * 33}],
    ids=["version", "negative", "short spk", "short kem", "empty opk", "long opk"],
)
def test_a_malformed_bundle_is_refused(identity: Identity, secret: PrekeySecret, fields: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        open_now(identity, forge(identity, secret, fields))


def test_a_bundle_of_another_root_is_refused(secret: PrekeySecret) -> None:
    with pytest.raises(HandshakeError):
        open_bundle(secret.bundle, RootKey(bytes(32)), NOW_S, PRODUCTION)


def test_a_bundle_signed_for_something_else_is_refused(identity: Identity, secret: PrekeySecret) -> None:
    with pytest.raises(HandshakeError):
        open_now(identity, forge(identity, secret, {}, label=b"dcd1/card\0"))


def test_a_bundle_signed_by_another_device_is_refused(identity: Identity, secret: PrekeySecret) -> None:
    other = create_identity(SeededEntropy(3), NOW_S * 1000)
    with pytest.raises(HandshakeError):
        open_now(identity, forge(replace(identity, device=other.device), secret, {}))


def test_no_bit_of_a_bundle_may_change(identity: Identity, secret: PrekeySecret) -> None:
    raw = secret.bundle
    for position in range(0, len(raw), 3):
        changed = raw[:position] + bytes([raw[position] ^ 0x10]) + raw[position + 1 :]
        with pytest.raises((DecodeError, HandshakeError)):
            open_now(identity, changed)


def test_ask_proof_is_the_keyed_hash_of_both_ends() -> None:
    responder, requester, ask = PeerId(b"\x00\x24" + b"r" * 36), PeerId(b"\x00\x24" + b"q" * 36), b"a" * 32
    proof = nacl.hash.blake2b(
        bytes(responder) + bytes(requester), 32, key=ask, person=b"dcd1/ask", encoder=nacl.encoding.RawEncoder
    )
    assert ask_proof(ask, responder, requester) == proof
    assert ask_proof(ask, requester, responder) != proof


def test_a_prekey_secret_survives_the_disk(secret: PrekeySecret) -> None:
    assert load_prekey(dump_prekey(secret)) == secret
    reusable = replace(secret, opk=None)
    assert load_prekey(dump_prekey(reusable)) == reusable


def test_a_damaged_prekey_secret_is_the_disks_fault(secret: PrekeySecret) -> None:
    with pytest.raises(Corrupt):
        load_prekey(dump_prekey(secret)[:-1])
