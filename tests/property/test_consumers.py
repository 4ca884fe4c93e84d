"""Consumers beside a log that is bounded, against a model that forgets nothing."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2pchat.base.errors import UsageError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services import consumers as verbs
from p2pchat.services import retention
from p2pchat.services.retention import EVENTS_KEPT_MS, NEGLECTED_MS
from p2pchat.store import consumers, eventlog
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect

KINDS: Final = (EventKind.MESSAGE_RECEIVED, EventKind.MESSAGE_READ, EventKind.CONTACT_ADDED)
TYPES: Final[dict[str, tuple[str, ...] | None]] = {
    "all": None,
    "messages": ("message.*",),
    "two": ("message.read", "contact.added"),
    "none": ("node.locked",),
}
KEPT: Final = 12
ROWS: Final = 3


class World(RuleBasedStateMachine):
    """``told``: every event there ever was, with its time; ``acked``: what each consumer has said, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(retention, "EVENTS_KEPT", KEPT)
        self.patch.setattr(retention, "_SLICE_ROWS", ROWS)
        self.connection = connect(None, bytes(32))
        migrate(self.connection)
        self.tx = Tx(self.connection, 1_700_000_000_000)
        self.told: list[tuple[str, int]] = []
        self.acked: dict[str, tuple[int, int]] = {}

    def teardown(self) -> None:
        self.connection.close()
        self.patch.undo()

    @property
    def oldest(self) -> int:
        return eventlog.oldest(self.tx)

    def reads(self, name: str, seq: int) -> bool:
        types, kind = TYPES[name], self.told[seq - 1][0]
        return types is None or kind in types or kind.split(".")[0] + ".*" in types

    @rule(kind=st.sampled_from(KINDS), more=st.integers(0, 6))
    def tell(self, kind: EventKind, more: int) -> None:
        self.tx.emit(DomainEvent(kind, 1, contact=1, more=more))
        self.told += [(kind.value, self.tx.now_ms)] * (more + 1)

    @rule(days=st.sampled_from([1, 5, 8, 24]))
    def wait(self, days: int) -> None:
        self.tx.now_ms += days * 86_400_000

    @rule(name=st.sampled_from(sorted(TYPES)))
    def read(self, name: str) -> None:
        """Everything that it reads is told from its ack on, or that something is gone, and only if it is."""
        head = eventlog.head(self.tx)
        if name not in self.acked:
            self.acked[name] = head, self.tx.now_ms
        acked, _ = self.acked[name]
        wanted = [seq for seq in range(acked + 1, head + 1) if self.reads(name, seq)]
        refusal: UsageError | None = None
        cursor = acked
        try:
            cursor = verbs.enter(self.tx, name, None, TYPES[name])
        except UsageError as error:
            refusal = error
        if refusal is None:
            rows = eventlog.after(self.tx, cursor, 1000)
            assert [row.seq for row in rows if self.reads(name, row.seq)] == wanted
        else:
            assert refusal.data == {"oldest": self.oldest}
            assert wanted
            assert wanted[0] < self.oldest

    @precondition(lambda self: self.acked and self.told)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.acked)))
        before = consumers.get(self.tx, name)
        assert before is not None
        seq = data.draw(st.integers(0, len(self.told)))
        if before.seq + 1 < self.oldest and before.seq < seq < self.oldest - 1:
            return  # it was passed, and says that it goes on where something may be gone: that is told again
        row = verbs.acknowledge(self.tx, name, seq)
        if seq <= before.seq:
            assert row == before
        else:
            assert (row.seq, row.acked_ms) == (seq, self.tx.now_ms)
            self.acked[name] = seq, self.tx.now_ms

    def waits_from(self, name: str) -> int | None:
        """The first seq that is kept for a consumer; None: nothing is."""
        acked, ms = self.acked[name]
        neglected_ms = self.tx.now_ms - NEGLECTED_MS
        if ms >= neglected_ms:
            return acked + 1
        first = next((seq for seq in range(acked + 1, len(self.told) + 1) if self.reads(name, seq)), len(self.told) + 1)
        lets_wait = first <= len(self.told) and self.told[first - 1][1] < neglected_ms
        return None if lets_wait else first

    @rule()
    def bound(self) -> None:
        before = self.oldest
        active = [first for name in self.acked if (first := self.waits_from(name)) is not None]
        while retention.forget_some(self.tx):
            pass
        assert all(self.oldest <= first or before > first for first in active)
        gone = range(before, self.oldest)
        old_ms, many = self.tx.now_ms - EVENTS_KEPT_MS, len(self.told) - KEPT
        assert all(self.told[seq - 1][1] < old_ms or seq <= many for seq in gone)
        if not active:  # a row goes when all its events may, so up to six more stay
            assert self.oldest > many - 6
            assert all(ms >= old_ms for _, ms in self.told[self.oldest - 1 :])

    @invariant()
    def nothing_is_missing(self) -> None:
        rows = eventlog.after(self.tx, self.oldest - 1, 1000)
        assert [row.seq for row in rows] == list(range(self.oldest, len(self.told) + 1))
        assert [row.kind for row in rows] == [kind for kind, _ in self.told[self.oldest - 1 :]]


TestConsumers = World.TestCase
TestConsumers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
