"""The error hierarchy, by whose fault it is.

======================  ===========  ==================================================
class                   at fault     what follows
======================  ===========  ==================================================
:class:`UsageError`     the caller   error reply and exit status from the table of names
:class:`PeerError`      the remote   its stream is reset and counted; one opaque error on the wire
:class:`NetError`       nobody       retry with backoff
:class:`StoreError`     the disk     stop cleanly and say what to do
:class:`InternalError`  ourselves    logged with a reference, the daemon stays up
======================  ===========  ==================================================

Every error has a stable upper-case ``name`` and a ``message`` that is one sentence and never holds plaintext, names,
keys, numbers, full ids or addresses: it may be logged and shown.
"""

from __future__ import annotations

from typing import ClassVar


class P2PChatError(Exception):
    """Base of everything that p2pchat raises on purpose.

    Args:
        message: one sentence that may be shown and logged; never a secret, name, number, full id or address.
        name: stable upper-case name; the class's own where omitted.
        data: further fields of the error reply (JSON values), such as ``retry_after_ms``.
    """

    name: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, name: str | None = None, data: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_name = name or type(self).name
        self.data: dict[str, object] = data or {}


class UsageError(P2PChatError):
    """The caller asked for what cannot be done; ``error_name`` is a row of the table in docs/CONTROL-API.md."""

    name = "INVALID_PARAMS"


class PeerError(P2PChatError):
    """The remote peer misbehaved or is not who it should be."""

    name = "PEER"


class DecodeError(PeerError):
    """Bytes from outside do not have the form that PROTOCOL.md gives them."""

    name = "DECODE"


class HandshakeError(PeerError):
    """A certificate, bundle or first flight was refused."""

    name = "HANDSHAKE"


class DecryptionError(PeerError):
    """An AEAD did not open, or no key fits."""

    name = "DECRYPTION"


class ReplayError(PeerError):
    """The same envelope or flight again; its key is gone."""

    name = "REPLAY"


class LimitError(PeerError):
    """A bound of params.py or limits.py was exceeded."""

    name = "LIMIT"


class VersionError(PeerError):
    """Authenticated content of a version that this node does not speak."""

    name = "VERSION"


class NetError(P2PChatError):
    """A connection or stream could not be had or ended: nobody's fault, retried with backoff."""

    name = "NET"


class UnsupportedProtocol(NetError):
    """The peer is alive but does not speak the protocol asked for: neither a failure nor a reason to back off."""

    name = "UNSUPPORTED_PROTOCOL"


class Stalled(NetError):
    """The peer is there and takes nothing: it has not read, or acknowledged nothing, for too long."""

    name = "STALLED"


class StoreError(P2PChatError):
    """The disk or the database refused."""

    name = "STORE"


class SchemaTooNew(StoreError):
    """The database was written by a newer p2pchat."""

    name = "SCHEMA_TOO_NEW"


class WrongPassphrase(StoreError):
    """The passphrase does not open the key file."""

    name = "FORBIDDEN"


class Corrupt(StoreError):
    """The database or key file is damaged."""

    name = "CORRUPT"


class DiskFull(StoreError):
    """No space is left on the device."""

    name = "NO_SPACE"


class InternalError(P2PChatError):
    """A defect of ours."""

    name = "INTERNAL"
