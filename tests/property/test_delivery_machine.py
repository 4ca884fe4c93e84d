"""Delivery between two real stores, under everything that can befall it between one transaction and the next.

Texts go both ways while frames are lost, repeated, swapped and altered, acks are forged, late or brought again, streams
end at one side before the other, disks refuse, processes crash before and after any commit, sessions are lost, clocks
jump both ways beyond every term, and users cancel, delete, read and block. What must hold is in
:mod:`tests.property.delivery_oracle`; in the end all heals, and each text has arrived once or is told to have ended.

A run with other examples, for as long as wanted: ``DELIVERY_EXAMPLES=20000 scripts/test -s
tests/property/test_delivery_machine.py``; ``-s`` shows how often what was done.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from contextlib import suppress
from typing import Final, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from p2pchat.core.wire import Ack, Nack, encode_frame
from tests.property.delivery_node import AT_COMMIT, IN_A_JOB, Fault, Node, Void
from tests.property.delivery_world import DAY_MS, HOUR_MS, End, World

EXAMPLES: Final = int(os.environ.get("DELIVERY_EXAMPLES", "0"))
NODES: Final = st.sampled_from([0, 1])
PICKS: Final = st.integers(0, 2**16)
SIZES: Final = st.lists(st.sampled_from([0, 1, 40, 250, 900, 2_700, 20_000]), min_size=1, max_size=6)
JUMPS: Final = st.sampled_from([20 * HOUR_MS, 31 * DAY_MS, 46 * DAY_MS, -20 * HOUR_MS, -DAY_MS])
STREAMS: Final = 3

done: Counter[str] = Counter()


class DeliveryMachine(RuleBasedStateMachine):
    """A wire that does anything."""

    ordered = False

    def __init__(self) -> None:
        super().__init__()
        self.world = World(ordered=self.ordered)

    def node(self, which: int) -> Node:
        return self.world.nodes[which]

    def pick(self, pick: int, ends: list[End]) -> End:
        return ends[pick % len(ends)]

    def inboxes(self) -> list[End]:
        return [end for end in self.world.ends if end.inbox]

    @initialize(sizes=SIZES, met=st.booleans())
    def begin(self, sizes: list[int], met: bool) -> None:
        if met:
            self.world.send(self.world.nodes[0], sizes)
            self.world.converse()
        self.world.open()

    # -- users --------------------------------------------------------------------------------------------------------

    @rule(which=NODES, sizes=SIZES)
    def send(self, which: int, sizes: list[int]) -> None:
        with suppress(Void):
            self.world.send(self.node(which), sizes)

    @precondition(lambda self: bool(self.world.ends))
    @rule(pick=PICKS, sizes=SIZES, late=st.booleans(), meanwhile=st.sampled_from((None, "look", "cancel")))
    def send_on_a_stream(
        self, pick: int, sizes: list[int], late: bool, meanwhile: Literal["look", "cancel"] | None
    ) -> None:
        end = self.pick(pick, self.world.ends)
        with suppress(Void):
            self.world.send(end.node, sizes, end, late=late, meanwhile=meanwhile)

    @rule(which=NODES, pick=PICKS)
    def cancel(self, which: int, pick: int) -> None:
        with suppress(Void):
            self.world.withdraw(self.node(which), pick, delete=False)

    @rule(which=NODES, pick=PICKS)
    def delete(self, which: int, pick: int) -> None:
        with suppress(Void):
            self.world.withdraw(self.node(which), pick, delete=True)

    @rule(which=NODES, pick=PICKS)
    def read(self, which: int, pick: int) -> None:
        with suppress(Void):
            self.world.mark_read(self.node(which), pick)

    @rule(which=NODES, rarely=st.booleans())
    def block(self, which: int, rarely: bool) -> None:
        with suppress(Void):
            if rarely:
                self.world.block(self.node(which))

    @rule(which=NODES)
    def unblock(self, which: int) -> None:
        with suppress(Void):
            self.world.unblock(self.node(which))

    # -- streams ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.ends) < 2 * STREAMS)
    @rule()
    def open(self) -> None:
        self.world.open()

    @precondition(lambda self: self.world.ends)
    @rule(pick=PICKS, both=st.booleans())
    def end(self, pick: int, both: bool) -> None:
        end = self.pick(pick, self.world.ends)
        self.world.end(end)
        if both and end.peer is not None:
            self.world.end(end.peer)

    @precondition(lambda self: self.world.ends)
    @rule(pick=PICKS, turns=st.integers(1, 4))
    def pump(self, pick: int, turns: int) -> None:
        end = self.pick(pick, self.world.ends)
        with suppress(Void):
            while turns and self.world.pump(end):
                turns -= 1

    @rule(turns=st.integers(1, 6), fates=st.lists(st.integers(0, 2), max_size=4))
    def flow(self, turns: int, fates: list[int]) -> None:
        if not self.world.ends:
            self.world.open()
        with suppress(Void):
            self.world.flow(turns, itertools.cycle([1] if self.ordered else [*fates, 1]))

    @rule(which=NODES, sizes=SIZES)
    def converse(self, which: int, sizes: list[int]) -> None:
        """Whatever happened before, there is a time when all goes well, beside what else there is."""
        with suppress(Void):
            self.world.send(self.node(which), sizes)
            self.world.converse()

    @precondition(lambda self: self.inboxes())
    @rule(pick=PICKS, at=PICKS, count=st.integers(1, 5))
    def deliver(self, pick: int, at: int, count: int) -> None:
        end = self.pick(pick, self.inboxes())
        first = 0 if self.ordered else at % len(end.inbox)
        frames = end.inbox[first : first + count]
        del end.inbox[first : first + count]
        with suppress(Void):
            self.world.deliver(end, frames)

    # -- the wire -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.inboxes())
    @rule(pick=PICKS, at=PICKS)
    def lose(self, pick: int, at: int) -> None:
        """One frame, or where order is kept all from one on: the stream was cut there."""
        end = self.pick(pick, self.inboxes())
        at %= len(end.inbox)
        if self.ordered:
            del end.inbox[at:]
            assert end.peer is not None
            self.world.end(end.peer)
        else:
            del end.inbox[at]

    @precondition(lambda self: self.inboxes())
    @rule(pick=PICKS, at=PICKS)
    def duplicate(self, pick: int, at: int) -> None:
        end = self.pick(pick, self.inboxes())
        at %= len(end.inbox)
        end.inbox.insert(at, end.inbox[at])

    @precondition(lambda self: self.inboxes())
    @rule(pick=PICKS, position=PICKS, bit=st.integers(0, 7))
    def alter(self, pick: int, position: int, bit: int) -> None:
        """What comes beside it, altered: the wire itself is authenticated, what is in front of it is not."""
        end = self.pick(pick, self.inboxes())
        changed = bytearray(end.inbox[pick % len(end.inbox)])
        changed[position % len(changed)] ^= 1 << bit
        with suppress(Void):
            self.world.deliver(end, [bytes(changed)])

    @precondition(lambda self: not self.ordered and self.world.ends)
    @rule(pick=PICKS, which=PICKS)
    def bring_again(self, pick: int, which: int) -> None:
        """What a node was sent once, on whatever stream, comes on another one."""
        end = self.pick(pick, self.world.ends)
        known = [data for node, data in self.world.frames if node is end.node]
        if known:
            with suppress(Void):
                self.world.deliver(end, [known[which % len(known)]])

    @precondition(lambda self: self.world.ends)
    @rule(pick=PICKS, which=PICKS, other=PICKS, kind=st.integers(0, 2))
    def forge_ack(self, pick: int, which: int, other: int, kind: int) -> None:
        """For what waits: a proof out of the air or of another envelope; or for what was never sent."""
        end = self.pick(pick, self.world.ends)
        waiting = list(self.world.oracle.unsettled(end.node).items())
        if not waiting:
            return
        (name, proof), (_, foreign) = waiting[which % len(waiting)], waiting[other % len(waiting)]
        entry = [(name, bytes(16)), (name, foreign), (bytes(16), proof)][kind]
        if entry != (name, proof):
            with suppress(Void):
                self.world.deliver(end, [encode_frame(Ack((entry, entry)))])

    @precondition(lambda self: self.world.ends)
    @rule(pick=PICKS, which=PICKS, known=st.booleans())
    def forge_nack(self, pick: int, which: int, known: bool) -> None:
        end = self.pick(pick, self.world.ends)
        waiting = list(self.world.oracle.unsettled(end.node))
        name = waiting[which % len(waiting)] if known and waiting else bytes(16)
        with suppress(Void):
            self.world.deliver(end, [encode_frame(Nack(name))])

    # -- nodes --------------------------------------------------------------------------------------------------------

    @rule(which=NODES, kind=st.sampled_from(IN_A_JOB), after=st.integers(0, 25))
    def refuse_a_statement(self, which: int, kind: str, after: int) -> None:
        self.node(which).disk.fault = Fault(kind, after)

    @rule(which=NODES, kind=st.sampled_from(AT_COMMIT), after=st.integers(0, 5))
    def fail_a_commit(self, which: int, kind: str, after: int) -> None:
        self.node(which).disk.fault = Fault(kind, after)

    @rule(which=NODES)
    def crash(self, which: int) -> None:
        self.node(which).restart()

    @rule(which=NODES)
    def upkeep(self, which: int) -> None:
        with suppress(Void):
            self.world.upkeep(self.node(which))

    @rule(which=NODES)
    def lose_sessions(self, which: int) -> None:
        with suppress(Void):
            self.world.lose_sessions(self.node(which))

    @rule(which=NODES, jump=JUMPS)
    def set_clock(self, which: int, jump: int) -> None:
        self.node(which).now_ms = self.world.right_ms + which + jump

    @rule(jump=st.sampled_from([HOUR_MS, 16 * DAY_MS, 31 * DAY_MS]))
    def pass_time(self, jump: int) -> None:
        self.world.pass_time(jump)

    @rule(which=NODES)
    def learn(self, which: int) -> None:
        with suppress(Void):
            self.world.learn(self.node(which))

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.world.heal()
                for told in self.world.oracle.told.values():
                    done.update(told.events)
                done.update(self.world.oracle.counts)
                done["examples"] += 1
        finally:
            self.world.close()


class OrderedMachine(DeliveryMachine):
    """A wire that keeps what it carries in order, and is cut."""

    ordered = True


SETTINGS = settings(
    max_examples=EXAMPLES or 80,
    stateful_step_count=50,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [DeliveryMachine, OrderedMachine])
def test_delivery(machine: type[DeliveryMachine]) -> None:
    """Each kind of event was told, and sessions were condemned and opened anew: else nothing much has been tried."""
    done.clear()
    run_state_machine_as_test(machine, settings=SETTINGS)
    print(machine.__name__, dict(done))
    kinds = {"queued", "sent", "delivered", "read", "received", "cancelled", "expired", "failed", "deleted"}
    if not EXAMPLES:
        assert {*kinds, "flights", "condemned", "repeats"} <= set(done)
        assert done["delivered"] > 5 * done["examples"]
