"""A node's store with the keys of Bob, and what arrives in it: for tests of what it takes and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from p2pchat.base.ids import ContactId, PeerId, RootKey
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.prekeys import PrekeySecret, SignedPrekey, make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.session import Session, open_session, seal
from p2pchat.core.wire import OPEN, TEXT, Flight, Item, Text, eid, encode_content, encode_text
from p2pchat.services import upkeep
from p2pchat.services.context import Bus, Context
from p2pchat.services.receive import Answer, receive
from p2pchat.store import contacts, messages, prekeys
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Database, Row, Tx
from p2pchat.testing.cluster import InlineDeriver, InlineMiner
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import NOW_S

T = TypeVar("T")
PEER = PeerId(b"\x00\x24\x08\x01\x12\x20" + b"p" * 32)
GREETING = encode_content([Item(b"o" * 16, OPEN, b"")])


def text(number: int, words: str) -> bytes:
    """The content of an envelope with one message."""
    return encode_content([Item(number.to_bytes(16, "big"), TEXT, encode_text(Text(number, NOW_S * 1000, words)))])


def frame(session: Session, envelope: bytes) -> Flight:
    """The first flight of ``session``, as it arrives."""
    part = session.flight
    assert part is not None
    return Flight(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender, envelope)


class Receiving:
    """Bob's store. Alice is a contact of his whom he looks for; Carol is nobody to him, yet."""

    def __init__(self) -> None:
        self.now_ms = NOW_S * 1000
        self.entropy = SeededEntropy(41)
        self.alice, self.bob, self.carol = (create_identity(self.entropy, self.now_ms - n) for n in range(3))
        self.db = Database.open(None, bytes(32), lambda: self.now_ms, threaded=False)
        self.context = Context(
            db=self.db,
            miner=InlineMiner(),
            deriver=InlineDeriver(PRODUCTION),
            entropy=self.entropy,
            params=PRODUCTION,
            now=lambda: self.now_ms / 1000,
            identity=self.bob,
            bus=Bus(),
            message_prefix=b"m" * 8,
        )
        self.spk: SignedPrekey | None = None
        self._uid = 0

    @property
    def now_s(self) -> int:
        return self.now_ms // 1000

    async def knows(self, identity: Identity, epoch_ms: int = 0) -> ContactRow:
        """A contact with the root of ``identity``."""
        self._uid += 1
        uid, name = ContactId(self._uid.to_bytes(8, "big")), f"contact {self._uid}"

        def job(tx: Tx) -> ContactRow:
            row = contacts.add(tx, uid, name, None, tx.now_s + 28 * DAY_S)
            contacts.set_root(tx, row.id, RootKey(identity.root.public), epoch_ms)
            found = contacts.get(tx, row.id)
            assert found is not None
            return found

        return await self.db.run(job)

    async def gives(self, make: Callable[[SignedPrekey], PrekeySecret] | None = None) -> PrekeySecret:
        """A bundle of Bob's, whose private half is in the store; the signed prekey is always the same."""
        spk = self.spk = self.spk or make_signed_prekey(self.entropy, self.now_s)
        secret = make(spk) if make is not None else make_bundle(self.bob, spk, self.entropy, self.now_s, PRODUCTION)
        await self.db.run(lambda tx: prekeys.add_spk(tx, spk))
        await self.db.run(lambda tx: prekeys.add(tx, secret, PEER))
        return secret

    def flies(self, initiator: Identity, raw: bytes, content: bytes = GREETING) -> tuple[Session, Flight]:
        """What ``initiator`` makes of the bundle ``raw`` of Bob's, now."""
        bundle = open_bundle(raw, self.bob.cert.root, self.now_s, PRODUCTION)
        session = open_session(initiator, bundle, self.now_ms, self.entropy, PRODUCTION)
        session, sealed = seal(session, content, self.entropy, PRODUCTION)
        return session, frame(session, sealed.envelope)

    async def take(self, *arrivals: Flight | bytes, peer: PeerId = PEER) -> Answer:
        return await self.db.run(lambda tx: receive(tx, self.context, list(arrivals), peer))

    async def refuses(self, *arrivals: Flight | bytes) -> None:
        """Each with a Nack and nothing else, and not a row was written."""
        before = self.writes
        answer = await self.take(*arrivals)
        ids = [eid(arrival.envelope if isinstance(arrival, Flight) else arrival) for arrival in arrivals]
        assert answer == Answer(nacks=ids)
        assert self.writes == before

    async def accepts(self, arrival: Flight | bytes) -> Answer:
        answer = await self.take(arrival)
        assert (len(answer.acks), answer.nacks) == (1, [])
        return answer

    @property
    def writes(self) -> int:
        """How many rows were ever inserted, changed or deleted."""
        return self.db._connection.total_changes

    async def rows(self, table: str) -> list[Row]:
        return await self.db.run(lambda tx: tx.all(f"SELECT * FROM {table}"))  # noqa: S608  named by the tests

    async def everything(self) -> dict[str, list[Row]]:
        """All that is stored, but for the index of words."""
        names = await self.db.run(lambda tx: tx.all("SELECT name FROM pragma_table_list WHERE type = 'table'"))
        return {name: await self.rows(name) for (name,) in names}

    async def texts(self, contact: int) -> list[str]:
        """What was received from a contact, in order."""
        page = await self.db.run(lambda tx: messages.page(tx, contact, None, 1_000))
        return [row.text or "" for row in page[::-1] if row.incoming]

    async def days_pass(self, days: float) -> None:
        """The clock goes on, and what time does is done."""
        self.now_ms += int(days * DAY_S * 1000)
        await self.db.run(lambda tx: upkeep.upkeep(tx, self.context))
