"""Writes sessions.json with the second implementation. Each run makes another file: ML-KEM draws its own randomness::

python -m tests.vectors.make_sessions
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors import independent_session as ind
from tests.vectors.independent_session import Kem, Person, Prekeys, Ratchet, pack

PATH: Final = Path(__file__).with_name("sessions.json")
NOW_S: Final = 1_800_000_000
NOW_MS: Final = NOW_S * 1000
Json = dict[str, Any]


def secret(name: str, n: int = 32) -> bytes:
    return hashlib.shake_256(b"p2pchat session vectors " + name.encode()).digest(n)


def person(name: str, epoch_ms: int) -> Person:
    return Person(secret(name + " root"), secret(name + " device"), secret(name + " ik"), epoch_ms)


A: Final = person("A", NOW_MS - 2_000)
B: Final = person("B", NOW_MS - 1_000)
PREKEYS: Final = Prekeys(secret("spk"), secret("opk"), secret("kem", 64))
BUNDLE: Final = ind.bundle(B, PREKEYS, NOW_S - 10, NOW_S - 10 + 86_400)


def hexed(value: object) -> object:
    """Bytes as hex, at any depth."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: hexed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [hexed(part) for part in value]
    return value


def secrets_of(p: Person) -> Json:
    return {"root_seed": p.root_seed, "device_seed": p.device_seed, "ik_secret": p.ik_secret, "epoch_ms": p.epoch_ms}


# --- 1.1, 4.1 ------------------------------------------------------------------------------------------------------


def certs() -> list[Json]:
    c = [1, ind.ed_public(A.root_seed), A.epoch_ms, ind.ed_public(A.device_seed), ind.x_public(A.ik_secret)]
    honest = {"root": c[1], "epoch_ms": c[2], "device": c[3], "ik": c[4], "c": A.c}

    def signed(
        body: bytes, root_label: bytes = b"p2pchat/1 device\0", device_label: bytes = b"p2pchat/1 member\0"
    ) -> bytes:
        return pack([body, ind.sign(A.root_seed, root_label + body), ind.sign(A.device_seed, device_label + body)])

    long_epoch = A.c.replace(b"\xcf" + A.epoch_ms.to_bytes(8, "big"), b"\xd3" + A.epoch_ms.to_bytes(8, "big"))
    cases = [
        ("honest", A.cert, NOW_MS, "ok"),
        ("made 600 s ahead", A.cert, A.epoch_ms - 600_000, "ok"),
        ("made further ahead", A.cert, A.epoch_ms - 600_001, "handshake"),
        ("labels exchanged", signed(A.c, b"p2pchat/1 member\0", b"p2pchat/1 device\0"), NOW_MS, "handshake"),
        ("not signed by the device", signed(A.c, device_label=b"p2pchat/1 member"), NOW_MS, "handshake"),
        ("epoch_ms is 0", signed(pack([*c[:2], 0, *c[3:]])), NOW_MS, "decode"),
        ("version 2", signed(pack([2, *c[1:]])), NOW_MS, "decode"),
        ("epoch_ms not in its shortest form", signed(long_epoch), NOW_MS, "decode"),
        ("one field more", signed(pack([*c, 0])), NOW_MS, "decode"),
        ("something after it", A.cert + b"\0", NOW_MS, "decode"),
        ("nothing", b"", NOW_MS, "decode"),
    ]
    return [
        {"name": name, "cert": cert, "now_ms": now_ms, "expect": expect} | (honest if expect == "ok" else {})
        for name, cert, now_ms, expect in cases
    ]


def bundles() -> list[Json]:
    root, iat, exp = ind.ed_public(B.root_seed), NOW_S - 10, NOW_S - 10 + 86_400
    spk, kem, opk = ind.x_public(PREKEYS.spk_secret), ind.kem_public(PREKEYS.kem_seed), ind.x_public(secret("opk"))

    def signed(*fields: object, label: bytes = b"p2pchat/1 bundle\0", by: Person = B) -> bytes:
        b = pack(list(fields))
        return pack([B.cert, b, ind.sign(by.device_seed, label + b)])

    def body(iat: int, exp: int) -> tuple[object, ...]:
        return (1, iat, exp, spk, kem, opk)

    cases: list[tuple[str, bytes, bytes, str]] = [
        ("honest", BUNDLE, root, "ok"),
        ("reusable", signed(1, iat, exp, spk, kem, None), root, "ok"),
        ("seven days", signed(*body(iat, iat + 604_800)), root, "ok"),
        ("longer than seven days", signed(*body(iat, iat + 604_801)), root, "handshake"),
        ("expired this second", signed(*body(iat, NOW_S)), root, "handshake"),
        ("600 s ahead", signed(*body(NOW_S + 600, exp)), root, "ok"),
        ("further ahead", signed(*body(NOW_S + 601, exp)), root, "handshake"),
        ("ends before it begins", signed(*body(NOW_S + 500, NOW_S + 400)), root, "handshake"),
        ("of another root", BUNDLE, ind.ed_public(A.root_seed), "handshake"),
        ("signed by another device", signed(*body(iat, exp), by=A), root, "handshake"),
        ("signed under another label", signed(*body(iat, exp), label=b"p2pchat/1 member\0"), root, "handshake"),
        ("version 2", signed(2, iat, exp, spk, kem, opk), root, "decode"),
        ("empty one-time key", signed(1, iat, exp, spk, kem, b""), root, "decode"),
        ("nothing", b"", root, "decode"),
    ]
    return [
        {"name": n, "bundle": raw, "root": r, "now_s": NOW_S, "prekey_id": ind.blake2b(raw, 16), "expect": expect}
        for n, raw, r, expect in cases
    ]


def ask_proofs() -> list[Json]:
    ask, responder, requester = secret("ask"), b"\0\x24" + secret("responder", 36), b"\0\x24" + secret("requester", 36)
    proof = ind.blake2b(responder + requester, 32, b"dcd1/ask", ask)
    return [{"ask": ask, "responder": responder, "requester": requester, "proof": proof}]


# --- 4.2 -----------------------------------------------------------------------------------------------------------


def recorded(public: bytes, taken: list[Json]) -> Kem:
    kem = ind.encapsulate(public)
    taken.append({"public": public, "shared": kem[0], "ciphertext": kem[1]})
    return kem


def refused_flights() -> list[Json]:
    """Flights to B, each with the first envelope that its maker would send."""
    kem = ind.encapsulate(ind.kem_public(PREKEYS.kem_seed))
    found: list[Json] = []

    def add(
        name: str,
        expect: str,
        initiator: Person = A,
        ms: int = NOW_MS,
        plain: bytes | None = None,
        change: dict[str, Callable[[bytes], bytes]] | None = None,
    ) -> None:
        made = ind.first_flight(initiator, B, PREKEYS, BUNDLE, ms, secret("refused e"), kem, plain)
        ratchet = Ratchet(made.sk, made.ad)
        ratchet.start_a(ind.x_public(PREKEYS.spk_secret), secret("refused dhs"), secret("refused kem", 64))
        envelope, _ = ratchet.seal(pack([[bytes(16), 0, b""]]), secret("refused nonce", 24))
        parts = {name: getattr(made, name) for name in ("ephemeral", "kem_ciphertext", "prekey_id", "sender")}
        parts |= {"envelope": envelope}
        parts |= {key: part(parts[key]) for key, part in (change or {}).items()}
        found.append({"name": name, "expect": expect} | parts)

    def flip(data: bytes) -> bytes:
        return bytes([data[0] ^ 1]) + data[1:]

    future = person("A", NOW_MS + 600_001)
    other = person("C", A.epoch_ms)
    forged = Person(A.root_seed, other.device_seed, other.ik_secret, A.epoch_ms)
    bad_cert = pack([forged.c, ind.sign(other.root_seed, b"p2pchat/1 device\0" + forged.c), bytes(64)])
    add("honest", "ok")
    add("600 s ahead", "ok", ms=NOW_MS + 600_000)
    add("further ahead", "handshake", ms=NOW_MS + 600_001)
    add("time is 0", "decode", plain=pack([0, A.cert]))
    add("one field more", "decode", plain=pack([NOW_MS, A.cert, 0]))
    add("cert as text", "decode", plain=b"\x92\xcf" + NOW_MS.to_bytes(8, "big") + b"\xa1a")
    add("cert not signed by its root", "handshake", plain=pack([NOW_MS, bad_cert]))
    add("device from the future", "handshake", initiator=future)
    add("the own root", "handshake", plain=pack([NOW_MS, B.cert]))
    add("another's cert", "decryption", initiator=other, plain=pack([NOW_MS, A.cert]))
    add("another time in the sender part", "decryption", plain=pack([NOW_MS + 1, A.cert]))
    add("changed sender part", "decryption", change={"sender": flip})
    add("changed ephemeral key", "decryption", change={"ephemeral": flip})
    add(
        "ephemeral key with its unused bit set",
        "decryption",
        change={"ephemeral": lambda e: e[:31] + bytes([e[31] ^ 0x80])},
    )
    add("ephemeral key of low order", "handshake", change={"ephemeral": lambda e: bytes(len(e))})
    add("changed KEM ciphertext", "decryption", change={"kem_ciphertext": flip})
    add("unknown prekey", "handshake", change={"prekey_id": flip})
    add("changed envelope", "decryption", change={"envelope": lambda e: e[:-1] + bytes([e[-1] ^ 1])})
    add("cut envelope", "decode", change={"envelope": lambda e: e[:362]})
    return found


# --- 4.3, 4.4 ------------------------------------------------------------------------------------------------------


class Recorder:
    """Plays a conversation between two ends of the second implementation and writes down what both see."""

    def __init__(self) -> None:
        self.taken: list[Json] = []
        self.flight = ind.first_flight(
            A, B, PREKEYS, BUNDLE, NOW_MS, secret("e"), recorded(ind.kem_public(PREKEYS.kem_seed), self.taken)
        )
        sk, ad, ms, cert = ind.accept_flight(B, PREKEYS, BUNDLE, self.flight)
        assert (sk, ad, ms, cert) == (self.flight.sk, self.flight.ad, NOW_MS, A.cert)
        self.ends = {"A": Ratchet(sk, ad), "B": Ratchet(sk, ad)}
        self.ends["A"].start_a(ind.x_public(PREKEYS.spk_secret), secret("A dhs 0"), secret("A kem 0", 64))
        self.ends["B"].start_b(PREKEYS.spk_secret)
        self.steps: list[Json] = []
        self.sealed: list[tuple[bytes, bytes, bytes]] = []

    def seal(self, by: str, content: bytes) -> int:
        number = len(self.sealed)
        nonce = secret(f"nonce {number}", 24)
        envelope, ack = self.ends[by].seal(content, nonce)
        self.sealed.append((envelope, ack, content))
        eid = ind.blake2b(envelope, 16, b"dcd1/eid")
        seen: Json = {"nonce": nonce, "content": content, "envelope": envelope, "ack": ack, "eid": eid}
        self.steps.append({"do": "seal", "by": by, "number": number} | seen)
        return number

    def open(self, by: str, number: int) -> None:
        end, before = self.ends[by], self.ends[by].step
        envelope, ack, content = self.sealed[number]
        dhs, seed = secret(f"{by} dhs {before + 1}"), secret(f"{by} kem {before + 1}", 64)
        taken: list[Json] = []
        assert end.open(envelope, dhs, seed, lambda public: recorded(public, taken)) == (content, ack)
        step: Json = {"do": "open", "by": by, "number": number}
        if end.step != before:
            step["drawn"] = {"dhs": dhs, "kem_seed": end.kem_seed or None, "encapsulated": taken[0] if taken else None}
        self.steps.append(step)

    def refuse(self, by: str, name: str, expect: str, envelope: bytes) -> None:
        self.steps.append({"do": "refuse", "by": by, "name": name, "expect": expect, "envelope": envelope})

    def dishonest(
        self,
        by: str,
        skip: int = 0,
        change: Callable[[Ratchet], None] = lambda _: None,
        change_header: Callable[[bytes], bytes] = ind.same,
        padding: Callable[[bytes], bytes] = ind.pad,
    ) -> bytes:
        """An envelope that the end ``by`` could make if it broke a rule; its own state stays as it is."""
        end = copy.deepcopy(self.ends[by])
        change(end)
        for _ in range(skip):
            end.seal(b"", bytes(24))
        return end.seal(b"content", secret("dishonest nonce", 24), change_header, padding)[0]


def set_kct(kct: bytes) -> Callable[[Ratchet], None]:
    def change(end: Ratchet) -> None:
        end.kct = kct

    return change


def conversation() -> Json:
    r = Recorder()
    opening = r.seal("A", pack([[secret("id", 16), 0, b""]]))
    text = pack([1, NOW_MS, "안녕, мир, שלום"])
    late, third = r.seal("A", pack([[secret("id 2", 16), 1, text]])), r.seal("A", bytes(255))
    r.refuse("B", "the first chain answers a KEM key", "decode", r.dishonest("A", change=set_kct(bytes(1088))))
    r.open("B", opening)
    r.refuse("B", "replay", "replay", r.sealed[opening][0])
    r.open("B", third)
    for position, name in ((0, "hint"), (8, "nonce"), (32, "length"), (40, "header"), (-1, "body")):
        changed = bytearray(r.sealed[late][0])
        changed[position] ^= 1
        r.refuse("B", f"changed {name}", "decode" if name == "length" else "decryption", bytes(changed))
    r.refuse("B", "its own envelope", "decryption", r.dishonest("B"))

    r.refuse("A", "no answer to the KEM key", "decode", r.dishonest("B", change=set_kct(b"")))
    r.refuse("A", "a wrong answer to the KEM key", "decryption", r.dishonest("B", change=set_kct(bytes(1088))))
    lost, answer = r.seal("B", b"lost"), r.seal("B", bytes(256))
    r.open("A", answer)
    r.refuse("A", "replay", "replay", r.sealed[answer][0])
    r.refuse("B", "KEM answer without a key", "decode", r.dishonest("A", change=set_kct(bytes(1088))))
    new = r.seal("A", b"a new chain")
    r.open("B", new)
    r.open("B", late)
    r.refuse("B", "replay from the chain before", "decryption", r.sealed[late][0])

    def header_with(position: int, value: bytes) -> Callable[[bytes], bytes]:
        return lambda header: header[:position] + value + header[position + len(value) :]

    r.refuse("B", "unknown flag", "decode", r.dishonest("A", change_header=header_with(0, b"\x04")))
    r.refuse("B", "flag without its bytes", "decode", r.dishonest("A", change_header=header_with(0, b"\x01")))
    r.refuse("B", "bytes without their flag", "decode", r.dishonest("A", change_header=lambda h: h + bytes(1088)))
    r.refuse("B", "too much padding", "decode", r.dishonest("A", padding=lambda c: ind.pad(c) + bytes(16)))
    r.refuse("B", "no end of the content", "decode", r.dishonest("A", padding=lambda c: c.ljust(256, b"\0")))
    r.refuse("B", "more than 1,000 skipped", "limit", r.dishonest("A", skip=1_001))
    r.refuse("A", "ratchet key of low order", "decryption", r.dishonest("B", change_header=header_with(1, bytes(32))))

    for n in range(2, 18):  # to the second KEM step of both
        r.open("A", r.seal("B", b"B %d" % n))
        r.open("B", r.seal("A", b"A %d" % n))
    r.open("A", lost)
    r.refuse("B", "another KEM key of the wrong form", "decryption", late_kem(r))
    return {"steps": r.steps, "flight": r.flight, "taken": r.taken}


def late_kem(r: Recorder) -> bytes:
    """A's next chain, advertising a KEM key whose coefficients are not reduced."""
    b, a = copy.deepcopy(r.ends["B"]), copy.deepcopy(r.ends["A"])
    a.open(b.seal(b"", bytes(24))[0], secret("late dhs"), secret("late kem", 64))
    a.kem_pk = b"\xff" * 1184
    return a.seal(b"", bytes(24))[0]


def session() -> Json:
    made = conversation()
    flight: ind.Flight = made["flight"]
    parts = {name: getattr(flight, name) for name in ("ephemeral", "kem_ciphertext", "prekey_id", "sender")}
    return {
        "now_s": NOW_S,
        "ms": NOW_MS,
        "a": secrets_of(A),
        "b": secrets_of(B),
        "bundle": BUNDLE,
        "prekeys": {"spk_secret": PREKEYS.spk_secret, "opk_secret": PREKEYS.opk_secret, "kem_seed": PREKEYS.kem_seed},
        "drawn_by_a": {
            "e": secret("e"),
            "encapsulated": made["taken"][0],
            "dhs": secret("A dhs 0"),
            "kem_seed": secret("A kem 0", 64),
        },
        "flight": parts,
        "ad": flight.ad,
        "rdv": ind.hkdf(bytes(32), flight.sk, b"p2pchat/1 rdv", 32),
        "replay_tag": ind.blake2b(flight.ephemeral + flight.kem_ciphertext, 16),
        "steps": made["steps"],
        "refused_flights": refused_flights(),
    }


# --- 4.4, 4.5, 5.1: forms ------------------------------------------------------------------------------------------


def paddings() -> list[Json]:
    sizes = [0, 1, 254, 255, 256, 270, 271, 272, 1_000, 4_095, 4_096, 65_535, 65_536, 100_000, 262_171]
    return [{"content_bytes": n, "padded_bytes": len(ind.pad(bytes(n)))} for n in sizes]


def frames() -> list[Json]:
    envelope, kct, id16 = secret("envelope", 363), secret("kct", 1088), secret("id", 16)
    forms: list[tuple[str, object, str]] = [
        ("Hello", [0, 0], "ok"),
        ("Hello, every feature", [0, 2**64 - 1], "ok"),
        ("BundleRequest", [1, secret("proof")], "ok"),
        ("Bundle, refused", [2, b""], "ok"),
        ("Flight", [3, secret("E"), kct, id16, secret("sender", 276), envelope], "ok"),
        ("Batch", [4, [envelope, secret("other", 400)]], "ok"),
        ("Ack", [5, [[id16, secret("ack", 16)]]], "ok"),
        ("Nack", [6, id16], "ok"),
        ("Ping", [7, 1], "ok"),
        ("Pong", [8, 2**32], "ok"),
        ("Bye", [9], "ok"),
        ("Device", [10, B.cert], "ok"),
        ("unknown tag", [11, B.cert], "decode"),
        ("a field more", [9, 0], "decode"),
        ("a field less", [7], "decode"),
        ("no envelopes", [4, []], "decode"),
        ("short envelope", [4, [envelope[1:]]], "decode"),
        ("no acks", [5, []], "decode"),
        ("long sender", [3, secret("E"), kct, id16, bytes(513), envelope], "decode"),
        ("negative token", [7, -1], "decode"),
        ("float token", [7, 1.0], "decode"),
        ("map", {"0": 0}, "decode"),
    ]
    raw = [
        ("long integer", b"\x92\x07\xcc\x01", "decode"),
        ("long array", b"\xdc\x00\x02\x07\x01", "decode"),
        ("something after", b"\x92\x07\x01\x00", "decode"),
        ("text for bytes", b"\x92\x06\xb0" + b"a" * 16, "decode"),
        ("nothing", b"", "decode"),
    ]
    made = [(name, pack(form), expect) for name, form, expect in forms]
    return [{"name": name, "frame": frame, "expect": expect} for name, frame, expect in [*made, *raw]]


def contents() -> list[Json]:
    id16 = secret("id", 16)
    text = pack([1, NOW_MS, "\0 text \u200b"])
    forms: list[tuple[str, object, str]] = [
        ("open", [[id16, 0, b""]], "ok"),
        ("text", [[id16, 1, text]], "ok"),
        ("of a newer version", [[id16, 1, text], [id16, 65_535, b"?"]], "ok"),
        ("nothing", [], "decode"),
        ("short id", [[id16[1:], 1, text]], "decode"),
        ("type too high", [[id16, 65_536, text]], "decode"),
        ("a field more", [[id16, 1, text, 0]], "decode"),
    ]
    return [{"name": name, "content": pack(form), "expect": expect} for name, form, expect in forms]


def texts() -> list[Json]:
    cases: list[tuple[str, object, str]] = [
        ("one", [1, 0, "a"], "ok"),
        ("all", [2**64 - 1, 2**64 - 1, "\U0010ffff\ufeff"], "ok"),
        ("NUL", [1, NOW_MS, "\0"], "ok"),
        ("empty", [1, NOW_MS, ""], "decode"),
        ("number 0", [0, NOW_MS, "a"], "decode"),
        ("bytes", [1, NOW_MS, b"a"], "decode"),
    ]
    broken = [
        ("not UTF-8", b"\x93\x01\x00\xa1\xff", "decode"),
        ("half a pair", b"\x93\x01\x00\xa3\xed\xa0\x80", "decode"),
    ]
    made = [(name, pack(form), expect) for name, form, expect in cases]
    return [{"name": name, "text": body, "expect": expect} for name, body, expect in [*made, *broken]]


def make() -> Json:
    return {
        "about": "PROTOCOL.md 1.1, 4, 5.1, by a second implementation. Where expect is not ok, a receiver must refuse; "
        "the word names this project's error. drawn: what an end that draws from these gets byte for byte.",
        "certs": certs(),
        "bundles": bundles(),
        "ask_proofs": ask_proofs(),
        "session": session(),
        "paddings": paddings(),
        "frames": frames(),
        "contents": contents(),
        "texts": texts(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(hexed(make()), indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
