"""core/crypto against every value that the documents it names print (rfc.json).

RFC 8439 prints none that XChaCha20 could be given. Its AEAD is therefore a step: a second XChaCha20-Poly1305, made of
HChaCha20 as the draft writes it and of the ChaCha20-Poly1305 of another library, is held to the RFC and to the draft,
and ours to it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2pchat.core import crypto

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(Path(__file__).with_name("rfc.json").read_text(encoding="utf-8"))
H = bytes.fromhex
MASK = 0xFFFF_FFFF
COLUMNS = [(n, n + 4, n + 8, n + 12) for n in range(4)]
DIAGONALS = [(n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4) for n in range(4)]


def cases(part: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in VECTORS[part]]


def hchacha20(key: bytes, nonce16: bytes) -> bytes:
    """The subkey, as draft-irtf-cfrg-xchacha 2.2 writes it: ChaCha20's rounds without the last addition."""
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce16))

    def rotate(n: int, bits: int) -> None:
        s[n] = (s[n] << bits | s[n] >> (32 - bits)) & MASK

    for a, b, c, d in (COLUMNS + DIAGONALS) * 10:
        for (x, y, z), bits in zip(((a, b, d), (c, d, b)) * 2, (16, 12, 8, 7), strict=True):
            s[x] = (s[x] + s[y]) & MASK
            s[z] ^= s[x]
            rotate(z, bits)
    return struct.pack("<8I", *s[:4], *s[12:])


def xchacha20_poly1305(key: bytes, nonce24: bytes, message: bytes, aad: bytes) -> bytes:
    return ChaCha20Poly1305(hchacha20(key, nonce24[:16])).encrypt(bytes(4) + nonce24[16:], message, aad)


@pytest.mark.parametrize("case", cases("x25519"))
def test_x25519(case: Case) -> None:
    assert crypto.x25519(H(case["secret"]), H(case["public"])) == H(case["shared"])
    if "own" in case:
        assert crypto.x25519_pair(H(case["secret"])).public == H(case["own"])


@pytest.mark.parametrize("case", VECTORS["x25519_iterated"], ids=lambda case: str(case["times"]))
def test_x25519_iterated(case: Case) -> None:
    k = u = b"\x09" + bytes(31)
    for _ in range(case["times"]):
        k, u = crypto.x25519(k, u), k
    assert k == H(case["shared"])


@pytest.mark.parametrize("case", cases("ed25519"))
def test_ed25519(case: Case) -> None:
    pair, message, signature = crypto.ed25519_pair(H(case["seed"])), H(case["message"]), H(case["signature"])
    assert pair.public == H(case["public"])
    assert crypto.sign(pair, message) == signature
    assert crypto.verify(pair.public, message, signature)
    assert not crypto.verify(pair.public, message + b"\0", signature)


@pytest.mark.parametrize("case", cases("hkdf_sha256"))
def test_hkdf(case: Case) -> None:
    okm = H(case["okm"])
    assert crypto.hkdf(H(case["salt"]), H(case["ikm"]), H(case["info"]), len(okm)) == okm


@pytest.mark.parametrize("case", cases("hmac_sha256"))
def test_hmac(case: Case) -> None:
    assert crypto.hmac_sha256(H(case["key"]), H(case["message"])) == H(case["mac"])


@pytest.mark.parametrize("case", cases("blake2b"))
def test_blake2b(case: Case) -> None:
    assert crypto.blake2b_plain(H(case["message"]), 64) == H(case["digest"])


@pytest.mark.parametrize("case", cases("xchacha20poly1305"))
def test_xchacha20_poly1305(case: Case) -> None:
    key, nonce, aad, message = (H(case[name]) for name in ("key", "nonce", "aad", "message"))
    assert crypto.aead_seal(key, nonce, message, aad) == H(case["sealed"])
    assert crypto.aead_open(key, nonce, H(case["sealed"]), aad) == message
    assert xchacha20_poly1305(key, nonce, message, aad) == H(case["sealed"])


@pytest.mark.parametrize("case", cases("chacha20poly1305"))
def test_the_second_implementation_rests_on_the_aead_of_rfc_8439(case: Case) -> None:
    sealed = ChaCha20Poly1305(H(case["key"])).encrypt(H(case["nonce"]), H(case["message"]), H(case["aad"]))
    assert sealed == H(case["sealed"])


@pytest.mark.parametrize("case", cases("hchacha20"))
def test_the_second_implementation_rests_on_the_subkey_of_the_draft(case: Case) -> None:
    assert hchacha20(H(case["key"]), H(case["nonce"])) == H(case["subkey"])


@pytest.mark.parametrize("length", [0, 1, 16, 63, 64, 65, 256, 1_000])
def test_aead_is_the_second_implementation(length: int) -> None:
    drawn = hashlib.shake_256(b"aead %d" % length).digest(32 + 24 + 2 * length)
    key, nonce, message, aad = drawn[:32], drawn[32:56], drawn[56 : 56 + length], drawn[56 + length :]
    sealed = xchacha20_poly1305(key, nonce, message, aad)
    assert crypto.aead_seal(key, nonce, message, aad) == sealed
    assert crypto.aead_open(key, nonce, sealed, aad) == message
