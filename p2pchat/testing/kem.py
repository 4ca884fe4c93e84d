"""A KEM that draws nothing from the machine, so that a run of whole nodes can be repeated to the byte.

The library's encapsulation takes no seed, and what it draws comes to be in every secret, envelope and id after it. This
one keeps what sessions rely on (lengths, both ends share a secret, another ciphertext gives another one) and hides
nothing: for simulations. The real one is tested where it is used.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final
from unittest.mock import patch

from p2pchat.base.errors import HandshakeError
from p2pchat.core import handshake, ratchet
from p2pchat.core.crypto import kem_public
from p2pchat.testing import entropy

_CIPHERTEXT_BYTES: Final = 1_088
_PUBLIC_BYTES: Final = 1_184


@contextmanager
def counted_kem() -> Generator[None]:
    """Every KEM of what is run inside: the n-th ciphertext follows from n and the public key."""
    number = itertools.count()

    def encapsulate(public: bytes) -> tuple[bytes, bytes]:
        if len(public) != _PUBLIC_BYTES:
            raise HandshakeError("a KEM key was refused")
        ciphertext = hashlib.shake_256(public + next(number).to_bytes(8, "big")).digest(_CIPHERTEXT_BYTES)
        return _shared(public, ciphertext), ciphertext

    def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
        if len(ciphertext) != _CIPHERTEXT_BYTES:
            raise HandshakeError("a KEM ciphertext was refused")
        return _shared(kem_public(seed), ciphertext)

    with ExitStack() as stack:
        stack.enter_context(patch.object(entropy, "kem_encapsulate", encapsulate))
        for module in (handshake, ratchet):
            stack.enter_context(patch.object(module, "kem_decapsulate", decapsulate))
        yield


def _shared(public: bytes, ciphertext: bytes) -> bytes:
    return hashlib.blake2b(public + ciphertext, digest_size=32).digest()
