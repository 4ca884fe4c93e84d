"""A thief with a copied state and the whole wire, before and after: it tries whatever the keys that it has can yield.

It is built on the second implementation's derivations, so that it reads by what it knows and not by what our receiver
would do: the rest of both chains, what was overtaken, and each chain that it can compute the root step of. Given the
private halves of all ratchet keys it stands for one who breaks X25519; ML-KEM it never breaks.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from p2pchat.core.ratchet_state import RatchetState
from tests.vectors import independent_session as second


@dataclass
class Chain:
    """A chain from position ``n`` on."""

    header_key: bytes
    chain_key: bytes
    n: int


@dataclass
class Header:
    """What an opened header says."""

    dhs: bytes
    n: int
    kem_public: bytes
    kem_ciphertext: bytes


class Unreadable(Exception):
    """The thief lacks a key."""


@dataclass
class Thief:
    """Reads the wire in the order in which it was sealed.

    Args:
        stolen: all that the victim had.
        ad: of the session.
        broken: private halves of X25519 keys by their public ones, the stolen one apart.
    """

    stolen: RatchetState
    ad: bytes
    broken: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    def __post_init__(self) -> None:
        state = self.stolen
        self.rk, self.nhkr, self.nhks = state.rk, state.nhkr.key, state.nhks
        self.private = {**self.broken, state.dhs.public: state.dhs.secret}
        self.own, self.peer = state.dhs.public, b""
        self.lost = False  # a root step was missed, so none after it can be computed
        self.seeds: dict[bytes, bytes] = {}
        self.advertised = b""  # the KEM key of the newest chain, either's
        self.chains: dict[bytes, Chain] = {}
        self.message_keys = {(skipped.header.key, skipped.n): skipped.key for skipped in state.skipped}
        self.header_keys = {skipped.header.hint: skipped.header.key for skipped in state.skipped}
        for chain in (state.sending, state.receiving):
            if chain is not None:
                self.know(Chain(chain.header.key, chain.key, chain.n))
        if state.sending is not None and state.sending.kem_seed is not None:
            self.advertised = second.kem_public(state.sending.kem_seed)
            self.seeds[self.advertised] = state.sending.kem_seed

    def know(self, chain: Chain) -> None:
        self.chains[chain.header_key] = chain
        self.header_keys[second.hint(chain.header_key)] = chain.header_key

    def read(self, envelope: bytes) -> bytes | None:
        """The content, or None where it stays closed."""
        try:
            return self.open(envelope)
        except Unreadable:
            return None

    def open(self, envelope: bytes) -> bytes:
        key = self.header_keys.get(envelope[:8]) or self.follow(envelope)
        nonce, length = envelope[8:32], int.from_bytes(envelope[32:34], "big")
        prefix, body = envelope[: 34 + length], envelope[34 + length :]
        okm = second.hkdf(bytes(32), self.message_key(key, self.header(envelope, key).n), b"p2pchat/1 msg", 48)
        padded = second.aead_open(okm[:32], nonce, body, self.ad + prefix)
        return padded[: padded.rindex(b"\x80")]

    def follow(self, envelope: bytes) -> bytes:
        """The header key of a chain that begins; whoever misses one has lost the conversation."""
        by_hint = {second.hint(self.nhkr): (self.nhkr, self.follow_peer)}
        if self.peer:
            by_hint[second.hint(self.nhks)] = (self.nhks, self.follow_victim)
        if self.lost or envelope[:8] not in by_hint:
            raise Unreadable
        key, follow = by_hint[envelope[:8]]
        self.lost = True
        follow(self.header(envelope, key))
        self.lost = False
        return key

    def header(self, envelope: bytes, key: bytes) -> Header:
        length = int.from_bytes(envelope[32:34], "big")
        plain = second.aead_open(key, envelope[8:32], envelope[34 : 34 + length], b"p2pchat/1 hdr" + self.ad)
        kem = plain[41:1225] if plain[0] & 1 else b""
        return Header(plain[1:33], int.from_bytes(plain[37:41], "big"), kem, plain[-1088:] if plain[0] & 2 else b"")

    def message_key(self, key: bytes, n: int) -> bytes:
        chain = self.chains.get(key)
        while chain is not None and chain.n <= n:
            self.message_keys[key, chain.n] = hmac.digest(chain.chain_key, b"\x01", "sha256")
            chain.chain_key = hmac.digest(chain.chain_key, b"\x02", "sha256")
            chain.n += 1
        if (key, n) not in self.message_keys:
            raise Unreadable
        return self.message_keys[key, n]

    def agreed(self, public: bytes, other: bytes) -> bytes:
        """X25519 of two public keys, one of whose private halves is at hand."""
        for mine, theirs in ((public, other), (other, public)):
            if mine in self.private:
                return second.x25519(self.private[mine], theirs)
        raise Unreadable

    def encapsulated(self, public: bytes, ciphertext: bytes) -> bytes:
        """The secret in ``ciphertext`` to the key ``public``; empty where the chain answers none."""
        if not ciphertext:
            return b""
        if public not in self.seeds:
            raise Unreadable
        return second.decapsulate(self.seeds[public], ciphertext)

    def follow_peer(self, header: Header) -> None:
        """The peer's DH step: its new key with the victim's, and its answer to the KEM key that the victim showed."""
        ss = self.encapsulated(self.advertised, header.kem_ciphertext)
        chain_key, self.nhkr, header_key = *self.step(self.agreed(self.own, header.dhs) + ss), self.nhkr
        self.know(Chain(header_key, chain_key, 0))
        self.peer, self.advertised = header.dhs, header.kem_public

    def follow_victim(self, header: Header) -> None:
        """The victim's answer, with a key that was drawn after the theft, to the peer's newest."""
        ss = self.encapsulated(self.advertised, header.kem_ciphertext)
        chain_key, self.nhks, header_key = *self.step(self.agreed(header.dhs, self.peer) + ss), self.nhks
        self.know(Chain(header_key, chain_key, 0))
        self.own, self.peer, self.advertised = header.dhs, b"", header.kem_public

    def step(self, ikm: bytes) -> tuple[bytes, bytes]:
        """The chain key and the next header key of a root step."""
        okm = second.hkdf(self.rk, ikm, b"p2pchat/1 ratchet", 96)
        self.rk = okm[:32]
        return okm[32:64], okm[64:]
