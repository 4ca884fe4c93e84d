"""One end of a double ratchet as the package DoubleRatchet has it, an implementation that knows nothing of ours.

The package brings the rules: when a root step is taken, which chain answers which, what is skipped, kept, refused and
dropped. It is given the primitives of PROTOCOL.md 4.3 as the second implementation in ``tests/vectors`` has them. What
it does not know rides in what is opaque to it:

- A KEM step is part of its Diffie-Hellman step. A *ratchet key* is our header without the counters: the X25519 key, and
  behind it the KEM key that the chain advertises and the ciphertext with which it answers. The *shared secret* is that
  of X25519 ‖ that of the ciphertext. Which chains advertise and answer is decided here, from the document.
- Header keys are what its root steps leave over: it takes 64 of the 96 bytes, the rest is noted.
- The associated data of a message is ours, ``ad ‖ prefix``, from which the nonce is read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import doubleratchet
import msgpack
from doubleratchet import EncryptedMessage, Header
from doubleratchet.models import DoubleRatchetModel
from nacl.exceptions import CryptoError

from tests.vectors import independent_session as second

T = TypeVar("T")
AD: Final = b"a" * 32
_NONCE: Final = slice(40, 64)  # within ad ‖ hint ‖ nonce ‖ …
_ACK_BYTES: Final = 16


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits: the package's are of that kind."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waited")


def drawn(seed: bytes, kind: str, step: int, n: int) -> bytes:
    """The private key or seed of a DH step, for both implementations the same."""
    return hashlib.shake_256(b"%s/%s/%d" % (seed, kind.encode(), step)).digest(n)


class Private(NamedTuple):
    """What stands behind a ratchet key, and the secret of its encapsulation to ``answers``, the key it was made for."""

    step: int
    secret: bytes
    kem_seed: bytes
    answers: bytes
    kem_secret: bytes
    kem_ciphertext: bytes

    @property
    def public(self) -> bytes:
        return _public(self)


@lru_cache(maxsize=64)  # asked for with every message of a chain
def _public(private: Private) -> bytes:
    advertised = second.kem_public(private.kem_seed) if private.kem_seed else b""
    flags = (1 if advertised else 0) + (2 if private.kem_ciphertext else 0)
    return bytes([flags]) + second.x_public(private.secret) + advertised + private.kem_ciphertext


def private_of(packed: bytes) -> Private:
    return Private(*msgpack.unpackb(packed))


def kem_parts(public: bytes) -> tuple[bytes, bytes]:
    """The KEM key and the ciphertext behind a ratchet key."""
    rest = public[33:]
    return rest[:1184] if public[0] & 1 else b"", rest[-1088:] if public[0] & 2 else b""


@dataclass
class Shared:
    """What both ends and both implementations have in common: the start, and the encapsulations, which are random."""

    seed: bytes
    kem_every: int
    encapsulated: dict[bytes, second.Kem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sk = drawn(self.seed, "sk", 0, 32)
        self.spk = Private(0, drawn(self.seed, "spk", 0, 32), b"", b"", b"", b"")

    def encapsulate(self, kem_public: bytes) -> second.Kem:
        if kem_public not in self.encapsulated:
            self.encapsulated[kem_public] = second.encapsulate(kem_public)
        return self.encapsulated[kem_public]


class MessageChain(doubleratchet.KDF):
    """The next chain key ‖ the message key."""

    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        assert (data, length) == (b"\x02\x01", 64)
        return b"".join(hmac.digest(key, bytes([constant]), "sha256") for constant in data)


class Body(doubleratchet.AEAD):
    """The sealed body ‖ its ack, which the receiver gives back with the content."""

    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        okm = second.hkdf(bytes(32), key, b"p2pchat/1 msg", 48)
        return second.aead(okm[:32], associated_data[_NONCE], second.pad(plaintext), associated_data) + okm[32:]

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        okm = second.hkdf(bytes(32), key, b"p2pchat/1 msg", 48)
        sealed = ciphertext[:-_ACK_BYTES]
        try:
            padded = second.aead_open(okm[:32], associated_data[_NONCE], sealed, associated_data)
        except CryptoError as error:
            raise doubleratchet.AuthenticationFailedException from error
        return padded[: padded.rindex(b"\x80")] + okm[32:]


class Ratchet(doubleratchet.DoubleRatchet):
    """The package's, whose associated data says everything already."""

    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:  # noqa: ARG004
        return associated_data


class Oracle:
    """One end. ``ratchet`` is None for a responder that has opened nothing.

    Args:
        name: whose draws it uses, ``a`` or ``b``.
        shared: with the other end.
        skip_per_message, skip_per_session: the limits.
    """

    def __init__(self, name: str, shared: Shared, skip_per_message: int, skip_per_session: int) -> None:
        self.shared = shared
        self.seed = shared.seed + name.encode()
        okm = second.hkdf(bytes(32), shared.sk, b"p2pchat/1 init", 96)
        self.init_rk, self.hk_a, self.nhk_b = okm[:32], okm[32:64], okm[64:]
        self.before: dict[bytes, bytes] = {}
        self.left_over: dict[bytes, bytes] = {}
        self.sealing = b""
        self.header_key_of_ratchet_key: dict[bytes, bytes] = {}
        self.ratchet: Ratchet | None = None
        self._limits = skip_per_message, skip_per_session
        self._dh, self._root = self._providers()

    def _providers(self) -> tuple[type[doubleratchet.DiffieHellmanRatchet], type[doubleratchet.KDF]]:
        """The package takes classes of static methods; these remember of which end they are."""
        oracle, received = self, [(-1, self.shared.spk.public)]

        class Root(doubleratchet.KDF):
            @staticmethod
            async def derive(key: bytes, data: bytes, length: int) -> bytes:
                okm = second.hkdf(key, data, b"p2pchat/1 ratchet", 96)
                oracle.before[okm[:32]], oracle.left_over[okm[:32]] = key, okm[64:]
                return okm[:length]

        class Hybrid(doubleratchet.DiffieHellmanRatchet):
            @staticmethod
            def _generate_priv() -> bytes:
                step, answers = received[0][0] + 1, received[0][1]
                their_kem, _ = kem_parts(answers)
                secret, ciphertext = oracle.shared.encapsulate(their_kem) if their_kem else (b"", b"")
                advertises = step % oracle.shared.kem_every == 0
                seed = drawn(oracle.seed, "kem", step, 64) if advertises else b""
                dhs = drawn(oracle.seed, "dhs", step, 32)
                return second.pack(list(Private(step, dhs, seed, answers, secret, ciphertext)))

            @staticmethod
            def _derive_pub(priv: bytes) -> bytes:
                return private_of(priv).public

            @staticmethod
            def _perform_diffie_hellman(own_priv: bytes, other_pub: bytes) -> bytes:
                own = private_of(own_priv)
                agreed = second.x25519(own.secret, other_pub[1:33])
                if own.answers == other_pub:
                    return agreed + own.kem_secret
                received[0] = own.step, other_pub
                _, ciphertext = kem_parts(other_pub)
                if bool(own.kem_seed) != bool(ciphertext):
                    raise doubleratchet.AuthenticationFailedException
                return agreed + (second.decapsulate(own.kem_seed, ciphertext) if ciphertext else b"")

        return Hybrid, Root

    def seal(self, content: bytes, prefix: bytes) -> EncryptedMessage:
        """The package's message, under the nonce in ``prefix``."""
        if self.ratchet is not None:
            return finished(self.ratchet.encrypt_message(content, AD + prefix))
        self.ratchet, message = finished(
            Ratchet.encrypt_initial_message(
                self._dh,
                self._root,
                MessageChain,
                b"\x02\x01",
                *self._limits,
                Body,
                self.init_rk,
                self.shared.spk.public,
                content,
                AD + prefix,
            )
        )
        return message

    def open(self, message: EncryptedMessage, prefix: bytes) -> bytes:
        """Content ‖ ack; raises what the package raises, and then nothing has changed."""
        if self.ratchet is not None:
            return finished(self.ratchet.decrypt_message(message, AD + prefix))
        self.ratchet, content = finished(
            Ratchet.decrypt_initial_message(
                self._dh,
                self._root,
                MessageChain,
                b"\x02\x01",
                *self._limits,
                Body,
                self.init_rk,
                second.pack(list(self.shared.spk)),
                message,
                AD + prefix,
            )
        )
        return content

    @property
    def model(self) -> DoubleRatchetModel:
        assert self.ratchet is not None
        return self.ratchet.model

    def next_header_key(self, rk: bytes) -> bytes:
        """What the root step to ``rk`` left over; what stands for it where there was none."""
        return self.nhk_b if rk == self.init_rk else self.left_over[rk]

    def header_key(self, rk: bytes) -> bytes:
        """That of the chain which the root step to ``rk`` made: what the last step but one left over."""
        last = self.before[rk]
        return self.hk_a if last == self.init_rk else self.next_header_key(self.before[last])

    def envelope(self, message: EncryptedMessage, prefix: bytes) -> bytes:
        """What stands on the wire for ``message``, just sealed; of ``prefix`` only the nonce is used."""
        ratchet_key, pn, n = message.header
        if n == 0:
            self.sealing = self.header_key(self.model.diffie_hellman_ratchet.root_chain.key)
        key, nonce = self.sealing, prefix[8:32]
        header = ratchet_key[:33] + pn.to_bytes(4, "big") + n.to_bytes(4, "big") + ratchet_key[33:]
        sealed = second.aead(key, nonce, header, b"p2pchat/1 hdr" + AD)
        return second.hint(key) + nonce + len(sealed).to_bytes(2, "big") + sealed + message.ciphertext[:-_ACK_BYTES]
