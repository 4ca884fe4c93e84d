"""Frames of ``/p2pchat/mailbox/1``, and what they carry (PROTOCOL.md 6).

Rules:

- The holder begins with a challenge; what only the owner of a mailbox may ask is signed over it, with a key that was
  made for this mailbox. Depositors show a token. No request names a person.
- A box is a sealed box around one frame of 5.1, padded to 1 KiB · 2ⁿ: the holder learns its size class and no more.
- Decoding accepts the canonical form alone and raises nothing but DecodeError.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, TypeVar, cast

import nacl.bindings as sodium
from msgspec import Meta, structs
from nacl.exceptions import CryptoError

from p2pchat.base.errors import DecodeError, DecryptionError, InternalError
from p2pchat.base.ids import PeerId
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import (
    NONCE_BYTES,
    TAG_BYTES,
    Entropy,
    KeyPair,
    aead_open,
    aead_seal,
    blake2b,
    blake2b_plain,
    sign,
    verify,
    x25519_pair,
)
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.params import PRODUCTION
from p2pchat.core.structs import U32, U64, Bytes32, Bytes64, Form
from p2pchat.core.wire import BUNDLE_MAX_BYTES

BOX_UNIT_BYTES: Final = 1_024
BOX_MAX_BYTES: Final = BOX_UNIT_BYTES << 9
BOX_OVERHEAD_BYTES: Final = 48 + 1  # of the sealed box, and the mark of the padding
BOXED_MAX_BYTES: Final = BOX_MAX_BYTES - BOX_OVERHEAD_BYTES  # of a frame that fits a box
SEALED_BUNDLE_MAX_BYTES: Final = NONCE_BYTES + BUNDLE_MAX_BYTES + TAG_BYTES
REQUEST_MAX_BYTES: Final = BOX_MAX_BYTES + 4_096
ANSWER_MAX_BYTES: Final = PRODUCTION.frame_bytes
TOKENS: Final = 4
LISTED: Final = 1_024
FETCHED: Final = 64
WAIT_MAX_S: Final = 300

_OWNER_LABEL: Final = b"p2pchat/1 mailbox\0"
_CUSTODY_LABEL: Final = b"p2pchat/1 custody\0"
_BUNDLE_LABEL: Final = b"p2pchat/1 kept bundle\0"
_MARK: Final = b"\x80"
_SEAL_BYTES: Final = 48  # an ephemeral public key and a tag

BoxBytes = Annotated[bytes, Meta(min_length=BOX_UNIT_BYTES, max_length=BOX_MAX_BYTES)]
SealedBundle = Annotated[bytes, Meta(max_length=SEALED_BUNDLE_MAX_BYTES)]


# -- requests ----------------------------------------------------------------------------------------------------------


class Challenge(Form, frozen=True, tag=0):
    """The holder's first frame. ``nonce``: 32 random bytes, new on every stream."""

    nonce: Bytes32


class Grant(Form, frozen=True, tag=1):
    """Asks for a mailbox, or renews it. ``owner``: Ed25519 key made for it; ``tokens``: hashes of those that admit a
    deposit, none but them; ``bundle``: sealed for whoever may open it, empty for none."""

    owner: Bytes32
    tokens: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=TOKENS)]
    bundle: SealedBundle
    signature: Bytes64


class Deposit(Form, frozen=True, tag=2):
    """Gives a box to hold for ``ttl_s`` seconds."""

    token: Bytes32
    ttl_s: U32
    box: BoxBytes


class List(Form, frozen=True, tag=3):
    """Asks what is there above number ``after``; if nothing is, the answer may wait ``wait_s`` seconds for it."""

    owner: Bytes32
    after: U64
    wait_s: Annotated[int, Meta(ge=0, le=WAIT_MAX_S)]
    signature: Bytes64


class Fetch(Form, frozen=True, tag=4):
    """Asks for boxes by their numbers."""

    owner: Bytes32
    numbers: Annotated[tuple[U64, ...], Meta(min_length=1, max_length=FETCHED)]
    signature: Bytes64


class Ack(Form, frozen=True, tag=5):
    """Says that boxes are on the owner's disk, or of no use: the holder deletes them."""

    owner: Bytes32
    numbers: Annotated[tuple[U64, ...], Meta(min_length=1, max_length=LISTED)]
    signature: Bytes64


class Bundle(Form, frozen=True, tag=6):
    """Asks for the owner's bundle."""

    token: Bytes32


class End(Form, frozen=True, tag=7):
    """Gives the mailbox up, with all that is in it."""

    owner: Bytes32
    signature: Bytes64


OwnerRequest = Grant | List | Fetch | Ack | End
Request = Grant | Deposit | List | Fetch | Ack | Bundle | End

OwnerRequestT = TypeVar("OwnerRequestT", bound=OwnerRequest)


# -- answers -----------------------------------------------------------------------------------------------------------


class Granted(Form, frozen=True, tag=1):
    """The mailbox is there. ``quota_bytes``: of all boxes in it; ``ttl_max_s``: the longest that one is held."""

    quota_bytes: U64
    ttl_max_s: U32


class Custody(Form, frozen=True, tag=2):
    """The box is on the holder's disk, until unix second ``until``. ``signature``: the holder's node key says so."""

    until: U64
    signature: Bytes64


class Listing(Form, frozen=True):
    """One box: its number, which rises with every one in this mailbox, its bytes, and until when it is held."""

    number: U64
    size: U32
    until: U64


class Listed(Form, frozen=True, tag=3):
    """What is there, the oldest first."""

    boxes: Annotated[tuple[Listing, ...], Meta(max_length=LISTED)]


class Boxed(Form, frozen=True):
    """One box under its number."""

    number: U64
    box: BoxBytes


class Fetched(Form, frozen=True, tag=4):
    """Of what was asked for, in its order, what is there: as many from the beginning as fit the answer."""

    boxes: Annotated[tuple[Boxed, ...], Meta(max_length=FETCHED)]


class Acked(Form, frozen=True, tag=5):
    """So many were there, and are deleted."""

    deleted: U32


class BundleIs(Form, frozen=True, tag=6):
    """The owner's sealed bundle; empty where there is none."""

    bundle: SealedBundle


class Ended(Form, frozen=True, tag=7):
    """The mailbox is gone."""


class Reason(IntEnum):
    """Why a request is not granted; another number means as much as REFUSED."""

    REFUSED = 0  # one for all: no such mailbox, no such token, not offered, a wrong signature
    NO_SPACE = 1
    TOO_OFTEN = 2


class Refused(Form, frozen=True, tag=8):
    """Nothing was done. ``retry_s``: seconds before it is of use to ask again, 0 where nothing is known of that."""

    reason: Annotated[int, Meta(ge=0, le=255)]
    retry_s: U32


Answer = Granted | Custody | Listed | Fetched | Acked | BundleIs | Ended | Refused

REQUEST: Final = Decoder[Request](cast("type[Request]", Request), REQUEST_MAX_BYTES)
ANSWER: Final = Decoder[Answer](cast("type[Answer]", Answer), ANSWER_MAX_BYTES)
CHALLENGE: Final = Decoder[Challenge](Challenge, 64)


# -- owners ------------------------------------------------------------------------------------------------------------


def signed(request: OwnerRequestT, owner: KeyPair, challenge: bytes, holder: PeerId) -> OwnerRequestT:
    """``request`` with its signature.

    Args:
        owner: the Ed25519 pair that was made for this mailbox.
        challenge: 32 bytes, of the stream on which it leaves.
        holder: to whom.

    Source: PROTOCOL.md 6.2.
    """
    return structs.replace(request, signature=sign(owner, _said(request, challenge, holder)))


def is_signed(request: OwnerRequest, challenge: bytes, holder: PeerId) -> bool:
    """Whether ``request`` is the owner's, made for this stream. Source: PROTOCOL.md 6.2."""
    return verify(request.owner, _said(request, challenge, holder), request.signature)


def _said(request: OwnerRequest, challenge: bytes, holder: PeerId) -> bytes:
    fields = structs.astuple(request)
    body = encode((request.__struct_config__.tag, *fields[:-1]))
    return _OWNER_LABEL + challenge + len(holder).to_bytes(4, "big") + bytes(holder) + body


def token_hash(token: bytes) -> bytes:
    """The 32 bytes by which a holder knows a token of 32 bytes. Source: PROTOCOL.md 6.2."""
    return blake2b("p2pchat/1 token", b"", 32, token)


# -- custody -----------------------------------------------------------------------------------------------------------


def custody_statement(box: bytes, until: int) -> bytes:
    """What a holder signs with its node key: that it holds ``box`` until unix second ``until``.

    Source: PROTOCOL.md 6.3.
    """
    return _CUSTODY_LABEL + blake2b_plain(box, 32) + until.to_bytes(8, "big")


def is_custody(said: Custody, box: bytes, holder: PeerId) -> bool:
    """Whether ``said`` is ``holder``'s receipt for ``box``; a PeerID of 1 holds the key. Source: PROTOCOL.md 6.3."""
    return verify(bytes(holder)[len(PEER_ID_PREFIX) :], custody_statement(box, said.until), said.signature)


# -- boxes -------------------------------------------------------------------------------------------------------------


def seal_box(frame: bytes, mailbox_public: bytes, entropy: Entropy) -> bytes:
    """A sealed box around ``frame``, 1 KiB · 2ⁿ long: libsodium's crypto_box_seal, with a key pair from ``entropy``.

    Args:
        frame: of PROTOCOL.md 5.1, without its length, at most :data:`BOXED_MAX_BYTES`.
        mailbox_public: the owner's X25519 key.

    Raises:
        InternalError: the frame fits no box; the caller has to split.
        DecryptionError: nothing can be sealed for that key (it is of low order).

    Source: PROTOCOL.md 6.3.
    """
    if len(frame) > BOXED_MAX_BYTES:
        raise InternalError("a frame would exceed a box")
    pair = x25519_pair(entropy.bytes(32))
    nonce = blake2b_plain(pair.public + mailbox_public, NONCE_BYTES)
    padded = (frame + _MARK).ljust(_box_bytes(len(frame)) - _SEAL_BYTES, b"\0")
    try:
        return pair.public + sodium.crypto_box(padded, nonce, mailbox_public, pair.secret)
    except (CryptoError, ValueError) as error:
        raise DecryptionError("a box cannot be sealed for this key") from error


def open_box(box: bytes, pair: KeyPair) -> bytes:
    """The frame in a box for ``pair``, an X25519 pair of the owner's.

    Raises:
        DecryptionError: it does not open with this key.
        DecodeError: it has not the size of a box, or the padding is not the one of its frame.

    Source: PROTOCOL.md 6.3.
    """
    if not is_box(len(box)):
        raise DecodeError("a box has another size")
    padded = _opened(box, pair)
    if padded is None:
        raise DecryptionError("a box did not open")
    marked = padded.rstrip(b"\0")
    if not marked.endswith(_MARK) or _box_bytes(len(marked) - 1) != len(box):
        raise DecodeError("the padding of a box is wrong")
    return marked[:-1]


def _opened(box: bytes, pair: KeyPair) -> bytes | None:
    try:
        return sodium.crypto_box_seal_open(box, pair.public, pair.secret)
    except (CryptoError, ValueError, TypeError):
        return None  # hidden, because a library's error may hold what it was given


def is_box(size: int) -> bool:
    """Whether a box has so many bytes: 1 KiB · 2ⁿ, up to 512 KiB."""
    return BOX_UNIT_BYTES <= size <= BOX_MAX_BYTES and size & (size - 1) == 0


def _box_bytes(frame_bytes: int) -> int:
    units = -(-(frame_bytes + BOX_OVERHEAD_BYTES) // BOX_UNIT_BYTES)
    return BOX_UNIT_BYTES << (units - 1).bit_length()


# -- bundles -----------------------------------------------------------------------------------------------------------


def seal_bundle(bundle: bytes, key: bytes, nonce24: bytes) -> bytes:
    """``bundle`` for whoever knows the 32-byte key of the owner's presence. Source: PROTOCOL.md 6.4."""
    return nonce24 + aead_seal(key, nonce24, bundle, _BUNDLE_LABEL)


def unseal_bundle(sealed: bytes, key: bytes) -> bytes:
    """The inverse of :func:`seal_bundle`.

    Raises:
        DecryptionError: it does not open: another key's, or altered.
    """
    return aead_open(key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _BUNDLE_LABEL)
