"""The people of a run, what waits for them, and what every deed needs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.backup import Record
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.store.db import Tx
from p2pchat.store.disk import PROBE_S
from p2pchat.testing.cluster import Cluster, Node
from p2pchat.testing.faulty import FaultyConnection, Ill, Slowness
from simulate.oracle import Oracle, name_of
from simulate.plan import Act, Plan

T = TypeVar("T")


@dataclass(slots=True)
class Person:
    """Somebody.

    Attributes:
        node: the newest device; None: there was none yet.
        todo: what waits until the node is up.
        backup, backed_up_s: the last one, and when it was made.
        added: whom they have added by number; ``met``: with whom they are by an invite.
        is_lost: the device is gone, and there is no other yet.
    """

    who: int
    node: Node | None = None
    disk: FaultyConnection | None = None
    slowness: Slowness | None = None
    todo: list[Act] = field(default_factory=list[Act])
    added: list[int] = field(default_factory=list[int])
    met: list[int] = field(default_factory=list[int])
    backup: list[Record] = field(default_factory=list[Record], repr=False)
    backed_up_s: float = 0.0
    is_lost: bool = False

    @property
    def context(self) -> Context | None:
        """None while the node is down."""
        return self.node.running.context if self.node is not None and self.node.running is not None else None


class Stage:
    """Everybody, and the oracle that looks on."""

    def __init__(self, plan: Plan, cluster: Cluster, nursery: trio.Nursery) -> None:
        self._plan = plan
        self._cluster = cluster
        self._nursery = nursery
        self._oracle = Oracle()
        self._people = [Person(who) for who in range(plan.scale.nodes)]
        self._began = trio.current_time()
        self._nodes: list[Node] = []
        self._links: dict[tuple[int, int], str] = {}  # of the second's, for the first
        self._invited: dict[tuple[int, int], int] = {}  # for whom somebody's invite of that row is

    async def _add_to_book(self, person: Person, other: int) -> None:
        """While their node is up."""
        context = person.context
        assert context is not None  # noqa: S101
        await self._written(person, lambda tx: book.add(tx, context, number_of(other), name_of(other)))

    @contextmanager
    def _readable(self) -> Generator[None]:
        """The oracle looks past what ails a disk, which is well for no time at all."""
        there = [(each.disk, each.slowness) for each in self._people if each.disk is not None and each.slowness]
        before: list[tuple[Ill | None, float]] = [(disk.ill, slowness.seconds) for disk, slowness in there]
        for disk, slowness in there:
            disk.ill, slowness.seconds = None, 0.0
        try:
            yield
        finally:
            for (disk, slowness), (ill, seconds) in zip(there, before, strict=True):
                disk.ill, slowness.seconds = ill, seconds

    async def _written(self, person: Person, job: Callable[[Tx], T]) -> T:
        """What somebody does by their node, who tries again where the disk refuses."""
        while True:
            await self._heal_disk(person)
            assert person.node is not None  # noqa: S101  whoever calls this has just looked
            with suppress(StoreError):  # it has just become ill
                return await person.node.database.run(job)

    async def _heal_disk(self, person: Person) -> None:
        """For who wants to do something: until the store has seen that it is well again."""
        if person.disk is not None:
            person.disk.ill = None
        if person.slowness is not None:
            person.slowness.seconds = 0.0
        context = person.context
        while context is not None and not await _is_well(context):  # noqa: ASYNC110  only a job looks at the disk
            await trio.sleep(PROBE_S)

    def _now_s(self) -> float:
        return trio.current_time() - self._began


async def _is_well(context: Context) -> bool:
    """A job has the disk tried, if it was long ago."""
    with suppress(StoreError):
        await context.db.run(lambda _: None)
    return context.db.disk in ("ok", "slow")


def number_of(who: int) -> str:
    return f"+8210{10_000_000 + who}"
