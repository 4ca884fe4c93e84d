"""Two nodes and the streams between them, without a scheduler: every step of delivery is taken by a test.

The stores are real, and so is every transaction: what :mod:`p2pchat.services` does in one is done here by the same
function. What :class:`p2pchat.services.link.Link` does between them is done here again, one step at a time, on a wire
that loses, repeats, swaps and alters frames, and whose two ends need not agree that it exists.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

from p2pchat.base.errors import PeerError, UsageError
from p2pchat.core.delivery import Window
from p2pchat.core.params import DAY_S
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import (
    FEATURES,
    Ack,
    Batch,
    Bundle,
    BundleRequest,
    Flight,
    Frame,
    Nack,
    decode_frame,
    encode_frame,
)
from p2pchat.services import block, deliver, greet, receipts, receive, upkeep, withdraw
from p2pchat.services.deliver import Cursor, Outgoing
from p2pchat.services.send import Outbox, Queued
from p2pchat.store import contact_peers, contacts, messages, sessions
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from tests.property.delivery_node import CONTACT, Node, Void
from tests.property.delivery_oracle import Oracle, conversation

Answered = TypeVar("Answered")

WINDOW_BYTES: Final = 3_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = DAY_S * 1000

_ROUNDS: Final = 6  # of healing, an hour each: a session may be opened once in ten minutes, and a stall ends a stream
_TURNS: Final = 2_000
_KEPT_FRAMES: Final = 60


@dataclass(eq=False)
class End:
    """One node's end of a stream: what its Link keeps, and the frames that are on their way to it."""

    node: Node
    live: bool = True
    peer: End | None = None
    cursor: Cursor = field(default_factory=lambda: Cursor(features=FEATURES))
    window: Window = field(default_factory=lambda: Window(WINDOW_BYTES))
    inbox: list[bytes] = field(default_factory=list[bytes], repr=False)
    handed: deque[Outgoing] = field(default_factory=deque[Outgoing])
    asking: bool = False  # for a bundle, and nothing leaves until it is here
    refused: bool = False  # a bundle: it is not asked for again on this stream
    condemned: int | None = None
    replace: int | None = None


class World:
    """Alice, Bob, and what is between them.

    Args:
        ordered: the wire keeps the order of frames.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.nodes = (self._node("Alice", 0), self._node("Bob", 1))
        self.oracle = Oracle(self.nodes, ordered=ordered)
        self.ends: list[End] = []
        self.frames: list[tuple[Node, bytes]] = []  # that were on the way to a node once
        self.right_ms = self.nodes[0].now_ms
        self._texts = 0
        self._seq = 0
        for node in self.nodes:
            node.crashed = partial(self._ended_with, node)
            node.meets(self.other(node))
            self.learn(node)

    def _node(self, name: str, seed: int) -> Node:
        return Node(name, Path(self._folder.name) / name, seed)

    def other(self, node: Node) -> Node:
        return self.nodes[self.nodes[0] is node]

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self._folder.cleanup()

    # -- the users ----------------------------------------------------------------------------------------------------

    def send(
        self,
        node: Node,
        sizes: Sequence[int],
        end: End | None = None,
        *,
        late: bool = False,
        meanwhile: Literal["look", "cancel"] | None = None,
    ) -> None:
        """Queue texts of so many bytes, and some more.

        Args:
            end: what it has room for is sealed in the same transaction.
            late: this stream looks for something to carry before it is handed that, and carries that some time later.
            meanwhile: what another does in the same transaction, after they were queued and before they are sealed: the
                stream looks for what to carry, or somebody cancels one of them.
        """
        texts = [f"{self._texts + number}/" + "x" * size for number, size in enumerate(sizes)]
        self._texts += len(texts)

        def job(tx: Tx) -> tuple[Outgoing | None, Outgoing | None]:
            outbox = Outbox(tx, node.context)
            queued = [outbox.put(contact(tx), text) for text in texts]
            outbox.commit()
            if end is None or end.condemned is not None:
                return None, None
            found = self._next(end)(tx) if meanwhile == "look" else None
            if meanwhile == "cancel":
                withdraw.cancel(tx, queued[0])
            rows = [row for each in tx.left if isinstance(each, Queued) for row in each.rows]
            return found, deliver.seal_queued(tx, node.context, CONTACT, rows, end.cursor, end.window.limit_bytes)

        try:
            found, sealed = node.commit(job)
        except UsageError as error:
            if error.error_name != "BLOCKED":
                raise
            return
        if end is not None and found is not None and found.envelopes:
            deliver.left(end.cursor, end.window, found)
            self.put(end, found.frames)
        if end is not None and sealed is not None:
            if late:
                self.pump(end)
            end.handed.append(sealed)
            if not late:
                self.pump(end)

    def withdraw(self, node: Node, pick: int, *, delete: bool) -> None:
        rows = [row for row in conversation(node) if row.state != "deleted"]
        if not rows:
            return
        row = rows[pick % len(rows)]
        allowed = row.state != "sent" if delete else row.state in ("queued", "cancelled")

        def job(tx: Tx) -> None:
            if delete:
                withdraw.delete(tx, row, "")
            else:
                withdraw.cancel(tx, row)

        try:
            node.commit(job)
        except UsageError:
            assert not allowed
        else:
            assert allowed

    def mark_read(self, node: Node, pick: int) -> None:
        rows = [row for row in conversation(node) if row.incoming and row.state == "received"]
        if rows:
            row = rows[pick % len(rows)]
            node.commit(lambda tx: receipts.mark_read(tx, node.context, row))

    def block(self, node: Node) -> None:
        self.oracle.forget(node, all_of_it=True)
        node.commit(lambda tx: block.block(tx, node.context, contact(tx)))
        self._ended_with(node)

    def unblock(self, node: Node) -> None:
        if contact(node.look()).state == "blocked":
            node.commit(lambda tx: block.unblock(tx, node.context, contact(tx)))
            self.learn(node)
            self.learn(self.other(node))

    # -- what befalls a node ------------------------------------------------------------------------------------------

    def upkeep(self, node: Node) -> None:
        self.oracle.forget(node, all_of_it=False)
        node.commit(lambda tx: upkeep.upkeep(tx, node.context))

    def lose_sessions(self, node: Node) -> None:
        """As after a restore."""
        node.commit(sessions.forget_all)
        self._ended_with(node)

    def learn(self, node: Node) -> None:
        self._seq += 1
        node.learns(self.other(node), self._seq)

    def pass_time(self, ms: int) -> None:
        self.right_ms += ms
        for node in self.nodes:
            node.now_ms += ms

    def _ended_with(self, node: Node) -> None:
        """Its streams end; the other end may not have noticed."""
        for end in self.of(node):
            self.end(end)

    # -- streams ------------------------------------------------------------------------------------------------------

    def of(self, node: Node) -> list[End]:
        return [end for end in self.ends if end.node is node]

    def open(self) -> tuple[End, End]:
        one, two = (End(node) for node in self.nodes)
        one.peer, two.peer = two, one
        self.ends += [one, two]
        return one, two

    def end(self, end: End) -> None:
        if end.live:
            end.live = False
            self.ends.remove(end)

    def put(self, end: End, frames: Sequence[Frame]) -> None:
        """``frames`` leave; whoever ended the other end never sees them."""
        assert end.peer is not None
        for frame in frames:
            self.oracle.leaves(end.node, frame)
            data = encode_frame(frame)
            self.frames.append((end.peer.node, data))
            if end.peer.live:
                end.peer.inbox.append(data)
        del self.frames[:-_KEPT_FRAMES]

    # -- out: Link._pump, Link._open_session --------------------------------------------------------------------------

    def _next(self, end: End) -> Callable[[Tx], Outgoing]:
        return lambda tx: deliver.next_outgoing(tx, end.node.context, CONTACT, end.cursor, end.window)

    def pump(self, end: End) -> bool:
        """One turn; False: the stream is at rest.

        Raises:
            Void: the store refused, and the stream has ended with that.
        """
        if not end.live or end.asking:
            return False
        if end.condemned is not None and self._ask(end):
            return True
        outgoing = self._handed(end) or self._on(end, self._next(end))
        if outgoing.envelopes:
            deliver.left(end.cursor, end.window, outgoing)
            self.put(end, outgoing.frames)
            return True
        return outgoing.wants_session and self._ask(end)

    def _handed(self, end: End) -> Outgoing | None:
        while end.handed:
            outgoing = end.handed.popleft()
            if deliver.has_left(end.cursor, outgoing):
                continue
            if deliver.continues(end.cursor, outgoing):
                return outgoing
            end.handed.clear()
        return None

    def _ask(self, end: End) -> bool:
        if end.refused:
            return False
        force = end.condemned is not None
        end.replace, end.condemned = end.condemned, None

        def job(tx: Tx) -> bytes | None:
            if not force and not greet.may_open(tx, end.node.context, CONTACT):
                return None
            rows = contact_peers.of_contact(tx, CONTACT)
            return next((row.ask for row in rows if row.published), None)

        ask = self._on(end, job)
        if ask is None:
            return False
        end.asking = True
        self.put(end, [BundleRequest(ask_proof(ask, self.other(end.node).peer_id, end.node.peer_id))])
        return True

    # -- in: Link._read and what it calls -----------------------------------------------------------------------------

    def deliver(self, end: End, frames: Sequence[bytes]) -> None:
        """``frames`` arrive together, in this order.

        Raises:
            Void: the store refused, and the stream has ended with that.
        """
        arrivals: list[Flight | bytes] = []
        try:
            for data in frames:
                frame = decode_frame(data)
                if isinstance(frame, Flight):
                    arrivals.append(frame)
                elif isinstance(frame, Batch):
                    arrivals += frame.envelopes
                else:
                    self._take(end, arrivals)
                    arrivals = []
                    self._control(end, frame)
            self._take(end, arrivals)
        except PeerError:
            self.end(end)

    def _take(self, end: End, arrivals: list[Flight | bytes]) -> None:
        if not arrivals or not end.live:
            return
        node, peer = end.node, self.other(end.node).peer_id
        answer = self._on(end, lambda tx: receive.receive(tx, node.context, arrivals, peer))
        assert answer.newer is None
        arrived = [each.envelope if isinstance(each, Flight) else each for each in arrivals]
        self.oracle.answered(node, arrived, answer.acks)
        frames: list[Frame] = [Ack(tuple(answer.acks))] if answer.acks else []
        self.put(end, frames + [Nack(eid) for eid in answer.nacks])

    def _control(self, end: End, frame: Frame) -> None:
        node, peer = end.node, self.other(end.node).peer_id
        if not end.live:
            return
        if isinstance(frame, Ack):
            before = self.oracle.unsettled(node)
            for eid in self._on(end, lambda tx: deliver.settle(tx, frame.entries)):
                end.window.settled(eid)
            self.oracle.settles(node, frame, before)
        elif isinstance(frame, Nack):
            self._refused(end, frame.eid)
        elif isinstance(frame, BundleRequest):
            raw = self._on(end, lambda tx: greet.answer_request(tx, node.context, frame.proof, peer))
            self.put(end, [Bundle(raw)])
        else:
            assert isinstance(frame, Bundle)
            self._bundle(end, frame.bundle)

    def _refused(self, end: End, eid: bytes) -> None:
        node, peer = end.node, self.other(end.node).peer_id
        condemned = self._on(end, lambda tx: greet.condemn(tx, node.context, CONTACT, eid, peer))
        if condemned is not None or self._on(end, lambda tx: sessions.sent(tx, eid)) is None:
            end.window.settled(eid)
        if condemned is not None:
            end.condemned = condemned
            self.oracle.counts["condemned"] += 1

    def _bundle(self, end: End, raw: bytes) -> None:
        if not end.asking:
            self.end(end)
            return
        end.asking = False
        if raw == greet.REFUSED:
            end.refused, end.condemned = True, end.replace
            return
        replace = end.replace
        if self._on(end, lambda tx: greet.make_flight(tx, end.node.context, CONTACT, raw, replace=replace)):
            self.oracle.counts["flights"] += 1

    def _on(self, end: End, job: Callable[[Tx], Answered]) -> Answered:
        try:
            return end.node.commit(job)
        except Void:
            self.end(end)
            raise

    # -- all together -------------------------------------------------------------------------------------------------

    def converse(self) -> None:
        """A stream of its own, until there is nothing left to say on it."""
        ends = self.open()
        try:
            self.flow(_TURNS)
        finally:
            for end in ends:
                self.end(end)

    def flow(self, turns: int, fates: Iterator[int] = itertools.repeat(1)) -> bool:  # noqa: B008  it never ends
        """Everything that waits goes, and arrives in order; whether it came to rest in so many turns.

        Args:
            fates: how often each frame arrives.
        """
        for _ in range(turns):
            moved = False
            for end in list(self.ends):
                moved = self.pump(end) or moved
                frames = [data for data in end.inbox for _ in range(next(fates))]
                end.inbox.clear()
                if frames and end.live:
                    self.deliver(end, frames)
                    moved = True
            if not moved:
                return True
        return False

    def heal(self) -> None:
        """Clocks are right, disks take everything, nothing is lost: then all arrives, or it is said that it did not."""
        for node in self.nodes:
            node.disk.fault = None
            node.now_ms = self.right_ms + self.nodes.index(node)
            node.restart()
        for node in self.nodes:
            self.unblock(node)
        for _ in range(_ROUNDS):
            self.pass_time(HOUR_MS)
            for node in self.nodes:
                self._ended_with(node)
                self.upkeep(node)
                self.learn(node)
            ends = self.open()
            assert self.flow(_TURNS), "it does not come to rest"
            if all(self._is_empty(node) for node in self.nodes) and all(end.window.idle for end in ends):
                break
            self.oracle.counts["rounds"] += 1
        self.oracle.at_rest()
        for end in self.ends:
            assert end.window.idle
            assert end.window.room() == WINDOW_BYTES

    def _is_empty(self, node: Node) -> bool:
        tx = node.look()
        waiting = tx.one("SELECT count(*) FROM notice WHERE until_s > ?", (tx.now_s,))
        return messages.outbox_size(tx) == 0 and waiting == (0,)


def contact(tx: Tx) -> ContactRow:
    row = contacts.get(tx, CONTACT)
    assert row is not None
    return row
