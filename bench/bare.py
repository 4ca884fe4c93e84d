"""The operations that PROTOCOL.md 4 cannot do without, one after the other and nothing between them.

They are called as :mod:`p2pchat.core.crypto` calls its libraries, on inputs of the same sizes. Coding, padding and
copying of state are left out: what a step takes beyond this is ours.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Final

import nacl.bindings as sodium
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from bench.measure import cpu_seconds
from p2pchat.core.crypto import KEM_SEED_BYTES, NONCE_BYTES, TAG_BYTES

_KEY: Final = bytes(range(32))
_NONCE: Final = bytes(NONCE_BYTES)
_HEADER: Final = bytes(41)
_HEADER_AD: Final = bytes(45)
_BODY_AD: Final = bytes(32 + 34 + len(_HEADER) + TAG_BYTES)
_SEED: Final = bytes(range(KEM_SEED_BYTES))


class Bare:
    """The operations, with their inputs ready.

    Args:
        padded_bytes: of a body before it is sealed.
    """

    def __init__(self, padded_bytes: int) -> None:
        self._padded = bytes(padded_bytes)
        self._sealed_header = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(_HEADER, _HEADER_AD, _NONCE, _KEY)
        self._sealed_body = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(self._padded, _BODY_AD, _NONCE, _KEY)
        self._public = sodium.crypto_scalarmult_base(_KEY)
        self._kem_public = MLKEM768PrivateKey.from_seed_bytes(_SEED).public_key().public_bytes_raw()
        _, self._kem_ciphertext = MLKEM768PublicKey.from_public_bytes(self._kem_public).encapsulate()
        self._signer, secret = sodium.crypto_sign_seed_keypair(_KEY)
        self._signed = sodium.crypto_sign(bytes(160), secret)

    def seal(self) -> None:
        """Keys of a message, a nonce, header and body."""
        _message_keys()
        nonce = os.urandom(NONCE_BYTES)
        sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(_HEADER, _HEADER_AD, nonce, _KEY)
        sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(self._padded, _BODY_AD, nonce, _KEY)

    def open(self) -> None:
        """Keys of a message, header and body."""
        _message_keys()
        sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(self._sealed_header, _HEADER_AD, _NONCE, _KEY)
        sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(self._sealed_body, _BODY_AD, _NONCE, _KEY)

    def turn(self) -> None:
        """A message that begins a chain: a key, two agreements; sealed and opened."""
        self._agree(2)
        self.seal()
        self.open()

    def initiate(self) -> None:
        """A bundle checked, a flight, its first envelope: 2 keys and 6 agreements, 3 signatures."""
        self._verify(3)
        self._agree(7)
        MLKEM768PublicKey.from_public_bytes(self._kem_public).encapsulate()
        MLKEM768PrivateKey.from_seed_bytes(_SEED).public_key().public_bytes_raw()
        self.seal()

    def accept(self) -> None:
        """A certificate checked, a flight accepted, its envelope opened, the answering chain: 1 key, 7 agreements."""
        self._verify(2)
        self._agree(7)
        MLKEM768PrivateKey.from_seed_bytes(_SEED).decapsulate(self._kem_ciphertext)
        MLKEM768PublicKey.from_public_bytes(self._kem_public).encapsulate()
        self.open()

    def _agree(self, agreements: int) -> None:
        sodium.crypto_scalarmult_base(_KEY)
        for _ in range(agreements):
            sodium.crypto_scalarmult(_KEY, self._public)

    def _verify(self, signatures: int) -> None:
        for _ in range(signatures):
            sodium.crypto_sign_open(self._signed, self._signer)


def rate(step: Callable[[], None], count: int) -> float:
    """How many times in a second of CPU ``step`` can be done, from ``count`` times in a row."""

    def work() -> None:
        for _ in range(count):
            step()

    return count / cpu_seconds(work)


def _message_keys() -> None:
    """A step of the chain, and HKDF of 48 bytes: 5 HMAC."""
    for _ in range(2):
        hmac.digest(_KEY, b"\x01", "sha256")
    prk = hmac.digest(_KEY, _KEY, "sha256")
    for _ in range(2):
        hmac.digest(prk, _KEY, "sha256")
