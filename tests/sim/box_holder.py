"""Holders for simulations, written against core/mailbox alone: an honest one, to be made hostile by overriding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from p2pchat.base.ids import Address
from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair, ed25519_pair, sign
from p2pchat.core.mailbox import (
    ANSWER_MAX_BYTES,
    FETCHED,
    LISTED,
    REQUEST,
    REQUEST_MAX_BYTES,
    Ack,
    Acked,
    Answer,
    Boxed,
    Bundle,
    BundleIs,
    Challenge,
    Custody,
    Deposit,
    End,
    Ended,
    Fetch,
    Fetched,
    Grant,
    Granted,
    List,
    Listed,
    Listing,
    Reason,
    Refused,
    Request,
    custody_statement,
    is_signed,
    token_hash,
)
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.mailbox import MAILBOX
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.testing.cluster import Cluster
from p2pchat.testing.memnode import MemoryNode


@dataclass
class Kept:
    """One mailbox."""

    tokens: tuple[bytes, ...] = ()
    bundle: bytes = b""
    next_n: int = 1
    boxes: dict[int, tuple[bytes, int]] = field(default_factory=dict[int, tuple[bytes, int]])


class BoxHolder:
    """Holds for everybody, and counts what it is asked."""

    def __init__(self, cluster: Cluster, number: int, host: str | None = None) -> None:
        self.key: KeyPair = ed25519_pair(bytes([number]) * 32)
        self.node: MemoryNode = cluster.network.node(peer_id_from_key(self.key.public), host)
        self.now: Callable[[], float] = cluster.now
        self.kept: dict[bytes, Kept] = {}
        self.asked: list[Request] = []
        self.askers: dict[bytes, set[bytes]] = {}  # by owner key: the PeerIDs that asked with it
        self.offers = True
        self._arrived = trio.Event()
        self.node.handle(MAILBOX, self.serve)

    @property
    def address(self) -> Address:
        return self.node.addresses()[0]

    def only(self) -> Kept:
        (kept,) = self.kept.values()
        return kept

    def asked_for(self, kind: type[Request]) -> int:
        return sum(isinstance(request, kind) for request in self.asked)

    def put(self, box: bytes, ttl_s: int = 3600) -> int:
        """A box, from whomever, in the only mailbox."""
        kept = self.only()
        kept.boxes[kept.next_n] = (box, int(self.now()) + ttl_s)
        kept.next_n += 1
        self._arrived.set()
        self._arrived = trio.Event()
        return kept.next_n - 1

    async def serve(self, stream: Stream) -> None:
        challenge = bytes(self.key.public[::-1])
        await write_frames(stream, [encode(Challenge(challenge))])
        reader = FrameReader(stream, REQUEST_MAX_BYTES)
        while (data := await reader.read()) is not None:
            request = REQUEST.decode(data)
            self.asked.append(request)
            if not isinstance(request, Deposit | Bundle):
                self.askers.setdefault(request.owner, set()).add(bytes(stream.peer))
            if not isinstance(request, Deposit | Bundle) and not is_signed(request, challenge, self.node.peer_id):
                answer: Answer = Refused(Reason.REFUSED, 0)
            else:
                answer = await self.answer(request)
            await write_frames(stream, [encode(answer)])

    async def answer(self, request: Request) -> Answer:
        match request:
            case Grant():
                return self.grant(request)
            case Deposit():
                return self.deposit(request)
            case Bundle():
                found = self.of_token(request.token)
                return Refused(Reason.REFUSED, 0) if found is None else BundleIs(found.bundle)
            case _:
                pass
        kept = self.kept.get(request.owner)
        if kept is None:
            return Refused(Reason.REFUSED, 0)
        match request:
            case List():
                return await self.listed(kept, request)
            case Fetch():
                return self.fetched(kept, request)
            case Ack():
                return self.acked(kept, request)
            case End():
                del self.kept[request.owner]
                return Ended()

    def grant(self, request: Grant) -> Answer:
        if not self.offers:
            return Refused(Reason.REFUSED, 0)
        kept = self.kept.setdefault(request.owner, Kept())
        kept.tokens, kept.bundle = request.tokens, request.bundle
        return Granted(64 << 20, 14 * 86_400)

    def of_token(self, token: bytes) -> Kept | None:
        return next((kept for kept in self.kept.values() if token_hash(token) in kept.tokens), None)

    def deposit(self, request: Deposit) -> Answer:
        kept = self.of_token(request.token)
        if kept is None:
            return Refused(Reason.REFUSED, 0)
        until = int(self.now()) + request.ttl_s
        kept.boxes[kept.next_n] = (request.box, until)
        kept.next_n += 1
        self._arrived.set()
        self._arrived = trio.Event()
        return Custody(until, sign(self.key, custody_statement(request.box, until)))

    async def listed(self, kept: Kept, request: List) -> Answer:
        with trio.move_on_after(request.wait_s):
            while not self.above(kept, request.after):
                await self._arrived.wait()
        return Listed(self.above(kept, request.after))

    def above(self, kept: Kept, after: int) -> tuple[Listing, ...]:
        found = [Listing(n, len(box), until) for n, (box, until) in sorted(kept.boxes.items()) if n > after]
        return tuple(found[:LISTED])

    def fetched(self, kept: Kept, request: Fetch) -> Answer:
        boxes: list[Boxed] = []
        room = ANSWER_MAX_BYTES - 4096
        for number in request.numbers[:FETCHED]:
            if number in kept.boxes:
                room -= len(kept.boxes[number][0])
                if boxes and room < 0:
                    break
                boxes.append(Boxed(number, kept.boxes[number][0]))
        return Fetched(tuple(boxes))

    def acked(self, kept: Kept, request: Ack) -> Answer:
        return Acked(sum(kept.boxes.pop(number, None) is not None for number in request.numbers))
