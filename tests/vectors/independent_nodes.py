"""A second implementation of links of nodes, PROTOCOL.md 3.5, kind 4, and the maker of nodes.json.

It is written from the document and shares no code with ``p2pchat.core``. Run it to write the vectors anew::

    python -m tests.vectors.independent_nodes
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.vectors.independent_discovery import Vectors, pack, seed
from tests.vectors.independent_invites import TCP, link

PATH: Final = Path(__file__).with_name("nodes.json")
FIRST: Final = bytes.fromhex("002408011220") + seed("first node")
SECOND: Final = bytes.fromhex("002408011220") + seed("second node")
WEBSOCKET: Final = bytes.fromhex("04c00002010601bbdd03")  # /ip4/192.0.2.1/tcp/443/ws
LONG: Final = bytes(range(128))

Nodes = list[tuple[bytes, list[bytes]]]


def links(nodes: Nodes) -> list[str]:
    """Eight nodes and 512 bytes at most in each, filled one after the other."""
    filled: list[Nodes] = [[]]
    for node in nodes:
        longer = [*filled[-1], node]
        if len(longer) > 8 or len(pack([4, [[*each] for each in longer]])) > 512:
            filled.append([node])
        else:
            filled[-1] = longer
    return [link(pack([4, [[*each] for each in payload]])) for payload in filled]


def make() -> Vectors:
    """All vectors, the same at every run."""

    def case(name: str, *nodes: tuple[bytes, list[bytes]]) -> dict[str, object]:
        shown = [{"peer_id": peer.hex(), "addresses": [each.hex() for each in addresses]} for peer, addresses in nodes]
        return {"name": name, "nodes": shown, "links": links([*nodes])}

    many = [(bytes.fromhex("002408011220") + seed(f"node {number}"), [TCP]) for number in range(17)]
    accepted = [
        case("one", (FIRST, [TCP])),
        case("WebSocket", (FIRST, [TCP, WEBSOCKET])),
        case("four addresses", (FIRST, [TCP + bytes([n]) for n in range(4)])),
        case("two nodes", (FIRST, [TCP]), (SECOND, [WEBSOCKET])),
        case("the same node twice", (FIRST, [TCP]), (FIRST, [WEBSOCKET])),
        case("eight nodes, eight, and one", *many),
        case("long addresses", (FIRST, [LONG, LONG]), (SECOND, [LONG]), (FIRST, [LONG, LONG, LONG])),
    ]
    wrong = [
        ("no node", pack([4, []])),
        ("nine nodes", pack([4, [[FIRST, [TCP]]] * 9])),
        ("a node without an address", pack([4, [[FIRST, []]]])),
        ("five addresses", pack([4, [[FIRST, [TCP] * 5]]])),
        ("an empty address", pack([4, [[FIRST, [b""]]]])),
        ("an address of 129 bytes", pack([4, [[FIRST, [bytes(129)]]]])),
        ("another kind", pack([3, [[FIRST, [TCP]]]])),
        ("true for a kind", pack([True, [[FIRST, [TCP]]]])),
        ("a PeerID that is not Ed25519's", pack([4, [[FIRST, [TCP]], [bytes(38), [TCP]]]])),
        ("a PeerID of 39 bytes", pack([4, [[FIRST + b"\0", [TCP]]]])),
        ("a node with one element more", pack([4, [[FIRST, [TCP], 0]]])),
        ("a node with one element less", pack([4, [[FIRST]]])),
        ("one element more", pack([4, [[FIRST, [TCP]]], 0])),
        ("nil for nodes", pack([4, None])),
        ("a trailing byte", pack([4, [[FIRST, [TCP]]]]) + b"\0"),
        ("a long form", b"\xdc\x00\x02" + pack([4, [[FIRST, [TCP]]]])[1:]),
        ("more than a link holds", pack([4, [[FIRST, [LONG] * 4]]])),
    ]
    return {"link": accepted, "link_refused": [{"name": name, "link": link(payload)} for name, payload in wrong]}


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
