"""Decoders of what holders, owners and depositors say, and of what is in boxes and bundles that lie with holders.

What stands behind a seal is fuzzed behind it, as anybody could seal it who knows the key that presence tells.
"""

from __future__ import annotations

from functools import cache
from typing import Final, cast

import nacl.bindings as sodium

from p2pchat.base.errors import Corrupt, DecodeError, DecryptionError, HandshakeError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec, mailbox
from p2pchat.core.crypto import KeyPair, ed25519_pair, sign, x25519_pair
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.links import decode_link, encode_link
from p2pchat.core.mailbox_link import Holder, decode_mailbox_link, encode_mailbox_link
from p2pchat.core.nodes_link import NamedNode, decode_nodes, encode_nodes
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.presence import Mailbox, Presence, decode_presence, encode_presence
from p2pchat.core.wire import Ack, decode_frame, encode_frame
from p2pchat.store.db import Tx
from p2pchat.store.presence import mailboxes_of
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import NOW_S
from tests.fuzz.decoders.sessions import someone
from tests.fuzz.decoders.target import Target, exactly, text_of

_PEER: Final = PeerId(PEER_ID_PREFIX + bytes(32))
_ADDRESS: Final = Address(b"\x04\x7f\x00\x00\x01\x06\x0f\xa1")
_ID16: Final = bytes(16)
_ID32: Final = bytes(32)
_SIG: Final = bytes(64)
_BOX: Final = bytes(mailbox.BOX_UNIT_BYTES)
_KEY: Final = b"k" * 32
_NONCE: Final = bytes(24)


@cache
def _node() -> KeyPair:
    return ed25519_pair(bytes(32))


@cache
def _mailbox() -> KeyPair:
    return x25519_pair(bytes(range(32)))


# -- the protocol ----------------------------------------------------------------------------------------------------


def _request(data: bytes) -> None:
    """As a holder meets it: what an owner asks is held to its signature."""
    request = mailbox.REQUEST.decode(data)
    exactly(data, codec.encode(request))
    if isinstance(request, mailbox.Deposit | mailbox.Bundle):
        mailbox.token_hash(request.token)
    elif mailbox.is_signed(request, _ID32, _PEER):
        raise AssertionError("somebody has signed for an owner")


def _requests() -> list[bytes]:
    owner = _node().public
    asked: list[mailbox.Request] = [
        mailbox.Grant(owner, (_ID32,), b"", _SIG), mailbox.Grant(owner, (_ID32,) * 4, bytes(99), _SIG),
        mailbox.Deposit(_ID32, 259_200, _BOX), mailbox.List(owner, 1 << 63, 300, _SIG),
        mailbox.Fetch(owner, (1, 200, 70_000), _SIG), mailbox.Ack(owner, (1 << 40,), _SIG), mailbox.Bundle(_ID32),
        mailbox.End(owner, _SIG),
    ]  # fmt: skip
    return list(map(codec.encode, asked))


def _answer(data: bytes) -> None:
    """As an owner or depositor meets it."""
    answer = mailbox.ANSWER.decode(data)
    exactly(data, codec.encode(answer))
    if isinstance(answer, mailbox.Custody):
        mailbox.is_custody(answer, _BOX, PeerId(PEER_ID_PREFIX + _node().public))


def _answers() -> list[bytes]:
    custody = mailbox.Custody(NOW_S, sign(_node(), mailbox.custody_statement(_BOX, NOW_S)))
    listing = mailbox.Listing(1, 1_024, NOW_S)
    said: list[mailbox.Answer] = [
        mailbox.Granted(1 << 26, 1_209_600), custody, mailbox.Listed(()), mailbox.Listed((listing, listing)),
        mailbox.Fetched((mailbox.Boxed(1, _BOX),)), mailbox.Acked(2), mailbox.BundleIs(b""),
        mailbox.BundleIs(bytes(99)), mailbox.Ended(), mailbox.Refused(0, 0), mailbox.Refused(1, 3_600),
        mailbox.Refused(255, 1),
    ]  # fmt: skip
    return list(map(codec.encode, said))


def _challenge(data: bytes) -> None:
    exactly(data, codec.encode(mailbox.CHALLENGE.decode(data)))


# -- boxes and bundles -----------------------------------------------------------------------------------------------


def _box(data: bytes) -> None:
    """Any bytes as a box, or sealed as they are, or sealed with zeros behind them up to the size of one."""
    how, plain = data[:1], data[1:]
    if how == b"r":
        raw = plain
    else:
        size = 1_024 << max(0, (len(plain) + 47).bit_length() - 10)
        raw = sodium.crypto_box_seal(plain if how == b"s" else plain.ljust(size - 48, b"\0"), _mailbox().public)
    frame = mailbox.open_box(raw, _mailbox())
    again = mailbox.seal_box(frame, _mailbox().public, SeededEntropy(1))
    opened = (sodium.crypto_box_seal_open(each, _mailbox().public, _mailbox().secret) for each in (raw, again))
    exactly(*opened)
    decode_frame(frame)


def _boxes() -> list[bytes]:
    frame = encode_frame(Ack(((_ID16, _ID16),))) + b"\x80"
    return [
        b"r" + mailbox.seal_box(frame[:-1], _mailbox().public, SeededEntropy(1)), b"r" + _BOX, b"z" + frame, b"z\x80",
        b"s" + frame.ljust(976, b"\0"), b"z" + frame.ljust(976, b"\x80"), b"z" + bytes(977) + b"\x80", b"z",
    ]  # fmt: skip


def _kept_bundle(data: bytes) -> None:
    """Any bytes as a sealed bundle, or sealed by whoever has the key of the presence."""
    sealed = data[1:] if data[:1] == b"r" else mailbox.seal_bundle(data[1:], _KEY, _NONCE)
    bundle = mailbox.unseal_bundle(sealed, _KEY)
    exactly(bundle, open_bundle(bundle, someone().cert.root, NOW_S, PRODUCTION).raw)


def _kept_bundles() -> list[bytes]:
    entropy = SeededEntropy(12)
    made = make_bundle(someone(), make_signed_prekey(entropy, NOW_S), entropy, NOW_S, PRODUCTION).bundle
    return [b"r" + mailbox.seal_bundle(made, _KEY, _NONCE), b"r" + bytes(23), b"r" + bytes(41), b"s" + made, b"s"]


# -- where boxes can be left -----------------------------------------------------------------------------------------


def _places(count: int, address_bytes: int = 8) -> Presence:
    places = (Mailbox(_PEER, Address(b"a" * address_bytes), _ID32), Mailbox(_PEER, _ADDRESS, b"t" * 32))
    return Presence(_PEER, _ID32, 1, (_ADDRESS,) * 3, b"m" * 32, b"b" * 32, places[:count])


def _presence(data: bytes) -> None:
    """What it says is what is written of it; circuits are not kept."""
    said = decode_presence(data)
    if decode_presence(encode_presence(said)) != said:
        raise AssertionError("a presence is another one when it is written again")


def _presences() -> list[bytes]:
    circuits = codec.encode([4, bytes(_PEER), None, None, _ID32, 1, [], [b"c", b"d"], [[bytes(_PEER), b"a", _ID32]]])
    return [encode_presence(_places(count, length)) for count in (0, 1, 2) for length in (1, 128)] + [circuits]


class _Row:
    """A transaction that finds one row, with ``data`` for the mailboxes of a contact."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def one(self, _sql: str, _parameters: object) -> tuple[object, ...]:
        return NOW_S, _ID32, None, self._data


def _stored(data: bytes) -> None:
    known = mailboxes_of(cast("Tx", _Row(data)), 1)
    places = () if known is None else known.mailboxes
    exactly(data, _stored_of(places))


def _stored_of(places: tuple[Mailbox, ...]) -> bytes:
    return codec.encode([(bytes(each.peer_id), bytes(each.address), each.token) for each in places])


def _link(data: bytes) -> None:
    """The payload of a link, so that its form is looked at."""
    link = encode_link(data) if 1 <= len(data) <= 512 else text_of(data)
    exactly(link.encode("utf-8", "surrogateescape"), encode_mailbox_link(decode_mailbox_link(link, "link")).encode())


def _links() -> list[bytes]:
    given = [(_ADDRESS,), (_ADDRESS,) * 4, (Address(b"a" * 128),) * 3]
    return [decode_link(encode_mailbox_link(Holder(_PEER, addresses))) for addresses in given]


def _nodes(data: bytes) -> None:
    link = encode_link(data) if 1 <= len(data) <= 512 else text_of(data)
    exactly(link.encode("utf-8", "surrogateescape"), encode_nodes(decode_nodes(link, "links"))[0].encode())


def _node_links() -> list[bytes]:
    given: list[list[tuple[Address, ...]]] = [
        [(_ADDRESS,)],
        [(_ADDRESS,) * 4] * 2,
        [(_ADDRESS,)] * 8,
        [(Address(b"a" * 128),) * 3],
    ]
    named = ([NamedNode(_PEER, addresses) for addresses in nodes] for nodes in given)
    return [decode_link(link) for nodes in named for link in encode_nodes(nodes)]


TARGETS: Final = (
    Target("mailbox-request", _request, (DecodeError,), _requests),
    Target("mailbox-answer", _answer, (DecodeError,), _answers),
    Target("mailbox-challenge", _challenge, (DecodeError,), lambda: [codec.encode(mailbox.Challenge(_ID32))], 128),
    Target("mailbox-link", _link, (UsageError,), _links, 512),
    Target("nodes-link", _nodes, (UsageError,), _node_links, 512),
    Target("mailbox-presence", _presence, (DecodeError,), _presences, 1_024),
    Target("box", _box, (DecodeError, DecryptionError), _boxes, 2_100),
    Target("kept-bundle", _kept_bundle, (DecodeError, DecryptionError, HandshakeError), _kept_bundles),
    Target(
        "contact-mailboxes", _stored, (Corrupt,), lambda: [_stored_of(_places(n).mailboxes) for n in range(3)], 1_100
    ),
)
