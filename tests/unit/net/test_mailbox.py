"""A visit to a holder: what it may answer, and that no answer is taken for another's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.base.errors import DecodeError, NetError, UnsupportedProtocol
from p2pchat.base.limits import MAILBOX_ANSWER_S, STREAM_OPEN_S
from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.mailbox import (
    REQUEST,
    REQUEST_MAX_BYTES,
    Acked,
    Answer,
    Bundle,
    BundleIs,
    Challenge,
    End,
    Ended,
    List,
    Listed,
    Listing,
    Reason,
    Refused,
    is_signed,
)
from p2pchat.net.mailbox import MAILBOX, MailboxRefused, Visit, visit
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode

CHALLENGE = b"c" * 32
FIRST = encode(Challenge(CHALLENGE))
OWNER = ed25519_pair(bytes(32))
ASKED = List(OWNER.public, 0, 0, bytes(64))
BUNDLE = Bundle(bytes(32))
SOON_S = 3.0

Serve = Callable[[Stream, FrameReader], Awaitable[None]]


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.0)


@asynccontextmanager
async def holder(serve: Serve, first: Sequence[bytes] = (FIRST,)) -> AsyncGenerator[tuple[MemoryNode, MemoryNode]]:
    """Who asks, and a holder that says ``first`` and then does what ``serve`` does."""

    async def handler(stream: Stream) -> None:
        await write_frames(stream, first)
        await serve(stream, FrameReader(stream, REQUEST_MAX_BYTES))

    async with MemoryNetwork.run() as network:
        asker, holds = network.node(), network.node()
        holds.handle(MAILBOX, handler)
        yield asker, holds


def saying(*answers: Answer | bytes | None, delay_s: float = 0.0) -> Serve:
    """One answer a request; None: the holder ends the stream instead."""

    async def serve(stream: Stream, reader: FrameReader) -> None:
        for answer in answers:
            assert await reader.read() is not None
            await trio.sleep(delay_s)
            if answer is None:
                return
            await write_frames(stream, [answer if isinstance(answer, bytes) else encode(answer)])
        await trio.sleep_forever()

    return serve


@asynccontextmanager
async def visiting(serve: Serve, first: Sequence[bytes] = (FIRST,)) -> AsyncGenerator[Visit]:
    async with holder(serve, first) as (asker, holds), visit(asker, holds.peer_id, holds.addresses()) as there:
        assert there.peer == holds.peer_id
        yield there


# -- what goes well --------------------------------------------------------------------------------------------------


async def test_requests_are_answered_one_after_the_other(autojump_clock: MockClock) -> None:
    async with visiting(saying(BundleIs(b"one"), BundleIs(b"two"), Ended())) as there:
        assert await there.ask(BUNDLE, BundleIs) == BundleIs(b"one")
        assert await there.ask(BUNDLE, BundleIs) == BundleIs(b"two")
        assert await there.ask(End(OWNER.public, bytes(64)), Ended) == Ended()


async def test_what_the_owner_asks_is_signed_for_this_stream_and_holder(autojump_clock: MockClock) -> None:
    asked: list[bytes] = []

    async def serve(stream: Stream, reader: FrameReader) -> None:
        asked.append(await reader.read() or b"")
        await write_frames(stream, [encode(Listed(()))])

    async with visiting(serve) as there:
        assert await there.ask_as(OWNER, ASKED, Listed) == Listed(())
        request = REQUEST.decode(asked[0])
        assert isinstance(request, List)
        assert is_signed(request, CHALLENGE, there.peer)


async def test_an_answer_may_take_as_long_as_was_asked_for_and_a_little_more(autojump_clock: MockClock) -> None:
    async with visiting(saying(Listed(()), delay_s=300 + MAILBOX_ANSWER_S - SOON_S)) as there:
        assert await there.ask(ASKED, Listed, wait_s=300.0) == Listed(())


async def test_after_a_refusal_more_can_be_asked(autojump_clock: MockClock) -> None:
    async with visiting(saying(Refused(1, 60), Refused(77, 0), BundleIs(b""))) as there:
        for reason, retry_s in ((Reason.NO_SPACE, 60), (Reason.REFUSED, 0)):
            with pytest.raises(MailboxRefused) as refused:
                await there.ask(BUNDLE, BundleIs)
            assert (refused.value.reason, refused.value.retry_s) == (reason, retry_s)
            assert refused.value.error_name == "MAILBOX_REFUSED"
        assert await there.ask(BUNDLE, BundleIs) == BundleIs(b"")


# -- what does not, before anything is asked -------------------------------------------------------------------------


async def refused_at_the_door(error: type[Exception], serve: Serve, first: Sequence[bytes]) -> float:
    """How long it took."""
    began = trio.current_time()
    async with holder(serve, first) as (asker, holds):
        with pytest.raises(error):
            async with visit(asker, holds.peer_id, holds.addresses()):
                raise AssertionError("a visit without a challenge")
        return trio.current_time() - began


async def test_a_holder_that_says_nothing(autojump_clock: MockClock) -> None:
    took = await refused_at_the_door(NetError, saying(None), [])
    assert STREAM_OPEN_S <= took < STREAM_OPEN_S + SOON_S


async def test_a_holder_that_ends_the_stream_at_once(autojump_clock: MockClock) -> None:
    async def serve(_stream: Stream, _reader: FrameReader) -> None:
        return

    assert await refused_at_the_door(NetError, serve, []) < SOON_S


@pytest.mark.parametrize("first", [b"\xff", encode(Challenge(CHALLENGE)) + b"\0", encode(Ended()), bytes(5_000)])
async def test_a_first_frame_that_is_no_challenge(autojump_clock: MockClock, first: bytes) -> None:
    assert await refused_at_the_door(DecodeError, saying(None), [first]) < SOON_S


async def test_a_node_that_holds_nothing_for_anybody(autojump_clock: MockClock) -> None:
    async with MemoryNetwork.run() as network:
        asker, other = network.node(), network.node()
        with pytest.raises(UnsupportedProtocol):
            async with visit(asker, other.peer_id, other.addresses()):
                raise AssertionError("nobody serves this")


# -- and after -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (None, NetError),
        (Acked(1), DecodeError),
        (b"\xff", DecodeError),
        (encode(BundleIs(b"")) + b"\0", DecodeError),
        (FIRST, DecodeError),
    ],
)
async def test_what_is_no_answer_ends_the_visit(
    autojump_clock: MockClock, said: Answer | bytes | None, error: type[Exception]
) -> None:
    async with visiting(saying(said, BundleIs(b"late"))) as there:
        with pytest.raises(error):
            await there.ask(BUNDLE, BundleIs)
        with pytest.raises(NetError):
            await there.ask(BUNDLE, BundleIs)


async def test_a_holder_that_takes_too_long(autojump_clock: MockClock) -> None:
    async with visiting(saying(BundleIs(b"late"), BundleIs(b"two"), delay_s=MAILBOX_ANSWER_S + SOON_S)) as there:
        began = trio.current_time()
        with pytest.raises(NetError, match="too long"):
            await there.ask(BUNDLE, BundleIs)
        assert MAILBOX_ANSWER_S <= trio.current_time() - began < MAILBOX_ANSWER_S + SOON_S
        await trio.sleep(2 * SOON_S)
        with pytest.raises(NetError, match="not taken"):
            await there.ask(BUNDLE, BundleIs)


async def test_an_answer_that_nobody_waited_for_is_not_that_of_the_next_request(autojump_clock: MockClock) -> None:
    mine, other = Listed((Listing(1, 1_024, 9),)), Listed((Listing(2, 1_024, 9),))
    async with visiting(saying(other, mine, delay_s=SOON_S)) as there:
        with trio.move_on_after(SOON_S / 2) as gave_up:
            await there.ask_as(OWNER, ASKED, Listed)
        assert gave_up.cancelled_caught
        await trio.sleep(2 * SOON_S)
        with pytest.raises(NetError, match="not taken"):
            await there.ask_as(OWNER, ASKED, Listed)


async def test_two_cannot_ask_at_once(autojump_clock: MockClock) -> None:
    async with visiting(saying(BundleIs(b"one"), delay_s=SOON_S)) as there, trio.open_nursery() as nursery:
        nursery.start_soon(there.ask, BUNDLE, BundleIs)
        await wait_all_tasks_blocked()
        with pytest.raises(NetError, match="not taken"):
            await there.ask(BUNDLE, BundleIs)


async def test_a_holder_that_is_cut_off_meanwhile(autojump_clock: MockClock) -> None:
    async with (
        holder(saying(BundleIs(b""), delay_s=SOON_S)) as (asker, holds),
        visit(asker, holds.peer_id, holds.addresses()) as there,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(asker.disconnect, holds.peer_id)
        with pytest.raises(NetError):
            await there.ask(BUNDLE, BundleIs)


async def test_an_answer_longer_than_any_is_refused_before_it_is_there(autojump_clock: MockClock) -> None:
    async def serve(stream: Stream, reader: FrameReader) -> None:
        await reader.read()
        await stream.write((1_048_577).to_bytes(4, "big"))
        await trio.sleep_forever()

    async with visiting(serve) as there:
        began = trio.current_time()
        with pytest.raises(DecodeError):
            await there.ask(BUNDLE, BundleIs)
        assert trio.current_time() - began < SOON_S


async def test_the_stream_is_gone_after_the_visit(autojump_clock: MockClock) -> None:
    async with holder(saying(BundleIs(b""))) as (asker, holds):
        async with visit(asker, holds.peer_id, holds.addresses()) as there:
            pass
        with pytest.raises(NetError):
            await there.ask(BUNDLE, BundleIs)
