"""People who look for each other, and a store that keeps every valid record: the stage for the tests of matching."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core.crypto import KeyPair
from p2pchat.core.discovery import PEER_ID_PREFIX, Reach, encode_hello, encode_reach, make_card
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.matching import Finding, Reached, Walk, WalkKind, may_reach, observe, walks
from p2pchat.core.pair import PairState, claimants_of, dump_pair, load_pair, waiting_in
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import check_record, finish, prepare_record
from p2pchat.core.slots import Slot, derive_root, epoch, era
from p2pchat.core.work import mine
from p2pchat.testing.entropy import SeededEntropy

PARAMS: Final = replace(PRODUCTION, work_bits=4, argon2_ops=1, argon2_memory_bytes=8192)
NOW: Final = 1_800_000_000
LOWER: Final = "+821012345678"
HIGHER: Final = "+821098765432"
ERA: Final = era(NOW, PARAMS)
ROOT: Final = derive_root(LOWER, HIGHER, ERA, PARAMS)
EPOCH: Final = epoch(ROOT, NOW, PARAMS)


def sealed(slot: Slot, writer: KeyPair, data: bytes, seq: int = NOW, bits: int = PARAMS.work_bits) -> bytes:
    """A record that every storer accepts."""
    unmined = prepare_record(slot, writer, data, seq, bytes(24), PARAMS)
    return finish(unmined, mine(unmined.digest, bits))


class SlotStore:
    """All storers in one: valid records by slot and writer, highest seq first come."""

    def __init__(self) -> None:
        self._slots: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}

    def put(self, loc: bytes, raw: bytes, now_s: int) -> None:
        record = check_record(loc, raw, now_s, PARAMS)
        slot = self._slots.setdefault(loc, {})
        if record.writer not in slot or slot[record.writer][0] < record.seq:
            slot[record.writer] = record.seq, raw

    def get(self, loc: bytes) -> list[bytes]:
        return [raw for _, raw in self._slots.get(loc, {}).values()]


@dataclass
class Person:
    """A shell around one PairState: polls, publishes, and keeps what was found."""

    name: str
    role: int
    store: SlotStore
    chosen: RootKey | None = None
    wait_for_cards: bool = True
    polls: int = 0
    findings: list[Finding] = field(default_factory=list)
    reach_published_to: set[bytes] = field(default_factory=set)
    identity: Identity = field(init=False)
    idsec: bytes = field(init=False)
    reach: Reach = field(init=False)
    state: PairState = field(init=False)

    def __post_init__(self) -> None:
        entropy = SeededEntropy(sum(self.name.encode()) * 2 + self.role)
        self.identity = create_identity(entropy, (NOW - 5000) * 1000)
        self.idsec = entropy.bytes(32)
        addresses = (Address(b"\x04\x7f\0\0\1\x06" + entropy.bytes(2)),)
        self.reach = Reach(PeerId(PEER_ID_PREFIX + entropy.bytes(32)), addresses, entropy.bytes(32))
        self.state = PairState(self.role, ROOT, ERA, EPOCH, self.idsec)

    @property
    def root(self) -> RootKey:
        return self.identity.cert.root

    def reach_for(self, now_s: int) -> frozenset[RootKey]:
        waiting = waiting_in([self.state], now_s) if self.wait_for_cards else 0
        return may_reach(claimants_of([self.state]), self.chosen, 1, 0, 1, PARAMS, waiting=waiting)

    def steps(self, now_s: int) -> Iterator[None]:
        """One poll, interrupted wherever another's step may come in between."""
        poll, self.polls = self.polls, self.polls + 1
        for kind in WalkKind:
            for walk in walks(self.state, now_s, poll, self.reach_for(now_s), True, PARAMS):
                if walk.kind is kind:
                    yield
                    self.publish(walk, now_s)
                    yield
                    self.read(walk, now_s)

    def poll(self, now_s: int = NOW) -> None:
        for _ in self.steps(now_s):
            pass

    def publish(self, walk: Walk, now_s: int = NOW) -> None:
        if walk.publish:
            self.store.put(walk.slot.loc, sealed(walk.slot, walk.writer, self.data(walk, now_s), now_s), now_s)

    def data(self, walk: Walk, now_s: int) -> bytes:
        if walk.kind is WalkKind.HELLO:
            return encode_hello(self.role, self.state.own.eph.public)
        if walk.kind is WalkKind.CARD:
            return make_card(self.identity, walk.slot, self.role, now_s)
        assert walk.their_eph is not None
        self.reach_published_to.add(walk.their_eph)
        return encode_reach(self.reach)

    def read(self, walk: Walk, now_s: int = NOW) -> tuple[Finding, ...]:
        found = self.see(walk, self.store.get(walk.slot.loc), now_s)
        self.findings += found
        return found

    def see(self, walk: Walk, records: list[bytes], now_s: int = NOW) -> tuple[Finding, ...]:
        """Hand ``records`` to the machine, through the bytes of the database."""
        self.state, found = observe(self.state, walk, records, now_s, self.root, PARAMS)
        assert load_pair(dump_pair(self.state), self.idsec) == self.state
        return found

    def hello_walk(self, now_s: int = NOW) -> Walk:
        return walks(self.state, now_s, 0, frozenset(), True, PARAMS)[0]

    def reached(self) -> set[RootKey]:
        return {finding.root for finding in self.findings if isinstance(finding, Reached)}


def interleave(polls: list[Iterator[None]], order: Iterator[int]) -> None:
    """Run all polls to their end, one step of whichever is next in ``order``."""
    waiting = list(polls)
    while waiting:
        chosen = waiting[next(order) % len(waiting)]
        if next(chosen, "ended") == "ended":
            waiting.remove(chosen)
