"""What a holder may say of a box that it was given, and what counts as its word (PROTOCOL.md 6.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from trio.testing import MockClock

from p2pchat.base.errors import DecodeError, DecryptionError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair, blake2b_plain, ed25519_pair, sign, x25519_pair
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.mailbox import (
    REQUEST,
    REQUEST_MAX_BYTES,
    Acked,
    Answer,
    Challenge,
    Custody,
    Deposit,
    Reason,
    Refused,
    custody_statement,
    open_box,
)
from p2pchat.core.presence import Mailbox
from p2pchat.core.wire import Ack, Frame, decode_frame
from p2pchat.net.mailbox import MAILBOX, MailboxRefused, visit
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.services.leave import Receipt, leave
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.sessions import NOW_S
from tests.unit.services.receiving import Receiving

NODE = ed25519_pair(b"h" * 32)
HOLDER = PeerId(PEER_ID_PREFIX + NODE.public)
OWNER = x25519_pair(b"m" * 32)
TOKEN = b"t" * 32
FRAME = Ack(((bytes(16), bytes(16)),))
UNTIL_S = NOW_S + 259_200
SKEW_S = 600

Says = Callable[[Deposit], Answer]


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.0)


def word(until: int, of: bytes, by: KeyPair = NODE) -> Custody:
    return Custody(until, sign(by, custody_statement(of, until)))


async def left(
    says: Says, *, until_s: int = UNTIL_S, key: bytes = OWNER.public, frame: Frame = FRAME
) -> tuple[Receipt, Deposit]:
    """What comes of a deposit, and what the holder was given."""
    given: list[Deposit] = []

    async def serve(stream: Stream) -> None:
        await write_frames(stream, [encode(Challenge(bytes(32)))])
        data = await FrameReader(stream, REQUEST_MAX_BYTES).read()
        if data is None:
            return
        request = REQUEST.decode(data)
        assert isinstance(request, Deposit)
        given.append(request)
        await write_frames(stream, [encode(says(request))])

    context = Receiving().context
    async with MemoryNetwork.run() as network:
        asker, holder = network.node(), network.node(HOLDER)
        holder.handle(MAILBOX, serve)
        mailbox = Mailbox(HOLDER, Address(b"a"), TOKEN)
        async with visit(asker, HOLDER, holder.addresses()) as there:
            receipt = await leave(context, there, mailbox, key, frame, until_s)
    return receipt, given[0]


async def test_what_is_left_is_a_box_for_its_owner_and_the_word_of_its_holder(autojump_clock: MockClock) -> None:
    receipt, given = await left(lambda asked: word(NOW_S + asked.ttl_s, asked.box))
    assert (given.token, given.ttl_s, len(given.box)) == (TOKEN, 259_200, 1_024)
    assert decode_frame(open_box(given.box, OWNER)) == FRAME
    proof = blake2b_plain(given.box, 32) + sign(NODE, custody_statement(given.box, UNTIL_S))
    assert receipt == Receipt(HOLDER, UNTIL_S, proof)
    assert proof.hex() not in repr(receipt)


@pytest.mark.parametrize("until_s", [NOW_S + 129_600, UNTIL_S - 1, UNTIL_S + SKEW_S])
async def test_a_holder_may_keep_it_for_less_or_have_another_clock(autojump_clock: MockClock, until_s: int) -> None:
    receipt, _ = await left(lambda asked: word(until_s, asked.box))
    assert receipt.until_s == until_s


@pytest.mark.parametrize("until_s", [0, NOW_S, NOW_S + 129_599, UNTIL_S + SKEW_S + 1, (1 << 64) - 1])
async def test_a_custody_that_is_over_or_of_no_such_time_is_none(autojump_clock: MockClock, until_s: int) -> None:
    with pytest.raises(DecodeError, match="none may"):
        await left(lambda asked: word(until_s, asked.box))


@pytest.mark.parametrize(
    "says",
    [
        lambda asked: word(UNTIL_S, asked.box, ed25519_pair(b"o" * 32)),
        lambda asked: word(UNTIL_S, asked.box[:-1] + b"\0"),
        lambda asked: Custody(UNTIL_S - 1, word(UNTIL_S, asked.box).signature),
        lambda asked: Custody(UNTIL_S, sign(NODE, asked.box)),
        lambda _: Custody(UNTIL_S, bytes(64)),
    ],
)
async def test_what_the_holder_has_not_signed_of_this_box_is_none(autojump_clock: MockClock, says: Says) -> None:
    with pytest.raises(DecodeError, match="not signed"):
        await left(says)


async def test_another_answer_is_none(autojump_clock: MockClock) -> None:
    with pytest.raises(DecodeError, match="another request"):
        await left(lambda _: Acked(1))


async def test_a_refusal_says_why(autojump_clock: MockClock) -> None:
    with pytest.raises(MailboxRefused) as refused:
        await left(lambda _: Refused(Reason.NO_SPACE, 7))
    assert (refused.value.reason, refused.value.retry_s) == (Reason.NO_SPACE, 7)


@pytest.mark.parametrize("until_s", [NOW_S - 5, NOW_S])
async def test_what_would_be_over_already_is_not_asked_for(autojump_clock: MockClock, until_s: int) -> None:
    with pytest.raises(NetError, match="too long"):
        await left(lambda asked: word(NOW_S, asked.box), until_s=until_s)


async def test_nothing_leaves_for_a_key_that_everybody_could_open(autojump_clock: MockClock) -> None:
    with pytest.raises(DecryptionError):
        await left(lambda asked: word(UNTIL_S, asked.box), key=bytes(32))


async def test_two_holders_are_given_different_boxes(autojump_clock: MockClock) -> None:
    context, mailbox = Receiving().context, Mailbox(HOLDER, Address(b"a"), TOKEN)
    boxes: list[bytes] = []

    async def serve(stream: Stream) -> None:
        await write_frames(stream, [encode(Challenge(bytes(32)))])
        reader = FrameReader(stream, REQUEST_MAX_BYTES)
        while (data := await reader.read()) is not None:
            request = REQUEST.decode(data)
            assert isinstance(request, Deposit)
            boxes.append(request.box)
            await write_frames(stream, [encode(word(UNTIL_S, request.box))])

    async with MemoryNetwork.run() as network:
        asker, holder = network.node(), network.node(HOLDER)
        holder.handle(MAILBOX, serve)
        async with visit(asker, HOLDER, holder.addresses()) as there:
            for _ in range(2):
                await leave(context, there, mailbox, OWNER.public, FRAME, UNTIL_S)
    assert len(set(boxes)) == 2
    assert boxes[0][:32] != boxes[1][:32]
    assert {decode_frame(open_box(box, OWNER)) for box in boxes} == {FRAME}
