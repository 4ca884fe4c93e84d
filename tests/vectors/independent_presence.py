"""A second implementation of PROTOCOL.md 3.4, beside that of 3.1 to 3.3, and the maker of presence.json.

It is written from the document and shares no code with ``p2pchat.core``. Run it to write the vectors anew::

    python -m tests.vectors.independent_presence
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nacl.bindings as sodium

from tests.vectors import independent_discovery as slots
from tests.vectors.independent_discovery import NOW, Vectors, complete, h, pack, padded, public, seed, signed

PATH: Final = Path(__file__).with_name("presence.json")
WEEK: Final = NOW // 604_800
PSEED: Final = seed("pseed")
K: Final = seed("presence key")
GATE: Final = public(PSEED)
LOC: Final = h(b"dcd1/loc", GATE)
PEER_ID: Final = bytes.fromhex("002408011220") + seed("peer")
ASK: Final = seed("ask")
TCP: Final = b"\x04\xc0\xa8\x01\x07\x06\x0f\xa1"
CIRCUIT: Final = bytes.fromhex("04c0000201060fa1" + "a50326") + PEER_ID + bytes.fromhex("a202")


def stepped(key: bytes, steps: int) -> bytes:
    for _ in range(steps):
        key = h(b"dcd1/prat", b"", 32, key)
    return key


def record(seq: int, data: bytes, key: bytes, writer_seed: bytes = PSEED) -> bytes:
    nonce24 = seed("nonce")[:24]
    aad = b"dcd1" + LOC + public(writer_seed)
    ct = nonce24 + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded(data), aad, nonce24, key)
    head: list[object] = [1, GATE, public(writer_seed), seq, seq + 259_200, ct]
    m = b"dcd1/record\0" + pack(head)
    gate_sig = signed(PSEED, m)
    return complete(head, gate_sig, signed(writer_seed, m + gate_sig))


def said(n: int, addresses: list[bytes], circuits: Sequence[bytes] = ()) -> bytes:
    return pack([4, PEER_ID, None, None, ASK, n, addresses, circuits, []])


def contents() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    mailbox = [PEER_ID, TCP, seed("token")]
    keys = [seed("mailbox"), seed("bundle key"), ASK]
    full: list[object] = [4, PEER_ID, *keys, 1, [TCP] * 3, [CIRCUIT] * 2, [mailbox] * 2]
    long = b"\x36" + b"x" * 127
    cases: list[tuple[int, list[bytes], list[bytes], int]] = [
        (1, [], [], 0),
        (2, [TCP], [CIRCUIT], 1),
        (4_294_967_295, [TCP] * 4, [CIRCUIT] * 3, 2),
        (1, [long] * 3, [], 0),
        (1, [long] * 3, [long] * 2, 1),  # the second does not fit
    ]
    written: list[dict[str, object]] = [
        {
            "peer_id": PEER_ID.hex(),
            "ask": ASK.hex(),
            "n": n,
            "addresses": [address.hex() for address in addresses],
            "kept": min(3, len(addresses)),
            "circuits": [circuit.hex() for circuit in circuits],
            "circuits_kept": kept,
            "data": said(n, addresses[:3], circuits[:kept]).hex(),
        }
        for n, addresses, circuits, kept in cases
    ]
    read: list[dict[str, object]] = [
        {
            "name": "with mailboxes",
            "data": pack(full).hex(),
            "n": 1,
            "addresses": [TCP.hex()] * 3,
            "circuits": [CIRCUIT.hex()] * 2,
        }
    ]
    wrong: list[tuple[str, list[object]]] = [
        ("kind 3", [3, *full[1:]]),
        ("a PeerID of another form", [4, b"\x12\x20" + PEER_ID[2:], *full[2:]]),
        ("31 bytes of ask", [*full[:4], ASK[:-1], *full[5:]]),
        ("no ask", [*full[:4], None, *full[5:]]),
        ("n is 0", [*full[:5], 0, *full[6:]]),
        ("n is 2^32", [*full[:5], 1 << 32, *full[6:]]),
        ("four addresses", [*full[:6], [TCP] * 4, *full[7:]]),
        ("an address of 129 bytes", [*full[:6], [b"x" * 129], *full[7:]]),
        ("an empty address", [*full[:6], [b""], *full[7:]]),
        ("three circuits", [*full[:7], [TCP] * 3, full[8]]),
        ("three mailboxes", [*full[:8], [mailbox] * 3]),
        ("a token of 31 bytes", [*full[:8], [[PEER_ID, TCP, seed("token")[:-1]]]]),
        ("one field less", full[:8]),
        ("one field more", [*full, 0]),
    ]
    refused: list[dict[str, object]] = [{"name": name, "data": pack(value).hex()} for name, value in wrong]
    refused.append({"name": "a trailing byte", "data": (pack(full) + b"\0").hex()})
    return written + read, refused


def keys() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    accepted: list[dict[str, object]] = [
        {"n": n, "gate": GATE.hex(), "week": week, "key": K.hex(), "body": pack([n, GATE, week, K]).hex()}
        for n, week in ((1, WEEK), (4_294_967_295, 0), (7, 4_294_967_295))
    ]
    wrong: list[tuple[str, list[object]]] = [
        ("n is 0", [0, GATE, WEEK, K]),
        ("n is 2^32", [1 << 32, GATE, WEEK, K]),
        ("week is 2^32", [1, GATE, 1 << 32, K]),
        ("a gate of 33 bytes", [1, GATE + b"x", WEEK, K]),
        ("a key of 31 bytes", [1, GATE, WEEK, K[:-1]]),
        ("one field more", [1, GATE, WEEK, K, 0]),
    ]
    return accepted, [{"name": name, "body": pack(value).hex()} for name, value in wrong]


def sightings() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Records, with the week and key that the reader holds."""

    def case(name: str, held_week: int, raw: bytes, **more: object) -> dict[str, object]:
        held = {"week": held_week, "key": stepped(K, max(0, held_week - WEEK + 4)).hex()}
        return {"name": name, "gate": GATE.hex(), **held, "now_s": NOW, "record": raw.hex(), **more}

    now = stepped(K, 4)  # K is that of four weeks ago
    good = record(NOW, said(1, [TCP], []), now)
    made = {"nonce24": seed("nonce")[:24].hex(), "pseed": PSEED.hex(), "seq": NOW, "data": said(1, [TCP], []).hex()}
    accepted = [
        case("of this week", WEEK, good, **made),
        case("held since four weeks", WEEK - 4, good, **made),
        case("the first second of the week", WEEK, record(WEEK * 604_800, said(2, []), now), data=said(2, []).hex()),
    ]
    refused = [
        case("of a week whose key is gone", WEEK + 1, good, expect="DECRYPTION"),
        case("sealed with the key of another week", WEEK, record(NOW, said(1, []), K), expect="DECRYPTION"),
        case("1,041 weeks ahead", WEEK - 1_041, good, expect="DECRYPTION"),
        case("another writer", WEEK, record(NOW, said(1, []), now, seed("stranger")), expect="RECORD"),
        case("a hello", WEEK, record(NOW, pack([1, 0, K]), now), expect="DECODE"),
    ]
    return accepted, refused


def rendezvous() -> list[dict[str, object]]:
    """What A leaves for B in the slots of a session's rdv, and what B is to make of the records there."""
    rdv, mine, theirs = seed("rdv"), seed("idsec A"), seed("idsec B")
    epoch = (NOW + slots.offset(rdv)) // 604_800
    begins = epoch * 604_800 - slots.offset(rdv)

    def given(n: int, *more: object) -> bytes:
        return pack([5, n, GATE, WEEK, K, *more])

    def case(name: str, now: int, entries: list[tuple[bytes, int, bytes]], read: list[int]) -> dict[str, object]:
        records = [slots.record(rdv, epoch, idsec, seq, data).hex() for idsec, seq, data in entries]
        return {"name": name, "now_s": now, "records": records, "read": read, **where}

    where: dict[str, object] = {
        "rdv": rdv.hex(),
        "epoch": epoch,
        "era": begins // 7_862_400,
        "begins_s": begins,
        "loc": slots.loc(rdv, epoch).hex(),
        "idsec": theirs.hex(),
        "data": given(3).hex(),
        "key": [3, GATE.hex(), WEEK, K.hex()],
    }
    return [
        case("the other's", NOW, [(mine, NOW, given(3))], [3]),
        case("the own is no news", NOW, [(theirs, NOW, given(9)), (mine, NOW, given(3))], [3]),
        case("an older and a newer one", NOW, [(mine, NOW, given(4)), (seed("C"), NOW - 9, given(3))], [3, 4]),
        case("expired", NOW + 259_200, [(mine, NOW, given(3))], []),
        case("a hello", NOW, [(mine, NOW, pack([1, 0, K]))], []),
        case("number 0", NOW, [(mine, NOW, given(0))], []),
        case("one element more", NOW, [(mine, NOW, given(3, 0))], []),
    ]


def make() -> Vectors:
    """All vectors, the same at every run."""
    content, content_refused = contents()
    key, key_refused = keys()
    sighting, sighting_refused = sightings()
    return {
        "step": [{"key": K.hex(), "steps": steps, "next": stepped(K, steps).hex()} for steps in (0, 1, 2, 1_040)],
        "content": content,
        "content_refused": content_refused,
        "key": key,
        "key_refused": key_refused,
        "sighting": sighting,
        "sighting_refused": sighting_refused,
        "rendezvous": rendezvous(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
