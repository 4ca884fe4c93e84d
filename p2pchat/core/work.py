"""Proof of work of a record (PROTOCOL.md 3.2).

Mining holds the interpreter lock for 0.04 to several seconds, so it runs in a child process: this module imports
nothing but hashlib, and loads in milliseconds.
"""

from __future__ import annotations

import hashlib

DIGEST_BYTES = 32
NONCE_BYTES = 8
_PERSON = b"dcd1/pow"


def leading_zero_bits(digest: bytes) -> int:
    """How many zero bits stand at the front of ``digest``."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def work_of(h32: bytes, nonce8: bytes) -> int:
    """The work that ``nonce8`` proves for ``h32``, in bits.

    Args:
        h32: H("dcd1/powm", M ‖ gate_sig ‖ writer_sig, 32), 32 bytes.
        nonce8: 8 bytes.

    Source: PROTOCOL.md 3.2.
    """
    return leading_zero_bits(hashlib.blake2b(h32 + nonce8, digest_size=DIGEST_BYTES, person=_PERSON).digest())


def mine(h32: bytes, bits: int) -> bytes:
    """The first 8-byte nonce, counting from zero, whose work for ``h32`` (32 bytes) is at least ``bits`` (0 to 255).

    Concurrency: blocks for about 2^bits hashes and cannot be interrupted: for a child process.

    Source: PROTOCOL.md 3.2.
    """
    limit = ((1 << (8 * DIGEST_BYTES - bits)) - 1).to_bytes(DIGEST_BYTES, "big")
    base = hashlib.blake2b(h32, digest_size=DIGEST_BYTES, person=_PERSON)
    counter = 0
    while True:
        nonce = counter.to_bytes(NONCE_BYTES, "big")
        attempt = base.copy()
        attempt.update(nonce)
        if attempt.digest() <= limit:
            return nonce
        counter += 1
