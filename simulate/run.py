"""Carry out a plan on a cluster of whole nodes, with the oracle looking on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from p2pchat.base.errors import P2PChatError, StoreError, UsageError
from p2pchat.core.backup import Record
from p2pchat.core.params import Params
from p2pchat.services import block, mailboxes
from p2pchat.services import contacts as book
from p2pchat.services.context import Context, Reach
from p2pchat.store import offer
from p2pchat.store.db import Tx
from p2pchat.store.disk import PROBE_S
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import CHEAP, Cluster, Node
from p2pchat.testing.faulty import FaultyConnection
from simulate.oracle import Device, Oracle, name_of
from simulate.plan import DAY_S, HOUR_S, Act, Kind, Plan

LEAN: Final[Params] = dataclasses.replace(
    CHEAP, alpha=3, k=6, answering_storers=3, poll_schedule_s=(0, 900, 7200), retry_min_s=60.0,
    retry_max_s=7_200.0, backoff_min_s=300.0, backoff_max_s=3_600.0,
)  # fmt: skip
"""Walks of a small network: its nodes are few, and what a lookup meets in a large one ``scripts/bench simulation``
shows. Fewer polls in the first minutes: two who are there at once meet by their watches."""

_ENTRIES: Final = 4  # nodes that everybody begins with; those that they have met come besides
_LOOK_S: Final = 12 * HOUR_S
_MAILBOX_S: Final = HOUR_S


@dataclass(slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        complaints: what the oracle has to say; empty is good.
        accepted, arrived, excused: texts.
        acts: how often what happened.
        digest: of everything that every node has told, in order: the same whenever the seed is run again.
        days: until the first complaint, or the end.
    """

    complaints: list[str] = field(default_factory=list[str])
    accepted: int = 0
    arrived: int = 0
    excused: int = 0
    acts: Counter[str] = field(default_factory=Counter[str])
    digest: str = ""
    days: float = 0.0


@dataclass(slots=True)
class _Person:
    """Somebody.

    Attributes:
        node: the newest device; None: there was none yet.
        todo: what waits until the node is up.
        backup, backed_up_s: the last one, and when it was made.
        added: whom they have ever added.
        is_lost: the device is gone, and there is no other yet.
    """

    who: int
    node: Node | None = None
    disk: FaultyConnection | None = None
    todo: list[Act] = field(default_factory=list[Act])
    added: list[int] = field(default_factory=list[int])
    backup: list[Record] = field(default_factory=list[Record], repr=False)
    backed_up_s: float = 0.0
    is_lost: bool = False

    @property
    def context(self) -> Context | None:
        """None while the node is down."""
        return self.node.running.context if self.node is not None and self.node.running is not None else None


async def carry_out(plan: Plan, seed: int, *, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run a plan until the end, or until the oracle has something to complain of.

    Concurrency: under an autojump clock, a fixed schedule and a fixed PYTHONHASHSEED it is the same every time.
    """
    async with Cluster.running(params=LEAN, seed=seed) as cluster, trio.open_nursery() as nursery:
        outcome = await _World(plan, cluster, nursery).run(say)
        nursery.cancel_scope.cancel()
    return outcome


class _World:
    def __init__(self, plan: Plan, cluster: Cluster, nursery: trio.Nursery) -> None:
        self._plan = plan
        self._cluster = cluster
        self._nursery = nursery
        self._outcome = Outcome()
        self._oracle = Oracle()
        self._people = [_Person(who) for who in range(plan.scale.nodes)]
        self._began = trio.current_time()
        self._nodes: list[Node] = []
        self._deeds: dict[Kind, Callable[[_Person, Act], Awaitable[None]]] = {
            "up": self._up, "down": self._down, "kill": self._kill, "add": self._add, "text": self._text,
            "cut": self._part, "stall": self._part, "heal": self._part, "ill": self._ail, "well": self._ail,
            "clock": self._set_clock, "block": self._block, "unblock": self._block, "backup": self._back_up,
            "lose": self._lose, "restore": self._restore,
        }  # fmt: skip
        cluster.entries = [name_of(who) for who in plan.staying][:_ENTRIES]
        cluster.reach = Reach(relay_use=False)

    async def run(self, say: Callable[[str], None]) -> Outcome:
        """Until the end, or the first complaint."""
        self._nursery.start_soon(self._act)
        outcome, end_s, looked_s = self._outcome, self._plan.scale.days * DAY_S, 0.0
        while looked_s < end_s and not outcome.complaints:
            looked_s = min(looked_s + _LOOK_S, end_s)
            await trio.sleep_until(self._began + looked_s)
            outcome.complaints = await self._oracle.complaints()
            say(f"day {looked_s / DAY_S:.1f}: {len(self._oracle.said):,} texts")
        if not outcome.complaints:
            outcome.complaints = await self._oracle.at_the_end(self._plan.friends, end_s)
        said = [each for each in self._oracle.said if not each.is_refused]
        outcome.accepted, outcome.arrived = len(said), await self._oracle.arrived()
        outcome.excused = sum(each.is_excused for each in said)
        outcome.days, outcome.digest = looked_s / DAY_S, self._digest()
        return outcome

    async def _act(self) -> None:
        for act in self._plan.acts:
            await trio.sleep_until(self._began + act.at_s)
            self._outcome.acts[act.kind] += 1
            await self._deeds[act.kind](self._people[act.who], act)

    def _now_s(self) -> float:
        return trio.current_time() - self._began

    def _digest(self) -> str:
        told = hashlib.sha256()
        for node in self._nodes:
            told.update(repr([(each.kind.value, each.subject, each.contact) for each in node.events]).encode())
        return told.hexdigest()[:16]

    # -- coming and going ---------------------------------------------------------------------------------------------

    async def _up(self, person: _Person, _: Act) -> None:
        if person.context is not None or person.is_lost:
            return
        if person.node is None:
            who = person.who
            number, skew_s = f"+8210{10_000_000 + who}", self._plan.skews[who]
            person.node = await self._cluster.add(name_of(who), number, skew_s=skew_s)
            await self._has(person)
        else:
            self._heal_disk(person)  # nobody starts a node whose disk is full
            await self._cluster.start(person.node)
        waiting, person.todo = person.todo, []
        for act in waiting:
            await self._deeds[act.kind](person, act)

    async def _has(self, person: _Person) -> None:
        """Of a device that is new."""
        assert person.node is not None  # noqa: S101  whoever calls this has just made it
        self._nodes.append(person.node)
        person.disk = FaultyConnection.under(person.node.database)
        quota = self._plan.staying.get(person.who, 0)
        self._oracle.devices.setdefault(person.who, []).append(Device(person.who, person.node.database, quota))
        if not quota:
            self._nursery.start_soon(self._choose_mailboxes, person, person.node)
        elif person.context is not None:
            await person.node.database.run(lambda tx: offer.save(tx, Offer("anyone", quota)))
            await person.context.offered()

    async def _choose_mailboxes(self, person: _Person, node: Node) -> None:
        """As ``mailbox use --auto``, some time after the device is new; from then on the node looks after them."""
        while person.node is node:
            await trio.sleep(_MAILBOX_S)
            context = person.context
            if context is None or person.node is not node:
                continue
            with suppress(P2PChatError):  # nobody was found, or the disk is full: again later, as a person would
                settled = await mailboxes.request(context, None, auto=True)
                await context.db.run(partial(mailboxes.settle, context=context, settled=settled))
                return

    async def _down(self, person: _Person, _: Act) -> None:
        if person.node is not None:
            await self._cluster.crash(person.node)

    async def _kill(self, person: _Person, act: Act) -> None:
        if person.context is None or person.node is None:
            return
        await self._cluster.crash(person.node)
        self._nursery.start_soon(self._start_again, person, act)

    async def _start_again(self, person: _Person, act: Act) -> None:
        await trio.sleep(act.value)
        await self._up(person, act)

    async def _back_up(self, person: _Person, _: Act) -> None:
        if person.context is not None and person.node is not None:
            self._heal_disk(person)
            person.backup, person.backed_up_s = await person.node.backup(), self._now_s()

    async def _lose(self, person: _Person, _: Act) -> None:
        if person.node is None or not person.backup or person.is_lost:
            return
        person.is_lost = True
        await self._cluster.crash(person.node)
        self._oracle.lose(person.who, person.backed_up_s)

    async def _restore(self, person: _Person, _: Act) -> None:
        if not person.is_lost or person.node is None:
            return
        skew_s = self._plan.skews[person.who]
        person.node = await self._cluster.restore(person.node, person.backup, skew_s=skew_s)
        person.is_lost = False
        await self._has(person)
        for other in person.added:  # who is not in the backup is missed, and added again
            with suppress(UsageError):  # those are blocked
                await self._add_to_book(person.node, other)

    # -- what people do -----------------------------------------------------------------------------------------------

    async def _add(self, person: _Person, act: Act) -> None:
        if person.context is None or person.node is None:
            person.todo.append(act)
            return
        self._heal_disk(person)
        await self._add_to_book(person.node, act.other)
        person.added.append(act.other)

    async def _add_to_book(self, node: Node, other: int) -> None:
        while True:
            try:
                await node.add(f"+8210{10_000_000 + other}", name_of(other))
                return
            except StoreError:  # the disk was full a moment ago: until the store has seen that it no longer is
                await trio.sleep(PROBE_S)

    async def _text(self, person: _Person, act: Act) -> None:
        """Nobody types where no node is, or to whom they have not added, or have blocked."""
        if person.context is None or person.node is None:
            return
        text = self._oracle.say(act.who, act.other, self._now_s())
        try:
            await person.node.send(name_of(act.other), text)
        except P2PChatError:
            self._oracle.refused()

    async def _block(self, person: _Person, act: Act) -> None:
        """Where the node is down, or the other not added yet: when it is."""
        context = person.context
        if context is None:
            person.todo.append(act)
            return
        self._heal_disk(person)
        change = block.block if act.kind == "block" else block.unblock

        def work(tx: Tx) -> None:
            change(tx, context, book.resolve(tx, context, name_of(act.other)))

        with suppress(UsageError):  # not added yet, or not blocked for that reason
            await context.db.run(work)
            if act.kind == "block":
                self._oracle.block(act.who, act.other)
            else:
                self._oracle.unblock(act.who, act.other, self._now_s())

    # -- what befalls machines ----------------------------------------------------------------------------------------

    async def _part(self, person: _Person, act: Act) -> None:
        other = self._people[act.other]
        if person.node is not None and other.node is not None:
            network = self._cluster.network
            deed = {"cut": network.cut, "stall": network.stall, "heal": network.heal}[act.kind]
            deed(person.node.network, other.node.network)

    async def _ail(self, person: _Person, act: Act) -> None:
        if act.kind == "well":
            self._heal_disk(person)
        elif person.disk is not None and person.context is not None:
            person.disk.ill = "full"

    def _heal_disk(self, person: _Person) -> None:
        if person.disk is not None:
            person.disk.ill = None

    async def _set_clock(self, person: _Person, act: Act) -> None:
        if person.node is not None:
            person.node.now.skew_s = self._plan.skews[person.who] + act.value
