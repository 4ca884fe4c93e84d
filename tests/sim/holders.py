"""Holders of mailboxes for simulations of those who leave boxes there: honest by themselves, hostile by what is put in
place of their answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from trio import sleep

from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair, ed25519_pair, sign, x25519_pair
from p2pchat.core.mailbox import (
    REQUEST,
    REQUEST_MAX_BYTES,
    Answer,
    Bundle,
    BundleIs,
    Challenge,
    Custody,
    Deposit,
    Reason,
    Refused,
    Request,
    custody_statement,
    open_box,
    seal_bundle,
)
from p2pchat.core.prekeys import PrekeySecret, make_bundle, make_signed_prekey
from p2pchat.core.presence import Mailbox, Presence
from p2pchat.core.wire import Ack, Batch, Flight, Frame, decode_frame
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.mailbox import MAILBOX
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.services import deliver, receive
from p2pchat.store import prekeys
from p2pchat.store import presence as presence_store
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node

BUNDLE_KEY = bytes([7]) * 32


class FakeHolder:
    """A node that holds boxes and has nothing else of a node.

    Attributes:
        boxes: what was left here, in order.
        asked: every request that came.
        answer: what answers instead; None from it: the holder's own answer.
        before: awaited before each answer.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.key = ed25519_pair(bytes([seed]) * 32)
        self.token = bytes([seed + 100]) * 32
        self.network = cluster.network.node(peer_id_from_key(self.key.public))
        self.boxes: list[bytes] = []
        self.asked: list[Request] = []
        self.bundle = b""
        self.answer: Callable[[Request], Answer | None] = lambda _: None
        self.answer_after_s = 0.0
        self._cluster = cluster
        self.network.handle(MAILBOX, self._serve)

    @property
    def mailbox(self) -> Mailbox:
        return Mailbox(self.network.peer_id, self.network.addresses()[0], self.token)

    def frames(self, key: KeyPair) -> list[Frame]:
        """What its boxes hold, for whoever has the key."""
        return [decode_frame(open_box(box, key)) for box in self.boxes]

    def custody(self, box: bytes, until: int) -> Custody:
        return Custody(until, sign(self.key, custody_statement(box, until)))

    async def _serve(self, stream: Stream) -> None:
        await write_frames(stream, [encode(Challenge(bytes(32)))])
        reader = FrameReader(stream, REQUEST_MAX_BYTES)
        while (data := await reader.read()) is not None:
            request = REQUEST.decode(data)
            self.asked.append(request)
            await sleep(self.answer_after_s)
            answer = self.answer(request) or self._honest(request)
            await write_frames(stream, [encode(answer)])

    def _honest(self, request: Request) -> Answer:
        if isinstance(request, Bundle) and request.token == self.token:
            return BundleIs(self.bundle)
        if isinstance(request, Deposit) and request.token == self.token:
            self.boxes.append(request.box)
            return self.custody(request.box, int(self._cluster.now()) + request.ttl_s)
        return Refused(Reason.REFUSED, 0)


@dataclass(slots=True)
class Mailboxes:
    """What a presence record tells of mailboxes, until nodes tell it themselves."""

    key: KeyPair = field(default_factory=lambda: x25519_pair(bytes([9]) * 32))
    bundle_key: bytes | None = BUNDLE_KEY
    holders: list[FakeHolder] = field(default_factory=list[FakeHolder])

    def said_by(self, presence: Presence) -> Presence:
        places = tuple(holder.mailbox for holder in self.holders)
        return replace(presence, mailbox_key=self.key.public, bundle_key=self.bundle_key, mailboxes=places)


def tell(monkeypatch: pytest.MonkeyPatch, node: Node, mailboxes: Mailboxes) -> None:
    """Have every record of ``node``'s presence tell of ``mailboxes``, for who reads it from now on."""
    note, peer = presence_store.note_mailboxes, node.network.peer_id

    def noted(tx: Tx, contact: int, said_s: int, said: Presence) -> None:
        note(tx, contact, said_s, mailboxes.said_by(said) if said.peer_id == peer else said)

    monkeypatch.setattr(presence_store, "note_mailboxes", noted)


async def give_bundle(owner: Node, holders: list[FakeHolder]) -> PrekeySecret:
    """Put a bundle of ``owner`` at its holders."""
    assert owner.running is not None
    context = owner.running.context

    def make(tx: Tx) -> PrekeySecret:
        spk = make_signed_prekey(context.entropy, tx.now_s)
        secret = make_bundle(context.identity, spk, context.entropy, tx.now_s, context.params)
        prekeys.add(tx, secret, context.network.peer_id)
        return secret

    secret = await owner.database.run(make)
    for holder in holders:
        holder.bundle = seal_bundle(secret.bundle, BUNDLE_KEY, bytes(24))
    return secret


async def fetch(owner: Node, sender: Node, frames: list[Frame]) -> list[tuple[bytes, bytes]]:
    """What ``owner`` does with the frames of its boxes; the acks that go back."""
    assert owner.running is not None
    context = owner.running.context
    arrivals: list[Flight | bytes] = []
    for frame in frames:
        if isinstance(frame, Flight):
            arrivals.append(frame)
        elif isinstance(frame, Batch):
            arrivals += frame.envelopes
        elif isinstance(frame, Ack):
            await owner.database.run(partial(_settle, ack=frame))
    answer = await owner.database.run(lambda tx: receive.receive(tx, context, arrivals, sender.network.peer_id))
    assert not answer.nacks
    return answer.acks


def _settle(tx: Tx, ack: Ack) -> None:
    deliver.settle(tx, ack.entries)
