"""A second implementation of PROTOCOL.md 3.5 and 3.6, and the maker of verify.json.

It is written from the document and shares no code with ``p2pchat.core``. Run it to write the vectors anew::

    python -m tests.vectors.independent_verify
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from tests.vectors.independent_discovery import Vectors, h, pack, public, seed

PATH: Final = Path(__file__).with_name("verify.json")
A: Final = public(seed("root of A"))
B: Final = public(seed("root of B"))
C: Final = public(seed("root of C"))
VID: Final = seed("vid")[:16]
BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
CODE: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def base32(payload: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in payload)
    bits += "0" * (-len(bits) % 5)
    return "".join(BASE32[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


def link(payload: bytes) -> str:
    return "p2pchat:" + base32(payload)


def half(root: bytes) -> str:
    digest = bytes(2) + root
    for _ in range(5200):
        digest = hashlib.sha512(digest + root).digest()
    values = [sum(byte << 8 * (4 - place) for place, byte in enumerate(digest[5 * i : 5 * i + 5])) for i in range(6)]
    return "".join(str(value % 100_000).zfill(5) for value in values)


def safety(one: bytes, other: bytes) -> str:
    first, second = sorted((half(one), half(other)))
    digits = first + second
    return " ".join(digits[5 * i : 5 * i + 5] for i in range(12))


def shown(code: bytes) -> str:
    value, characters = int.from_bytes(code, "big"), ""
    for _ in range(16):
        value, rest = divmod(value, 32)
        characters = CODE[rest] + characters
    return "-".join(characters[i : i + 4] for i in (0, 4, 8, 12))


def mac(code: bytes, vid: bytes, verifier: bytes, prover: bytes, number: str) -> bytes:
    owned = number.encode()
    said = vid + verifier + prover + len(owned).to_bytes(4, "big") + owned
    return h(b"dcd1/sms", said, 32, h(b"dcd1/smsk", code, 32))


def links() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    payloads = [pack([2, A, B]), pack([2, A, None]), b"\x90", bytes(range(256)) * 2, *(bytes(n) for n in range(1, 6))]
    accepted: list[dict[str, object]] = [
        {"payload": payload.hex(), "link": text}
        for payload in payloads
        for text in (link(payload), link(payload).upper(), f" <\n{link(payload)[:12]}\t {link(payload)[12:]}\r\n> ")
    ]
    good = link(b"\x92\x02\x03")
    wrong = [
        ("no scheme", good[8:]),
        ("another scheme", "https" + good[7:]),
        ("nothing in it", "p2pchat:"),
        ("a padding", good + "==="),
        ("a character that base32 lacks", good[:-1] + "1"),
        ("a length that encodes no whole bytes", good + "a"),
        ("a set bit beyond the last byte", good[:-1] + BASE32[BASE32.index(good[-1]) + 1]),
        ("513 bytes", link(bytes(513))),
        ("one bracket", "<" + good),
        ("two brackets", "<<" + good + ">>"),
        ("a Kelvin sign", "p2pchat:\u212a" + good[9:]),
    ]
    return accepted, [{"name": name, "link": text} for name, text in wrong]


def verify_links() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    accepted: list[dict[str, object]] = [
        {"root": A.hex(), "to": to.hex() if to is not None else None, "link": link(pack([2, A, to]))}
        for to in (None, B)
    ]
    wrong: list[tuple[str, bytes]] = [
        ("an invite", pack([1, A, B])),
        ("kind 3", pack([3, A, None])),
        ("one field less", pack([2, A])),
        ("one field more", pack([2, A, None, None])),
        ("a root of 31 bytes", pack([2, A[1:], None])),
        ("a root that is text", pack([2, "a" * 32, None])),
        ("a trailing byte", pack([2, A, None]) + b"\0"),
        ("not the shortest form", b"\x93\xcc\x02" + pack(A) + b"\xc0"),
        ("no array", pack(2)),
    ]
    return accepted, [{"name": name, "link": link(payload)} for name, payload in wrong]


def codes() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    drawn = [bytes(10), b"\xff" * 10, bytes(range(10)), seed("code")[:10]]
    accepted: list[dict[str, object]] = [
        {
            "code": code.hex(),
            "shown": shown(code),
            "sms": f"p2pchat {shown(code)}: type only into your p2pchat, tell nobody",
            "typed": [
                shown(code).replace("-", ""),
                shown(code).lower(),
                shown(code).replace("-", " "),
                f" {shown(code)}\n".replace("-", "\u2013"),
            ],
        }
        for code in drawn
    ]
    good = shown(seed("code")[:10])
    wrong = [good[:-1], good + "A", "", *(good[:-1] + sign for sign in "01OIoi.\u0391\uff21")]
    return accepted, [{"typed": text} for text in wrong]


def macs() -> list[dict[str, object]]:
    """One, and beside it one for each thing that is bound: with another of it."""
    code, vid, number = seed("code")[:10], VID, "+821012345678"
    cases = [
        (code, vid, B, A, number),
        (seed("another code")[:10], vid, B, A, number),
        (code, seed("another vid")[:16], B, A, number),
        (code, vid, C, A, number),
        (code, vid, B, C, number),
        (code, vid, B, A, "+821098765432"),
        (code, vid, A, B, number),
    ]
    return [
        {
            "code": code.hex(),
            "key": h(b"dcd1/smsk", code, 32).hex(),
            "vid": vid.hex(),
            "verifier": verifier.hex(),
            "prover": prover.hex(),
            "number": number,
            "mac": mac(code, vid, verifier, prover, number).hex(),
        }
        for code, vid, verifier, prover, number in cases
    ]


def items() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    answer = mac(seed("code")[:10], VID, B, A, "+821012345678")
    accepted: list[dict[str, object]] = [
        {"type": 3, "body": pack([VID]).hex(), "vid": VID.hex()},
        {"type": 4, "body": pack([VID, answer]).hex(), "vid": VID.hex(), "mac": answer.hex()},
        {"type": 5, "body": pack([VID, True]).hex(), "vid": VID.hex(), "ok": True},
        {"type": 5, "body": pack([VID, False]).hex(), "vid": VID.hex(), "ok": False},
    ]
    wrong: list[tuple[int, str, bytes]] = [
        (3, "15 bytes", pack([VID[1:]])),
        (3, "one field more", pack([VID, 0])),
        (3, "bare", pack(VID)),
        (3, "empty", b""),
        (3, "a trailing byte", pack([VID]) + b"\0"),
        (4, "a mac of 31 bytes", pack([VID, answer[1:]])),
        (4, "no mac", pack([VID])),
        (4, "a vid that is text", pack(["a" * 16, answer])),
        (5, "ok is 1", pack([VID, 1])),
        (5, "ok is nil", pack([VID, None])),
        (5, "no ok", pack([VID])),
    ]
    return accepted, [{"type": kind, "name": name, "body": body.hex()} for kind, name, body in wrong]


def make() -> Vectors:
    """All vectors, the same at every run."""
    link_accepted, link_refused = links()
    verify_accepted, verify_refused = verify_links()
    code_accepted, code_refused = codes()
    item_accepted, item_refused = items()
    return {
        "link": link_accepted,
        "link_refused": link_refused,
        "verify": verify_accepted,
        "verify_refused": verify_refused,
        "safety": [
            {"roots": [one.hex(), other.hex()], "halves": [half(one), half(other)], "number": safety(one, other)}
            for one, other in ((A, B), (B, A), (A, C), (bytes(32), b"\xff" * 32))
        ],
        "code": code_accepted,
        "code_refused": code_refused,
        "mac": macs(),
        "item": item_accepted,
        "item_refused": item_refused,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
