"""The walk machine against peers that say anything at any time: its rules hold at every step, and it ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import Lookup, position

TARGET = position(b"target")
NAMES = sorted((PeerId(b"peer %d" % i) for i in range(60)), key=lambda peer: position(peer) ^ TARGET)

peers = st.sampled_from(NAMES)
prefixes = st.sampled_from([None, b"p", b"q", b"r"])
tales = st.lists(st.tuples(peers, prefixes, st.booleans()), max_size=12)


def distance(peer: PeerId) -> int:
    return position(peer) ^ TARGET


@dataclass
class Model:
    """What a test knows of one peer."""

    path: int
    prefix: bytes | None
    counts: bool
    state: str = "new"


class LookupMachine(RuleBasedStateMachine):
    """Beside the machine, a model of who was told by whom, was asked, and has answered from where."""

    @initialize(
        k=st.integers(1, 6),
        alpha=st.integers(1, 5),
        max_asked=st.integers(1, 40),
        region=st.sampled_from([0, distance(NAMES[20]), distance(NAMES[50])]),
        start=tales,
    )
    def begin(
        self, k: int, alpha: int, max_asked: int, region: int, start: list[tuple[PeerId, bytes | None, bool]]
    ) -> None:
        self.k, self.alpha, self.max_asked, self.region = k, alpha, max_asked, region
        self.lookup = Lookup(TARGET, k=k, alpha=alpha, max_asked=max_asked, region=region)
        self.known: dict[PeerId, Model] = {}
        self.asked: list[PeerId] = []
        for peer, prefix, counts in start:
            self.lookup.learn(peer, prefix=prefix, counts=counts)
            self.known.setdefault(peer, Model(len(self.known) % 2, prefix, counts))

    def those(self, *states: str) -> list[PeerId]:
        return [peer for peer in NAMES if peer in self.known and self.known[peer].state in states]

    @rule()
    def ask(self) -> None:
        batch = self.lookup.next()
        self.asked += batch
        for peer in batch:
            self.known[peer].state = "wait"

    @precondition(lambda self: self.those("wait", "slow", "ok", "fail"))
    @rule(data=st.data(), prefix=prefixes, counts=st.booleans(), told=tales)
    def reply(
        self, data: st.DataObject, prefix: bytes | None, counts: bool, told: list[tuple[PeerId, bytes | None, bool]]
    ) -> None:
        """From one that is waited for, or one of which that is no longer true."""
        peer = data.draw(st.sampled_from(self.those("wait", "slow", "ok", "fail")))
        model = self.known[peer]
        self.lookup.on_reply(peer, prefix=prefix, counts=counts)
        if model.state in ("wait", "slow"):
            model.state, model.prefix, model.counts = "ok", prefix, counts
        for name, tale, may_count in told:
            self.lookup.learn(name, prefix=tale, teller=peer, counts=may_count)
            self.known.setdefault(name, Model(model.path, tale, may_count))

    @precondition(lambda self: self.those("wait", "slow", "ok", "fail"))
    @rule(data=st.data(), fails=st.booleans())
    def give_up(self, data: st.DataObject, fails: bool) -> None:
        peer = data.draw(st.sampled_from(self.those("wait", "slow", "ok", "fail")))
        model = self.known[peer]
        (self.lookup.on_fail if fails else self.lookup.on_slow)(peer)
        if model.state == "wait" or (model.state == "slow" and fails):
            model.state = "fail" if fails else "slow"

    @invariant()
    def nobody_is_asked_twice_and_the_bounds_hold(self) -> None:
        assert len(self.asked) == len(set(self.asked)) <= self.max_asked
        assert len(self.those("wait")) <= self.alpha

    @invariant()
    def the_result_is_of_those_that_answered_and_no_prefix_has_more_than_two(self) -> None:
        found = self.lookup.answered()
        assert all(self.known[peer].state == "ok" and self.known[peer].counts for peer in found)
        assert found == sorted(found, key=distance)
        of_prefix = Counter(self.known[peer].prefix for peer in found if self.known[peer].prefix is not None)
        assert max(of_prefix.values(), default=0) <= 2
        near = [peer for peer in found if distance(peer) < self.region]
        assert len(found) <= max(self.k, len(near))
        assert len(found) <= self.k or distance(found[self.k - 1]) < self.region // 2

    @invariant()
    def it_is_done_only_when_nobody_is_left_on_whom_the_end_depends(self) -> None:
        if not self.lookup.done:
            return
        closest = self.lookup.answered()
        if len(closest) < self.k:
            assert not self.those("slow")
        if len(self.asked) == self.max_asked:
            return
        reach = self.region if len(closest) >= self.k and distance(closest[self.k - 1]) < self.region // 2 else 0
        for peer in self.those("new", "wait"):
            model = self.known[peer]
            closer = [
                other for other in self.those("ok") if distance(other) < distance(peer) and self.known[other].counts
            ]
            of_path = [other for other in closer if self.known[other].path == model.path]
            alike = [
                other
                for other in self.those("ok")
                if distance(other) < distance(peer)
                and self.known[other].counts == model.counts
                and self.known[other].prefix == model.prefix
            ]
            if model.prefix is not None and len(alike) >= 2:
                continue
            assert len(closer) >= self.k
            assert len(of_path) >= self.k // 2
            assert distance(peer) >= reach

    def teardown(self) -> None:
        """Whoever is silent fails in the end, and the walk ends."""
        for _ in range(2 * len(NAMES)):
            if not hasattr(self, "lookup") or self.lookup.done:
                return
            for peer in (*self.lookup.next(), *self.those("wait", "slow")):
                self.lookup.on_fail(peer)
        raise AssertionError("it did not end")


TestLookup = LookupMachine.TestCase
TestLookup.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
