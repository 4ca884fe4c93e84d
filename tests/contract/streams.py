"""What every :class:`p2pchat.net.transport.Stream` must do: bytes, their order, their end, and who waits for whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError, Stalled, UnsupportedProtocol
from p2pchat.base.ids import PeerId
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from tests.contract.lab import (
    ECHO,
    PROTOCOL,
    Contract,
    Lab,
    echo,
    never,
    pattern,
    read_all,
    read_exactly,
    read_until_error,
    until,
)

WINDOW_BYTES: Final = 256 * 1024
_NEGOTIATION_BYTES: Final = 1_000


def is_window(count: int) -> bool:
    """Whether that is what comes to a reader that reads nothing: what was said when the stream was opened counts."""
    return WINDOW_BYTES - _NEGOTIATION_BYTES <= count <= WINDOW_BYTES


class StreamContract(Contract):
    """The suite."""

    async def test_a_stream_carries_bytes_both_ways(self, lab: Lab, clock: object) -> None:
        stream = await self.connect(lab)
        assert stream.peer == lab.b.peer_id
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"

    async def test_the_handler_knows_its_peer(self, lab: Lab, clock: object) -> None:
        found: list[tuple[PeerId, str | None]] = []

        async def look(stream: Stream) -> None:
            found.append((stream.peer, stream.remote_host))

        assert await read_all(await self.connect(lab, look)) == b""
        assert [peer for peer, _ in found] == [lab.a.peer_id]
        assert found[0][1]

    async def test_the_end_is_empty_and_stays_so(self, lab: Lab, clock: object) -> None:
        async def say(stream: Stream) -> None:
            await stream.write(b"bye")

        stream = await self.connect(lab, say)
        assert await read_all(stream) == b"bye"
        assert await stream.read(1) == b""

    async def test_half_close(self, lab: Lab, clock: object) -> None:
        async def count(stream: Stream) -> None:
            await stream.write(str(len(await read_all(stream))).encode())

        stream = await self.connect(lab, count)
        await stream.write(b"x" * 1000)
        await stream.close()
        assert await read_all(stream) == b"1000"
        with pytest.raises(NetError):
            await stream.write(b"more")

    async def test_a_handlers_exception_resets_its_stream_and_nothing_else(self, lab: Lab, clock: object) -> None:
        async def fail(stream: Stream) -> None:
            await stream.read(1)
            raise RuntimeError("a defect")

        other = await self.connect(lab)
        stream = await self.connect(lab, fail, PROTOCOL)
        await stream.write(b"x")
        with pytest.raises(NetError):
            await read_all(stream)
        await other.write(b"still here")
        assert await read_exactly(other, 10) == b"still here"
        await lab.a.open(lab.b.peer_id, ECHO)

    async def test_a_reset_reaches_the_handler(self, lab: Lab, clock: object) -> None:
        ended = trio.Event()

        async def wait(stream: Stream) -> None:
            try:
                await read_all(stream)
            except NetError:
                ended.set()

        stream = await self.connect(lab, wait)
        await stream.write(b"x")
        await stream.reset()
        with trio.fail_after(5):
            await ended.wait()
        for use in (stream.read(1), stream.write(b"x")):
            with pytest.raises(NetError):
                await use
        await stream.reset()
        await stream.close()

    async def test_reset_wakes_the_own_reader(self, lab: Lab, clock: object) -> None:
        stream = await self.connect(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.expect_net_error, partial(stream.read, 1))
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stream.reset()

    async def expect_net_error(self, use: Callable[[], Awaitable[object]]) -> None:
        with trio.fail_after(5), pytest.raises(NetError):
            await use()

    async def test_an_unknown_protocol_is_told_from_a_failure(self, lab: Lab, clock: object) -> None:
        await self.connect(lab)
        with pytest.raises(UnsupportedProtocol):
            await lab.a.open(lab.b.peer_id, "/test/unknown/1")
        await lab.a.open(lab.b.peer_id, ECHO)

    async def test_no_stream_without_a_connection(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError) as caught:
            await lab.a.open(lab.b.peer_id, ECHO)
        assert not isinstance(caught.value, UnsupportedProtocol)
        with pytest.raises(NetError):
            await lab.a.learn(lab.b.peer_id)

    async def test_streams_of_a_peer_and_protocol_are_bounded(self, lab: Lab, clock: object) -> None:
        first = await self.connect(lab)
        rest = [await lab.a.open(lab.b.peer_id, ECHO) for _ in range(limits.STREAMS_PER_PEER - 1)]
        with pytest.raises(NetError):
            await lab.a.open(lab.b.peer_id, ECHO)
        lab.b.handle(PROTOCOL, echo)
        await lab.a.open(lab.b.peer_id, PROTOCOL)
        await first.close()
        assert await read_all(first) == b""
        await lab.a.open(lab.b.peer_id, ECHO)
        for stream in rest:
            await stream.write(b"x")
            assert await stream.read(1) == b"x"

    async def test_the_reader_holds_the_writer(self, lab: Lab, clock: object) -> None:
        go, sent = trio.Event(), [0]
        data = pattern(2_000_000)

        async def late(stream: Stream) -> None:
            await go.wait()
            assert await read_all(stream) == data
            await stream.write(b"complete")

        async def send(stream: Stream) -> None:
            for start in range(0, len(data), 10_000):
                await stream.write(data[start : start + 10_000])
                sent[0] += 10_000
            await stream.close()

        stream = await self.connect(lab, late)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, stream)
            await until(lambda: sent[0] >= 200_000)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert sent[0] <= 300_000
            go.set()
            assert await read_all(stream) == b"complete"

    async def test_a_writer_whom_nobody_reads_gives_up(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "WRITE_STALL_S", 0.3)

        stream = await self.connect(lab, never)
        with trio.fail_after(3), pytest.raises(Stalled):
            await stream.write(bytes(1_000_000))

    async def test_a_cancelled_read_loses_nothing(self, lab: Lab, clock: object) -> None:
        data = pattern(1_000_000)

        async def send(stream: Stream) -> None:
            for start in range(0, len(data), 7_000):
                await stream.write(data[start : start + 7_000])

        stream = await self.connect(lab, send)
        got, over = bytearray(), False
        while not over:
            with trio.move_on_after(0.0004):
                while not over:
                    chunk = await stream.read(5_000)
                    got += chunk
                    over = not chunk
        assert bytes(got) == data

    async def test_streams_do_not_mix(self, lab: Lab, clock: object) -> None:
        async def talk(number: int) -> None:
            data = bytes([number]) * 300_000
            stream = await lab.a.open(lab.b.peer_id, ECHO)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, data)
                assert await read_exactly(stream, len(data)) == data
            await stream.close()

        await (await self.connect(lab)).reset()
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(talk, number)

    async def test_frames(self, lab: Lab, clock: object) -> None:
        async def answer(stream: Stream) -> None:
            reader = FrameReader(stream, 1 << 20)
            while frames := await reader.read_available():
                await write_frames(stream, frames)

        frames = [pattern(4 * n) for n in (1, 2, 3, 100_000)] + [b"x"] * 100
        stream = await self.connect(lab, answer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_frames, stream, frames)
            reader = FrameReader(stream, 1 << 20)
            assert [await reader.read() for _ in frames] == frames
        await stream.close()
        assert await reader.read() is None

    # the end of a stream

    async def test_what_came_before_a_reset_is_read(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        await ours.write(b"x" * 1_000)
        await ours.reset()
        assert await read_until_error(theirs) == b"x" * 1_000
        with pytest.raises(NetError):
            await theirs.read(1)

    async def test_what_a_handler_wrote_before_it_failed_is_read(self, lab: Lab, clock: object) -> None:
        async def fail(stream: Stream) -> None:
            await stream.write(b"the answer")
            raise RuntimeError("a defect")

        assert await read_until_error(await self.connect(lab, fail)) == b"the answer"

    async def test_who_resets_reads_nothing_more(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        await theirs.write(b"xx")
        assert await ours.read(1) == b"x"
        await ours.reset()
        with pytest.raises(NetError):
            await ours.read(1)

    async def test_a_lost_connection_takes_along_what_nobody_has_read(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        await theirs.write(b"xx")
        assert await ours.read(1) == b"x"
        await lab.a.disconnect(lab.b.peer_id)
        for end in (ours, theirs):
            with pytest.raises(NetError):
                await end.read(1)

    async def test_who_ends_its_side_goes_on_reading(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        await theirs.close()
        assert await ours.read(1) == b""
        await ours.write(b"more")
        assert await read_exactly(theirs, 4) == b"more"
        await ours.close()
        assert await theirs.read(1) == b""

    async def test_an_end_may_be_ended_again_in_any_way(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        for end in (ours, theirs):
            await end.close()
            await end.close()
            assert not end.is_lost
            assert await read_all(theirs if end is ours else ours) == b""
        for end in (ours, theirs):
            await end.write(b"")  # nothing, which is no write
            with pytest.raises(NetError):
                await end.write(b"x")
            await end.reset()
            await end.reset()
            await end.close()
            with pytest.raises(NetError):
                await end.read(1)

    async def test_a_stream_knows_that_it_is_lost(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        other, others = await self.both_ends(lab)
        assert not any(end.is_lost for end in (ours, theirs, other, others))
        await theirs.write(b"x")
        await theirs.reset()
        assert theirs.is_lost
        await until(lambda: ours.is_lost)
        assert await read_until_error(ours) == b"x"
        assert not other.is_lost
        await lab.b.disconnect(lab.a.peer_id)
        await until(lambda: other.is_lost and others.is_lost)

    async def test_what_comes_after_a_handler_is_dropped_for_a_while(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LINGER_S", 0.5)

        async def leave(stream: Stream) -> None:
            await stream.write(b"bye")

        stream = await self.connect(lab, leave)
        assert await read_all(stream) == b"bye"
        with trio.fail_after(5):
            await stream.write(bytes(2 * WINDOW_BYTES))
            await until(lambda: stream.is_lost)
            with pytest.raises(NetError):
                await stream.write(b"x")

    # writers

    async def test_writers_queue(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        parts = [bytes([number]) * 200_000 for number in range(1, 6)]
        async with trio.open_nursery() as nursery:
            for part in parts:
                nursery.start_soon(ours.write, part)
            data = await read_exactly(theirs, 1_000_000)
        assert sorted(data[start : start + 200_000] for start in range(0, 1_000_000, 200_000)) == parts

    async def test_a_window_is_filled_and_a_write_of_which_nothing_was_sent_leaves_nothing_behind(
        self, lab: Lab, clock: object
    ) -> None:
        ours, theirs = await self.both_ends(lab)
        sent = WINDOW_BYTES - _NEGOTIATION_BYTES
        with trio.fail_after(5):
            await ours.write(bytes(sent))
        with trio.move_on_after(0.2) as scope:
            while True:
                await ours.write(b"\0")
                sent += 1
        assert scope.cancelled_caught
        assert is_window(sent)
        with trio.fail_after(5):
            assert await read_exactly(theirs, sent) == bytes(sent)
            async with trio.open_nursery() as nursery:  # who does not read on may give no room
                nursery.start_soon(ours.write, b"and this")
                assert await read_exactly(theirs, 8) == b"and this"

    async def test_a_write_that_was_cut_off_leaves_no_second_one(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        with trio.move_on_after(0.1) as scope:
            await ours.write(bytes(2 * WINDOW_BYTES))
        assert scope.cancelled_caught
        with pytest.raises(NetError):
            await ours.write(b"x")
        with trio.fail_after(5):
            came = len(await read_exactly(theirs, 200_000))
            await theirs.write(b"still")
            assert await read_exactly(ours, 5) == b"still"
            with pytest.raises(NetError):
                await ours.write(b"x")
            await ours.reset()
            assert is_window(came + len(await read_until_error(theirs)))

    async def test_the_end_waits_for_a_write_that_is_under_way(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.write, pattern(2 * WINDOW_BYTES))
            await trio.testing.wait_all_tasks_blocked(0.02)
            nursery.start_soon(ours.close)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert await read_all(theirs) == pattern(2 * WINDOW_BYTES)

    async def test_an_end_for_which_a_write_leaves_no_room_is_a_reset(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "CLOSE_S", 0.2)
        ours, theirs = await self.both_ends(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.expect_net_error, partial(ours.write, bytes(2 * WINDOW_BYTES)))
            await trio.testing.wait_all_tasks_blocked(0.02)
            with trio.fail_after(3):
                await ours.close()
        with trio.fail_after(3):
            assert is_window(len(await read_until_error(theirs)))
        with pytest.raises(NetError):
            await ours.read(1)

    async def test_a_writer_that_gives_up_resets_its_stream(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "WRITE_STALL_S", 0.3)
        ours, theirs = await self.both_ends(lab)
        with trio.fail_after(3), pytest.raises(Stalled):
            await ours.write(bytes(2 * WINDOW_BYTES))
        assert ours.is_lost
        with trio.fail_after(3):
            assert is_window(len(await read_until_error(theirs)))
        for use in (partial(ours.read, 1), partial(ours.write, b"x"), partial(theirs.write, b"x")):
            with pytest.raises(NetError):
                await use()

    async def test_a_slow_reader_gets_everything_in_order(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.both_ends(lab)
        got, data = bytearray(), pattern(1_000_000)

        async def read() -> None:
            while chunk := await theirs.read(30_000):
                got.extend(chunk)
                await trio.sleep(0.0005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for start in range(0, len(data), 1_000):
                await ours.write(data[start : start + 1_000])
            await ours.close()
        assert bytes(got) == data
