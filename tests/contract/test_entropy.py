"""What every :class:`p2pchat.core.crypto.Entropy` and KEM must do: the machine's, and those that follow a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from p2pchat.base.errors import HandshakeError
from p2pchat.core import handshake
from p2pchat.core.crypto import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KEM_SEED_BYTES, Entropy, kem_public
from p2pchat.daemon.system import SystemEntropy
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.kem import counted_kem


def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """What the handshake uses now: the simulation's stands in the place of the library's."""
    found: bytes = vars(handshake)["kem_decapsulate"](seed, ciphertext)
    return found


class EntropyContract:
    """The suite; the KEM is whichever ``entropy`` and the handshake use."""

    def test_as_many_bytes_as_are_asked_for(self, entropy: Entropy) -> None:
        for count in (0, 1, 32, 63, 64, 65, 1_000):
            assert len(entropy.bytes(count)) == count

    def test_nothing_comes_twice(self, entropy: Entropy) -> None:
        drawn = [entropy.bytes(count) for _ in range(500) for count in (8, 100)]
        assert len({each[:8] for each in drawn}) == len(drawn)
        assert 0.49 < sum(each.bit_count() for each in b"".join(drawn)) / (8 * 108 * 500) < 0.51

    def test_both_ends_share_a_secret_and_nobody_shares_another(self, entropy: Entropy) -> None:
        seeds = [entropy.bytes(KEM_SEED_BYTES) for _ in range(2)]
        found: set[bytes] = set()
        for _ in range(5):
            secret, ciphertext = entropy.encapsulate(kem_public(seeds[0]))
            assert (len(secret), len(ciphertext)) == (32, KEM_CIPHERTEXT_BYTES)
            assert decapsulate(seeds[0], ciphertext) == secret
            found |= {secret, decapsulate(seeds[1], ciphertext)}
            changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
            found.add(decapsulate(seeds[0], changed))
            found |= {ciphertext, entropy.encapsulate(kem_public(seeds[1]))[1]}
        assert len(found) == 25

    @pytest.mark.parametrize("length", [0, 1, KEM_PUBLIC_BYTES - 1, KEM_PUBLIC_BYTES + 1])
    def test_a_key_of_another_length_is_refused(self, length: int, entropy: Entropy) -> None:
        with pytest.raises(HandshakeError):
            entropy.encapsulate(bytes(length))

    def test_a_key_that_is_none_is_refused(self, entropy: Entropy) -> None:
        """FIPS 203 7.2: each twelve bits are below the modulus."""
        with pytest.raises(HandshakeError):
            entropy.encapsulate(b"\xff" * KEM_PUBLIC_BYTES)

    @pytest.mark.parametrize("length", [0, KEM_CIPHERTEXT_BYTES - 1, KEM_CIPHERTEXT_BYTES + 1])
    def test_a_ciphertext_of_another_length_is_refused(self, length: int, entropy: Entropy) -> None:
        with pytest.raises(HandshakeError):
            decapsulate(entropy.bytes(KEM_SEED_BYTES), bytes(length))

    def test_a_seed_of_another_length_is_refused(self, entropy: Entropy) -> None:
        with pytest.raises(HandshakeError):
            decapsulate(bytes(KEM_SEED_BYTES - 1), bytes(KEM_CIPHERTEXT_BYTES))


class TestSystem(EntropyContract):
    @pytest.fixture
    def entropy(self) -> Entropy:
        return SystemEntropy()


class TestSeeded(EntropyContract):
    """With the library's KEM, and with the one that follows a seed."""

    @pytest.fixture(params=[nullcontext, counted_kem], ids=["library", "counted"])
    def entropy(self, request: pytest.FixtureRequest) -> Iterator[Entropy]:
        with request.param():
            yield SeededEntropy(3)

    def test_it_follows_from_the_seed(self) -> None:
        drawn: list[tuple[bytes, ...]] = []
        for seed in (7, 7, 8):
            with counted_kem():
                entropy = SeededEntropy(seed)
                first = entropy.bytes(64)
                drawn.append((first, entropy.bytes(5), *entropy.encapsulate(kem_public(first))))
        assert drawn[0] == drawn[1]
        assert not set(drawn[0]) & set(drawn[2])
