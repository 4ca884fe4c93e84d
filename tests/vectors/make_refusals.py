"""Writes refusals.json: certificates, bundles, first flights and envelopes each with one thing wrong, by the second
implementation. Whoever made them has all the keys that it needs. Each run makes the same file::

python -m tests.vectors.make_refusals
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgpack

from tests.vectors import independent_session as ind
from tests.vectors.independent_forger import envelopes
from tests.vectors.independent_replay import H, Json, hexed, sessions
from tests.vectors.independent_session import Kem, Person, Ratchet, pack
from tests.vectors.make_sessions import BUNDLE, NOW_MS, NOW_S, PREKEYS, A, B, person, secret

PATH: Final = Path(__file__).with_name("refusals.json")
DEVICE: Final = b"p2pchat/1 device\0"
MEMBER: Final = b"p2pchat/1 member\0"
LOW_ORDER: Final = [
    bytes(32),
    b"\x01" + bytes(31),
    H("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    H("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
]
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
C: Final = person("C", NOW_MS - 3_000)


# --- 1.1 -----------------------------------------------------------------------------------------------------------


def c_of(p: Person, **other: object) -> bytes:
    fields: dict[str, object] = {
        "version": 1,
        "root": ind.ed_public(p.root_seed),
        "epoch_ms": p.epoch_ms,
        "device": ind.ed_public(p.device_seed),
        "ik": ind.x_public(p.ik_secret),
    }
    return pack(list((fields | other).values()))


def signed(c: bytes, root: bytes = A.root_seed, device: bytes = A.device_seed) -> bytes:
    return pack([c, ind.sign(root, DEVICE + c), ind.sign(device, MEMBER + c)])


def other_s(signature: bytes) -> bytes:
    """The same signature to whoever does not look whether S is reduced."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


def certs() -> list[Json]:
    c = A.c
    by_root, by_device = ind.sign(A.root_seed, DEVICE + c), ind.sign(A.device_seed, MEMBER + c)
    later = c_of(A, epoch_ms=A.epoch_ms + 1)
    theirs = c_of(C, device=ind.ed_public(A.device_seed))
    cases = [
        ("root key of 31 bytes", signed(c_of(A, root=bytes(31))), "decode"),
        ("device key of 33 bytes", signed(c_of(A, device=bytes(33))), "decode"),
        ("ik of 31 bytes", signed(c_of(A, ik=bytes(31))), "decode"),
        ("ik as nil", signed(c_of(A, ik=None)), "decode"),
        ("true for version 1", signed(c_of(A, version=True)), "decode"),
        ("epoch_ms below 0", signed(c_of(A, epoch_ms=-1)), "decode"),
        ("epoch_ms as float", signed(c_of(A, epoch_ms=float(A.epoch_ms))), "decode"),
        ("c longer than its bound", signed(pack([1, bytes(300)])), "decode"),
        ("c as map", signed(pack({"version": 1})), "decode"),
        ("c as text", pack(["a" * 109, by_root, by_device]), "decode"),
        ("c in the longer form", b"\x93\xc5\x00" + A.cert[2:], "decode"),
        ("the array in its longer form", b"\xdc\x00\x03" + A.cert[1:], "decode"),
        ("something after c", signed(c + b"\0"), "decode"),
        ("signature of 63 bytes", pack([c, by_root[1:], by_device]), "decode"),
        ("signature of 65 bytes", pack([c, by_root, by_device + b"\0"]), "decode"),
        ("one signature", pack([c, by_root]), "decode"),
        ("a third signature", pack([c, by_root, by_device, by_device]), "decode"),
        ("c inline instead of as bin", pack([msgpack.unpackb(c), by_root, by_device]), "decode"),
        ("not signed by the root", signed(c, root=C.root_seed), "handshake"),
        ("not signed by the device", signed(c, device=C.device_seed), "handshake"),
        ("signatures exchanged", pack([c, by_device, by_root]), "handshake"),
        ("signed by the root twice", signed(c, device=A.root_seed), "handshake"),
        ("signatures over another time", pack([later, by_root, by_device]), "handshake"),
        ("root's S not reduced", pack([c, other_s(by_root), by_device]), "handshake"),
        ("device's S not reduced", pack([c, by_root, other_s(by_device)]), "handshake"),
        ("a root of low order", pack([c_of(A, root=LOW_ORDER[1]), LOW_ORDER[1] + bytes(32), by_device]), "handshake"),
        ("A's device under C's root", pack([theirs, ind.sign(C.root_seed, DEVICE + theirs), by_device]), "handshake"),
    ]
    return [{"name": name, "cert": raw, "now_ms": NOW_MS, "expect": expect} for name, raw, expect in cases]


# --- 4.1 -----------------------------------------------------------------------------------------------------------


def bundles() -> list[Json]:
    iat, exp = NOW_S - 10, NOW_S - 10 + 86_400
    keys = [ind.x_public(PREKEYS.spk_secret), ind.kem_public(PREKEYS.kem_seed), ind.x_public(secret("opk"))]

    def body(**other: object) -> bytes:
        names = ("version", "iat", "exp", "spk", "kem", "opk")
        fields: dict[str, object] = dict(zip(names, [1, iat, exp, *keys], strict=True))
        return pack([*(fields | other).values()])

    def bundle(b: bytes, cert: object = B.cert) -> bytes:
        return pack([cert, b, ind.sign(B.device_seed, b"p2pchat/1 bundle\0" + b)])

    b = body()
    signature = ind.sign(B.device_seed, b"p2pchat/1 bundle\0" + b)
    half_signed = pack([B.c, ind.sign(B.root_seed, DEVICE + B.c), bytes(64)])
    future = replace(B, epoch_ms=NOW_MS + 600_001)
    cases = [
        ("begins before time", bundle(body(iat=-1)), "decode"),
        ("end as float", bundle(body(exp=float(exp))), "decode"),
        ("no life", bundle(body(iat=NOW_S + 9, exp=NOW_S + 9)), "handshake"),
        ("spk of 31 bytes", bundle(body(spk=keys[0][1:])), "decode"),
        ("KEM key of 1,183 bytes", bundle(body(kem=keys[1][1:])), "decode"),
        ("one-time key of 33 bytes", bundle(body(opk=keys[2] + b"\0")), "decode"),
        ("one-time key as text", bundle(body(opk="a" * 32)), "decode"),
        ("a field more", bundle(body(more=0)), "decode"),
        ("a field less", bundle(pack([1, iat, exp, *keys[:2]])), "decode"),
        ("something after b", bundle(b + b"\0"), "decode"),
        ("b longer than its bound", bundle(pack([1, iat, exp, bytes(1_500)])), "decode"),
        ("something after it", BUNDLE + b"\0", "decode"),
        ("signature of 63 bytes", pack([B.cert, b, signature[1:]]), "decode"),
        ("S not reduced", pack([B.cert, b, other_s(signature)]), "handshake"),
        ("signature over another b", pack([B.cert, body(opk=None), signature]), "handshake"),
        ("the array in its longer form", b"\xdc\x00\x03" + BUNDLE[1:], "decode"),
        ("no cert", bundle(b, b""), "decode"),
        ("cert inline", bundle(b, msgpack.unpackb(B.cert)), "decode"),
        ("cert not signed by its device", bundle(b, half_signed), "handshake"),
        ("cert from the future", bundle(b, future.cert), "handshake"),
        ("cert of another person", bundle(b, A.cert), "handshake"),
        ("cert of another device of B", bundle(b, replace(B, device_seed=secret("other")).cert), "handshake"),
    ]
    root = ind.ed_public(B.root_seed)
    return [{"name": n, "bundle": raw, "root": root, "now_s": NOW_S, "expect": expect} for n, raw, expect in cases]


# --- 4.2 -----------------------------------------------------------------------------------------------------------


@dataclass
class Draft:
    """A flight of A to B before it is put together; whatever is changed in it is changed everywhere that it goes."""

    kem: Kem
    ms: int = NOW_MS
    e: bytes = field(default_factory=lambda: secret("refused e"))
    ones: bytes = b"\xff" * 32
    session_ss: bytes | None = None
    sender_ss: bytes | None = None
    sender_nonce: bytes = bytes(24)
    sender_aad: bytes | None = None
    plain: bytes | None = None
    transcript: Callable[[list[bytes]], Sequence[bytes]] = list

    def __post_init__(self) -> None:
        spk, ik = ind.x_public(PREKEYS.spk_secret), ind.x_public(B.ik_secret)
        pairs = [(A.ik_secret, ik), (A.ik_secret, spk), (self.e, ik), (self.e, spk)]
        self.dh = [ind.x25519(*pair) for pair in pairs] + [ind.x25519(self.e, ind.x_public(secret("opk")))]
        self.sender_dh = self.dh[2] + self.dh[3]

    def make(self, seal: Callable[[Ratchet], bytes]) -> Json:
        ephemeral, (ss, kct) = ind.x_public(self.e), self.kem
        parts = self.transcript([A.c, B.c, BUNDLE, ephemeral, kct])
        tr = b"p2pchat/1 x\0" + self.ms.to_bytes(8, "big") + b"".join(map(ind.lp, parts))
        ad = ind.blake2b(tr, 32)
        session_ss, sender_ss = (ss if other is None else other for other in (self.session_ss, self.sender_ss))
        sk = ind.hkdf(bytes(32), self.ones + b"".join(self.dh) + session_ss, b"p2pchat/1 PQXDH" + ad, 32)
        ks = ind.hkdf(bytes(32), self.ones + self.sender_dh + sender_ss, b"p2pchat/1 sender", 32)
        aad = ephemeral + kct if self.sender_aad is None else self.sender_aad
        plain = pack([self.ms, A.cert]) if self.plain is None else self.plain
        ratchet = Ratchet(sk, ad)
        ratchet.start_a(ind.x_public(PREKEYS.spk_secret), secret("refused dhs"), secret("refused kem", 64))
        return {
            "ephemeral": ephemeral,
            "kem_ciphertext": kct,
            "prekey_id": ind.blake2b(BUNDLE, 16),
            "sender": ind.aead(ks, self.sender_nonce, plain, aad),
            "envelope": seal(ratchet),
        }


OPEN: Final = pack([[bytes(16), 0, b""]])


def seal_open(ratchet: Ratchet) -> bytes:
    return ratchet.seal(OPEN, secret("refused nonce", 24))[0]


def without(n: int) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.dh[n] = b""

    return change


def exchange(draft: Draft) -> None:
    draft.dh[1], draft.dh[2] = draft.dh[2], draft.dh[1]


def flights() -> list[Json]:
    frozen = sessions()["session"]["refused_flights"][0]
    kct = H(frozen["kem_ciphertext"])
    kem = ind.decapsulate(PREKEYS.kem_seed, kct), kct
    found: list[Json] = []

    def add(
        name: str,
        expect: str,
        change: Callable[[Draft], None] = lambda _: None,
        seal: Callable[[Ratchet], bytes] = seal_open,
        **other: object,
    ) -> None:
        drafted = {key: other.pop(key) for key in tuple(other) if key in Draft.__dataclass_fields__}
        draft = Draft(kem, **drafted)  # type: ignore[arg-type]
        change(draft)
        made = {"now_ms": NOW_MS} | draft.make(seal) | other
        if found:  # what is as in the first, the honest one, is left out
            made = {key: part for key, part in made.items() if part != found[0][key]}
        found.append({"name": name, "expect": expect} | made)

    long_ms = b"\x92\xd3" + NOW_MS.to_bytes(8, "big") + b"\xc4" + bytes([len(A.cert)]) + A.cert
    half_signed = pack([A.c, ind.sign(A.root_seed, DEVICE + A.c), bytes(64)])
    theirs = replace(C, ik_secret=A.ik_secret)
    add("honest", "ok")
    add("in its bundle's last millisecond", "ok", now_ms=(NOW_S - 10 + 86_400) * 1000 - 1)
    add("when its bundle has expired", "handshake", now_ms=(NOW_S - 10 + 86_400) * 1000)
    for number, point in enumerate(LOW_ORDER):
        add(f"ephemeral key of low order {number}", "handshake", ephemeral=point)
    add("no sender part", "decryption", sender=b"")
    add("sender part shorter than a tag", "decryption", sender=bytes(15))
    add("sender part with nothing in it", "decode", plain=b"")
    add("something after the sender part", "decode", plain=pack([NOW_MS, A.cert]) + b"\0")
    add("no cert", "decode", plain=pack([NOW_MS]))
    add("an empty cert", "decode", plain=pack([NOW_MS, b""]))
    add("a cert of nothing", "decode", plain=pack([NOW_MS, bytes(200)]))
    add("a cert as nil", "decode", plain=pack([NOW_MS, None]))
    add("a cert beyond its bound", "decode", plain=pack([NOW_MS, A.cert + bytes(30)]))
    add("time below 0", "decode", plain=pack([-1, A.cert]))
    add("time as text", "decode", plain=pack(["1", A.cert]))
    add("time not in its shortest form", "decode", plain=long_ms)
    add("time at the end of time", "handshake", ms=2**64 - 1)
    add("cert not signed by its device", "handshake", plain=pack([NOW_MS, half_signed]))
    add("sender part under another nonce", "decryption", sender_nonce=b"\1" * 24)
    add("sender part without the ciphertext in its aad", "decryption", sender_aad=ind.x_public(secret("refused e")))
    add("sender part without the KEM secret", "decryption", sender_ss=b"")
    add("session without the KEM secret", "decryption", session_ss=b"")
    for n in range(5):
        add(f"session without DH{n}", "decryption", without(n))
    add("session with DH1 and DH2 exchanged", "decryption", exchange)
    add("session and sender part without the ones", "decryption", ones=b"")
    for n, what in enumerate(("A's cert", "B's cert", "the bundle", "the ephemeral key", "the ciphertext")):
        rest = [part for part in range(5) if part != n]
        add(f"transcript without {what}", "decryption", transcript=lambda parts, rest=rest: [parts[k] for k in rest])
    add("transcript with A and B exchanged", "decryption", transcript=lambda p: [p[1], p[0], *p[2:]])
    add("A's ik under C's root, by A", "decryption", plain=pack([NOW_MS, theirs.cert]))
    add("the envelope of another flight", "decryption", envelope=H(frozen["envelope"])[:-1] + b"\0")
    add("an envelope that is ahead", "ok", seal=lambda r: [seal_open(r) for _ in range(3)][-1])
    add("an envelope too far ahead", "limit", seal=lambda r: [seal_open(r) for _ in range(1_002)][-1])
    add("an envelope that answers a KEM key", "decode", seal=answering)
    return found


def answering(ratchet: Ratchet) -> bytes:
    ratchet.kct = bytes(1088)
    return seal_open(ratchet)


# --- 5.1: what carries these ------------------------------------------------------------------------------------


def frames() -> list[Json]:
    e, kct, id16, sender = secret("E"), secret("kct", 1088), secret("id", 16), secret("sender", 276)
    envelope = secret("envelope", 363)
    cases: list[tuple[str, object]] = [
        ("Flight, ephemeral key of 31 bytes", [3, e[1:], kct, id16, sender, envelope]),
        ("Flight, ephemeral key as text", [3, "e" * 32, kct, id16, sender, envelope]),
        ("Flight, ciphertext of 1,087 bytes", [3, e, kct[1:], id16, sender, envelope]),
        ("Flight, prekey_id of 17 bytes", [3, e, kct, id16 + b"\0", sender, envelope]),
        ("Flight, prekey_id as nil", [3, e, kct, None, sender, envelope]),
        ("Flight, envelope of 362 bytes", [3, e, kct, id16, sender, envelope[1:]]),
        ("Flight without its envelope", [3, e, kct, id16, sender]),
        ("Flight with two", [3, e, kct, id16, sender, envelope, envelope]),
        ("Batch, an envelope that is no bytes", [4, [envelope, 0]]),
        ("Batch without its list", [4, envelope]),
        ("BundleRequest, proof of 31 bytes", [1, e[1:]]),
        ("Bundle of 2,049 bytes", [2, bytes(2_049)]),
        ("Ack, eid of 15 bytes", [5, [[id16[1:], id16]]]),
        ("Ack, ack of 17 bytes", [5, [[id16, id16 + b"\0"]]]),
        ("Ack of one", [5, [[id16]]]),
        ("Nack of 15 bytes", [6, id16[1:]]),
        ("Nack with a reason", [6, id16, 0]),
        ("Device without its certificate", [10]),
        ("Device, a certificate inline", [10, msgpack.unpackb(B.cert)]),
        ("Device, a certificate as text", [10, "c" * 248]),
        ("Device, 257 bytes", [10, bytes(257)]),
        ("Device with two", [10, B.cert, B.cert]),
    ]
    return [{"name": name, "frame": pack(form), "expect": "decode"} for name, form in cases]


def make() -> object:
    return hexed(
        {
            "about": "What a receiver must refuse, and with which of this project's errors, beside the cases in "
            "sessions.json, whose keys these use (PROTOCOL.md 1.1, 4, 5.1).",
            "certs": certs(),
            "bundles": bundles(),
            "flights": flights(),
            "envelopes": envelopes(),
            "frames": frames(),
        }
    )


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
