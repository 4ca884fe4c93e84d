"""The outside of a backup: what was sealed opens, whole and in order, or is refused in one sentence."""

from __future__ import annotations

import nacl.bindings as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from p2pchat import __version__
from p2pchat.base.errors import Corrupt, StoreError, WrongPassphrase
from p2pchat.core import backup_file
from p2pchat.core.backup_file import CHUNK_BYTES, HEAD_BYTES, Cost, Opener, Sealer
from p2pchat.core.crypto import blake2b_plain
from p2pchat.testing.entropy import SeededEntropy

CHEAP = Cost(1, 8192)
PASSPHRASE = "pässwort".encode()
PLAIN = bytes(range(256)) * 600  # two whole chunks and a part of a third
SEALED_CHUNK_BYTES = 4 + CHUNK_BYTES + 17


def sealed(plain: bytes = PLAIN, seed: int = 1, step: int = 7_000) -> bytes:
    sealer = Sealer(PASSPHRASE, SeededEntropy(seed), CHEAP)
    chunks = [sealer.feed(plain[at : at + step]) for at in range(0, len(plain), step)]
    return b"".join((sealer.head, *chunks, sealer.finish()))


def opened(data: bytes, passphrase: bytes = PASSPHRASE, step: int = 50_000) -> bytes:
    opener = Opener(passphrase)
    found = b"".join(opener.feed(data[at : at + step]) for at in range(0, len(data), step))
    opener.finish()
    return found


@pytest.fixture(scope="module")
def whole() -> bytes:
    return sealed()


@pytest.mark.parametrize("size", [1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(PLAIN)])
@pytest.mark.parametrize("step", [997, 65_536, 1 << 20])
def test_what_was_sealed_opens(size: int, step: int) -> None:
    data = sealed(PLAIN[:size], step=step)
    assert opened(data, step=step) == PLAIN[:size]
    chunks = -(-size // CHUNK_BYTES)
    assert len(data) == HEAD_BYTES + size + 21 * chunks


def test_the_file_is_as_documented(whole: bytes) -> None:
    """Read with the library alone, as docs/BACKUP.md says."""
    head = whole[:96]
    assert head[:16] == b"p2pchat backup\n\x01"
    salt, ops, memory = head[16:32], int.from_bytes(head[32:36], "big"), int.from_bytes(head[36:40], "big")
    derived = argon2id.kdf(48, PASSPHRASE, salt, ops, memory)
    assert head[40:56] == derived[32:]
    assert head[80:] == blake2b_plain(head[:80], 16)
    stream = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(stream, head[56:80], derived[:32])
    at, found, tags = 96, b"", list[int]()
    while at < len(whole):
        size = int.from_bytes(whole[at : at + 4], "big")
        chunk = whole[at + 4 : at + 4 + size]
        plain, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(stream, chunk, head)
        found, at = found + plain, at + 4 + size
        tags.append(tag)
    assert found == PLAIN
    assert tags == [0, 0, 3]


def test_another_passphrase_is_told_apart_from_damage(whole: bytes) -> None:
    for wrong in (b"passwort", b"", PASSPHRASE + b"\n"):
        with pytest.raises(WrongPassphrase):
            opened(whole, wrong)


@given(st.integers(min_value=0))
@settings(max_examples=150, deadline=None)
def test_a_file_that_ends_early_is_refused(end: int) -> None:
    data = _whole()
    with pytest.raises(Corrupt):
        opened(data[: end % len(data)])


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_is_refused(at: int, bit: int) -> None:
    data = bytearray(_whole())
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(Corrupt):
        opened(bytes(data))


@pytest.mark.parametrize("at", range(HEAD_BYTES + 4 + 20))
def test_a_flipped_bit_of_the_beginning_is_refused(whole: bytes, at: int) -> None:
    for bit in range(8):
        data = bytearray(whole)
        data[at] ^= 1 << bit
        with pytest.raises(Corrupt):
            opened(bytes(data))


def _whole() -> bytes:
    return _KEPT.setdefault("whole", sealed(PLAIN[: CHUNK_BYTES + 300]))


_KEPT: dict[str, bytes] = {}


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    body = data[HEAD_BYTES:]
    return data[:HEAD_BYTES], [body[at : at + SEALED_CHUNK_BYTES] for at in range(0, len(body), SEALED_CHUNK_BYTES)]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (0, 0, 1, 2), (1, 2), (2,), (0, 1), (0, 1, 2, 2), (0, 1, 2, 0)])
def test_chunks_out_of_their_places_are_refused(whole: bytes, order: tuple[int, ...]) -> None:
    head, parts = chunks(whole)
    assert len(parts) == 3
    with pytest.raises(Corrupt):
        opened(head + b"".join(parts[each] for each in order))


def test_chunks_of_another_backup_with_the_same_passphrase_are_refused(whole: bytes) -> None:
    head, parts = chunks(whole)
    _, others = chunks(sealed(seed=2))
    for place in range(3):
        mixed = [*parts[:place], others[place], *parts[place + 1 :]]
        with pytest.raises(Corrupt):
            opened(head + b"".join(mixed))


@pytest.mark.parametrize("tail", [b"\0", b"p2pchat", bytes(SEALED_CHUNK_BYTES)])
def test_what_follows_the_end_is_refused(whole: bytes, tail: bytes) -> None:
    with pytest.raises(Corrupt):
        opened(whole + tail)


def forged(ops: int, memory_bytes: int, version: int = 1) -> bytes:
    """A head that is in order but for what it asks for."""
    sizes = ops.to_bytes(4, "big") + memory_bytes.to_bytes(4, "big")
    head = b"p2pchat backup\n" + bytes((version,)) + bytes(16) + sizes + bytes(16 + 24)
    return head + blake2b_plain(head, 16)


@pytest.mark.parametrize(
    ("ops", "memory_bytes"), [(0, 8192), (17, 8192), (0xFFFF_FFFF, 8192), (1, 0), (1, 8191), (1, (1 << 30) + 1)]
)
def test_a_head_that_asks_for_too_much_is_refused_before_anything_is_derived(
    ops: int, memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_file, "_derive", lambda *_: pytest.fail("it was derived"))
    with pytest.raises(Corrupt):
        opened(forged(ops, memory_bytes) + bytes(100))


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        (b"\x050.3.1", "Use p2pchat 0.3.1 or a newer one."),
        (b"\x071.20.3x", "Use a newer p2pchat."),
        (b"\x040.\x1b[2J", "Use a newer p2pchat."),
        (b"\x0510\n.2", "Use a newer p2pchat."),
        (b"\xff0.3", "Use a newer p2pchat."),
        (b"\0", "Use a newer p2pchat."),
        (b"", "Use a newer p2pchat."),
    ],
)
def test_a_newer_version_says_what_it_needs_and_is_not_called_damaged(rest: bytes, named: str) -> None:
    for tail in (b"", bytes(200)):
        with pytest.raises(StoreError) as refused:
            opened(b"p2pchat backup\n\2" + rest + tail)
        assert not isinstance(refused.value, Corrupt)
        assert refused.value.message == (
            f"The backup has version 2; this is p2pchat {__version__}, which reads version 1. {named}"
        )
        with pytest.raises(StoreError, match="version 2"):
            backup_file.check_head(b"p2pchat backup\n\2" + rest + tail)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_a_head_of_any_bytes_is_refused_in_words(rest: bytes) -> None:
    for version in (b"\0", b"\1", b"\2", b"\xff"):
        with pytest.raises(StoreError) as refused:
            backup_file.check_head((b"p2pchat backup\n" + version + rest)[:HEAD_BYTES])
        assert refused.value.message.isprintable()


def test_a_head_is_looked_at_without_a_passphrase(whole: bytes) -> None:
    backup_file.check_head(whole[:HEAD_BYTES])
    for begun in (whole[: HEAD_BYTES - 1], b"\0" + whole[1:HEAD_BYTES], whole[: HEAD_BYTES - 1] + b"\0", b""):
        with pytest.raises(Corrupt):
            backup_file.check_head(begun)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too early"),
        (b"p2pchat backup\n", "too early"),
        (b"\0", "not a backup"),
        (b"hello", "not a backup"),
        (b"PK\x03\x04" + bytes(200), "not a backup"),
        (bytes(1 << 20), "not a backup"),
    ],
)
def test_what_is_no_backup_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Corrupt, match=why):
        opened(data)


def test_a_chunk_that_claims_to_be_long_is_refused_before_it_is_waited_for(whole: bytes) -> None:
    opener = Opener(PASSPHRASE)
    opener.feed(whole[:HEAD_BYTES])
    with pytest.raises(Corrupt):
        opener.feed((CHUNK_BYTES + 18).to_bytes(4, "big"))


def test_only_the_last_chunk_may_be_short() -> None:
    sealer = Sealer(PASSPHRASE, SeededEntropy(1), CHEAP)
    short = sealer._seal(b"short", 0)
    with pytest.raises(Corrupt):
        opened(sealer.head + short + sealer._seal(b"rest", 3))
