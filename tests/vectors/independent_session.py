"""A second implementation of PROTOCOL.md 1, 4 and 5.1, in straight lines.

It is written from the document alone, over msgpack, hashlib, `cryptography` and (for XChaCha20) PyNaCl, and shares no
code with ``p2pchat.core``: where the two disagree, one of them has misread the document. It draws no randomness
and knows no limits: it serves to make ``sessions.json``, the honest and the dishonest parts of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import msgpack
import nacl.bindings
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Kem = tuple[bytes, bytes]
"""A recorded encapsulation: shared secret, ciphertext."""


# --- 0 notation ----------------------------------------------------------------------------------------------------


def pack(value: object) -> bytes:
    packed = msgpack.packb(value, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def blake2b(data: bytes, n: int, person: bytes = b"", key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=n, person=person.ljust(16, b"\0"), key=key).digest()


def hkdf(salt: bytes, ikm: bytes, info: bytes, n: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=n, salt=salt, info=info).derive(ikm)


def aead(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    sealed: bytes = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, nonce, key)
    return sealed


def aead_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    plain: bytes = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, key)
    return plain


def x_public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def ed_public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def kem_public(seed: bytes) -> bytes:
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def encapsulate(public: bytes) -> Kem:
    """The one thing that is random: whoever calls it records what it gave."""
    return MLKEM768PublicKey.from_public_bytes(public).encapsulate()


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


# --- 1.1, 4.1: certificate and bundle ------------------------------------------------------------------------------


@dataclass
class Person:
    root_seed: bytes
    device_seed: bytes
    ik_secret: bytes
    epoch_ms: int

    @property
    def c(self) -> bytes:
        fields = [1, ed_public(self.root_seed), self.epoch_ms, ed_public(self.device_seed), x_public(self.ik_secret)]
        return pack(fields)

    @property
    def cert(self) -> bytes:
        by_root = sign(self.root_seed, b"p2pchat/1 device\0" + self.c)
        by_device = sign(self.device_seed, b"p2pchat/1 member\0" + self.c)
        return pack([self.c, by_root, by_device])


@dataclass
class Prekeys:
    spk_secret: bytes
    opk_secret: bytes | None
    kem_seed: bytes


def bundle(person: Person, prekeys: Prekeys, iat: int, exp: int) -> bytes:
    opk = None if prekeys.opk_secret is None else x_public(prekeys.opk_secret)
    b = pack([1, iat, exp, x_public(prekeys.spk_secret), kem_public(prekeys.kem_seed), opk])
    return pack([person.cert, b, sign(person.device_seed, b"p2pchat/1 bundle\0" + b)])


# --- 4.2: first flight ---------------------------------------------------------------------------------------------


@dataclass
class Flight:
    ephemeral: bytes
    kem_ciphertext: bytes
    prekey_id: bytes
    sender: bytes
    ad: bytes
    sk: bytes


def first_flight(
    a: Person,
    b: Person,
    prekeys: Prekeys,
    raw_bundle: bytes,
    ms: int,
    e_secret: bytes,
    kem: Kem,
    sender_plain: bytes | None = None,
) -> Flight:
    """A's side. It takes B's private keys for brevity, and uses their public halves alone."""
    spk, ik_b, (ss, kct) = x_public(prekeys.spk_secret), x_public(b.ik_secret), kem
    ephemeral = x_public(e_secret)
    tr = b"p2pchat/1 x\0" + ms.to_bytes(8, "big") + lp(a.c) + lp(b.c) + lp(raw_bundle) + lp(ephemeral) + lp(kct)
    dh0 = x25519(a.ik_secret, ik_b)
    dh1 = x25519(a.ik_secret, spk)
    dh2 = x25519(e_secret, ik_b)
    dh3 = x25519(e_secret, spk)
    dh4 = b"" if prekeys.opk_secret is None else x25519(e_secret, x_public(prekeys.opk_secret))
    ad = blake2b(tr, 32)
    sk = hkdf(bytes(32), b"\xff" * 32 + dh0 + dh1 + dh2 + dh3 + dh4 + ss, b"p2pchat/1 PQXDH" + ad, 32)
    ks = hkdf(bytes(32), b"\xff" * 32 + dh2 + dh3 + ss, b"p2pchat/1 sender", 32)
    plain = pack([ms, a.cert]) if sender_plain is None else sender_plain
    sender = aead(ks, bytes(24), plain, ephemeral + kct)
    return Flight(ephemeral, kct, blake2b(raw_bundle, 16), sender, ad, sk)


def accept_flight(b: Person, prekeys: Prekeys, raw_bundle: bytes, flight: Flight) -> tuple[bytes, bytes, int, bytes]:
    """B's side: sk, ad, ms, A's cert, out of what stands on the wire."""
    dh2 = x25519(b.ik_secret, flight.ephemeral)
    dh3 = x25519(prekeys.spk_secret, flight.ephemeral)
    ss = decapsulate(prekeys.kem_seed, flight.kem_ciphertext)
    ks = hkdf(bytes(32), b"\xff" * 32 + dh2 + dh3 + ss, b"p2pchat/1 sender", 32)
    ms, cert = msgpack.unpackb(aead_open(ks, bytes(24), flight.sender, flight.ephemeral + flight.kem_ciphertext))
    c_a = msgpack.unpackb(cert)[0]
    ik_a = msgpack.unpackb(c_a)[4]
    tr = b"p2pchat/1 x\0" + ms.to_bytes(8, "big") + lp(c_a) + lp(b.c) + lp(raw_bundle)
    ad = blake2b(tr + lp(flight.ephemeral) + lp(flight.kem_ciphertext), 32)
    dh0 = x25519(b.ik_secret, ik_a)
    dh1 = x25519(prekeys.spk_secret, ik_a)
    dh4 = b"" if prekeys.opk_secret is None else x25519(prekeys.opk_secret, flight.ephemeral)
    sk = hkdf(bytes(32), b"\xff" * 32 + dh0 + dh1 + dh2 + dh3 + dh4 + ss, b"p2pchat/1 PQXDH" + ad, 32)
    return sk, ad, ms, cert


# --- 4.3, 4.4: ratchet and envelope --------------------------------------------------------------------------------


def pad(content: bytes) -> bytes:
    length = len(content) + 1
    exponent = 0
    while 1 << (exponent + 1) <= length:
        exponent += 1
    bits = 1
    while exponent and 1 << bits <= exponent:
        bits += 1
    unit = 1 << max(exponent - bits, 0)
    size = max(256, -(-length // unit) * unit)
    return content + b"\x80" + b"\0" * (size - length)


def hint(header_key: bytes) -> bytes:
    return hkdf(bytes(32), header_key, b"p2pchat/1 hint", 8)


def same(data: bytes) -> bytes:
    return data


class Ratchet:
    """One end, which opens what an honest one sealed, in any order, and refuses by whatever exception comes first."""

    def __init__(self, sk: bytes, ad: bytes) -> None:
        okm = hkdf(bytes(32), sk, b"p2pchat/1 init", 96)
        self.rk, self.hk_a, self.nhk_b = okm[:32], okm[32:64], okm[64:]
        self.ad = ad
        self.step = 0
        self.ns = self.nr = self.pn = 0
        self.cks = self.ckr = self.hks = self.hkr = b""
        self.kem_seed = self.kem_pk = self.kct = b""
        self.mks: dict[tuple[bytes, int], bytes] = {}

    def start_a(self, spk: bytes, dhs: bytes, kem_seed: bytes) -> None:
        self.dhs, self.hks, self.nhkr = dhs, self.hk_a, self.nhk_b
        self.rk, self.cks, self.nhks = self.root_step(x25519(dhs, spk))
        self.kem_seed, self.kem_pk = kem_seed, kem_public(kem_seed)

    def start_b(self, spk_secret: bytes) -> None:
        self.dhs, self.nhkr, self.nhks = spk_secret, self.hk_a, self.nhk_b

    def root_step(self, ikm: bytes) -> tuple[bytes, bytes, bytes]:
        okm = hkdf(self.rk, ikm, b"p2pchat/1 ratchet", 96)
        return okm[:32], okm[32:64], okm[64:]

    def header(self) -> bytes:
        flags = (1 if self.kem_pk else 0) + (2 if self.kct else 0)
        counters = self.pn.to_bytes(4, "big") + self.ns.to_bytes(4, "big")
        return bytes([flags]) + x_public(self.dhs) + counters + self.kem_pk + self.kct

    def seal(
        self,
        content: bytes,
        nonce: bytes,
        change_header: Callable[[bytes], bytes] = same,
        padding: Callable[[bytes], bytes] = pad,
    ) -> tuple[bytes, bytes]:
        """Envelope and ack; the last two arguments are for dishonest ones."""
        mk = hmac.new(self.cks, b"\x01", "sha256").digest()
        self.cks = hmac.new(self.cks, b"\x02", "sha256").digest()
        okm = hkdf(bytes(32), mk, b"p2pchat/1 msg", 48)
        eh = aead(self.hks, nonce, change_header(self.header()), b"p2pchat/1 hdr" + self.ad)
        prefix = hint(self.hks) + nonce + len(eh).to_bytes(2, "big") + eh
        self.ns += 1
        return prefix + aead(okm[:32], nonce, padding(content), self.ad + prefix), okm[32:]

    def open(
        self, envelope: bytes, dhs: bytes = b"", kem_seed: bytes = b"", kem: Callable[[bytes], Kem] = encapsulate
    ) -> tuple[bytes, bytes]:
        """Content and ack. ``dhs``, ``kem_seed``, ``kem``: what a DH step draws."""
        nonce, length = envelope[8:32], int.from_bytes(envelope[32:34], "big")
        prefix, body = envelope[: 34 + length], envelope[34 + length :]
        keys = [key for key in (self.hkr, self.nhkr, *(key for key, _ in self.mks)) if key]
        key = next(key for key in keys if hint(key) == envelope[:8])
        header = aead_open(key, nonce, prefix[34:], b"p2pchat/1 hdr" + self.ad)
        flags, dhr, rest = header[0], header[1:33], header[41:]
        pn, n = int.from_bytes(header[33:37], "big"), int.from_bytes(header[37:41], "big")
        their_kem = rest[:1184] if flags & 1 else b""
        kct = rest[-1088:] if flags & 2 else b""
        is_step = key == self.nhkr
        if is_step:
            if self.ckr:
                self.pass_over(pn)
            ss = decapsulate(self.kem_seed, kct) if kct else b""
            self.rk, self.ckr, nhkr = self.root_step(x25519(self.dhs, dhr) + ss)
            self.hkr, self.nhkr, self.nr = self.nhkr, nhkr, 0
        if key == self.hkr and n >= self.nr:
            self.pass_over(n + 1)
        okm = hkdf(bytes(32), self.mks.pop((key, n)), b"p2pchat/1 msg", 48)
        padded = aead_open(okm[:32], nonce, body, self.ad + prefix)
        if is_step:
            self.answer(dhr, their_kem, dhs, kem_seed, kem)
        return padded[: padded.rindex(b"\x80")], okm[32:]

    def pass_over(self, until: int) -> None:
        while self.nr < until:
            self.mks[self.hkr, self.nr] = hmac.new(self.ckr, b"\x01", "sha256").digest()
            self.ckr = hmac.new(self.ckr, b"\x02", "sha256").digest()
            self.nr += 1

    def answer(self, dhr: bytes, their_kem: bytes, dhs: bytes, kem_seed: bytes, kem: Callable[[bytes], Kem]) -> None:
        ss, self.kct = kem(their_kem) if their_kem else (b"", b"")
        self.step += 1
        self.kem_seed = kem_seed if self.step % 16 == 0 else b""
        self.kem_pk = kem_public(self.kem_seed) if self.kem_seed else b""
        self.dhs, self.hks, self.pn, self.ns = dhs, self.nhks, self.ns, 0
        self.rk, self.cks, self.nhks = self.root_step(x25519(dhs, dhr) + ss)
