"""State stolen at every point of an exchange of 40 messages, from either end: exactly what the thief can read.

Chains are numbered as they follow one another: A's first is 0, B's answer 1, A's answer to that 2. Of a victim whose
own newest chain is s a passive thief reads this, and nothing else:

- what was sent to the victim in the chains up to s + 1, the answer to the key at hand, and was not opened before;
- what the victim sends in chain s from then on.

Chain s + 2 is the victim's next DH step: it heals. One who breaks X25519 reads on up to the next chain that answers a
KEM key, at most 16 DH steps of the victim later.
"""

from __future__ import annotations

import builtins
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import pytest

from p2pchat.core.crypto import x25519_pair
from p2pchat.core.ratchet import RatchetState
from p2pchat.testing.entropy import SeededEntropy
from tests.unit.core.ratchet_ends import AD, End, ends
from tests.unit.core.ratchet_thief import Thief

MESSAGES = 40
KEM_EVERY = 16
LONG_ENOUGH = 2 * (KEM_EVERY + 2)


class Noted(SeededEntropy):
    """Keeps the ratchet keys that were drawn from it, by their public halves."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.pairs: dict[builtins.bytes, builtins.bytes] = {}

    def bytes(self, n: int) -> builtins.bytes:
        drawn = super().bytes(n)
        if n == 32:
            self.pairs[x25519_pair(drawn).public] = drawn
        return drawn


@dataclass(frozen=True)
class Place:
    """Where a message stands."""

    chain: int
    n: int


@dataclass
class Sent:
    place: Place
    envelope: bytes = field(repr=False)
    content: bytes


@dataclass
class Theft:
    """What was copied, from whom, after how many envelopes of the wire, and what the victim had opened by then."""

    victim: int
    state: RatchetState
    after: int
    opened: frozenset[Place]

    @property
    def chain(self) -> int:
        """The victim's newest own one; -1 of a responder that has opened nothing."""
        return chain_of(self.victim, self.state)


@dataclass
class Exchange:
    """All that went over the wire, all that was there to steal, and the private halves of all ratchet keys."""

    wire: list[Sent]
    thefts: list[Theft]
    pairs: dict[bytes, bytes]


def chain_of(end: int, state: RatchetState) -> int:
    return 2 * state.step - end


class Talk:
    """Two ends, a wire, and a copy of both states after whatever happens."""

    def __init__(self) -> None:
        a, b = ends()
        self.entropy = a.entropy = b.entropy = Noted(77)
        self.ends: tuple[End, End] = (a, b)
        self.entropy.pairs.update({end.state.dhs.public: end.state.dhs.secret for end in self.ends})
        self.wire: list[Sent] = []
        self.waiting: tuple[list[Sent], list[Sent]] = ([], [])
        self.opened: list[frozenset[Place]] = [frozenset(), frozenset()]
        self.thefts: list[Theft] = []
        self.robbed()

    def robbed(self) -> None:
        self.thefts += [Theft(end, self.ends[end].state, len(self.wire), self.opened[end]) for end in (0, 1)]

    def can_send(self, end: int) -> bool:
        return self.ends[end].state.sending is not None

    def send(self, end: int) -> None:
        sending = self.ends[end].state.sending
        assert sending is not None
        content = b"message %d" % len(self.wire)
        place = Place(chain_of(end, self.ends[end].state), sending.n)
        sent = Sent(place, self.ends[end].send(content), content)
        self.wire.append(sent)
        self.waiting[1 - end].append(sent)
        self.robbed()

    def deliver(self, end: int, index: int = 0) -> None:
        sent = self.waiting[end].pop(index)
        assert self.ends[end].open(sent.envelope) == sent.content
        self.opened[end] |= {sent.place}
        self.robbed()

    def heal(self) -> Exchange:
        """Talk on, turn by turn, with nobody stealing any more."""
        thefts, self.thefts = self.thefts, []
        for number in range(LONG_ENOUGH):
            self.send(number % 2)
            self.deliver(1 - number % 2, -1)
        return Exchange(self.wire, thefts, self.entropy.pairs)


@cache
def in_turns() -> Exchange:
    """One message each: 40 messages are 40 chains."""
    talk = Talk()
    for number in range(MESSAGES):
        talk.send(number % 2)
        talk.deliver(1 - number % 2)
    return talk.heal()


@cache
def in_disorder() -> Exchange:
    """In bursts, overtaken, late and lost."""
    talk, chance = Talk(), random.Random(5)
    while len(talk.wire) < MESSAGES:
        end = chance.randrange(2)
        if talk.can_send(end) and chance.random() < 0.55:
            talk.send(end)
        elif talk.waiting[end]:
            talk.deliver(end, chance.choice((0, 0, -1)))
    return talk.heal()


EXCHANGES = pytest.mark.parametrize("exchange", [in_turns, in_disorder], ids=["in turns", "in disorder"])
Made = Callable[[], Exchange]


def answers_a_kem_key(chain: int) -> bool:
    """Whether the chain before it advertises one: that of step 0 of A, and of every 16th step of either."""
    step_before = chain // 2
    return chain > 0 and step_before % KEM_EVERY == 0


def healed_at(theft: Theft, *, breaks_x25519: bool) -> int:
    """The first chain that the thief cannot compute."""
    chain = theft.chain + 2
    while breaks_x25519 and not answers_a_kem_key(chain):
        chain += 1
    return chain


def readable(theft: Theft, exchange: Exchange, *, breaks_x25519: bool = False) -> set[Place]:
    """By the rules and by what had happened: the state is not looked into."""
    healed = healed_at(theft, breaks_x25519=breaks_x25519)
    found: set[Place] = set()
    for number, sent in enumerate(exchange.wire):
        place = sent.place
        if place.chain % 2 == theft.victim:
            is_read = number >= theft.after and theft.chain <= place.chain < healed
        else:
            is_read = place not in theft.opened and place.chain < healed
        found |= {place} if is_read else set()
    return found


def read_by(thief: Thief, exchange: Exchange) -> set[Place]:
    found: set[Place] = set()
    for sent in exchange.wire:
        content = thief.read(sent.envelope)
        if content is not None:
            assert content == sent.content
            found.add(sent.place)
    return found


@EXCHANGES
def test_a_thief_reads_the_chains_at_hand_and_nothing_else(exchange: Made) -> None:
    made = exchange()
    assert len(made.thefts) > 3 * MESSAGES
    for theft in made.thefts:
        assert read_by(Thief(theft.state, AD), made) == readable(theft, made)


@EXCHANGES
def test_a_thief_who_breaks_x25519_reads_on_to_the_next_kem_step(exchange: Made) -> None:
    made = exchange()
    for theft in made.thefts:
        expected = readable(theft, made, breaks_x25519=True)
        assert read_by(Thief(theft.state, AD, made.pairs), made) == expected
        assert expected >= readable(theft, made)


def test_healing_takes_the_victims_next_step_or_with_x25519_broken_at_most_16() -> None:
    made = in_turns()
    steps: dict[bool, list[int]] = {False: [], True: []}
    for breaks in steps:
        for theft in made.thefts:
            pairs = made.pairs if breaks else {}
            read = {place.chain for place in read_by(Thief(theft.state, AD, pairs), made)}
            assert max(read) <= max(sent.place.chain for sent in made.wire) - 2  # it was healed within the wire
            lost = max({*read, theft.chain}) + 1
            steps[breaks].append((lost - theft.chain + 1) // 2)
    assert set(steps[False]) == {1}
    assert (min(steps[True]), max(steps[True])) == (1, 16)


def test_the_exchanges_hold_what_they_should() -> None:
    turns, disorder = in_turns(), in_disorder()
    assert max(sent.place.chain for sent in turns.wire) == MESSAGES + LONG_ENOUGH - 1
    assert [chain for chain in range(76) if answers_a_kem_key(chain)] == [1, 32, 33, 64, 65]
    assert sum(bool(theft.state.skipped) for theft in disorder.thefts) > 10
    assert max(sent.place.n for sent in disorder.wire) >= 3
    chains = [sent.place.chain for sent in disorder.wire[:MESSAGES]]
    assert chains != sorted(chains)
