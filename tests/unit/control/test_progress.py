"""Who waits for a message is woken by that message, and when it is gone."""

from __future__ import annotations

import gc

import pytest

from p2pchat.control.progress import Progress
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services.context import Bus

MESSAGE, OTHER = 7, 8


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def progress(bus: Bus) -> Progress:
    return Progress(bus)


@pytest.mark.parametrize(
    ("kind", "reached"),
    [
        (EventKind.MESSAGE_QUEUED, set[str]()),
        (EventKind.MESSAGE_SENT, {"sent"}),
        (EventKind.MESSAGE_DELIVERED, {"sent", "held", "delivered"}),
        (EventKind.MESSAGE_READ, {"sent", "held", "delivered", "read"}),
        (EventKind.MESSAGE_EXPIRED, {"sent", "held", "delivered", "read"}),
    ],
    ids=["queued", "sent", "delivered", "read", "expired"],
)
def test_an_event_wakes_those_who_wait_for_no_more(
    bus: Bus, progress: Progress, kind: EventKind, reached: set[str]
) -> None:
    edges = {state: progress.edge(MESSAGE, state) for state in ("sent", "held", "delivered", "read")}
    bus.committed([DomainEvent(kind, OTHER)])
    assert not any(edge.is_set() for edge in edges.values())
    bus.committed([DomainEvent(kind, MESSAGE)])
    assert {state for state, edge in edges.items() if edge.is_set()} == reached


def test_several_wait_for_one_message(bus: Bus, progress: Progress) -> None:
    edges = [progress.edge(MESSAGE, "sent") for _ in range(3)]
    bus.committed([DomainEvent(EventKind.MESSAGE_SENT, MESSAGE)])
    assert all(edge.is_set() for edge in edges)


def test_a_contact_that_is_removed_takes_its_messages_along(bus: Bus, progress: Progress) -> None:
    edges = [progress.edge(message, "read") for message in (MESSAGE, OTHER)]
    bus.committed([DomainEvent(EventKind.CONTACT_REMOVED, 1)])
    assert all(edge.is_set() for edge in edges)


def test_an_edge_taken_after_the_event_is_another(bus: Bus, progress: Progress) -> None:
    edge = progress.edge(MESSAGE, "sent")
    bus.committed([DomainEvent(EventKind.MESSAGE_SENT, MESSAGE)])
    later = progress.edge(MESSAGE, "delivered")
    assert (edge.is_set(), later.is_set()) == (True, False)


def test_nothing_is_kept_for_those_who_have_left(progress: Progress) -> None:
    edge = progress.edge(MESSAGE, "read")
    assert progress.waiting == 1
    del edge
    gc.collect()
    assert progress.waiting == 0
