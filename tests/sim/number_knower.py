"""Somebody who knows both numbers of a pair, for simulations: it may write in the pair's slots, and does.

It has many addresses, each of another prefix, asks every storer by hand, and keeps none of the rules of matching.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, PeerError
from p2pchat.base.ids import RootKey
from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair, ed25519_pair, x25519_pair
from p2pchat.core.dht_wire import ANSWER, REPLY_MAX_BYTES, Reply, Request
from p2pchat.core.discovery import (
    Reach,
    decode_hello,
    decode_reach,
    encode_hello,
    encode_reach,
    make_card,
    open_card,
    reach_root,
    reply_root,
)
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.params import Params
from p2pchat.core.record import Place, finish, open_record, prepare_record
from p2pchat.core.slots import Slot, derive_root, epoch, era
from p2pchat.core.work import mine
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Stream
from p2pchat.store import contact_peers
from p2pchat.store import presence as presences
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnode import MemoryNode

CAROL: Final = "+821055556666"
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
HARD_BITS: Final = 14
"""More than an honest node of cheap parameters ever mines (8)."""


@dataclass(eq=False)
class Limb:
    """One address that speaks ``/p2pchat/records/1``, with a stream to each storer that it has asked."""

    node: MemoryNode
    _streams: dict[MemoryNode, tuple[Stream, FrameReader]] = field(
        default_factory=dict[MemoryNode, tuple[Stream, FrameReader]]
    )

    async def ask(self, storer: Node, loc: bytes, put: bytes | None = None) -> Reply:
        """What ``storer`` answers about ``loc`` (32 bytes)."""
        at = storer.network
        if at not in self._streams:
            await self.node.dial(at.peer_id, at.addresses())
            self._streams[at] = await self.node.open(at.peer_id, RECORDS), FrameReader(REPLY_MAX_BYTES)
        stream, framing = self._streams[at]
        await stream.write(with_length(encode(Request(1, loc, put, True, 0))))
        while (frame := framing.next_frame()) is None:
            framing.feed(await stream.read(limits.STREAM_READ_BYTES))
        reply = ANSWER.decode(frame)
        assert isinstance(reply, Reply)
        return reply


@dataclass(frozen=True)
class Pose:
    """A hello in somebody's name: ``role`` that of the one it poses as."""

    slot: Slot
    role: int
    writer: KeyPair
    eph: KeyPair


class Knower:
    """Knows the numbers ``a`` and ``b``.

    Attributes:
        identity: what it shows in cards.
        writers: under which it has written, 32 bytes each.
    """

    def __init__(self, cluster: Cluster, a: str, b: str, *, params: Params = CHEAP, seed: int = 666) -> None:
        self._cluster = cluster
        self._numbers = a, b
        self._params = params
        self._entropy = SeededEntropy(seed)
        self._limbs: list[Limb] = []
        self.writers: set[bytes] = set()
        self.identity: Identity = create_identity(self._entropy, int(cluster.now() * 1000))

    def slot(self, later_s: int = 0) -> Slot:
        """The pair's slot of now, or of so many seconds later."""
        at, params = self._now_s() + later_s, self._params
        root = derive_root(*self._numbers, era(at, params), params)
        return Slot(root, epoch(root, at, params))

    def limb(self, prefix: int) -> Limb:
        """The address in the ``prefix``-th /24."""
        while len(self._limbs) <= prefix:
            self._limbs.append(Limb(self._cluster.network.node(host=f"5.6.{len(self._limbs)}.1")))
        return self._limbs[prefix]

    def sealed(
        self, place: Place, writer: KeyPair, data: bytes, bits: int = CHEAP.work_bits, *, age_s: int = 0
    ) -> bytes:
        """A record, made so many seconds ago: it lapses that much sooner."""
        seq = self._now_s() - age_s
        unmined = prepare_record(place, writer, data, seq, self._entropy.bytes(24), self._params)
        return finish(unmined, mine(unmined.digest, bits))

    def writer(self) -> KeyPair:
        """A new one."""
        made = ed25519_pair(self._entropy.bytes(32))
        self.writers.add(made.public)
        return made

    def _now_s(self) -> int:
        return int(self._cluster.now())

    async def put(self, loc: bytes, raw: bytes, to: Iterable[Node], prefix: int = 0) -> list[bool | None]:
        """What each storer says to a record."""
        return [(await self.limb(prefix).ask(storer, loc, raw)).stored for storer in to]

    async def read(self, loc: bytes, at: Node) -> tuple[bytes, ...]:
        """The entries that one storer hands out."""
        return (await self.limb(0).ask(at, loc)).records

    def pose(self, slot: Slot, role: int, writer: KeyPair | None = None) -> Pose:
        """A new eph in the role of one of the two, under a new writer or that one."""
        return Pose(slot, role, writer or self.writer(), x25519_pair(self._entropy.bytes(32)))

    async def hello(
        self, pose: Pose, to: Iterable[Node], *, prefix: int = 0, bits: int = CHEAP.work_bits, age_s: int = 0
    ) -> list[bool | None]:
        data = encode_hello(pose.role, pose.eph.public)
        raw = self.sealed(pose.slot, pose.writer, data, bits, age_s=age_s)
        return await self.put(pose.slot.loc, raw, to, prefix)

    async def crowd(self, slot: Slot, prefixes: int, to: Sequence[Node], *, age_s: int = 0) -> list[Pose]:
        """Twenty hellos, in both roles by turns, from so many prefixes by turns, with much work."""
        poses = [self.pose(slot, n % 2) for n in range(20)]
        for n, pose in enumerate(poses):
            await self.hello(pose, to, prefix=n % prefixes, bits=HARD_BITS, age_s=age_s)
        return poses

    # what it can read

    async def met(self, pose: Pose, at: Node) -> list[bytes]:
        """The ephs of the other role that stand in the slot of ``pose``."""
        found: list[bytes] = []
        for data in await self.opened(pose.slot, at):
            try:
                role, eph = decode_hello(data)
            except DecodeError:
                continue  # its own junk
            if role != pose.role:
                found.append(eph)
        return found

    async def opened(self, slot: Slot, at: Node, but: bytes = b"") -> list[bytes]:
        """The data of all entries of a slot that open, without those of one writer."""
        found: list[bytes] = []
        for raw in await self.read(slot.loc, at):
            try:
                record, data = open_record(slot, raw, self._now_s(), self._params)
            except PeerError:
                continue  # its own junk
            if record.writer != but:
                found.append(data)
        return found

    def reply(self, pose: Pose, their_eph: bytes) -> Slot:
        """Where ``pose`` and the one with that eph exchange cards."""
        return Slot(reply_root(pose.slot.root, pose.slot.epoch, pose.eph, their_eph), pose.slot.epoch)

    def reach(self, pose: Pose, their_eph: bytes) -> Slot:
        """Where they exchange reaches."""
        return Slot(reach_root(self.reply(pose, their_eph).root), pose.slot.epoch)

    async def show_card(
        self, pose: Pose, their_eph: bytes, to: Iterable[Node], identity: Identity | None = None
    ) -> None:
        """Claim to be whoever has the role, as itself or as somebody else whose keys it has."""
        slot = self.reply(pose, their_eph)
        card = make_card(identity or self.identity, slot, pose.role, self._now_s())
        await self.put(slot.loc, self.sealed(slot, pose.writer, card), to)

    async def tell_reach(self, pose: Pose, their_eph: bytes, reach: Reach, to: Iterable[Node]) -> None:
        slot = self.reach(pose, their_eph)
        await self.put(slot.loc, self.sealed(slot, pose.writer, encode_reach(reach)), to)

    async def cards(self, poses: Iterable[Pose], at: Node) -> set[RootKey]:
        """The roots that have shown themselves to ``poses``."""
        found: set[RootKey] = set()
        own, now_s = RootKey(self.identity.root.public), self._now_s()
        for pose in poses:
            for eph in await self.met(pose, at):
                slot = self.reply(pose, eph)
                for data in await self.opened(slot, at, but=pose.writer.public):
                    found.add(open_card(slot, data, 1 - pose.role, own, now_s).root)
        return found

    async def reaches(self, poses: Iterable[Pose], at: Node) -> list[Reach]:
        """The addresses that were given to ``poses``."""
        found: list[Reach] = []
        for pose in poses:
            for eph in await self.met(pose, at):
                found += map(decode_reach, await self.opened(self.reach(pose, eph), at, but=pose.writer.public))
        return found


# what the users see


def root_of(node: Node) -> RootKey:
    assert node.running is not None
    return RootKey(node.running.context.identity.root.public)


async def seen(node: Node, name: str) -> tuple[str, int, str]:
    """State, number of claimants and trust of a contact."""
    row = await node.contact(name)
    return row.state, row.claimants, row.trust


async def matched(*pairs: tuple[Node, str]) -> bool:
    return all([(await node.contact(name)).state == "matched" for node, name in pairs])


async def talk(one: Node, other: Node, within_s: float = 60.0) -> None:
    """Both say something, and hear it."""
    before = len(await one.received(other.name)), len(await other.received(one.name))
    await one.send(other.name, "ping")
    await other.send(one.name, "pong")

    async def heard() -> bool:
        now = len(await one.received(other.name)), len(await other.received(one.name))
        return now == (before[0] + 1, before[1] + 1)

    await eventually(heard, within_s=within_s)


async def meet_and_talk(one: Node, other: Node) -> None:
    """Two of whom nobody speaks find each other as fast as ever, while others are attacked."""
    await one.add(other.number, other.name)
    await other.add(one.number, one.name)
    await eventually(lambda: matched((one, other.name), (other, one.name)), within_s=60)
    await talk(one, other)


async def knows_where(node: Node, name: str) -> bool:
    """Whether the node has anything of where that contact is reached: an address, or a presence."""
    row = await node.contact(name)
    rows = await node.database.run(lambda tx: contact_peers.of_contact(tx, row.id))
    return bool(rows) or await node.database.run(lambda tx: presences.held(tx, row.id)) is not None


async def given_reaches(node: Node, name: str) -> int:
    """How many reaches the node has published for a contact."""
    row = await node.contact(name)
    rows = await node.database.run(lambda tx: tx.all("SELECT data FROM published WHERE contact = ?", (row.id,)))

    def is_reach(data: bytes) -> bool:
        try:
            decode_reach(data)
        except DecodeError:
            return False
        return True

    return sum(is_reach(bytes(data)) for (data,) in rows)
