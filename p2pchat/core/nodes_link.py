"""Links of nodes: where a network can be entered, handed from person to person (PROTOCOL.md 3.5, kind 4).

Nothing in them is signed: whoever hands one over chooses among whom its reader begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX, AddressBytes, Bytes38
from p2pchat.core.links import PAYLOAD_BYTES, decode_link, encode_link
from p2pchat.core.structs import Form

LINK_NODES: Final = 8
NODE_ADDRESSES: Final = 4


@dataclass(frozen=True, slots=True)
class NamedNode:
    """A node: its PeerID, 38 bytes, and 1 to 4 addresses."""

    peer_id: PeerId
    addresses: tuple[Address, ...]


_Addresses = Annotated[tuple[AddressBytes, ...], Meta(min_length=1, max_length=NODE_ADDRESSES)]


class _Nodes(Form, frozen=True):
    kind: Literal[4]
    nodes: Annotated[tuple[tuple[Bytes38, _Addresses], ...], Meta(min_length=1, max_length=LINK_NODES)]


_links = codec.Decoder(_Nodes, PAYLOAD_BYTES)


def encode_nodes(nodes: Iterable[NamedNode]) -> list[str]:
    """The links that carry ``nodes`` in their order, each as many as it holds.

    Addresses that are too many, or do not fit, are left out from the end; so is a node without one.

    Source: PROTOCOL.md 3.5.
    """
    payloads: list[list[tuple[bytes, list[bytes]]]] = []
    for node in nodes:
        addresses = [bytes(each) for each in node.addresses if 0 < len(each) <= ADDRESS_BYTES][:NODE_ADDRESSES]
        while addresses and not _fits([(bytes(node.peer_id), addresses)]):
            addresses.pop()
        if not addresses:
            continue
        entry = bytes(node.peer_id), addresses
        if not payloads or not _fits([*payloads[-1], entry]):
            payloads.append([])
        payloads[-1].append(entry)
    return [encode_link(codec.encode((4, payload))) for payload in payloads]


def _fits(nodes: Sequence[tuple[bytes, list[bytes]]]) -> bool:
    return len(nodes) <= LINK_NODES and len(codec.encode((4, nodes))) <= PAYLOAD_BYTES


def decode_nodes(text: str, param: str) -> tuple[NamedNode, ...]:
    """What the link ``text`` says; whether its addresses are multiaddrs is for net to find out.

    Raises:
        UsageError: INVALID_PARAMS, no link, or none of nodes.

    Source: PROTOCOL.md 3.5.
    """
    payload = decode_link(text, param)
    refused = UsageError(f"{param}: is a link, but not one of nodes", data={"param": param})
    try:
        said = _links.decode(payload)
    except DecodeError:
        raise refused from None
    if not all(peer_id.startswith(PEER_ID_PREFIX) for peer_id, _ in said.nodes):
        raise refused
    return tuple(NamedNode(PeerId(peer_id), tuple(map(Address, addresses))) for peer_id, addresses in said.nodes)
