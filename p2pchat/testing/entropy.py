"""Entropy from a seed, so that a simulation can be run again."""

from __future__ import annotations

import builtins
import hashlib

from p2pchat.core.crypto import kem_encapsulate


class SeededEntropy:
    """An Entropy port whose ``bytes`` follow from ``seed``: BLAKE2b of a counter.

    ``encapsulate`` is the library's, which draws its own randomness: what depends on it differs between runs.
    """

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()
        self._counter = 0

    def bytes(self, n: int) -> builtins.bytes:
        """The next ``n`` bytes."""
        out = b""
        while len(out) < n:
            out += hashlib.blake2b(self._counter.to_bytes(8, "big"), key=self._key).digest()
            self._counter += 1
        return out[:n]

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        """See :class:`p2pchat.core.crypto.Entropy`."""
        return kem_encapsulate(kem_public)
