from __future__ import annotations

from p2pchat.core.crypto import ed25519_pair, sign, verify
from p2pchat.testing.once import computed_once


def test_what_is_remembered_is_what_would_be_computed() -> None:
    seeds = [bytes([number]) * 32 for number in range(3)]
    pairs = [ed25519_pair(seed) for seed in seeds]
    signature = sign(pairs[0], b"text")
    forged = bytes([signature[0] ^ 1]) + signature[1:]
    with computed_once():
        for _ in range(2):
            assert [ed25519_pair(seed) for seed in seeds] == pairs
            assert verify(pairs[0].public, b"text", signature)
            assert not verify(pairs[1].public, b"text", signature)
            assert not verify(pairs[0].public, b"texts", signature)
            assert not verify(pairs[0].public, b"text", forged)
