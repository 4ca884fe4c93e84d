"""The primitives, by the names that PROTOCOL.md section 0 gives them, over PyNaCl, `cryptography` and hashlib.

Nothing here draws randomness: what is random comes through :class:`Entropy`. Failures raise the declared errors only.
"""

from __future__ import annotations

import builtins
import hashlib
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final, Protocol

import nacl.bindings as sodium
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from nacl.exceptions import CryptoError

from p2pchat.base.errors import DecryptionError, HandshakeError

ZERO32: Final = bytes(32)
_SHA256: Final = SHA256()
PUBLIC_BYTES: Final = 32
KEM_PUBLIC_BYTES: Final = 1184
KEM_CIPHERTEXT_BYTES: Final = 1088
KEM_SEED_BYTES: Final = 64
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16


class Entropy(Protocol):
    """Where randomness comes from: the operating system in production, a seed in tests.

    ``encapsulate`` is here because the library draws its own randomness for it.
    """

    def bytes(self, n: int) -> builtins.bytes:
        """``n`` random bytes."""
        ...

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        """ML-KEM-768 toward ``kem_public`` (1184 bytes): (shared secret 32, ciphertext 1088).

        Raises:
            HandshakeError: the key is malformed.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A 32-byte private key or seed with its 32-byte public key."""

    secret: bytes = field(repr=False)
    public: bytes = field(repr=False)


def blake2b(person: str, data: bytes, n: int = 32, key: bytes = b"") -> bytes:
    """H(person, data, n, key). Source: PROTOCOL.md 0."""
    return hashlib.blake2b(data, digest_size=n, key=key, person=person.encode("ascii")).digest()


def blake2b_plain(data: bytes, n: int) -> bytes:
    """BLAKE2b-n without person and key. Source: PROTOCOL.md 0."""
    return hashlib.blake2b(data, digest_size=n).digest()


def hkdf(salt: bytes, ikm: bytes, info: bytes, n: int) -> bytes:
    """HKDF-SHA-256, ``n`` ≤ 8160 bytes. Source: RFC 5869."""
    prk = hmac_sha256(salt, ikm)
    out = block = b""
    counter = 1
    while len(out) < n:
        block = hmac_sha256(prk, block + info + bytes((counter,)))
        out += block
        counter += 1
    return out[:n]


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes. Source: RFC 2104."""
    mac = HMAC(key, _SHA256)
    mac.update(data)
    return mac.finalize()


def equal(a: bytes, b: bytes) -> bool:
    """Whether two secrets are the same, in constant time."""
    return compare_digest(a, b)


def x25519_pair(secret: bytes) -> KeyPair:
    """The X25519 pair of a 32-byte private key. Source: RFC 7748."""
    return KeyPair(secret, sodium.crypto_scalarmult_base(secret))


def x25519(secret: bytes, public: bytes) -> bytes:
    """The shared 32 bytes.

    Raises:
        HandshakeError: ``public`` is of low order or not 32 bytes.
    """
    if len(public) != PUBLIC_BYTES:  # the binding does not look
        raise HandshakeError("a public key was refused")
    try:
        return sodium.crypto_scalarmult(secret, public)
    except (CryptoError, ValueError, TypeError) as error:
        raise HandshakeError("a public key was refused") from error


def ed25519_pair(seed: bytes) -> KeyPair:
    """The Ed25519 pair of a 32-byte seed. Source: RFC 8032."""
    public, _ = sodium.crypto_sign_seed_keypair(seed)
    return KeyPair(seed, public)


def sign(pair: KeyPair, message: bytes) -> bytes:
    """A detached 64-byte Ed25519 signature."""
    return sodium.crypto_sign(message, pair.secret + pair.public)[: sodium.crypto_sign_BYTES]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) is ``public``'s over ``message``."""
    if len(signature) != sodium.crypto_sign_BYTES or len(public) != sodium.crypto_sign_PUBLICKEYBYTES:
        return False
    try:
        sodium.crypto_sign_open(signature + message, public)
    except CryptoError:
        return False
    return True


def aead_seal(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    """XChaCha20-Poly1305; the result is 16 bytes longer than ``plain``."""
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, nonce, key)


def aead_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """The inverse of :func:`aead_seal`.

    Raises:
        DecryptionError: it does not open.
    """
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, key)
    except (CryptoError, ValueError) as error:
        raise DecryptionError("a sealed part did not open") from error


def kem_public(seed: bytes) -> bytes:
    """The 1184-byte ML-KEM-768 public key of a 64-byte seed. Source: FIPS 203."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """(shared secret 32, ciphertext 1088) toward ``public``, with the library's own randomness: for Entropy ports only.

    Raises:
        HandshakeError: ``public`` is malformed.
    """
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError as error:
        raise HandshakeError("a KEM key was refused") from error


def kem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """The shared 32 bytes.

    Raises:
        HandshakeError: ``ciphertext`` has not the right length (a wrong one of right length yields another secret).
    """
    try:
        return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)
    except ValueError as error:
        raise HandshakeError("a KEM ciphertext was refused") from error
