"""The primitives against published values, and every way in which they must refuse.

tests/vectors/primitives.json is a selection of Project Wycheproof; what its files lack is from the RFCs named here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import pytest

from p2pchat.base.errors import DecryptionError, HandshakeError
from p2pchat.core import crypto
from p2pchat.testing.entropy import SeededEntropy

H = bytes.fromhex
Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "primitives.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", VECTORS["x25519"])
def test_x25519_is_the_agreement_and_refuses_an_all_zero_one(case: Case) -> None:
    if case["valid"]:
        assert crypto.x25519(H(case["secret"]), H(case["public"])) == H(case["shared"])
    else:
        assert not any(H(case["shared"]))
        with pytest.raises(HandshakeError):
            crypto.x25519(H(case["secret"]), H(case["public"]))


def test_x25519_pair_is_that_of_rfc_7748() -> None:
    bob = crypto.x25519_pair(H("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert bob.public == H("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    alice_public = H("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    shared = H("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert crypto.x25519(bob.secret, alice_public) == shared


@pytest.mark.parametrize("length", [0, 31, 33])
def test_x25519_refuses_keys_of_other_lengths(length: int) -> None:
    with pytest.raises(HandshakeError):
        crypto.x25519(bytes(range(32)), b"\x09" * length)


def test_ed25519_is_that_of_rfc_8032() -> None:
    pair = crypto.ed25519_pair(H("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert pair.public == H("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = H(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert crypto.sign(pair, b"") == signature


@pytest.mark.parametrize("case", VECTORS["ed25519"])
def test_verify(case: Case) -> None:
    assert crypto.verify(H(case["public"]), H(case["message"]), H(case["signature"])) is case["valid"]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_verify_refuses_keys_of_other_lengths(length: int) -> None:
    assert not crypto.verify(bytes(length), b"", bytes(64))


@pytest.mark.parametrize("case", VECTORS["hkdf_sha256"])
def test_hkdf(case: Case) -> None:
    okm = H(case["okm"])
    assert crypto.hkdf(H(case["salt"]), H(case["ikm"]), H(case["info"]), len(okm)) == okm


def test_hmac_is_that_of_rfc_4231() -> None:
    tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert crypto.hmac_sha256(b"Jefe", b"what do ya want for nothing?") == H(tag)


@pytest.mark.parametrize("case", VECTORS["xchacha20poly1305"])
def test_aead(case: Case) -> None:
    key, nonce, aad, sealed = (H(case[name]) for name in ("key", "nonce", "aad", "sealed"))
    if case["valid"]:
        assert crypto.aead_open(key, nonce, sealed, aad) == H(case["message"])
        assert crypto.aead_seal(key, nonce, H(case["message"]), aad) == sealed
    else:
        with pytest.raises(DecryptionError):
            crypto.aead_open(key, nonce, sealed, aad)


@pytest.mark.parametrize("length", [0, 1, 15, 16])
def test_aead_refuses_what_is_too_short(length: int) -> None:
    with pytest.raises(DecryptionError):
        crypto.aead_open(bytes(32), bytes(24), bytes(length), b"")


def test_blake2b_is_that_of_libsodium() -> None:
    """A second implementation, because the RFC has no personalised values."""
    theirs = sodium.crypto_generichash_blake2b_salt_personal(b"data", 20, b"k" * 32, b"", b"dcd1/loc")
    assert crypto.blake2b("dcd1/loc", b"data", 20, b"k" * 32) == theirs


def test_blake2b_without_person_is_that_of_rfc_7693() -> None:
    assert crypto.blake2b_plain(b"abc", 64).hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b7")
    assert crypto.blake2b_plain(b"abc", 32) == crypto.blake2b("", b"abc", 32)


@pytest.mark.parametrize("case", VECTORS["mlkem768"])
def test_kem_decapsulate(case: Case) -> None:
    if case["valid"]:
        assert crypto.kem_public(H(case["seed"])) == H(case["public"])
        assert crypto.kem_decapsulate(H(case["seed"]), H(case["ciphertext"])) == H(case["shared"])
    else:
        with pytest.raises(HandshakeError):
            crypto.kem_decapsulate(H(case["seed"]), H(case["ciphertext"]))


@pytest.mark.parametrize("case", VECTORS["mlkem768_public"])
def test_kem_encapsulate_refuses_a_key_that_is_not_reduced(case: Case) -> None:
    if case["valid"]:
        assert len(crypto.kem_encapsulate(H(case["public"]))[1]) == crypto.KEM_CIPHERTEXT_BYTES
    else:
        with pytest.raises(HandshakeError):
            crypto.kem_encapsulate(H(case["public"]))


def test_kem_agrees_and_a_changed_ciphertext_yields_another_secret() -> None:
    seed = bytes(range(64))
    secret, ciphertext = crypto.kem_encapsulate(crypto.kem_public(seed))
    assert crypto.kem_decapsulate(seed, ciphertext) == secret
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert crypto.kem_decapsulate(seed, changed) != secret


@pytest.mark.parametrize("length", [0, 1183, 1185])
def test_kem_encapsulate_refuses_other_lengths(length: int) -> None:
    with pytest.raises(HandshakeError):
        crypto.kem_encapsulate(bytes(length))


def test_equal() -> None:
    assert crypto.equal(b"abc", b"abc")
    assert not crypto.equal(b"abc", b"abd")
    assert not crypto.equal(b"abc", b"ab")


def test_a_key_pair_shows_nothing() -> None:
    assert repr(crypto.KeyPair(b"s" * 32, b"p" * 32)) == "KeyPair()"


def test_seeded_entropy_repeats_and_never_twice_the_same() -> None:
    one, again, other = SeededEntropy(1), SeededEntropy(1), SeededEntropy(2)
    drawn = [one.bytes(n) for n in (24, 32, 64, 200)]
    assert drawn == [again.bytes(n) for n in (24, 32, 64, 200)]
    assert [len(x) for x in drawn] == [24, 32, 64, 200]
    starts = {x[:24] for x in drawn} | {other.bytes(24)}
    assert len(starts) == 5
