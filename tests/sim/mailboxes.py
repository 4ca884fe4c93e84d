"""A holder in a cluster, and somebody who talks to it with the frames themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair, ed25519_pair
from p2pchat.core.mailbox import (
    ANSWER,
    ANSWER_MAX_BYTES,
    CHALLENGE,
    Answer,
    Grant,
    OwnerRequestT,
    Request,
    signed,
    token_hash,
)
from p2pchat.net.mailbox import MAILBOX
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.services.context import Context
from p2pchat.store import offer
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import Node
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnode import MemoryNode

NO_SIGNATURE = bytes(64)


def context_of(node: Node) -> Context:
    assert node.running is not None
    return node.running.context


async def offering(node: Node, what: Offer) -> None:
    """The user of ``node`` offers ``what``."""
    await node.database.run(lambda tx: offer.save(tx, what))
    await context_of(node).offered()


@dataclass(slots=True)
class Talk:
    """A stream to a holder, on which nothing is checked."""

    stream: Stream
    reader: FrameReader
    challenge: bytes
    holder: PeerId

    async def ask(self, *requests: Request) -> list[Answer]:
        """The answers to requests that leave together."""
        await write_frames(self.stream, map(encode, requests))
        return [await self.answer() for _ in requests]

    async def answer(self) -> Answer:
        """The next answer; NetError where the holder has ended the stream."""
        data = await self.reader.read()
        if data is None:
            raise NetError("the holder ended the stream")
        return ANSWER.decode(data)

    # constrained: a union of requests cannot be signed
    async def ask_as(self, owner: KeyPair, request: OwnerRequestT) -> Answer:  # pyright: ignore[reportInvalidTypeVarUse]
        """The answer to a request of the owner's."""
        return (await self.ask(self.sign(owner, request)))[0]

    def sign(self, owner: KeyPair, request: OwnerRequestT) -> OwnerRequestT:
        return signed(request, owner, self.challenge, self.holder)


@dataclass(slots=True)
class Box:
    """An owner's mailbox: its key and one token."""

    entropy: SeededEntropy
    owner: KeyPair = field(init=False)
    token: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.owner = ed25519_pair(self.entropy.bytes(32))
        self.token = self.entropy.bytes(32)

    def grant(self, bundle: bytes = b"") -> Grant:
        return Grant(self.owner.public, (token_hash(self.token),), bundle, NO_SIGNATURE)


@asynccontextmanager
async def talk(visitor: MemoryNode, holder: Node) -> AsyncGenerator[Talk]:
    """A stream of ``visitor`` to ``holder``."""
    peer = holder.network.peer_id
    await visitor.dial(peer, holder.network.addresses())
    stream = await visitor.open(peer, MAILBOX)
    try:
        reader = FrameReader(stream, ANSWER_MAX_BYTES)
        first = await reader.read()
        assert first is not None
        yield Talk(stream, reader, CHALLENGE.decode(first).nonce, peer)
    finally:
        await stream.reset()
