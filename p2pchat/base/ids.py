"""Typed ids. Each is ``bytes`` with a short repr, so that a full id cannot slip into a log line or a traceback."""

from __future__ import annotations


class OpaqueId(bytes):
    """Bytes whose repr and str show four hex digits only."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self[-2:].hex()}…)"

    __str__ = __repr__


class PeerId(OpaqueId):
    """A libp2p identity: the multihash bytes (38 for Ed25519). Not the person: PROTOCOL.md 1."""


class RootKey(OpaqueId):
    """The person: a 32-byte Ed25519 public key. PROTOCOL.md 1."""


class ContactId(OpaqueId):
    """8 random bytes that name a contact on this node only."""


class Address(OpaqueId):
    """A binary multiaddr without its ``/p2p/`` part."""
