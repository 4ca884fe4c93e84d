"""Two ends of a session under loss, reordering, duplication, tampering, junk, restarts and crashes before the commit.

What must hold at every moment: what opens is what was sealed, once; what is refused changes nothing and raises a
declared error only; no nonce, eid or ack comes twice; the bounds hold. Within the production limits everything that was
sealed opens; a second machine has limits so small, and so much time, that keys are dropped and nothing else fails.

In a third, ends are thrown back to what they had stored long ago, as by a copied disk. Then much is lost, and this
still holds: what opens was sealed by the other end, unchanged; of several contents that an end thrown back has sealed
under one message key its peer takes one; no nonce comes twice, so that these keys do no harm; and two ends that are
both back where they began go on as if nothing had happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2pchat.base.errors import DecodeError, DecryptionError, LimitError, ReplayError
from p2pchat.core.envelope import join_prefix, split_envelope
from p2pchat.core.params import PRODUCTION
from p2pchat.core.ratchet import hints
from p2pchat.core.session import Session, dump_session, dump_skipped, load_session, open_envelope, seal
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import NOW_S, session_pair

DAY_S = 86_400
REFUSED = (DecodeError, DecryptionError, LimitError, ReplayError)

ENDS = st.sampled_from([0, 1])
PICKS = st.integers(0, 2**16)


@dataclass
class Sent:
    """An envelope on the way to ``receiver``."""

    receiver: int
    envelope: bytes = field(repr=False)
    content: bytes
    ack: bytes = field(repr=False)
    opened: bool = False


class RatchetMachine(RuleBasedStateMachine):
    """Limits that are never reached: whatever was sealed opens, once."""

    params = replace(PRODUCTION, kem_every=2)
    drops_keys = False

    def __init__(self) -> None:
        super().__init__()
        self.entropy = SeededEntropy(1)
        self.sessions: list[Session] = list(session_pair(self.entropy, self.params))
        self.now_s = NOW_S
        self.on_the_way: list[Sent] = []
        self.count = 0
        self.nonces: set[bytes] = set()
        self.eids: set[bytes] = set()
        self.acks: set[bytes] = set()

    def pick(self, pick: int) -> Sent:
        return self.on_the_way[pick % len(self.on_the_way)]

    def refuses(self, end: int, envelope: bytes) -> None:
        before = (dump_session(self.sessions[end]), dump_skipped(self.sessions[end]))
        try:
            open_envelope(self.sessions[end], envelope, self.now_s, self.entropy, self.params)
        except REFUSED:
            assert (dump_session(self.sessions[end]), dump_skipped(self.sessions[end])) == before
        else:
            raise AssertionError("it opened")

    @rule(end=ENDS, sizes=st.lists(st.sampled_from([0, 1, 40, 250, 300, 5_000]), min_size=1, max_size=7))
    def seal(self, end: int, sizes: list[int]) -> None:
        for size in sizes:
            self.count += 1
            content = b"%d/" % self.count + b"\x80" * size
            self.sessions[end], sealed = seal(self.sessions[end], content, self.entropy, self.params)
            nonce = sealed.envelope[8:32]
            assert nonce not in self.nonces
            assert sealed.eid not in self.eids
            assert sealed.ack not in self.acks
            self.nonces.add(nonce)
            self.eids.add(sealed.eid)
            self.acks.add(sealed.ack)
            self.on_the_way.append(Sent(1 - end, sealed.envelope, content, sealed.ack))

    @rule(end=ENDS)
    def crash_before_the_commit_of_a_seal(self, end: int) -> None:
        _, sealed = seal(self.sessions[end], b"never left", self.entropy, self.params)
        self.nonces.add(sealed.envelope[8:32])

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS, duplicate=st.booleans())
    def arrive(self, pick: int, duplicate: bool) -> None:
        sent = self.pick(pick)
        if not duplicate:
            self.on_the_way.remove(sent)
        if sent.opened:
            self.refuses(sent.receiver, sent.envelope)
            return
        session = self.sessions[sent.receiver]
        known = sent.envelope[:8] in hints(session.ratchet)
        try:
            opened, content, ack = open_envelope(session, sent.envelope, self.now_s, self.entropy, self.params)
        except LimitError:
            assert self.drops_keys
            return  # too far ahead: it may come again
        except (DecryptionError, ReplayError):
            assert self.drops_keys
            sent.opened = True  # its key was dropped: for ever
            return
        assert known
        assert (content, ack) == (sent.content, sent.ack)
        assert opened.confirmed
        self.sessions[sent.receiver] = opened
        sent.opened = True

    @precondition(lambda self: any(not sent.opened for sent in self.on_the_way))
    @rule(pick=PICKS)
    def crash_before_the_commit_of_an_opening(self, pick: int) -> None:
        waiting = [sent for sent in self.on_the_way if not sent.opened]
        sent = waiting[pick % len(waiting)]
        try:
            open_envelope(self.sessions[sent.receiver], sent.envelope, self.now_s, self.entropy, self.params)
        except REFUSED:
            return

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS)
    def lose(self, pick: int) -> None:
        self.on_the_way.remove(self.pick(pick))

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS, position=st.integers(0, 6_000), bit=st.integers(0, 7))
    def tamper(self, pick: int, position: int, bit: int) -> None:
        sent = self.pick(pick)
        changed = bytearray(sent.envelope)
        changed[position % len(changed)] ^= 1 << bit
        self.refuses(sent.receiver, bytes(changed))

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS)
    def reflect(self, pick: int) -> None:
        sent = self.pick(pick)
        self.refuses(1 - sent.receiver, sent.envelope)

    @rule(end=ENDS, junk=st.binary(max_size=500))
    def junk(self, end: int, junk: bytes) -> None:
        self.refuses(end, junk)

    @rule(end=ENDS, junk=st.binary(min_size=400, max_size=500), pick=PICKS)
    def junk_with_a_true_hint(self, end: int, junk: bytes, pick: int) -> None:
        known = sorted(hints(self.sessions[end].ratchet))
        self.refuses(end, known[pick % len(known)] + junk)

    @rule(end=ENDS)
    def restart(self, end: int) -> None:
        session = self.sessions[end]
        again = load_session(dump_session(session), dump_skipped(session))
        assert again == session
        self.sessions[end] = again

    @precondition(lambda self: self.drops_keys)
    @rule(days=st.sampled_from([1, 44, 46]))
    def time_passes(self, days: int) -> None:
        self.now_s += days * DAY_S

    @rule(end=ENDS)
    def converse(self, end: int) -> None:
        """Whatever happened before, the next message of either side arrives, unless too many were lost in its chain."""
        for sender in (end, 1 - end):
            session, sealed = seal(self.sessions[sender], b"now", self.entropy, self.params)
            self.sessions[sender] = session
            self.nonces.add(sealed.envelope[8:32])
            receiver = self.sessions[1 - sender]
            try:
                receiver, content, ack = open_envelope(receiver, sealed.envelope, self.now_s, self.entropy, self.params)
            except LimitError:
                assert self.drops_keys
                assert session.ratchet.sending is not None
                assert session.ratchet.sending.n > self.params.skip_per_message
                return
            assert (content, ack) == (b"now", sealed.ack)
            self.sessions[1 - sender] = receiver

    @invariant()
    def bounds_hold(self) -> None:
        for session in self.sessions:
            assert len(session.ratchet.skipped) <= self.params.skip_per_session
            assert len(dump_session(session)) <= 6_144


class DroppingMachine(RatchetMachine):
    """Small limits: keys are dropped, and the conversation goes on."""

    params = replace(PRODUCTION, kem_every=2, skip_per_message=4, skip_per_session=6)
    drops_keys = True


class RollbackMachine(RuleBasedStateMachine):
    """An end that was thrown back seals with message keys that were used before: only its nonces keep these apart.

    ``taken`` has the acks, each of which stands for its message key, of what an end has opened in its present life.
    """

    params = replace(PRODUCTION, kem_every=2)

    def __init__(self) -> None:
        super().__init__()
        self.entropy = SeededEntropy(2)
        self.sessions: list[Session] = list(session_pair(self.entropy, self.params))
        self.taken: list[frozenset[bytes]] = [frozenset(), frozenset()]
        self.stored = [[(self.dump(end), self.taken[end])] for end in (0, 1)]
        self.on_the_way: list[Sent] = []
        self.nonces: set[bytes] = set()
        self.count = 0

    def dump(self, end: int) -> tuple[bytes, bytes]:
        return dump_session(self.sessions[end]), dump_skipped(self.sessions[end])

    @rule(end=ENDS, count=st.integers(1, 4))
    def seal(self, end: int, count: int) -> None:
        for _ in range(count):
            self.count += 1
            content = b"%d" % self.count
            self.sessions[end], sealed = seal(self.sessions[end], content, self.entropy, self.params)
            assert sealed.envelope[8:32] not in self.nonces
            self.nonces.add(sealed.envelope[8:32])
            self.on_the_way.append(Sent(1 - end, sealed.envelope, content, sealed.ack))

    def opens(self, sent: Sent) -> bool:
        """Whether it opens: then as what was sealed, and not again."""
        before = self.dump(sent.receiver)
        try:
            session, content, ack = self.try_to_open(self.sessions[sent.receiver], sent)
        except REFUSED:
            assert self.dump(sent.receiver) == before
            return False
        assert (content, ack) == (sent.content, sent.ack)
        assert ack not in self.taken[sent.receiver]
        self.taken[sent.receiver] |= {ack}
        self.sessions[sent.receiver] = session
        self.refuses(sent.receiver, sent.envelope)
        return True

    def refuses(self, end: int, envelope: bytes) -> None:
        before = self.dump(end)
        with pytest.raises(REFUSED):
            open_envelope(self.sessions[end], envelope, NOW_S, self.entropy, self.params)
        assert self.dump(end) == before

    def try_to_open(self, session: Session, sent: Sent) -> tuple[Session, bytes, bytes]:
        return open_envelope(session, sent.envelope, NOW_S, self.entropy, self.params)

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS, kept=st.booleans())
    def arrive(self, pick: int, kept: bool) -> None:
        sent = self.on_the_way[pick % len(self.on_the_way)]
        if not kept:
            self.on_the_way.remove(sent)
        self.opens(sent)

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS)
    def lose(self, pick: int) -> None:
        del self.on_the_way[pick % len(self.on_the_way)]

    @precondition(lambda self: self.on_the_way)
    @rule(pick=PICKS, position=PICKS, bit=st.integers(0, 7))
    def tamper(self, pick: int, position: int, bit: int) -> None:
        sent = self.on_the_way[pick % len(self.on_the_way)]
        changed = bytearray(sent.envelope)
        changed[position % len(changed)] ^= 1 << bit
        self.refuses(sent.receiver, bytes(changed))

    @precondition(lambda self: self.on_the_way)
    @rule(one=PICKS, other=PICKS, parts=st.integers(0, 15))
    def splice(self, one: int, other: int, parts: int) -> None:
        """Hint, nonce, header and body of two, perhaps sealed under one message key in two lives."""
        pair = [self.on_the_way[pick % len(self.on_the_way)] for pick in (one, other)]
        of_each = [split_envelope(sent.envelope) for sent in pair]
        hint, nonce, header, body = (of_each[parts >> n & 1] for n in range(4))
        spliced = join_prefix(hint.hint, nonce.nonce, header.sealed_header) + body.sealed_body
        if spliced not in {sent.envelope for sent in self.on_the_way}:
            self.refuses(pair[0].receiver, spliced)

    @rule(end=ENDS, junk=st.binary(max_size=500), pick=PICKS, hinted=st.booleans())
    def junk(self, end: int, junk: bytes, pick: int, hinted: bool) -> None:
        known = sorted(hints(self.sessions[end].ratchet))
        self.refuses(end, known[pick % len(known)] * hinted + junk)

    @rule(end=ENDS)
    def restart(self, end: int) -> None:
        before = self.sessions[end]
        self.sessions[end] = load_session(*self.dump(end))
        assert self.sessions[end] == before

    @rule(end=ENDS)
    def store(self, end: int) -> None:
        self.stored[end].append((self.dump(end), self.taken[end]))

    @rule(end=ENDS, pick=PICKS)
    def throw_back(self, end: int, pick: int) -> None:
        stored, self.taken[end] = self.stored[end][pick % len(self.stored[end])]
        self.sessions[end] = load_session(*stored)
        assert self.dump(end) == stored

    @rule(first=ENDS)
    def throw_both_back_and_go_on(self, first: int) -> None:
        """To the beginning, with nothing on the way any more: then it is as if nothing had happened."""
        self.on_the_way.clear()
        for end in (0, 1):
            stored, self.taken[end] = self.stored[end][0]
            self.sessions[end] = load_session(*stored)
            del self.stored[end][1:]
        for end in (first, 1 - first):
            self.seal(end, 2)
            assert all(self.opens(sent) for sent in self.on_the_way[::-1])
            self.on_the_way.clear()


SETTINGS = settings(
    max_examples=50,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRatchetMachine = RatchetMachine.TestCase
TestRatchetMachine.settings = SETTINGS
TestDroppingMachine = DroppingMachine.TestCase
TestDroppingMachine.settings = SETTINGS
TestRollbackMachine = RollbackMachine.TestCase
TestRollbackMachine.settings = SETTINGS
