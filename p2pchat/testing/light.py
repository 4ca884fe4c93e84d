"""A contact who is a few lines: identity, one session and one message stream, all of it in memory.

It speaks ``/p2pchat/msg/1`` as PROTOCOL.md 4 and 5 have it, with as little as a contact can do with: it acks what
opens, answers pings and takes acks. It keeps nothing, so it is for measurements and tests, on any :class:`Network`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import Address, ContactId, PeerId, RootKey
from p2pchat.core.crypto import Entropy, ed25519_pair
from p2pchat.core.keys import Cert, Identity, create_identity
from p2pchat.core.params import PRODUCTION, Params
from p2pchat.core.session import Session, open_envelope, seal
from p2pchat.core.wire import (
    TEXT,
    Ack,
    Batch,
    Frame,
    Hello,
    Item,
    Nack,
    Ping,
    Pong,
    Text,
    decode_frame,
    eid,
    encode_content,
    encode_frame,
    encode_text,
    pack_items,
)
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.store import contact_peers, contacts, sessions
from p2pchat.store.db import Tx
from p2pchat.testing.sessions import fly, land


@dataclass(slots=True)
class Person:
    """Somebody who is matched with one node and has agreed on a session with it.

    Args:
        seed: 32 bytes, of its node key.
        session: its end, which it replaces as it goes on.
    """

    name: str
    identity: Identity = field(repr=False)
    seed: bytes = field(repr=False)
    session: Session = field(repr=False)

    @property
    def peer(self) -> PeerId:
        """Its node's PeerID."""
        return peer_id_from_key(ed25519_pair(self.seed).public)


def acquaint(tx: Tx, name: str, owner: Identity, entropy: Entropy) -> Person:
    """A new person, whom ``owner``, whose store ``tx`` writes, knows and is matched with under ``name``."""
    identity, seed = create_identity(entropy, tx.now_ms), entropy.bytes(32)
    flown = fly(identity, owner, entropy, ms=tx.now_ms)
    person = Person(name, identity, seed, flown.session.confirm())
    befriend(tx, name, identity.cert, land(flown, entropy), person.peer)
    return person


def befriend(tx: Tx, name: str, cert: Cert, session: Session, peer: PeerId, addresses: tuple[Address, ...] = ()) -> int:
    """Write a contact as one who is matched and has a session; the id of its row."""
    row = contacts.add(tx, ContactId(cert.root[:8]), name, None, None)
    contacts.set_root(tx, row.id, RootKey(cert.root), 0)
    contacts.set_matched(tx, row.id)
    contacts.raise_highest_ms(tx, row.id, session.ms)
    contacts.set_device(tx, row.id, cert.epoch_ms, cert.raw)
    sessions.add(tx, row.id, session)
    contact_peers.save(tx, row.id, peer, addresses, bytes(32), tx.now_s)
    return row.id


class LightPeer:
    """One stream of a person.

    Args:
        stream: open, nothing sent or read yet.
        delivered: called with the ``since`` of an envelope when its ack has come.

    Concurrency: one task calls :meth:`run`, any number the others.
    """

    def __init__(
        self,
        person: Person,
        stream: Stream,
        entropy: Entropy,
        delivered: Callable[[float], None] = lambda _: None,
        params: Params = PRODUCTION,
    ) -> None:
        self.person = person
        self.nacks = 0
        self._stream = stream
        self._entropy = entropy
        self._delivered = delivered
        self._params = params
        self._reader = FrameReader(stream, params.frame_bytes)
        self._waiting: dict[bytes, tuple[bytes, float]] = {}
        self._writing = trio.Lock()
        self._prefix = entropy.bytes(8)
        self._n = 0

    @property
    def waiting(self) -> int:
        """How many envelopes are not acknowledged."""
        return len(self._waiting)

    async def send(self, *texts: str, now_ms: int, since: float = 0.0) -> None:
        """Seal texts, as many in an envelope as it holds, and hand them over; at most 64 envelopes."""
        async with self._writing:  # envelopes leave in the order in which they were sealed
            await self._write([self.seal(texts, now_ms, since)])

    def seal(self, texts: Sequence[str], now_ms: int, since: float = 0.0) -> Batch:
        """The envelopes of what is sent next."""
        envelopes: list[bytes] = []
        for group in pack_items([self._item(text, now_ms) for text in texts]):
            self.person.session, sealed = seal(self.person.session, encode_content(group), self._entropy, self._params)
            self._waiting[sealed.eid] = sealed.ack, since
            envelopes.append(sealed.envelope)
        return Batch(tuple(envelopes))

    def _item(self, text: str, now_ms: int) -> Item:
        self._n += 1
        return Item(self._prefix + self._n.to_bytes(8, "big"), TEXT, encode_text(Text(self._n, now_ms, text)))

    async def greet(self) -> None:
        """Say Hello, which goes first."""
        await self.write([Hello(0)])

    async def write(self, frames: Sequence[Frame]) -> None:
        """Frames as they are."""
        async with self._writing:
            await self._write(frames)

    async def _write(self, frames: Sequence[Frame]) -> None:
        await write_frames(self._stream, [encode_frame(frame) for frame in frames])

    async def run(self, now_s: Callable[[], float]) -> None:
        """Take what comes until the stream ends.

        Raises:
            NetError, PeerError: the stream was reset, or what came is not of the protocol.
        """
        while bodies := await self._reader.read_available():
            for body in bodies:
                await self._take(decode_frame(body), int(now_s()))

    async def _take(self, frame: Frame, now_s: int) -> None:
        match frame:
            case Ack():
                for settled, proof in frame.entries:
                    expected, since = self._waiting.get(settled, (b"", 0.0))
                    if expected == proof:
                        del self._waiting[settled]
                        self._delivered(since)
            case Batch():
                await self.write([Ack(tuple(self._open(envelope, now_s) for envelope in frame.envelopes))])
            case Ping():
                await self.write([Pong(frame.token)])
            case Nack():
                self.nacks += 1
            case Hello() | Pong():
                pass  # nothing is made of it
            case _:
                raise PeerError("a frame that nobody has asked this person for")

    def _open(self, envelope: bytes, now_s: int) -> tuple[bytes, bytes]:
        self.person.session, _, ack = open_envelope(self.person.session, envelope, now_s, self._entropy, self._params)
        return eid(envelope), ack
