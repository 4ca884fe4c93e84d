"""A second implementation of PROTOCOL.md 5.3, and the maker of devices.json: what a device does that hears of another.

It is written from the document and shares no code with ``p2pchat``. Each run makes the same file::

    python -m tests.vectors.independent_device
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.vectors import independent_session as ind
from tests.vectors.independent_session import Person, pack
from tests.vectors.make_sessions import NOW_MS, A, B, hexed, secret, secrets_of

PATH: Final = Path(__file__).with_name("devices.json")
OWN: Final = A
NEWER: Final = Person(A.root_seed, secret("newer device"), secret("newer ik"), A.epoch_ms + 1)
GIVEN_UP_MS: Final = A.epoch_ms + 777


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def outcome(own: Person, raw: bytes, now_ms: int, given_up_ms: int) -> str:
    """``replaced``, ``ignored``, or ``decode``: the stream is reset."""
    try:
        c, by_root, by_device = msgpack.unpackb(raw)
        version, root, epoch_ms, device, ik = msgpack.unpackb(c)
        lengths = [len(part) for part in (by_root, by_device, root, device, ik)]
        formed = version == 1 and epoch_ms > 0 and lengths == [64, 64, 32, 32, 32]
        canonical = pack([pack([version, root, epoch_ms, device, ik]), by_root, by_device]) == raw
    except Exception:  # whatever it is, it is none
        return "decode"
    if not (formed and canonical):
        return "decode"
    signed = holds(root, by_root, b"p2pchat/1 device\0" + c) and holds(device, by_device, b"p2pchat/1 member\0" + c)
    newer = epoch_ms > own.epoch_ms and epoch_ms <= now_ms + 600_000 and epoch_ms != given_up_ms
    return "replaced" if signed and newer and root == ind.ed_public(own.root_seed) else "ignored"


def make() -> object:
    newer = NEWER.cert
    half = pack([NEWER.c, ind.sign(A.root_seed, b"p2pchat/1 device\0" + NEWER.c), bytes(64)])
    by_another = ind.sign(B.root_seed, b"p2pchat/1 device\0" + NEWER.c)
    stolen = pack([NEWER.c, by_another, ind.sign(NEWER.device_seed, b"p2pchat/1 member\0" + NEWER.c)])
    cases = [
        ("a newer device", newer, NOW_MS, "replaced"),
        ("600 s ahead of the clock", newer, NEWER.epoch_ms - 600_000, "replaced"),
        ("further ahead of it", newer, NEWER.epoch_ms - 600_001, "ignored"),
        ("this device", A.cert, NOW_MS, "ignored"),
        ("another one, made in the same ms", replace(NEWER, epoch_ms=A.epoch_ms).cert, NOW_MS, "ignored"),
        ("an older one", replace(NEWER, epoch_ms=A.epoch_ms - 1).cert, NOW_MS, "ignored"),
        ("one that it was itself", replace(NEWER, epoch_ms=GIVEN_UP_MS).cert, NOW_MS, "ignored"),
        ("another person's newer one", B.cert, NOW_MS, "ignored"),
        ("not signed by the device", half, NOW_MS, "ignored"),
        ("not signed by the root", stolen, NOW_MS, "ignored"),
        ("nothing", b"", NOW_MS, "decode"),
        ("something after it", newer + b"\0", NOW_MS, "decode"),
        ("the array in its longer form", b"\xdc\x00\x03" + newer[1:], NOW_MS, "decode"),
        ("epoch_ms is 0", replace(NEWER, epoch_ms=0).cert, NOW_MS, "decode"),
        ("cut", newer[:-1], NOW_MS, "decode"),
    ]
    for name, raw, now_ms, expect in cases:
        if outcome(OWN, raw, now_ms, GIVEN_UP_MS) != expect:
            raise ValueError(name)
    return hexed(
        {
            "about": "PROTOCOL.md 5.3, by a second implementation: what the device own does with the certificate in a "
            "frame Device, at now_ms. given_up_ms: epoch_ms that it once had, by a clock that was ahead.",
            "own": secrets_of(OWN),
            "given_up_ms": GIVEN_UP_MS,
            "cases": [{"name": n, "cert": raw, "now_ms": now, "expect": expect} for n, raw, now, expect in cases],
        }
    )


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
