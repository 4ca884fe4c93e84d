"""A second implementation of the invites of PROTOCOL.md 3.5, and the maker of invites.json.

It is written from the document and shares no code with ``p2pchat.core``. Run it to write the vectors anew::

    python -m tests.vectors.independent_invites
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.vectors import independent_discovery as slots
from tests.vectors.independent_discovery import NOW, Vectors, h, pack, public, seed

PATH: Final = Path(__file__).with_name("invites.json")
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
SECRET: Final = seed("invite")
ROOT: Final = public(seed("Alice root"))
PEER_ID: Final = bytes.fromhex("002408011220") + seed("peer")
TCP: Final = b"\x04\xc0\xa8\x01\x07\x06\x0f\xa1"


def link(payload: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in payload)
    bits += "0" * (-len(bits) % 5)
    return "p2pchat:" + "".join(ALPHABET[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))


def said(*addresses: bytes, **other: object) -> bytes:
    fields = {"kind": 1, "secret": SECRET, "root": ROOT, "expires": NOW + 604_800, "peer": PEER_ID}
    return pack([*(fields | other).values(), list(addresses)])


def links() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    def case(name: str, *addresses: bytes) -> dict[str, object]:
        return {"name": name, "addresses": [a.hex() for a in addresses], "link": link(said(*addresses)), **fields}

    fields: dict[str, object] = {
        "secret": SECRET.hex(),
        "root": ROOT.hex(),
        "expires_s": NOW + 604_800,
        "peer_id": PEER_ID.hex(),
    }
    accepted = [case("no address"), case("one", TCP), case("four", *[TCP + bytes([n]) for n in range(4)])]
    wrong = [
        ("five addresses", said(*[TCP] * 5)),
        ("an empty address", said(b"")),
        ("an address of 129 bytes", said(bytes(129))),
        ("a secret of 31 bytes", said(secret=SECRET[1:])),
        ("another kind", said(kind=2)),
        ("true for 1", said(kind=True)),
        ("a time below zero", said(expires=-1)),
        ("a PeerID that is not Ed25519's", said(peer=bytes(38))),
        ("trailing byte", said(TCP) + b"\0"),
        ("a long form", b"\xdc\x00\x06" + said(TCP)[1:]),
        ("an array of four billion", b"\xdd\xff\xff\xff\xff" + said(TCP)[1:]),
    ]
    return accepted, [{"name": name, "link": link(payload)} for name, payload in wrong]


def places() -> list[dict[str, object]]:
    root = h(b"dcd1/invite", b"", 32, SECRET)
    epoch = (NOW + slots.offset(root)) // 604_800
    return [
        {
            "secret": SECRET.hex(),
            "root": root.hex(),
            "now_s": NOW,
            "epoch": epoch,
            "era": (epoch * 604_800 - slots.offset(root)) // 7_862_400,
            "loc": slots.loc(root, epoch).hex(),
        }
    ]


def make() -> Vectors:
    """All vectors, the same at every run."""
    accepted, refused = links()
    return {"link": accepted, "link_refused": refused, "place": places()}


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
