"""Frames and boxes of mailboxes at their bounds; what they say byte for byte: tests/vectors/test_mailbox.py."""

from __future__ import annotations

import msgpack
import nacl.bindings as sodium
import pytest

from p2pchat.base.errors import DecodeError, DecryptionError, InternalError
from p2pchat.base.ids import PeerId
from p2pchat.core import mailbox
from p2pchat.core.crypto import aead_seal, ed25519_pair, x25519_pair
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.params import PRODUCTION
from p2pchat.testing.entropy import SeededEntropy

OWNER = ed25519_pair(bytes(32))
MAILBOX = x25519_pair(b"m" * 32)
HOLDER = PeerId(PEER_ID_PREFIX + ed25519_pair(b"h" * 32).public)
SIG = bytes(64)
HASH = bytes(32)
BOX = bytes(1_024)


def pack(*fields: object) -> bytes:
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed


# -- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        pack(1, OWNER.public, [HASH], b"", SIG),
        pack(1, OWNER.public, [HASH] * 4, bytes(2_088), SIG),
        pack(2, HASH, 0, BOX),
        pack(2, HASH, 0xFFFF_FFFF, bytes(524_288)),
        pack(3, OWNER.public, 0, 0, SIG),
        pack(3, OWNER.public, (1 << 64) - 1, 300, SIG),
        pack(4, OWNER.public, [0], SIG),
        pack(4, OWNER.public, [(1 << 64) - 1] * 64, SIG),
        pack(5, OWNER.public, [0], SIG),
        pack(5, OWNER.public, [(1 << 64) - 1] * 1_024, SIG),
        pack(6, HASH),
        pack(7, OWNER.public, SIG),
    ],
)
def test_a_request_within_its_bounds(frame: bytes) -> None:
    assert len(frame) <= mailbox.REQUEST_MAX_BYTES == 528_384
    assert mailbox.REQUEST.decode(frame).__struct_config__.tag == frame[1]


@pytest.mark.parametrize(
    "frame",
    [
        pack(1, OWNER.public, [], b"", SIG),
        pack(1, OWNER.public, [HASH] * 5, b"", SIG),
        pack(1, OWNER.public, [HASH], bytes(2_089), SIG),
        pack(2, HASH, 0, BOX[1:]),
        pack(2, HASH, 0, bytes(524_289)),
        pack(2, HASH, 0, bytes(528_385)),
        pack(2, HASH, 0x1_0000_0000, BOX),
        pack(3, OWNER.public, 0, 301, SIG),
        pack(3, OWNER.public, 0, -1, SIG),
        pack(4, OWNER.public, [], SIG),
        pack(4, OWNER.public, [0] * 65, SIG),
        pack(5, OWNER.public, [], SIG),
        pack(5, OWNER.public, [0] * 1_025, SIG),
        pack(0, HASH),
        pack(8, OWNER.public, SIG),
    ],
)
def test_a_request_beyond_its_bounds(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        mailbox.REQUEST.decode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        pack(1, 0, 0),
        pack(2, 0, SIG),
        pack(3, [[0, 0, 0]] * 1_024),
        pack(4, [[0, BOX]] * 64),
        pack(4, [[0, bytes(524_288)]]),
        pack(5, 0),
        pack(6, bytes(2_088)),
        pack(7),
        pack(8, 0, 0),
        pack(8, 255, 0xFFFF_FFFF),
    ],
)
def test_an_answer_within_its_bounds(frame: bytes) -> None:
    assert len(frame) <= mailbox.ANSWER_MAX_BYTES == 1_048_576
    assert mailbox.ANSWER.decode(frame).__struct_config__.tag == frame[1]


@pytest.mark.parametrize(
    "frame",
    [
        pack(0, HASH),
        pack(1, 0, 0x1_0000_0000),
        pack(3, [[0, 0, 0]] * 1_025),
        pack(4, [[0, BOX]] * 65),
        pack(4, [[0, bytes(524_289)]]),
        pack(4, [[0, bytes(524_288)], [1, bytes(524_288)]]),
        pack(6, bytes(2_089)),
        pack(8, -1, 0),
        pack(8, 256, 0),
        pack(9),
    ],
)
def test_an_answer_beyond_its_bounds(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        mailbox.ANSWER.decode(frame)


def test_the_reasons_have_their_numbers() -> None:
    assert [(reason.name, reason.value) for reason in mailbox.Reason] == [
        ("REFUSED", 0),
        ("NO_SPACE", 1),
        ("TOO_OFTEN", 2),
    ]


def test_a_challenge_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(DecodeError, match="longer"):
        mailbox.CHALLENGE.decode(pack(0, bytes(61)))
    with pytest.raises(DecodeError, match="form"):
        mailbox.CHALLENGE.decode(pack(0, bytes(60)))


def test_no_frame_shows_what_it_holds() -> None:
    canary = b"canarycanarycanarycanarycanary!!"
    forms: list[object] = [
        mailbox.Challenge(canary),
        mailbox.Grant(canary, (canary,), canary, canary * 2),
        mailbox.Deposit(canary, 1, canary * 32),
        mailbox.Bundle(canary),
        mailbox.Fetched((mailbox.Boxed(1, canary * 32),)),
        mailbox.BundleIs(canary),
    ]
    assert "canary" not in repr(forms)


# -- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        mailbox.Grant(OWNER.public, (HASH,), b"", SIG),
        mailbox.List(OWNER.public, 1, 2, SIG),
        mailbox.Fetch(OWNER.public, (1, 2), SIG),
        mailbox.Ack(OWNER.public, (1, 2), SIG),
        mailbox.End(OWNER.public, SIG),
    ],
)
def test_a_signature_is_good_on_one_stream_of_one_holder(request_: mailbox.OwnerRequest) -> None:
    challenge = b"c" * 32
    assert not mailbox.is_signed(request_, challenge, HOLDER)
    request = mailbox.signed(request_, OWNER, challenge, HOLDER)
    assert mailbox.is_signed(request, challenge, HOLDER)
    assert not mailbox.is_signed(request, b"d" * 32, HOLDER)
    assert not mailbox.is_signed(request, challenge, PeerId(PEER_ID_PREFIX + bytes(32)))


def test_fetch_and_ack_of_the_same_numbers_are_signed_apart() -> None:
    fetch = mailbox.signed(mailbox.Fetch(OWNER.public, (1,), SIG), OWNER, HASH, HOLDER)
    assert not mailbox.is_signed(mailbox.Ack(fetch.owner, fetch.numbers, fetch.signature), HASH, HOLDER)


def test_no_signature_is_good_under_a_key_of_low_order() -> None:
    for low in (bytes(32), b"\x01" + bytes(31)):
        assert not mailbox.is_signed(mailbox.End(low, low + bytes(32)), HASH, HOLDER)


# -- boxes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "size"),
    [(0, 1_024), (975, 1_024), (976, 2_048), (1_999, 2_048), (2_000, 4_096), (524_239, 524_288)],
)
def test_a_box_has_the_least_size_that_its_frame_leaves(length: int, size: int) -> None:
    box = mailbox.seal_box(bytes(length), MAILBOX.public, SeededEntropy(1))
    assert len(box) == size
    assert mailbox.is_box(size)
    assert mailbox.open_box(box, MAILBOX) == bytes(length)
    assert sodium.crypto_box_seal_open(box, MAILBOX.public, MAILBOX.secret)[length] == 0x80


def test_a_frame_that_fits_no_box_is_for_the_caller_to_split() -> None:
    assert mailbox.BOXED_MAX_BYTES == 524_239 < PRODUCTION.frame_bytes
    with pytest.raises(InternalError):
        mailbox.seal_box(bytes(524_240), MAILBOX.public, SeededEntropy(1))


@pytest.mark.parametrize("size", [0, 1, 512, 1_023, 1_025, 1_536, 3_072, 524_287, 524_289, 1_048_576])
def test_sizes_that_no_box_has(size: int) -> None:
    assert not mailbox.is_box(size)
    with pytest.raises(DecodeError, match="size"):
        mailbox.open_box(bytes(size), MAILBOX)


@pytest.mark.parametrize("size", [1_024 << n for n in range(10)])
def test_sizes_that_boxes_have(size: int) -> None:
    assert mailbox.is_box(size)


def test_no_two_boxes_are_alike() -> None:
    entropy = SeededEntropy(1)
    assert len({mailbox.seal_box(b"x", MAILBOX.public, entropy) for _ in range(3)}) == 3


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", b"short"])
def test_nothing_is_sealed_for_a_key_that_everybody_could_open(public: bytes) -> None:
    with pytest.raises(DecryptionError, match="cannot be sealed"):
        mailbox.seal_box(b"x", public, SeededEntropy(1))


def test_a_box_opens_for_its_key_alone() -> None:
    box = mailbox.seal_box(b"x", MAILBOX.public, SeededEntropy(1))
    with pytest.raises(DecryptionError):
        mailbox.open_box(box, x25519_pair(b"n" * 32))


def test_why_a_box_did_not_open_is_not_told_by_the_library() -> None:
    with pytest.raises(DecryptionError) as refused:
        mailbox.open_box(BOX, MAILBOX)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


# -- custody ---------------------------------------------------------------------------------------------------------


def test_a_custody_of_a_peer_without_an_ed25519_key_is_none() -> None:
    said = mailbox.Custody(1, SIG)
    for peer in (b"", PEER_ID_PREFIX, PEER_ID_PREFIX + bytes(31), PEER_ID_PREFIX + bytes(33)):
        assert not mailbox.is_custody(said, BOX, PeerId(peer))


def test_a_custody_says_until_when_in_eight_bytes() -> None:
    assert len(mailbox.custody_statement(BOX, 0)) == len(b"p2pchat/1 custody\0") + 32 + 8
    assert mailbox.custody_statement(BOX, 1) != mailbox.custody_statement(BOX, 1 << 56)


# -- bundles ---------------------------------------------------------------------------------------------------------


def test_a_bundle_opens_with_the_key_of_the_presence_alone() -> None:
    sealed = mailbox.seal_bundle(b"bundle", b"k" * 32, b"n" * 24)
    assert mailbox.unseal_bundle(sealed, b"k" * 32) == b"bundle"
    assert len(sealed) == 24 + len(b"bundle") + 16
    with pytest.raises(DecryptionError):
        mailbox.unseal_bundle(sealed, b"l" * 32)


def test_what_was_sealed_for_another_purpose_is_no_bundle() -> None:
    nonce = b"n" * 24
    with pytest.raises(DecryptionError):
        mailbox.unseal_bundle(nonce + aead_seal(b"k" * 32, nonce, b"bundle", b""), b"k" * 32)
