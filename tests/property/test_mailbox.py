"""Boxes, bundles and signatures of mailboxes, whatever they hold (PROTOCOL.md 6.2 to 6.4)."""

from __future__ import annotations

from collections.abc import Iterator

import nacl.bindings as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError, DecryptionError
from p2pchat.base.ids import PeerId
from p2pchat.core import mailbox
from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair, x25519_pair
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.testing.entropy import SeededEntropy
from tests.vectors import independent_mailbox
from tests.vectors.independent_discovery import signed as independent_signed

PAIR = x25519_pair(b"m" * 32)
OWNER = ed25519_pair(b"o" * 32)
HOLDER = PeerId(PEER_ID_PREFIX + ed25519_pair(b"h" * 32).public)
NONE = bytes(64)
U64 = st.integers(0, (1 << 64) - 1)
SEEDS = st.integers(0, 1 << 32)
NEAR = st.sampled_from([(1_024 << n) - 49 for n in range(10)]).flatmap(lambda most: st.integers(most - 1, most + 1))
LENGTHS = (NEAR | st.integers(0, 20_000)).filter(lambda length: length <= mailbox.BOXED_MAX_BYTES)
FRAMES = st.binary(max_size=3_000) | st.text("\x00\x80", max_size=2_100).map(lambda text: text.encode("latin-1"))
BYTES32 = st.binary(min_size=32, max_size=32)

GOOD = mailbox.seal_box(b"a frame", PAIR.public, SeededEntropy(1))
SEALED = mailbox.seal_bundle(b"a bundle", b"k" * 32, b"n" * 24)


@given(FRAMES, SEEDS)
def test_what_was_sealed_is_opened(frame: bytes, seed: int) -> None:
    box = mailbox.seal_box(frame, PAIR.public, SeededEntropy(seed))
    assert mailbox.is_box(len(box))
    assert mailbox.open_box(box, PAIR) == frame
    assert independent_mailbox.opened(box, PAIR.secret) == frame


@settings(max_examples=30, deadline=None)
@given(LENGTHS, SEEDS)
def test_a_box_is_the_least_that_holds_its_frame(length: int, seed: int) -> None:
    box = mailbox.seal_box(bytes(length), PAIR.public, SeededEntropy(seed))
    size = len(box)
    assert size >= length + mailbox.BOX_OVERHEAD_BYTES
    assert size == mailbox.BOX_UNIT_BYTES or size // 2 < length + mailbox.BOX_OVERHEAD_BYTES
    assert mailbox.open_box(box, PAIR) == bytes(length)


@given(st.binary(max_size=2_000))
def test_what_libsodium_seals_is_opened_and_what_we_seal_libsodium_opens(frame: bytes) -> None:
    padded = independent_mailbox.pad(frame)
    assert mailbox.open_box(sodium.crypto_box_seal(padded, PAIR.public), PAIR) == frame
    ours = mailbox.seal_box(frame, PAIR.public, SeededEntropy(2))
    assert sodium.crypto_box_seal_open(ours, PAIR.public, PAIR.secret) == padded


@given(st.binary(max_size=1_000), st.integers(0, 9))
def test_a_frame_has_one_padded_form(frame: bytes, more: int) -> None:
    """Of all sizes that would hold it one is taken, whoever sealed it."""
    padded = (frame + b"\x80").ljust((1_024 << more) - 48, b"\0")
    box = sodium.crypto_box_seal(padded, PAIR.public)
    if padded == independent_mailbox.pad(frame):
        assert mailbox.open_box(box, PAIR) == frame
        return
    with pytest.raises(DecodeError):
        mailbox.open_box(box, PAIR)


@given(st.binary(min_size=976, max_size=976) | st.text("\x00\x80\x01", min_size=976, max_size=976).map(str.encode))
def test_whatever_is_sealed_is_opened_only_if_it_is_that_of_its_frame(plain: bytes) -> None:
    padded = plain[:976]
    try:
        frame = mailbox.open_box(sodium.crypto_box_seal(padded, PAIR.public), PAIR)
    except DecodeError:
        assert not padded.rstrip(b"\0").endswith(b"\x80")
        return
    assert independent_mailbox.pad(frame) == padded


def flipped(data: bytes) -> Iterator[bytes]:
    """``data`` with each bit changed in turn."""
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


def test_every_bit_of_a_box_counts() -> None:
    """That of the ephemeral key, too, at which X25519 does not look: it is in the nonce."""
    for changed in flipped(GOOD):
        with pytest.raises(DecryptionError):
            mailbox.open_box(changed, PAIR)


def test_every_bit_of_a_sealed_bundle_counts() -> None:
    for changed in flipped(SEALED):
        with pytest.raises(DecryptionError):
            mailbox.unseal_bundle(changed, b"k" * 32)


@given(st.binary(max_size=3_000))
def test_any_bytes_raise_only_what_is_declared(data: bytes) -> None:
    with pytest.raises((DecodeError, DecryptionError)):
        mailbox.open_box(data, PAIR)
    with pytest.raises(DecryptionError):
        mailbox.unseal_bundle(data, b"k" * 32)
    for decoder in (mailbox.REQUEST, mailbox.ANSWER, mailbox.CHALLENGE):
        with pytest.raises(DecodeError):
            decoder.decode(data)


REQUESTS: st.SearchStrategy[mailbox.OwnerRequest] = st.one_of(
    st.builds(
        mailbox.Grant,
        st.just(OWNER.public),
        st.lists(BYTES32, min_size=1, max_size=4).map(tuple),
        st.binary(max_size=2_088),
        st.just(NONE),
    ),
    st.builds(mailbox.List, st.just(OWNER.public), U64, st.integers(0, 300), st.just(NONE)),
    st.builds(mailbox.Fetch, st.just(OWNER.public), st.lists(U64, min_size=1, max_size=64).map(tuple), st.just(NONE)),
    st.builds(mailbox.Ack, st.just(OWNER.public), st.lists(U64, min_size=1, max_size=99).map(tuple), st.just(NONE)),
    st.builds(mailbox.End, st.just(OWNER.public), st.just(NONE)),
)


@given(REQUESTS, BYTES32)
def test_a_signed_request_is_read_as_it_was_written(request: mailbox.OwnerRequest, challenge: bytes) -> None:
    signed = mailbox.signed(request, OWNER, challenge, HOLDER)
    raw = encode(signed)
    assert mailbox.REQUEST.decode(raw) == signed
    assert mailbox.is_signed(signed, challenge, HOLDER)
    assert independent_signed(OWNER.secret, raw_said(raw, challenge)) == signed.signature


def raw_said(raw: bytes, challenge: bytes) -> bytes:
    """What is signed, out of the bytes on the wire: the signature is the last 66, and an array of one less begins."""
    head = bytes([raw[0] - 1]) + raw[1:-66]
    return b"p2pchat/1 mailbox\0" + challenge + (38).to_bytes(4, "big") + bytes(HOLDER) + head


@given(REQUESTS, REQUESTS, BYTES32)
def test_a_signature_is_of_one_request(
    one: mailbox.OwnerRequest, other: mailbox.OwnerRequest, challenge: bytes
) -> None:
    of_one = mailbox.signed(one, OWNER, challenge, HOLDER)
    of_other = mailbox.signed(other, OWNER, challenge, HOLDER)
    assert (of_one.signature == of_other.signature) == (one == other)


@given(st.binary(max_size=64), st.binary(max_size=64), U64, U64)
def test_a_custody_is_of_one_box_and_one_time(box: bytes, other: bytes, until: int, later: int) -> None:
    same = mailbox.custody_statement(box, until) == mailbox.custody_statement(other, later)
    assert same == ((box, until) == (other, later))
