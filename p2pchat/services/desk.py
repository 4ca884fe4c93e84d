"""One stream to this node's mailboxes: a challenge, then requests, answered in their order (PROTOCOL.md 6.2).

Rules:

- Whatever shall not be told is one refusal: no such mailbox, no such token, not offered, a wrong signature.
- A box is answered for once it is on the disk. Boxes that have come together are written together, with those of other
  streams (:mod:`p2pchat.store.db`).
- A disk that is full refuses the request; the node goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, PeerError, StoreError
from p2pchat.base.limits import MAILBOX_IDLE_S, MAILBOX_LOOK_S, MAILBOX_OWNER_BYTES, MAILBOX_OWNERS
from p2pchat.base.refusals import Refusal
from p2pchat.core import mailbox as wire
from p2pchat.core.codec import encode
from p2pchat.core.crypto import sign
from p2pchat.core.events import EventKind
from p2pchat.core.mailbox import (
    ANSWER_MAX_BYTES,
    LISTED,
    REQUEST,
    REQUEST_MAX_BYTES,
    Answer,
    OwnerRequest,
    Reason,
    Refused,
    Request,
)
from p2pchat.net.hearsay import network_of, prefix_of
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.net.unfinished import FrameUnfinished, Share
from p2pchat.services import mailbox_charges as prices
from p2pchat.services.defects import cause, report_defect
from p2pchat.services.holding import Holding
from p2pchat.store import contact_peers, mailbox, offer
from p2pchat.store.db import Tx
from p2pchat.store.mailbox import Gone, Mailbox

_ANSWER_BYTES: Final = 16  # of Fetched, beside its boxes
_BOXED_BYTES: Final = 16  # of one box in it, beside the box: an array, a number, a length
_REFUSAL_OF: Final = {
    Reason.REFUSED: Refusal.MAILBOX_REFUSED,
    Reason.NO_SPACE: Refusal.MAILBOX_FULL,
    Reason.TOO_OFTEN: Refusal.MAILBOX_TOO_OFTEN,
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A box that was written: in whose mailbox, and until which unix second it is held."""

    owner: bytes = field(repr=False)
    box: Gone
    until_s: int


class Desk:
    """Serves one stream.

    Args:
        stream: nobody else reads it.
    """

    def __init__(self, holding: Holding, stream: Stream) -> None:
        self._holding = holding
        self._context = holding.context
        self._stream = stream
        self._peer = stream.peer
        self._prefix = prefix_of(stream.remote_host, stream.peer)
        self._is_single = network_of(stream.remote_host) is None
        self._share: Share  # of what is unfinished; in run()
        self._challenge = holding.context.entropy.bytes(32)

    async def run(self) -> None:
        """Until the stream ends, or nothing was asked for a while.

        Raises:
            NetError: it is gone.
        """
        try:
            with self._holding.unfinished.share(self._peer) as self._share:
                await self._serve()
        except FrameUnfinished:
            self._holding.charges.refusals.note(Refusal.MAILBOX_UNFINISHED)
            await self._stream.reset()
        except PeerError as error:  # counted, and told when that has doubled: a line each would be the peer's to write
            await self._stream.reset()
            if self._holding.charges.ended(self._peer, error):
                await self._context.network.disconnect(self._peer)
        except NetError:
            raise
        except Exception as error:  # a defect of ours ends this stream, not the node
            report_defect(error)
            await self._stream.reset()

    async def _serve(self) -> None:
        if self._holding.charges.charge(self._peer, prices.STREAM_US):
            return
        await self._send([wire.Challenge(self._challenge)])
        reader = FrameReader(self._stream, REQUEST_MAX_BYTES, self._share.hold)
        while True:
            frames: deque[bytes] = deque()
            with self._share.reading(MAILBOX_IDLE_S):
                frames.extend(await reader.read_available())
            if not frames:
                return
            self._share.note(reader.unfinished)
            requests = (REQUEST.decode(frames.popleft()) for _ in range(len(frames)))  # what is done is kept no longer
            for kind, group in groupby(requests, type):
                await self._answer_all(kind, list(group))

    async def _answer_all(self, kind: type[Request], requests: Sequence[Request]) -> None:
        """Requests of one kind that have come together."""
        if kind is wire.Deposit:
            await self._send(await self._take([each for each in requests if isinstance(each, wire.Deposit)]))
            return
        for request in requests:
            if not isinstance(request, wire.Deposit):
                await self._send([await self._answer(request)])

    async def _send(self, frames: Sequence[Answer | wire.Challenge]) -> None:
        with self._share.waiting():
            await write_frames(self._stream, map(encode, frames))

    def _refused(self, reason: Reason = Reason.REFUSED, retry_s: int = 0) -> Refused:
        if reason is Reason.REFUSED:
            self._holding.charges.add(self._peer, prices.UNKNOWN_US)
        self._holding.charges.refusals.note(_REFUSAL_OF[reason])
        return Refused(reason, retry_s)

    def _too_often(self, request: Request) -> Refused | None:
        """Has the request paid for; or its answer, where it cannot be."""
        retry_s = self._holding.charges.charge(self._peer, prices.of_request(request))
        return Refused(Reason.TOO_OFTEN, retry_s) if retry_s else None

    async def _answer(self, request: OwnerRequest | wire.Bundle) -> Answer:
        try:
            return self._too_often(request) or await self._done(request)
        except StoreError as error:
            log.warning("mailbox.not_stored", error=cause(error))
            return self._refused(Reason.NO_SPACE)

    async def _done(self, request: OwnerRequest | wire.Bundle) -> Answer:
        if isinstance(request, wire.Bundle):
            return await self._bundle(request)
        if not wire.is_signed(request, self._challenge, self._holding.own):
            return self._refused()
        if isinstance(request, wire.Grant):
            return await self._grant(request)
        found = await self._context.db.run(lambda tx: _visited(tx, request.owner))
        if found is None:
            return self._refused()
        match request:
            case wire.List():
                return await self._list(request, found.id)
            case wire.Fetch():
                return await self._fetch(request, found.id)
            case wire.Ack():
                return await self._ack(request, found.id)
            case wire.End():
                await self._end(found)
                return wire.Ended()

    # depositors

    async def _bundle(self, request: wire.Bundle) -> Answer:
        def look(tx: Tx) -> bytes | None:
            found = mailbox.of_token(tx, wire.token_hash(request.token))
            return None if found is None else mailbox.bundle(tx, found.id)

        sealed = await self._context.db.run(look)
        return self._refused() if sealed is None else wire.BundleIs(sealed)

    async def _take(self, deposits: Sequence[wire.Deposit]) -> list[Answer]:
        """Answers to deposits that have come together: the boxes are written in one transaction."""
        answers: list[Answer | None] = [self._too_often(each) for each in deposits]
        wanted = [each for each, refused in zip(deposits, answers, strict=True) if refused is None]
        kept: list[_Kept] = []  # beside the result: what was counted is to be taken back if there is none

        def write(tx: Tx) -> list[_Kept | Reason]:
            tx.need_room()
            return [self._keep(tx, each, kept) for each in wanted]

        try:
            results = await self._context.db.run(write) if wanted else []
        except StoreError as error:
            log.warning("mailbox.not_stored", error=cause(error))
            self._holding.depositors.remove([each.box for each in kept])
            results = [Reason.NO_SPACE] * len(wanted)
        said = iter([self._said(each, result) for each, result in zip(wanted, results, strict=True)])
        self._holding.changed([each.until_s for each in results if isinstance(each, _Kept)])
        return [next(said) if refused is None else refused for refused in answers]

    def _keep(self, tx: Tx, deposit: wire.Deposit, kept: list[_Kept]) -> _Kept | Reason:
        """On the store's thread."""
        offered = offer.load(tx)
        found = mailbox.of_token(tx, wire.token_hash(deposit.token))
        size = len(deposit.box)
        if offered.to == "nobody" or found is None or not deposit.ttl_s or not wire.is_box(size):
            return Reason.REFUSED
        _, held = mailbox.total(tx)
        has_room = found.size + size <= MAILBOX_OWNER_BYTES and held + size <= offered.quota
        if not has_room or not self._holding.depositors.has_room(self._prefix, found.id, size, single=self._is_single):
            return Reason.NO_SPACE
        until_s = tx.now_s + min(deposit.ttl_s, self._context.params.mailbox_ttl_max_s)
        box = Gone(found.id, mailbox.deposit(tx, found.id, deposit.box, until_s), size)
        self._holding.depositors.add(self._prefix, box, single=self._is_single)
        kept.append(_Kept(found.owner, box, until_s))
        return kept[-1]

    def _said(self, deposit: wire.Deposit, result: _Kept | Reason) -> Answer:
        if not isinstance(result, _Kept):
            return self._refused(result)
        self._holding.arrivals.ring(result.owner)
        self._holding.tally.note(EventKind.MAILBOX_DEPOSITED, result.owner, 1, result.box.size)
        statement = wire.custody_statement(deposit.box, result.until_s)
        return wire.Custody(result.until_s, sign(self._holding.pair, statement))

    # owners

    async def _grant(self, request: wire.Grant) -> Answer:
        result = await self._context.db.run(partial(self._granted, request=request, now=self._holding.charges.now()))
        return self._refused(*result) if isinstance(result, tuple) else result

    def _granted(self, tx: Tx, request: wire.Grant, now: float) -> wire.Granted | tuple[Reason, int]:
        """On the store's thread."""
        offered = offer.load(tx)
        if offered.to == "nobody" or not mailbox.are_free(tx, request.tokens, request.owner):
            return Reason.REFUSED, 0
        found = mailbox.of_owner(tx, request.owner)
        if found is None:
            if offered.to == "contacts" and not contact_peers.is_of_matched(tx, self._peer):
                return Reason.REFUSED, 0
            if mailbox.count(tx) >= MAILBOX_OWNERS:
                return Reason.NO_SPACE, 0
            if not self._holding.charges.may_make(self._peer, self._prefix, now):
                return Reason.TOO_OFTEN, prices.GRANT_RETRY_S
            tx.need_room()
            found = mailbox.make(tx, request.owner)
        mailbox.renew(tx, found.id, request.tokens, request.bundle)
        mailbox.seen(tx, found.id)
        return wire.Granted(min(MAILBOX_OWNER_BYTES, offered.quota), self._context.params.mailbox_ttl_max_s)

    async def _list(self, request: wire.List, of: int) -> Answer:
        with trio.move_on_after(request.wait_s):
            while request.wait_s:
                arrived = self._holding.arrivals.edge(request.owner)
                listed = await self._listed(request, of)
                if listed.boxes:
                    return listed
                with self._share.waiting():
                    while not self._stream.is_lost:  # else who asks and leaves, again and again, would be waited for
                        with trio.move_on_after(MAILBOX_LOOK_S):
                            await arrived()
                            break
                    else:
                        raise NetError("the owner has left")
        return await self._listed(request, of)

    async def _listed(self, request: wire.List, of: int) -> wire.Listed:
        rows = await self._context.db.run(lambda tx: mailbox.listing(tx, of, request.after, LISTED))
        return wire.Listed(tuple(wire.Listing(*row) for row in rows))

    async def _fetch(self, request: wire.Fetch, of: int) -> Answer:
        room = ANSWER_MAX_BYTES - _ANSWER_BYTES
        rows = await self._context.db.run(lambda tx: mailbox.fetch(tx, of, request.numbers, room, _BOXED_BYTES))
        size = sum(len(box) for _, box in rows)
        self._holding.charges.add(self._peer, prices.of_read(size))
        if rows:
            self._holding.tally.note(EventKind.MAILBOX_FETCHED, request.owner, len(rows), size)
        return wire.Fetched(tuple(wire.Boxed(*row) for row in rows))

    async def _ack(self, request: wire.Ack, of: int) -> Answer:
        left: Sequence[int] = request.numbers
        deleted = 0
        while left:
            gone, left = await self._context.db.run(partial(self._acked, of=of, numbers=left))
            deleted += len(gone)
            self._gone(request.owner, gone)
        return wire.Acked(deleted)

    def _acked(self, tx: Tx, of: int, numbers: Sequence[int]) -> tuple[list[Gone], Sequence[int]]:
        gone, left = mailbox.ack(tx, of, numbers)
        self._holding.depositors.remove(gone)
        return gone, left

    async def _end(self, of: Mailbox) -> None:
        def part(tx: Tx) -> tuple[list[Gone], bool]:
            gone = mailbox.end(tx, of.id)
            self._holding.depositors.remove(gone)
            left = mailbox.of_owner(tx, of.owner)
            return gone, left is None or left.id != of.id  # ended from elsewhere, and granted anew

        done = False
        while not done:
            gone, done = await self._context.db.run(part)
            self._gone(of.owner, gone)

    def _gone(self, owner: bytes, gone: Sequence[Gone]) -> None:
        if gone:
            size = sum(each.size for each in gone)
            self._holding.charges.add(self._peer, prices.of_deleted(size))
            self._holding.tally.note(EventKind.MAILBOX_DELETED, owner, len(gone), size)
            self._holding.changed(())


def _visited(tx: Tx, owner: bytes) -> Mailbox | None:
    """The mailbox of ``owner``, who is there."""
    found = mailbox.of_owner(tx, owner)
    if found is not None:
        mailbox.seen(tx, found.id)
    return found
