"""Frames in a stream, whatever pieces it comes in."""

from __future__ import annotations

import pytest
import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import PeerId
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream

MOST = 1000


class Canned(Stream):
    """Delivers given pieces, then the end or an error; remembers what is written."""

    def __init__(self, *pieces: bytes, broken: bool = False) -> None:
        self.pieces = list(pieces)
        self.broken = broken
        self.written: list[bytes] = []
        self.asked: list[int] = []

    @property
    def peer(self) -> PeerId:
        return peer_id_from_key(b"p" * 32)

    @property
    def remote_host(self) -> str | None:
        return None

    async def read(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(max_bytes)
        if self.pieces:
            return self.pieces.pop(0)
        if self.broken:
            raise NetError("reset")
        return b""

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written.append(data)

    async def close(self) -> None:
        raise AssertionError("the pump closes nothing")

    async def reset(self) -> None:
        raise AssertionError("the pump resets nothing")


def framed(*frames: bytes) -> bytes:
    return b"".join(len(f).to_bytes(4, "big") + f for f in frames)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


FRAMES = [b"a", b"bc" * 100, b"d" * MOST, b"e"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 100, 10_000])
async def test_frames_come_out_as_they_went_in(size: int) -> None:
    stream = Canned(*pieces(framed(*FRAMES), size))
    reader = FrameReader(stream, MOST)
    assert [await reader.read() for _ in FRAMES] == FRAMES
    assert await reader.read() is None
    assert await reader.read() is None
    assert set(stream.asked) == {limits.STREAM_READ_BYTES}


async def test_all_that_has_arrived_is_handed_over_together() -> None:
    data = framed(*FRAMES)
    reader = FrameReader(Canned(data[:8], data[8:-2], data[-2:]), MOST)
    assert await reader.read_available() == FRAMES[:1]
    assert await reader.read_available() == FRAMES[1:3]
    assert await reader.read_available() == FRAMES[3:]
    assert await reader.read_available() == []


@pytest.mark.parametrize("length", [0, MOST + 1, 2**31, 2**32 - 1])
async def test_a_refused_length_is_refused_before_its_frame_is_read(length: int) -> None:
    stream = Canned(framed(b"a") + length.to_bytes(4, "big"), b"never read")
    reader = FrameReader(stream, MOST)
    assert await reader.read_available() == [b"a"]
    for _ in range(2):
        with pytest.raises(DecodeError):
            await reader.read()
    assert stream.pieces == [b"never read"]


@pytest.mark.parametrize("cut", [1, 3, 4, 5])
async def test_the_end_within_a_frame_is_an_error(cut: int) -> None:
    reader = FrameReader(Canned(framed(b"a") + framed(b"bcd")[:cut]), MOST)
    assert await reader.read() == b"a"
    with pytest.raises(DecodeError):
        await reader.read()


async def test_a_reset_is_passed_on_after_what_was_complete() -> None:
    reader = FrameReader(Canned(framed(b"a") + b"\x00", broken=True), MOST)
    assert await reader.read_available() == [b"a"]
    with pytest.raises(NetError):
        await reader.read_available()


async def test_a_cancelled_read_loses_nothing() -> None:
    reader = FrameReader(Canned(*pieces(framed(*FRAMES), 3)), MOST)
    got: list[bytes | None] = []
    while len(got) < len(FRAMES):
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time()
            got.append(await reader.read())
        if scope.cancelled_caught:
            got.append(await reader.read())
    assert got == FRAMES


async def test_frames_leave_in_one_write() -> None:
    stream = Canned()
    await write_frames(stream, iter(FRAMES))
    assert stream.written == [framed(*FRAMES)]
    await write_frames(stream, [])
    assert len(stream.written) == 1
