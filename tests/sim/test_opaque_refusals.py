"""On the wire every refusal is one and the same answer: the Nack of what was sent (PROTOCOL.md 4.2, 5.2)."""

from __future__ import annotations

import pytest
from msgspec import structs
from trio.testing import MockClock

from p2pchat.base.ids import ContactId, RootKey
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.prekeys import ask_proof, open_bundle
from p2pchat.core.session import Session, open_session, seal
from p2pchat.core.wire import Ack, Batch, Bundle, BundleRequest, Flight, Frame, Nack, Ping, Pong, eid
from p2pchat.store import contacts
from p2pchat.testing.cluster import CHEAP, Cluster, Node
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO
from tests.sim.test_strangers import Stranger, knock, one_stranger


class Flier:
    """Someone who holds Alice's ask32, and makes flights as anybody."""

    def __init__(self, cluster: Cluster, alice: Node, stranger: Stranger, proof: bytes) -> None:
        self.cluster, self.alice, self.stranger, self.proof = cluster, alice, stranger, proof
        self.entropy = SeededEntropy(61)

    async def answer(self) -> Frame | None:
        """The next frame that answers; what Alice has to say to a contact of her own accord is no matter."""
        while isinstance(frame := await self.stranger.next(), Batch):
            pass
        return frame

    async def fly(self, identity: Identity) -> tuple[Session, Flight]:
        await self.stranger.send([BundleRequest(self.proof)])
        bundle = await self.answer()
        assert isinstance(bundle, Bundle)
        now_s = int(self.cluster.now())
        assert self.alice.running is not None
        root = self.alice.running.context.identity.cert.root
        opened = open_bundle(bundle.bundle, root, now_s, CHEAP)
        session = open_session(identity, opened, now_s * 1000, self.entropy, CHEAP)
        session, sealed = seal(session, HELLO, self.entropy, CHEAP)
        part = session.flight
        assert part is not None
        return session, Flight(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender, sealed.envelope)

    async def person(self, *, blocked: bool = False) -> Identity:
        """A contact of Alice's, whom she looks for or has blocked."""
        identity = create_identity(self.entropy, int(self.cluster.now() * 1000))
        uid, root = ContactId(self.entropy.bytes(8)), RootKey(identity.root.public)
        row = await self.alice.database.run(lambda tx: contacts.add(tx, uid, uid.hex(), None, None))
        await self.alice.database.run(lambda tx: contacts.set_root(tx, row.id, root, 0))
        if blocked:
            await self.alice.database.run(lambda tx: contacts.block(tx, row.id))
        return identity


def changed(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "all at once"])
async def test_whatever_was_wrong_the_answer_is_the_same(at_once: bool, autojump_clock: MockClock) -> None:
    async with one_stranger() as (cluster, alice, node):
        stranger = await knock(node, alice)
        flier = Flier(cluster, alice, stranger, ask_proof(alice.profile.ask, alice.network.peer_id, node.peer_id))
        bob, enemy = await flier.person(), await flier.person(blocked=True)
        nobody = create_identity(flier.entropy, int(cluster.now() * 1000))
        _, used = await flier.fly(bob)
        await stranger.send([used])
        assert isinstance(await flier.answer(), Ack)
        session, honest = await flier.fly(bob)
        session, later = seal(session, HELLO, flier.entropy, CHEAP)
        refused = [
            (await flier.fly(nobody))[1],
            (await flier.fly(enemy))[1],
            structs.replace(honest, prekey_id=bytes(16)),
            structs.replace(honest, ephemeral=bytes(32)),
            structs.replace(honest, kem_ciphertext=changed(honest.kem_ciphertext)),
            structs.replace(honest, sender=changed(honest.sender)),
            structs.replace(honest, envelope=changed(honest.envelope)),
            structs.replace(used, envelope=honest.envelope),
        ]
        bare = [later.envelope, changed(used.envelope), bytes(400)]
        frames: list[Frame] = [*refused, Batch(tuple(bare)), Ping(9)]
        answers = [*(Nack(eid(flight.envelope)) for flight in refused), *map(Nack, map(eid, bare)), Pong(9)]
        if at_once:
            await stranger.send(frames)
        for number, answer in enumerate(answers):
            if not at_once and number < len(frames):
                await stranger.send([frames[number]])
            assert await flier.answer() == answer
        await stranger.send([honest])
        taken = await flier.answer()
        assert isinstance(taken, Ack)
        assert [acked for acked, _ in taken.entries] == [eid(honest.envelope)]
