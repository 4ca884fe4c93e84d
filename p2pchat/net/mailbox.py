"""``/p2pchat/mailbox/1``, the side that asks: one stream, a challenge, then request after request (PROTOCOL.md 6.2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

import trio

from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.limits import MAILBOX_ANSWER_S, STREAM_OPEN_S
from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair
from p2pchat.core.mailbox import (
    ANSWER,
    ANSWER_MAX_BYTES,
    CHALLENGE,
    Answer,
    OwnerRequest,
    Reason,
    Refused,
    Request,
    signed,
)
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Network, Stream

MAILBOX: Final = "/p2pchat/mailbox/1"

_REASONS: Final = frozenset(Reason)

AnswerT = TypeVar("AnswerT", bound=Answer)


class MailboxRefused(NetError):
    """The holder does not do it.

    Attributes:
        reason: why.
        retry_s: seconds before it is of use to ask again; 0 where nothing is known of that.
    """

    name = "MAILBOX_REFUSED"

    def __init__(self, reason: Reason, retry_s: int) -> None:
        super().__init__("the mailbox refused")
        self.reason = reason
        self.retry_s = retry_s


class Visit:
    """One stream to one holder, for one asker at a time. Made by :func:`visit`.

    Attributes:
        peer: the holder.
        host: the IP literal at which it answers; None when it is relayed.

    Concurrency: whoever is cancelled while an answer is due, or gives up waiting, has ended the visit: nothing more can
    be asked, since that answer would be taken for the next one's.
    """

    def __init__(self, stream: Stream, challenge: bytes, reader: FrameReader) -> None:
        self.peer = stream.peer
        self.host = stream.remote_host
        self._stream = stream
        self._challenge = challenge
        self._reader = reader
        self._is_answered = True

    async def ask(self, request: Request, expected: type[AnswerT], wait_s: float = 0.0) -> AnswerT:
        """The answer to ``request``.

        Args:
            expected: its type.
            wait_s: how much longer than usual the answer may take.

        Raises:
            MailboxRefused: nothing was done.
            NetError: the holder is gone, or took too long.
            DecodeError: it sent what is malformed, or answered something else.
        """
        if not self._is_answered:
            raise NetError("an earlier answer of the holder was not taken")
        self._is_answered = False
        await write_frames(self._stream, [encode(request)])
        with _in_time(MAILBOX_ANSWER_S + wait_s):
            data = await self._reader.read()
        if data is None:
            raise NetError("the holder ended the stream")
        answer = ANSWER.decode(data)
        if isinstance(answer, Refused):
            self._is_answered = True
            raise MailboxRefused(_reason(answer.reason), answer.retry_s)
        if not isinstance(answer, expected):
            raise DecodeError("an answer to another request")
        self._is_answered = True
        return answer

    async def ask_as(
        self, owner: KeyPair, request: OwnerRequest, expected: type[AnswerT], wait_s: float = 0.0
    ) -> AnswerT:
        """As :meth:`ask`, signed by the owner of the mailbox."""
        return await self.ask(signed(request, owner, self._challenge, self.peer), expected, wait_s)


@asynccontextmanager
async def visit(network: Network, peer: PeerId, addresses: Sequence[Address]) -> AsyncGenerator[Visit]:
    """A stream to the holder ``peer``, which is dialled at ``addresses`` if it must be.

    Raises:
        UnsupportedProtocol: it is alive and holds nothing for anybody.
        NetError: it could not be reached, or said nothing in time.
        DecodeError: it sent what is malformed.
    """
    await network.dial(peer, addresses)
    stream = await network.open(peer, MAILBOX)
    try:
        reader = FrameReader(stream, ANSWER_MAX_BYTES)
        with _in_time(STREAM_OPEN_S):
            data = await reader.read()
        if data is None:
            raise NetError("the holder ended the stream")
        yield Visit(stream, CHALLENGE.decode(data).nonce, reader)
        await stream.close()
    finally:
        with trio.CancelScope(shield=True):
            await stream.reset()


def _reason(number: int) -> Reason:
    return Reason(number) if number in _REASONS else Reason.REFUSED


@contextmanager
def _in_time(seconds: float) -> Generator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise NetError("the holder took too long", name="TIMEOUT") from None
