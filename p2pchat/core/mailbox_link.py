"""Mailbox links: where a node that offers mailboxes to anyone is found (PROTOCOL.md 3.5, kind 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import DecodeError, InternalError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX, AddressBytes, Bytes38
from p2pchat.core.links import PAYLOAD_BYTES, decode_link, encode_link
from p2pchat.core.structs import Form

LINK_ADDRESSES: Final = 4


@dataclass(frozen=True, slots=True)
class Holder:
    """A node that holds for others: its PeerID, and at most 4 addresses."""

    peer_id: PeerId
    addresses: tuple[Address, ...]


class _Holder(Form, frozen=True):
    kind: Literal[3]
    peer_id: Bytes38
    addresses: Annotated[tuple[AddressBytes, ...], Meta(min_length=1, max_length=LINK_ADDRESSES)]


_holders = codec.Decoder(_Holder, PAYLOAD_BYTES)


def fit_for_link(addresses: Iterable[Address]) -> list[Address]:
    """Those that a mailbox link can hold; with none there is no link."""
    return [address for address in addresses if 0 < len(address) <= ADDRESS_BYTES]


def encode_mailbox_link(holder: Holder) -> str:
    """The link; addresses that are too many, or do not fit, are left out from the end.

    Raises:
        InternalError: no address is left, and nobody could read it; the caller has to look.

    Source: PROTOCOL.md 3.5.
    """
    fitting = list(map(bytes, fit_for_link(holder.addresses)))[:LINK_ADDRESSES]
    while len(payload := codec.encode((3, bytes(holder.peer_id), fitting))) > PAYLOAD_BYTES:
        fitting.pop()
    if not fitting:
        raise InternalError("a mailbox link would have no address")
    return encode_link(payload)


def decode_mailbox_link(text: str, param: str) -> Holder:
    """What the link ``text`` says.

    Raises:
        UsageError: INVALID_PARAMS, no link, or none of a mailbox.

    Source: PROTOCOL.md 3.5.
    """
    payload = decode_link(text, param)
    refused = UsageError(f"{param}: is a link, but not one of a mailbox", data={"param": param})
    try:
        said = _holders.decode(payload)
    except DecodeError:
        raise refused from None
    if not said.peer_id.startswith(PEER_ID_PREFIX):
        raise refused
    return Holder(PeerId(said.peer_id), tuple(map(Address, said.addresses)))
