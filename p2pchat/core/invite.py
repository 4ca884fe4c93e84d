"""Invites: a secret, handed over on paper or a screen, in place of two phone numbers (PROTOCOL.md 3.5).

The link carries a secret, from which the root of the slots comes, and the root key of whoever made it: the two meet as
a pair does, but the invited one answers nobody else. The one who invites has role 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core import codec
from p2pchat.core.crypto import blake2b
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX, AddressBytes, Bytes38
from p2pchat.core.links import PAYLOAD_BYTES, decode_link, encode_link
from p2pchat.core.structs import U64, Bytes32, Form

SECRET_BYTES: Final = 32
INVITE_ADDRESSES: Final = 4
INVITER: Final = 0
INVITED: Final = 1


@dataclass(frozen=True, slots=True)
class Invite:
    """What a link says.

    Attributes:
        secret: 32 bytes.
        root: of whoever made it.
        expires_s: unix seconds.
        peer_id: 38 bytes, a node to start from: the inviter's.
        addresses: of that node, at most 4.
    """

    secret: bytes = field(repr=False)
    root: RootKey
    expires_s: int
    peer_id: PeerId
    addresses: tuple[Address, ...]


class _Invite(Form, frozen=True):
    kind: Literal[1]
    secret: Bytes32
    root: Bytes32
    expires_s: U64
    peer_id: Bytes38
    addresses: Annotated[tuple[AddressBytes, ...], Meta(max_length=INVITE_ADDRESSES)]


_invites = codec.Decoder(_Invite, PAYLOAD_BYTES)


def invite_root(secret: bytes) -> bytes:
    """R of the slots of an invite, 32 bytes, from its secret of 32 bytes. Source: PROTOCOL.md 3.5."""
    return blake2b("dcd1/invite", b"", 32, secret)


def encode_invite(invite: Invite) -> str:
    """The link; addresses that are too many, or do not fit, are left out from the end. Source: PROTOCOL.md 3.5."""
    fitting = [bytes(address) for address in invite.addresses if 0 < len(address) <= ADDRESS_BYTES][:INVITE_ADDRESSES]
    head = (1, invite.secret, bytes(invite.root), invite.expires_s, bytes(invite.peer_id))
    while len(payload := codec.encode((*head, fitting))) > PAYLOAD_BYTES:
        fitting.pop()
    return encode_link(payload)


def decode_invite(text: str, param: str = "invite") -> Invite:
    """What the link ``text`` says.

    Raises:
        UsageError: INVALID_PARAMS, no link, or none of an invite.

    Source: PROTOCOL.md 3.5.
    """
    payload = decode_link(text, param)
    try:
        said = _invites.decode(payload)
    except DecodeError:
        raise UsageError(f"{param}: is a link, but not one of an invite", data={"param": param}) from None
    if not said.peer_id.startswith(PEER_ID_PREFIX):
        raise UsageError(f"{param}: is a link, but not one of an invite", data={"param": param})
    addresses = tuple(map(Address, said.addresses))
    return Invite(said.secret, RootKey(said.root), said.expires_s, PeerId(said.peer_id), addresses)
