"""The state of a double ratchet, and its two dumps (PROTOCOL.md 4.3).

A state never changes: encrypting and decrypting return another one. It consists of a root key, at most one chain in
each direction, the header key that will open the next DH step, and the keys of messages that were overtaken. Skipped
keys are dumped apart, because they are large when there are any and seldom change: where they did not, ``skipped`` is
the same tuple object. The parts are forms, so they are stored as they are, and their reprs are silent.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from p2pchat.base.silent import Silent
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import ZERO32, KeyPair, hkdf
from p2pchat.core.envelope import HINT_BYTES
from p2pchat.core.params import PRODUCTION
from p2pchat.core.stored import load as load_stored
from p2pchat.core.structs import U32, U64, Bytes8, Bytes32, Bytes64, Form, KemCiphertext, KemPublic

CORE_MAX_BYTES: Final = 4_096

_HINT_LABEL: Final = b"p2pchat/1 hint"
_SKIPPED_BYTES: Final = 128  # each at most


class HeaderKey(Form, frozen=True):
    """The key that seals the headers of one chain, and the hint under which its envelopes are recognised."""

    key: Bytes32
    hint: Bytes8


class SendingChain(Form, frozen=True):
    """hks, cks, ns, pn, and what every header carries: an own KEM key advertised, a ciphertext that answers one."""

    header: HeaderKey
    key: Bytes32
    n: U64
    pn: U32
    kem_seed: Bytes64 | None
    kem_public: KemPublic | None
    kem_ciphertext: KemCiphertext | None


class ReceivingChain(Form, frozen=True):
    """hkr, ckr, nr: ``n`` is the lowest position that was not yet passed."""

    header: HeaderKey
    key: Bytes32
    n: U64


class SkippedKey(Form, frozen=True):
    """The message key of an envelope that was overtaken, kept until ``until_s`` (unix seconds)."""

    header: HeaderKey
    n: U32
    key: Bytes32
    until_s: U64


class RatchetState(Silent, msgspec.Struct, frozen=True, kw_only=True):
    """rk, dhs, nhks, nhkr, the DH step counter, the chains, and the skipped keys (oldest first)."""

    rk: bytes
    dhs: KeyPair
    nhks: bytes
    nhkr: HeaderKey
    step: int
    sending: SendingChain | None
    receiving: ReceivingChain | None
    skipped: tuple[SkippedKey, ...] = ()


class _Core(Form, frozen=True):
    version: Literal[1]
    rk: Bytes32
    dhs_secret: Bytes32
    dhs_public: Bytes32
    nhks: Bytes32
    nhkr: HeaderKey
    step: U64
    sending: SendingChain | None
    receiving: ReceivingChain | None


_cores: Decoder[_Core] = Decoder(_Core, CORE_MAX_BYTES)
_skipped: Decoder[tuple[SkippedKey, ...]] = Decoder(
    tuple[SkippedKey, ...], _SKIPPED_BYTES * PRODUCTION.skip_per_session
)


def header_key(key: bytes) -> HeaderKey:
    """``key`` (32 bytes) with its hint. Source: PROTOCOL.md 4.3."""
    return HeaderKey(key, hkdf(ZERO32, key, _HINT_LABEL, HINT_BYTES))


def hints(state: RatchetState) -> frozenset[bytes]:
    """The 8-byte hints of all envelopes that ``state`` would try a key on. Source: PROTOCOL.md 4.4."""
    found = {skipped.header.hint for skipped in state.skipped}
    found.add(state.nhkr.hint)
    if state.receiving is not None:
        found.add(state.receiving.header.hint)
    return frozenset(found)


def dump_core(state: RatchetState) -> bytes:
    """Everything but the skipped keys, secrets in plain, for an encrypted database: at most ``CORE_MAX_BYTES``."""
    chains = (state.sending, state.receiving)
    return encode(_Core(1, state.rk, state.dhs.secret, state.dhs.public, state.nhks, state.nhkr, state.step, *chains))


def dump_skipped(state: RatchetState) -> bytes:
    """The skipped keys, secrets in plain, for an encrypted database."""
    return encode(state.skipped)


def load(core: bytes, skipped: bytes) -> RatchetState:
    """The state that was dumped in two parts.

    Raises:
        Corrupt: these are not such parts.
    """
    stored = load_stored(_cores, core)
    return RatchetState(
        rk=stored.rk,
        dhs=KeyPair(stored.dhs_secret, stored.dhs_public),
        nhks=stored.nhks,
        nhkr=stored.nhkr,
        step=stored.step,
        sending=stored.sending,
        receiving=stored.receiving,
        skipped=load_stored(_skipped, skipped),
    )
