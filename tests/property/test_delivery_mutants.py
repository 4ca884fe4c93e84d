"""Defects of delivery, planted one at a time: the machine of :mod:`tests.property.test_delivery_machine` finds each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, cast

import msgspec
import outcome
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RULE_MARKER, run_state_machine_as_test

from p2pchat.core.delivery import Window
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.session import Session, seal
from p2pchat.core.wire import OPEN, Item, encode_content
from p2pchat.services import context, deliver, withdraw
from p2pchat.store import messages, sessions
from p2pchat.store.db import AfterCommit, Database, Tx, _Pending
from p2pchat.store.messages import Incoming, MessageRow
from p2pchat.store.sessions import EnvelopeRow, SessionRow
from p2pchat.testing.entropy import SeededEntropy
from tests.property.delivery_node import PARAMS, Fault, Void
from tests.property.delivery_world import DAY_MS, HOUR_MS, World
from tests.property.test_delivery_machine import DeliveryMachine

Done = tuple[outcome.Outcome[object], Tx]
Committed = tuple[list[DomainEvent], int | None, AfterCommit | None]
Plant = Callable[[pytest.MonkeyPatch], None]
EXAMPLES: Final = 600  # most take a few, the rarest some dozens
RULES: Final = {name for name, member in vars(DeliveryMachine).items() if hasattr(member, RULE_MARKER)}

mutants: dict[str, tuple[Plant, type[DeliveryMachine]]] = {}


def mutant(*rules: str) -> Callable[[Plant], Plant]:
    """A defect, and the rules that bring it out before long; none named: all."""
    left_out = RULES - set(rules) if rules else set[str]()
    some = cast(type[DeliveryMachine], type("Some", (DeliveryMachine,), dict.fromkeys(left_out)))

    def add(plant: Plant) -> Plant:
        mutants[plant.__name__] = plant, some
        return plant

    return add


@mutant("send", "flow", "open", "fail_a_commit")
def answers_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's result is told though COMMIT is refused: an ack, or what was sealed, leaves."""
    one, commit = Database._one, Database._commit
    results: list[outcome.Outcome[object]] = []

    def noted(self: Database, job: Callable[[Tx], object], *, is_alone: bool = False) -> Done:
        result, tx = one(self, job, is_alone=is_alone)
        results.append(result)
        return result, tx

    def early(self: Database, jobs: Sequence[_Pending[object]]) -> Committed:
        results.clear()
        told = commit(self, jobs)
        for pending, result in zip(jobs, results, strict=False):
            pending.result = result
        return told

    monkeypatch.setattr(Database, "_one", noted)
    monkeypatch.setattr(Database, "_commit", early)


@mutant("send", "flow", "open", "fail_a_commit")
def tells_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscribers learn of events that were taken back."""
    one, commit = Database._one, Database._commit
    noted: list[DomainEvent] = []

    def note(self: Database, job: Callable[[Tx], object], *, is_alone: bool = False) -> Done:
        result, tx = one(self, job, is_alone=is_alone)
        noted.extend(tx.events)
        return result, tx

    def early(self: Database, jobs: Sequence[_Pending[object]]) -> Committed:
        noted.clear()
        _, oldest, after = commit(self, jobs)
        return list(noted), oldest, after

    monkeypatch.setattr(Database, "_one", note)
    monkeypatch.setattr(Database, "_commit", early)


@mutant()
def forgets_eids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "received_ack", lambda tx, eid: None)
    monkeypatch.setattr(sessions, "note_received", lambda tx, contact, eid, ack, until_s: None)


@mutant("send", "flow", "open", "lose_sessions")
def forgets_message_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes again is stored as if it were another message."""
    receive = cast(Callable[..., list[int]], messages.receive)

    def again(tx: Tx, *whose: int | Sequence[Incoming]) -> list[int]:
        known = {bytes(row[0]) for row in tx.all("SELECT wire_id FROM message WHERE incoming = 1")}
        arrived = cast(Sequence[Incoming], whose[-1])
        other = [
            msgspec.structs.replace(each, wire_id=each.wire_id[::-1]) if each.wire_id in known else each
            for each in arrived
        ]
        return receive(tx, *whose[:-1], other)

    monkeypatch.setattr(messages, "receive", again)


@mutant()
def seals_again_in_the_same_session(monkeypatch: pytest.MonkeyPatch) -> None:
    save = sessions.save

    def unnumbered(tx: Tx, row: SessionRow, session: Session, sealed_n: int = 0, presence_n: int = 0) -> SessionRow:
        return save(tx, row, session, 0, presence_n)

    monkeypatch.setattr(sessions, "save", unnumbered)


@mutant()
def retransmits_other_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    unacknowledged = sessions.unacknowledged
    entropy = SeededEntropy(5)

    def sealed_anew(tx: Tx, session: int, after: int, limit: int, live_after: int = 0) -> list[EnvelopeRow]:
        row = sessions.get(tx, session)
        rows = unacknowledged(tx, session, after, limit, live_after)
        if row is None or not row.session.confirmed:
            return rows
        content = encode_content([Item(bytes(16), OPEN, b"")])
        return [replace(each, envelope=seal(row.session, content, entropy, PARAMS)[1].envelope) for each in rows]

    monkeypatch.setattr(sessions, "unacknowledged", sealed_anew)


@mutant()
def keeps_no_ratchet_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """An envelope is stored, and the state that has sealed it is not: its key is used again."""
    save = sessions.save

    def half(tx: Tx, row: SessionRow, session: Session, sealed_n: int = 0, presence_n: int = 0) -> SessionRow:
        return save(tx, row, row.session if sealed_n else session, sealed_n, presence_n)

    monkeypatch.setattr(sessions, "save", half)


@mutant()
def never_frees_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Window, "settled", lambda self, eid: eid in self._flying)


@mutant("send", "flow", "pump", "forge_ack")
def believes_every_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "equal", lambda one, other: True)


def sends_what_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "withhold_expired", lambda tx: None)


@mutant()
def expires_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    expire = messages.expire

    def silently(tx: Tx, before_ms: int) -> dict[int, list[int]]:
        expire(tx, before_ms)
        return {}

    monkeypatch.setattr(messages, "expire", silently)


@mutant()
def takes_back_what_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel(tx: Tx, row: MessageRow) -> MessageRow:
        if not row.incoming and row.state in ("queued", "sent"):
            messages.cancel(tx, row, withdraw.REASON)
            context.tell(tx, EventKind.MESSAGE_CANCELLED, [row.id], row.contact)
        return row

    monkeypatch.setattr(withdraw, "cancel", cancel)


@mutant()
def abandons_what_a_lost_session_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is queued is sealed: what was sent in a session that is gone never is again."""
    unsealed = messages.unsealed

    def queued(
        tx: Tx, contact: int, after_n: int, limit: int, limit_bytes: int, live_after: int = 0
    ) -> list[MessageRow]:
        rows = unsealed(tx, contact, after_n, limit, limit_bytes, live_after)
        return [row for row in rows if row.state == "queued"]

    monkeypatch.setattr(messages, "unsealed", queued)


@mutant()
def retransmits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    unacknowledged = sessions.unacknowledged

    def fresh(tx: Tx, session: int, after: int, limit: int, live_after: int = 0) -> list[EnvelopeRow]:
        return unacknowledged(tx, session, after, limit, live_after) if after else []

    monkeypatch.setattr(sessions, "unacknowledged", fresh)


@mutant()
def numbers_them_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = cast(Callable[..., list[int]], messages.receive)

    def turned(tx: Tx, *whose: int | Sequence[Incoming]) -> list[int]:
        arrived = cast(Sequence[Incoming], whose[-1])
        numbers = [each.n for each in arrived][::-1]
        turned = [msgspec.structs.replace(each, n=n) for each, n in zip(arrived, numbers, strict=True)]
        return receive(tx, *whose[:-1], turned)

    monkeypatch.setattr(messages, "receive", turned)


@pytest.mark.parametrize("name", mutants)
def test_it_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, machine = mutants[name]
    brief = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    plant(monkeypatch)
    with pytest.raises((AssertionError, FlakyFailure)):
        run_state_machine_as_test(machine, settings=brief)


# -- coincidences that are rare among all examples ---------------------------------------------------------------------


def takes_an_ack_for_all_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = messages.mark_delivered
    monkeypatch.setattr(messages, "mark_delivered", lambda tx, contact, n0, n1: mark(tx, contact, 1, n1))


def one_is_overtaken(world: World) -> None:
    alice = world.nodes[0]
    world.send(alice, [1])
    world.converse()
    end, other = world.open()
    for _ in range(2):
        world.send(alice, [1])
        world.pump(end)
    world.deliver(other, [other.inbox.pop()])
    world.deliver(end, [end.inbox.pop()])
    world.heal()


def ignores_every_nack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.services.greet.condemn", lambda tx, node, contact, eid, peer: None)


def what_arrives_is_not_stored(world: World) -> None:
    alice, bob = world.nodes
    world.send(alice, [1])
    world.converse()
    end, other = world.open()
    world.send(alice, [1])
    world.pump(end)
    bob.disk.fault = Fault("commit")
    with suppress(Void):
        world.deliver(other, [other.inbox.pop()])
    world.heal()


def a_flight_is_from_the_future(world: World) -> None:
    alice = world.nodes[0]
    alice.now_ms += 20 * HOUR_MS
    world.send(alice, [1])
    world.converse()
    world.heal()


def expires_what_is_sealed_with_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def expire(tx: Tx, before_ms: int) -> dict[int, list[int]]:
        rows = tx.all(
            "UPDATE message SET state = 'expired' WHERE incoming = 0 AND state IN ('queued', 'sent') "
            "AND created_ms < ? RETURNING contact, id",
            (before_ms,),
        )
        return {1: sorted(row[1] for row in rows)} if rows else {}

    monkeypatch.setattr(messages, "expire", expire)


def of_two_that_were_sealed_together_one_is_too_old(world: World) -> None:
    alice = world.nodes[0]
    world.send(alice, [1])
    world.converse()
    end, _ = world.open()
    world.send(alice, [1])
    world.pass_time(16 * DAY_MS)
    world.send(alice, [1])
    world.pump(end)
    world.pass_time(16 * DAY_MS)
    world.heal()


def what_was_sealed_and_lost_is_too_old(world: World) -> None:
    alice = world.nodes[0]
    world.send(alice, [1])
    world.converse()
    end, _ = world.open()
    world.send(alice, [1])
    world.pump(end)
    world.pass_time(31 * DAY_MS)
    world.heal()


@pytest.mark.parametrize(
    ("plant", "story", "why"),
    [
        (answers_before_the_commit, what_arrives_is_not_stored, "acknowledged, and not there"),
        (sends_what_has_expired, what_was_sealed_and_lost_is_too_old, "it leaves after it was said"),
        (takes_an_ack_for_all_before_it, one_is_overtaken, "told as delivered, and not there"),
        (ignores_every_nack, a_flight_is_from_the_future, "something waits for ever"),
        (
            expires_what_is_sealed_with_later_ones,
            of_two_that_were_sealed_together_one_is_too_old,
            "it leaves after it was said",
        ),
    ],
)
def test_a_story_finds_it(
    plant: Plant, story: Callable[[World], None], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (False, True):
        world = World(ordered=False)
        try:
            if found:
                plant(monkeypatch)
                with pytest.raises(AssertionError, match=why):
                    story(world)
            else:
                story(world)
        finally:
            world.close()
