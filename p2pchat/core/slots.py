"""Era, root, epoch, slot and the own keys in it (PROTOCOL.md 3.1).

A root is derived once an era from the *pair* of numbers, slowly. Everything else follows from it in microseconds::

    numbers, era ── Argon2id ──▶ R ── epoch ──▶ slot: loc, gate, kenc
                                                  └── with idsec ──▶ own writer and eph in that slot

A slot is addressed by ``loc``, the hash of the gate's public key: whoever knows R can write there, nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import nacl.exceptions
from nacl.pwhash import argon2id

from p2pchat.base.errors import InternalError, UsageError
from p2pchat.core.crypto import KeyPair, blake2b, ed25519_pair, x25519_pair
from p2pchat.core.params import Params

ROOT_BYTES: Final = 32
IDSEC_BYTES: Final = 32
_PAIR_KIND: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of the records DHT: a root (32 bytes) in an epoch.

    Attributes:
        loc: 32 bytes, its address.
        gate: the Ed25519 pair that admits to writing there.
        kenc: 32 bytes, the key that its records are sealed with.

    Source: PROTOCOL.md 3.1.
    """

    root: bytes = field(repr=False)
    epoch: int
    gate: KeyPair = field(init=False, repr=False, compare=False)
    loc: bytes = field(init=False, repr=False, compare=False)
    kenc: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at = _u32(self.epoch)
        gate = ed25519_pair(blake2b("dcd1/gate", at, 32, self.root))
        object.__setattr__(self, "gate", gate)
        object.__setattr__(self, "loc", blake2b("dcd1/loc", gate.public, 32))
        object.__setattr__(self, "kenc", blake2b("dcd1/enc", at, 32, self.root))


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """My own Ed25519 writer and X25519 eph in one slot, from idsec. Source: PROTOCOL.md 3.1."""

    writer: KeyPair = field(repr=False)
    eph: KeyPair = field(repr=False)


def era(t: int, params: Params) -> int:
    """The era of unix second ``t``. Source: PROTOCOL.md 3.1."""
    return t // params.era_s


def derive_root(own: str, other: str, era: int, params: Params) -> bytes:
    """The 32-byte root R of a pair of numbers in an era; the order of the two does not matter.

    Concurrency: blocks for about 0.6 s and takes 256 MiB in production: for a worker thread, one at a time.

    Raises:
        UsageError: a number with itself.
        InternalError: the memory cannot be had.

    Source: PROTOCOL.md 3.1.
    """
    lower, higher = (own, other) if role(own, other) == 0 else (other, own)
    password = _PAIR_KIND + _lp8(lower) + _lp8(higher)
    salt = blake2b("dcd1/salt", _PAIR_KIND + _u32(era), argon2id.SALTBYTES)
    try:
        return argon2id.kdf(ROOT_BYTES, password, salt, params.argon2_ops, params.argon2_memory_bytes)
    except (nacl.exceptions.RuntimeError, MemoryError) as error:
        raise InternalError("There is not enough memory to derive the root of a contact.") from error


def role(own: str, other: str) -> int:
    """0 for the owner of the lower number, 1 for that of the higher.

    Raises:
        UsageError: a number with itself.

    Source: PROTOCOL.md 3.1.
    """
    if own == other:
        raise UsageError("A number cannot be a contact of itself.")
    return 0 if own.encode("ascii") < other.encode("ascii") else 1


def offset(root: bytes, params: Params) -> int:
    """By how many seconds the epochs of ``root`` (32 bytes) begin before multiples of the epoch's length."""
    return int.from_bytes(blake2b("dcd1/off", b"", 4, root), "big") % params.epoch_s


def epoch(root: bytes, t: int, params: Params) -> int:
    """The epoch of ``root`` (32 bytes) at unix second ``t``. Source: PROTOCOL.md 3.1."""
    return (t + offset(root, params)) // params.epoch_s


def era_of_epoch(root: bytes, epoch: int, params: Params) -> int:
    """The era in which an epoch of ``root`` (32 bytes) begins: its idsec makes the own keys where no era ends the root.

    Source: PROTOCOL.md 3.1.
    """
    return era(max(0, epoch * params.epoch_s - offset(root, params)), params)


def own_keys(slot: Slot, idsec: bytes) -> OwnKeys:
    """My writer and eph in ``slot``, from the ``idsec`` (32 bytes) of the pair root's era. Source: PROTOCOL.md 3.1."""
    return OwnKeys(own_writer(slot, idsec), x25519_pair(blake2b("dcd1/eph", slot.loc, 32, idsec)))


def own_writer(slot: Slot, idsec: bytes) -> KeyPair:
    """My Ed25519 writer in ``slot``, from the ``idsec`` (32 bytes) of the pair root's era. Source: PROTOCOL.md 3.1."""
    return ed25519_pair(blake2b("dcd1/wkey", slot.loc, 32, idsec))


def next_idsec(idsec: bytes) -> bytes:
    """The idsec of the following era, 32 bytes; there is no way back. Source: PROTOCOL.md 3.1."""
    return blake2b("dcd1/era", b"", IDSEC_BYTES, idsec)


def active_eras(t: int, params: Params) -> tuple[tuple[int, bool], ...]:
    """The eras whose roots are in use at unix second ``t``, oldest first, each with whether hellos are published in it.

    Source: PROTOCOL.md 3.1.
    """
    return _active(t, params.era_s, params)


def active_epochs(root: bytes, t: int, params: Params) -> tuple[tuple[int, bool], ...]:
    """The same for the epochs of ``root`` (32 bytes). A hello is published where both era and epoch say so."""
    return _active(t + offset(root, params), params.epoch_s, params)


def next_slot_s(root: bytes, t: int, params: Params) -> int:
    """Seconds from unix second ``t`` until the next slot of ``root`` (32 bytes), or the next era, is begun."""
    ends = ((t, params.era_s), (t + offset(root, params), params.epoch_s))
    return min((length - params.publish_next_s - since - 1) % length + 1 for since, length in ends)


def _active(t: int, length: int, params: Params) -> tuple[tuple[int, bool], ...]:
    current, since = divmod(t, length)
    previous = ((current - 1, False),) if current > 0 and since < params.read_previous_s else ()
    following = ((current + 1, True),) if length - since <= params.publish_next_s else ()
    return (*previous, (current, True), *following)


def _u32(n: int) -> bytes:
    return n.to_bytes(4, "big")


def _lp8(text: str) -> bytes:
    raw = text.encode("ascii")
    return bytes((len(raw),)) + raw
