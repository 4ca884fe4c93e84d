"""A KEM that draws nothing from the machine, so that a run of whole nodes can be repeated to the byte.

The library's encapsulation takes no seed, and what it draws comes to be in every secret, envelope and id after it. This
one keeps what sessions rely on (lengths, both ends share a secret, another ciphertext gives another one, what is no key
is refused) and hides nothing: for simulations.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey

from p2pchat.base.errors import HandshakeError
from p2pchat.core import handshake, ratchet
from p2pchat.core.crypto import KEM_CIPHERTEXT_BYTES, KEM_SEED_BYTES, kem_public
from p2pchat.testing import entropy


@contextmanager
def counted_kem() -> Generator[None]:
    """Every KEM of what is run inside: the n-th ciphertext follows from n and the public key."""
    number = itertools.count()

    def encapsulate(public: bytes) -> tuple[bytes, bytes]:
        try:
            MLKEM768PublicKey.from_public_bytes(public)
        except ValueError as error:
            raise HandshakeError("a KEM key was refused") from error
        ciphertext = hashlib.shake_256(public + next(number).to_bytes(8, "big")).digest(KEM_CIPHERTEXT_BYTES)
        return _shared(public, ciphertext), ciphertext

    def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
        if len(ciphertext) != KEM_CIPHERTEXT_BYTES or len(seed) != KEM_SEED_BYTES:
            raise HandshakeError("a KEM ciphertext was refused")
        return _shared(kem_public(seed), ciphertext)

    with ExitStack() as stack:
        stack.enter_context(patch.object(entropy, "kem_encapsulate", encapsulate))
        for module in (handshake, ratchet):
            stack.enter_context(patch.object(module, "kem_decapsulate", decapsulate))
        yield


def _shared(public: bytes, ciphertext: bytes) -> bytes:
    return hashlib.blake2b(public + ciphertext, digest_size=32).digest()
