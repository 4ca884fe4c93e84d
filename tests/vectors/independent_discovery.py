"""A second implementation of PROTOCOL.md 3.1 to 3.3, in straight lines, and the maker of discovery.json.

It is written from the document alone, over msgpack, PyNaCl and hashlib, and shares no code with ``p2pchat.core``: where
the two disagree, one of them has misread the document. Run it to write the vectors anew::

    python -m tests.vectors.independent_discovery
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import msgpack
import nacl.bindings as sodium
import nacl.pwhash.argon2id
from nacl.signing import SigningKey

PATH: Final = Path(__file__).with_name("discovery.json")
NOW: Final = 1_800_000_000
LOWER: Final = "+821012345678"
HIGHER: Final = "+821098765432"
Vectors = dict[str, list[dict[str, object]]]


def h(person: bytes, data: bytes, n: int = 32, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=n, key=key, person=person.ljust(16, b"\0")).digest()


def u16(n: int) -> bytes:
    return n.to_bytes(2, "big")


def u32(n: int) -> bytes:
    return n.to_bytes(4, "big")


def pack(value: object) -> bytes:
    packed = msgpack.packb(value, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def seed(name: str) -> bytes:
    return hashlib.sha256(b"p2pchat discovery vectors " + name.encode()).digest()


def signed(key: bytes, message: bytes) -> bytes:
    return SigningKey(key).sign(message).signature


def public(key: bytes) -> bytes:
    return bytes(SigningKey(key).verify_key)


def argon_root(a: str, b: str, era: int) -> bytes:
    lo, hi = sorted((a.encode(), b.encode()))
    password = b"\x02" + bytes([len(lo)]) + lo + bytes([len(hi)]) + hi
    salt = h(b"dcd1/salt", b"\x02" + u32(era), 16)
    return nacl.pwhash.argon2id.kdf(32, password, salt, opslimit=3, memlimit=256 * 1024 * 1024)


def offset(root: bytes) -> int:
    return int.from_bytes(h(b"dcd1/off", b"", 4, root), "big") % 604_800


def gate(root: bytes, e: int) -> bytes:
    return h(b"dcd1/gate", u32(e), 32, root)


def loc(root: bytes, e: int) -> bytes:
    return h(b"dcd1/loc", public(gate(root, e)))


def kenc(root: bytes, e: int) -> bytes:
    return h(b"dcd1/enc", u32(e), 32, root)


def writer(root: bytes, e: int, idsec: bytes) -> bytes:
    return h(b"dcd1/wkey", loc(root, e), 32, idsec)


def eph(root: bytes, e: int, idsec: bytes) -> bytes:
    return h(b"dcd1/eph", loc(root, e), 32, idsec)


def eph_public(root: bytes, e: int, idsec: bytes) -> bytes:
    return sodium.crypto_scalarmult_base(eph(root, e, idsec))


def padded(data: bytes) -> bytes:
    return u16(len(data)) + data + bytes(702 - len(data))


def sealed(root: bytes, e: int, idsec: bytes, plain: bytes, nonce24: bytes) -> bytes:
    aad = b"dcd1" + loc(root, e) + public(writer(root, e, idsec))
    return nonce24 + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, nonce24, kenc(root, e))


def work(digest: bytes, nonce8: bytes) -> int:
    bits = bin(int.from_bytes(h(b"dcd1/pow", digest + nonce8), "big") | 1 << 256)[3:]
    return len(bits) - len(bits.lstrip("0"))


def mined(digest: bytes, least: int, most: int = 256) -> bytes:
    counter = 0
    while not least <= work(digest, counter.to_bytes(8, "big")) <= most:
        counter += 1
    return counter.to_bytes(8, "big")


def signatures(root: bytes, e: int, idsec: bytes, head: list[object]) -> tuple[bytes, bytes]:
    m = b"dcd1/record\0" + pack(head)
    gate_sig = signed(gate(root, e), m)
    return gate_sig, signed(writer(root, e, idsec), m + gate_sig)


def complete(head: list[object], gate_sig: bytes, writer_sig: bytes, least: int = 16, most: int = 256) -> bytes:
    digest = h(b"dcd1/powm", b"dcd1/record\0" + pack(head) + gate_sig + writer_sig)
    return pack([*head, gate_sig, writer_sig, mined(digest, least, most)])


def head_of(root: bytes, e: int, idsec: bytes, seq: int, expiry: int, plain: bytes, version: int = 1) -> list[object]:
    ct = sealed(root, e, idsec, plain, seed("nonce")[:24])
    return [version, public(gate(root, e)), public(writer(root, e, idsec)), seq, expiry, ct]


def record(root: bytes, e: int, idsec: bytes, seq: int, data: bytes) -> bytes:
    head = head_of(root, e, idsec, seq, seq + 259_200, padded(data))
    return complete(head, *signatures(root, e, idsec, head))


def certificate(name: str, epoch_ms: int) -> bytes:
    root, device, ik = seed(name + " root"), seed(name + " device"), seed(name + " ik")
    c = pack([1, public(root), epoch_ms, public(device), sodium.crypto_scalarmult_base(ik)])
    return pack([c, signed(root, b"p2pchat/1 device\0" + c), signed(device, b"p2pchat/1 member\0" + c)])


def card(name: str, at: bytes, m: bytes, epoch_ms: int = (NOW - 1000) * 1000, signer: str = "") -> bytes:
    signature = signed(seed((signer or name) + " device"), b"dcd1/card\0" + at + m)
    return pack([m, certificate(name, epoch_ms), signature])


def reply_root(root: bytes, e: int, own_secret: bytes, theirs: bytes) -> bytes:
    own = sodium.crypto_scalarmult_base(own_secret)
    lower, higher = min(own, theirs), max(own, theirs)
    return h(b"dcd1/reply", root + u32(e) + lower + higher, 32, sodium.crypto_scalarmult(own_secret, theirs))


def record_refusals(root: bytes, e: int, idsec: bytes) -> list[dict[str, object]]:
    good = record(root, e, idsec, NOW, b"data")
    at = loc(root, e)
    fields = msgpack.unpackb(good, raw=False)
    seq_at = good.index(b"\xce" + u32(NOW))

    def case(name: str, raw: bytes, expect: str, now: int = NOW, where: bytes = at) -> dict[str, object]:
        return {"name": name, "loc": where.hex(), "now_s": now, "record": raw.hex(), "expect": expect}

    def remade(seq: int, expiry: int, version: int = 1) -> bytes:
        head = head_of(root, e, idsec, seq, expiry, padded(b"data"), version)
        return complete(head, *signatures(root, e, idsec, head))

    head, gate_sig, writer_sig = fields[:6], fields[6], fields[7]
    m = b"dcd1/record\0" + pack(head)
    stranger = seed("stranger")
    no_gate = signed(stranger, m)
    return [
        case("empty", b"", "size"),
        case("one byte short", good[:-1], "size"),
        case("one byte long", good + b"\0", "size"),
        case("no msgpack", b"\xc1" * 969, "form"),
        case("a string, not an array", b"\xda" + u16(966) + b"x" * 966, "field"),
        case("an array of ten", b"\x9a" + good[1:], "field"),
        case("version is true", good[:1] + b"\xc3" + good[2:], "field"),
        case("seq is a float", good[:seq_at] + b"\xca" + good[seq_at + 1 :], "field"),
        case("gate is text", good[:2] + b"\xd9\x20" + b"g" * 32 + good[36:], "field"),
        case("nonce is text", good[:-10] + b"\xa9" + b"n" * 9, "field"),
        case("seq in a signed form", good[:seq_at] + b"\xd2" + good[seq_at + 1 :], "noncanonical"),
        case("version 2", remade(NOW, NOW + 259_200, 2), "version"),
        case("another slot", good, "loc", where=loc(root, e + 1)),
        case("another slot, and expired", good, "loc", now=NOW + 259_200, where=loc(root, e + 1)),
        case("601 s in the future", remade(NOW + 601, NOW + 700), "time"),
        case("lives a second too long", remade(NOW, NOW + 259_201), "time"),
        case("expires as it is written", remade(NOW + 300, NOW + 300), "time"),
        case("expired", good, "time", now=NOW + 259_200),
        case("expired, and a bit flipped in the nonce", good[:-1] + bytes([good[-1] ^ 1]), "time", NOW + 259_200),
        case("15 bits of work", complete(head, gate_sig, writer_sig, 15, 15), "work"),
        case(
            "gate signature of another",
            complete(head, no_gate, signed(writer(root, e, idsec), m + no_gate)),
            "signature",
        ),
        case("writer signature of another", complete(head, gate_sig, signed(stranger, m + gate_sig)), "signature"),
        case(
            "writer signed without the gate's signature",
            complete(head, gate_sig, signed(writer(root, e, idsec), m)),
            "signature",
        ),
        case(
            "another writer's name over it",
            complete([*head[:2], public(stranger), *head[3:]], gate_sig, writer_sig),
            "signature",
        ),
    ]


def unreadable(root: bytes, e: int, idsec: bytes) -> list[dict[str, object]]:
    def case(name: str, plain: bytes, expect: str, sealer: bytes = idsec) -> dict[str, object]:
        head = head_of(root, e, idsec, NOW, NOW + 259_200, plain)
        head[5] = sealed(root, e, sealer, plain, seed("nonce")[:24])
        raw = complete(head, *signatures(root, e, idsec, head))
        return {"name": name, "root": root.hex(), "epoch": e, "now_s": NOW, "record": raw.hex(), "expect": expect}

    return [
        case("sealed for another writer", padded(b"data"), "DECRYPTION", seed("other idsec")),
        case("length of 703", u16(703) + b"x" * 702, "DECODE"),
        case("padding that is not zero", padded(b"data")[:-1] + b"\1", "DECODE"),
    ]


def cards(root: bytes, e: int) -> Vectors:
    at = loc(root, e)
    m = pack([2, 1, NOW])
    data = card("bob", at, m)

    def case(name: str, raw: bytes, expect: str = "", own: str = "alice") -> dict[str, object]:
        shown = {"name": name, "root": root.hex(), "epoch": e, "now_s": NOW, "their_role": 1, "data": raw.hex()}
        own_root = public(seed(own + " root")).hex()
        return {**shown, "own_root": own_root, **({"expect": expect} if expect else {})}

    made: dict[str, object] = {
        **case("bob's", data),
        "root_seed": seed("bob root").hex(),
        "device_seed": seed("bob device").hex(),
        "ik_secret": seed("bob ik").hex(),
        "epoch_ms": (NOW - 1000) * 1000,
        "ts": NOW,
        "their_root": public(seed("bob root")).hex(),
    }
    accepted = [
        made,
        case("600 s ahead", card("bob", at, pack([2, 1, NOW + 600]), (NOW + 600) * 1000)),
        case("very old", card("bob", at, pack([2, 1, 0]))),
    ]
    refused = [
        case("empty", b"", "DECODE"),
        case("trailing byte", data + b"\0", "DECODE"),
        case("m of another kind", card("bob", at, pack([1, 1, NOW])), "DECODE"),
        case("m with one more", card("bob", at, pack([2, 1, NOW, 0])), "DECODE"),
        case("m not canonical", card("bob", at, b"\x93\x02\x01\xd2" + u32(NOW)), "DECODE"),
        case("wrong role", card("bob", at, pack([2, 0, NOW])), "HANDSHAKE"),
        case("601 s ahead", card("bob", at, pack([2, 1, NOW + 601])), "HANDSHAKE"),
        case("cert 601 s ahead", card("bob", at, m, (NOW + 601) * 1000), "HANDSHAKE"),
        case("for another slot", card("bob", loc(root, e + 1), m), "HANDSHAKE"),
        case("signed by another device", card("bob", at, m, signer="alice"), "HANDSHAKE"),
        case("my own root", data, "HANDSHAKE", own="bob"),
        case(
            "cert's signature broken",
            data.replace(certificate("bob", (NOW - 1000) * 1000)[-64:], bytes(64)),
            "HANDSHAKE",
        ),
    ]
    return {"card_made": [made], "card": accepted, "card_refused": refused}


def reaches() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    peer_id = bytes.fromhex("002408011220") + seed("peer")
    ask = seed("ask")
    tcp = b"\x04\xc0\xa8\x01\x07\x06\x0f\xa1"

    def case(addresses: list[bytes], kept: int) -> dict[str, object]:
        data = pack([3, peer_id, addresses[:kept], ask])
        hexed = [address.hex() for address in addresses]
        shown = {"peer_id": peer_id.hex(), "ask": ask.hex(), "addresses": hexed, "kept": kept}
        return {**shown, "data": data.hex()}

    def bad(name: str, value: object) -> dict[str, object]:
        return {"name": name, "data": pack(value).hex(), "expect": "DECODE"}

    # 3 bytes of array and kind and count, 40 of the PeerID, 34 of ask32 leave 625: four of 130, and 105.
    accepted = [
        case([], 0),
        case([tcp], 1),
        case([tcp] * 9, 8),
        case([b"\x36" + bytes([i]) * 127 for i in range(8)], 4),
        case([b"\x36" + bytes([i]) * 127 for i in range(4)] + [b"\x36" * 103], 5),
        case([b"\x36" + bytes([i]) * 127 for i in range(4)] + [b"\x36" * 104], 4),
    ]
    refused = [
        bad("kind 2", [2, peer_id, [tcp], ask]),
        bad("nine addresses", [3, peer_id, [tcp] * 9, ask]),
        bad("an address of 129 bytes", [3, peer_id, [b"x" * 129], ask]),
        bad("an empty address", [3, peer_id, [b""], ask]),
        bad("a short PeerID", [3, peer_id[:-1], [tcp], ask]),
        bad("a PeerID of another form", [3, b"\x12\x20" + peer_id[2:], [tcp], ask]),
        bad("31 bytes of ask", [3, peer_id, [tcp], ask[:-1]]),
        bad("an address as text", [3, peer_id, ["/ip4"], ask]),
        bad("one more field", [3, peer_id, [tcp], ask, 0]),
    ]
    return accepted, refused


def slots(root: bytes) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name, value, t in (("pair", root, NOW), ("derived", seed("some root"), NOW), ("early", seed("some root"), 0)):
        e = (t + offset(value)) // 604_800
        idsec = seed(name + " idsec")
        found.append(
            {
                "root": value.hex(),
                "t": t,
                "offset": offset(value),
                "epoch": e,
                "gate_pk": public(gate(value, e)).hex(),
                "loc": loc(value, e).hex(),
                "kenc": kenc(value, e).hex(),
                "idsec": idsec.hex(),
                "writer_pk": public(writer(value, e, idsec)).hex(),
                "eph_sk": eph(value, e, idsec).hex(),
                "eph_pk": eph_public(value, e, idsec).hex(),
            }
        )
    return found


def records(root: bytes, e: int, idsec: bytes) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for data in (b"", b"data", b"x" * 702):
        raw = record(root, e, idsec, NOW, data)
        head = raw[1:827]
        digest = h(b"dcd1/powm", b"dcd1/record\0\x96" + head + raw[829:893] + raw[895:959])
        found.append(
            {
                "root": root.hex(),
                "epoch": e,
                "idsec": idsec.hex(),
                "seq": NOW,
                "nonce24": seed("nonce")[:24].hex(),
                "data": data.hex(),
                "digest": digest.hex(),
                "nonce8": raw[-8:].hex(),
                "work": work(digest, raw[-8:]),
                "record": raw.hex(),
                "accepted_at": [NOW - 600, NOW + 259_199],
            }
        )
    return found


def hellos() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    key = seed("eph")
    accepted: list[dict[str, object]] = [
        {"role": role, "eph": key.hex(), "data": pack([1, role, key]).hex()} for role in (0, 1)
    ]
    wrong: list[tuple[str, object]] = [
        ("role 2", [1, 2, key]),
        ("kind 2", [2, 1, key]),
        ("31 bytes", [1, 1, key[:-1]]),
        ("one more field", [1, 1, key, 0]),
        ("role true", [1, True, key]),
        ("text", [1, 1, "e" * 32]),
        ("a map", {1: 1}),
    ]
    refused: list[dict[str, object]] = [
        {"name": name, "data": pack(value).hex(), "expect": "DECODE"} for name, value in wrong
    ]
    refused.append({"name": "not canonical", "data": (b"\x93\x01\xcc\x01\xc4\x20" + key).hex(), "expect": "DECODE"})
    return accepted, refused


def replies(root: bytes, e: int) -> list[dict[str, object]]:
    a, b = eph(root, e, seed("alice idsec")), eph(root, e, seed("bob idsec"))
    q = reply_root(root, e, a, sodium.crypto_scalarmult_base(b))
    return [
        {
            "root": root.hex(),
            "epoch": e,
            "eph_sk_a": a.hex(),
            "eph_sk_b": b.hex(),
            "reply_root": q.hex(),
            "reach_root": h(b"dcd1/reach", b"", 32, q).hex(),
        }
    ]


def make() -> Vectors:
    """All vectors, the same at every run."""
    era = NOW // 7_862_400
    root = argon_root(LOWER, HIGHER, era)
    e = (NOW + offset(root)) // 604_800
    idsec = seed("alice idsec")
    reach_ok, reach_refused = reaches()
    hello_ok, hello_refused = hellos()
    return {
        "era": [{"t": t, "era": t // 7_862_400} for t in (0, 7_862_399, 7_862_400, NOW)],
        "root": [{"own": LOWER, "other": HIGHER, "era": era, "role": 0, "root": root.hex()}],
        "idsec": [{"idsec": idsec.hex(), "next": h(b"dcd1/era", b"", 32, idsec).hex()}],
        "slot": slots(root),
        "record": records(root, e, idsec),
        "record_refused": record_refusals(root, e, idsec),
        "record_unreadable": unreadable(root, e, idsec),
        "hello": hello_ok,
        "hello_refused": hello_refused,
        "reply": replies(root, e),
        **cards(seed("reply root"), e),
        "reach": reach_ok,
        "reach_refused": reach_refused,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
