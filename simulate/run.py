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
from p2pchat.core.keys import load_identity
from p2pchat.core.params import Params
from p2pchat.core.storer import Storer
from p2pchat.services.context import Reach
from p2pchat.testing.cluster import CHEAP, Cluster, Node
from p2pchat.testing.faulty import FaultyConnection, Ill, Slowness
from simulate.acquaintance import Acquaintance
from simulate.holders import Holders
from simulate.oracle import Device, name_of
from simulate.people import Person, number_of
from simulate.plan import DAY_S, FLOOD_CHARS, HOUR_S, Act, Kind, Plan

LEAN: Final[Params] = dataclasses.replace(
    CHEAP, alpha=3, k=6, answering_storers=3, poll_schedule_s=(0, 900, 7200), retry_min_s=60.0,
    retry_max_s=7_200.0, backoff_min_s=300.0, backoff_max_s=3_600.0,
)  # fmt: skip
"""Walks of a small network: its nodes are few, and what a lookup meets in a large one ``scripts/bench simulation``
shows. Fewer polls in the first minutes: two who are there at once meet by their watches."""

_ENTRIES: Final = 4  # nodes that everybody begins with; those that they have met come besides
_LOOK_S: Final = 12 * HOUR_S
_TODO: Final = 32
_ILL: Final[dict[Kind, Ill]] = {"ill": "full", "failing": "failing", "unreadable": "unreadable"}


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


async def carry_out(plan: Plan, seed: int, *, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run a plan until the end, or until the oracle has something to complain of.

    Concurrency: under an autojump clock, a fixed schedule and a fixed PYTHONHASHSEED it is the same every time.
    """
    async with Cluster.running(params=LEAN, seed=seed) as cluster, trio.open_nursery() as nursery:
        outcome = await _World(plan, cluster, nursery).run(say)
        nursery.cancel_scope.cancel()
    return outcome


class _World(Acquaintance, Holders):
    def __init__(self, plan: Plan, cluster: Cluster, nursery: trio.Nursery) -> None:
        super().__init__(plan, cluster, nursery)
        self._outcome = Outcome()
        self._deeds: dict[Kind, Callable[[Person, Act], Awaitable[None]]] = {
            "up": self._up, "down": self._down, "kill": self._kill, "add": self._add, "text": self._text,
            "cut": self._part, "stall": self._part, "heal": self._part, "ill": self._ail, "well": self._ail,
            "failing": self._ail, "unreadable": self._ail, "slow": self._ail,
            "clock": self._set_clock, "block": self._block, "unblock": self._block, "backup": self._back_up,
            "lose": self._lose, "restore": self._restore, "offer": self._offer, "use": self._use, "flood": self._flood,
            "invite": self._invite, "redeem": self._redeem, "remove": self._remove, "add again": self._add_again,
            "reinstall": self._reinstall,
        }  # fmt: skip
        cluster.entries = [name_of(who) for who in plan.staying][:_ENTRIES]
        cluster.reach = Reach(relay_use=False)

    async def run(self, say: Callable[[str], None]) -> Outcome:
        """Until the end, or the first complaint."""
        self._nursery.start_soon(self._act)
        outcome, end_s, looked_s = self._outcome, self._plan.scale.days * DAY_S, 0.0
        while looked_s < end_s and not outcome.complaints:
            looked_s = min(looked_s + HOUR_S, end_s)
            await trio.sleep_until(self._began + looked_s)
            with self._readable():
                if looked_s % _LOOK_S and looked_s < end_s:
                    outcome.complaints = await self._oracle.of_holders(self._plan.staying)
                    continue
                outcome.complaints = await self._oracle.complaints(looked_s)
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

    def _digest(self) -> str:
        told = hashlib.sha256()
        for node in self._nodes:
            told.update(repr([(each.kind.value, each.subject, each.contact) for each in node.events]).encode())
        return told.hexdigest()[:16]

    # -- coming and going ---------------------------------------------------------------------------------------------

    async def _up(self, person: Person, _: Act) -> None:
        if person.context is not None or person.is_lost:
            return
        if person.node is None:
            await self._begin(person)
        else:
            await self._heal_disk(person)  # nobody starts a node whose disk is full
            await self._cluster.start(person.node)
        waiting, person.todo = person.todo, []
        for act in waiting:
            await self._deeds[act.kind](person, act)

    async def _begin(self, person: Person) -> None:
        """A device with a new identity."""
        skew_s = self._plan.skews[person.who]
        person.node = await self._cluster.add(name_of(person.who), number_of(person.who), skew_s=skew_s)
        await self._has(person)

    async def _reinstall(self, person: Person, _: Act) -> None:
        """Without a backup, and not without those whose number is known."""
        if person.context is None or person.node is None:
            person.todo.append(Act(0.0, "reinstall", person.who))
            return
        await self._cluster.crash(person.node)
        await self._begin(person)
        person.backup = []
        friends = [each.who for each in self._people if person.who in each.added]
        self._oracle.reinstall(person.who, friends, self._now_s())
        for other in person.added:
            await self._add_to_book(person, other)

    async def _has(self, person: Person) -> None:
        """Of a device that is new."""
        assert person.node is not None  # noqa: S101  whoever calls this has just made it
        self._nodes.append(person.node)
        person.disk, person.slowness = FaultyConnection.under(person.node.database), Slowness(person.node.database)
        root = load_identity(person.node.profile.identity).root.public
        device = Device(person.who, person.node.database, storer=partial(_storer, person.node), root=root)
        person.node.database.listen(partial(self._told, person, person.node))
        self._oracle.devices.setdefault(person.who, []).append(device)
        if person.who in self._plan.staying:
            await self._offers(person, self._plan.staying[person.who])
        else:
            self._nursery.start_soon(self._choose_mailboxes, person, person.node)

    async def _down(self, person: Person, _: Act) -> None:
        if person.node is not None:
            await self._cluster.crash(person.node)

    async def _kill(self, person: Person, act: Act) -> None:
        if person.context is None or person.node is None:
            return
        await self._cluster.crash(person.node)
        self._nursery.start_soon(self._start_again, person, act)

    async def _start_again(self, person: Person, act: Act) -> None:
        await trio.sleep(act.value)
        await self._up(person, act)

    async def _back_up(self, person: Person, _: Act) -> None:
        if person.context is not None and person.node is not None:
            await self._heal_disk(person)
            with suppress(StoreError):  # it has just become ill again
                person.backup, person.backed_up_s = await person.node.backup(), self._now_s()

    async def _lose(self, person: Person, _: Act) -> None:
        if person.node is None or not person.backup or person.is_lost:
            return
        person.is_lost = True
        await self._cluster.crash(person.node)
        self._oracle.lose(person.who, person.backed_up_s, self._now_s())

    async def _restore(self, person: Person, _: Act) -> None:
        if not person.is_lost or person.node is None:
            return
        skew_s = self._plan.skews[person.who]
        person.node = await self._cluster.restore(person.node, person.backup, skew_s=skew_s)
        person.is_lost = False
        await self._has(person)
        for other in person.added:  # who is not in the backup is missed, and added again
            with suppress(UsageError):  # those are blocked
                await self._add_to_book(person, other)
            if await _state(person.node, other) == "pending":
                self._oracle.forgot(person.who, other, self._now_s())
        for other in person.met:
            state = await _state(person.node, other)
            if state is None:
                await self._invite(person, Act(0.0, "invite", person.who, other))
            if state in (None, "pending"):
                self._oracle.forgot(person.who, other, self._now_s())
        for other in (*person.added, *person.met):  # the backup may be older than a block, or than its end
            state, is_wanted = await _state(person.node, other), (person.who, other) in self._oracle.blocked
            if state is None and is_wanted:  # invited again, and so not blocked any more
                self._oracle.unblock(person.who, other, self._now_s(), leads=False)
            elif state is not None and (state == "blocked") != is_wanted:
                await self._block(person, Act(0.0, "block" if is_wanted else "unblock", person.who, other))

    # -- what people do -----------------------------------------------------------------------------------------------

    async def _flood(self, person: Person, act: Act) -> None:
        """As much as goes, to somebody whose mailbox holds less."""
        for _ in range(int(act.value) if person.context is not None else 1):  # once it is up, where it is not
            await self._text(person, act)

    async def _text(self, person: Person, act: Act) -> None:
        """Whose node was killed types once it is up; who has not added the other, or has blocked them, is refused."""
        if person.context is None or person.node is None:
            if len(person.todo) < _TODO:
                person.todo.append(act)
            return
        chars = FLOOD_CHARS if act.kind == "flood" else 0
        text = self._oracle.say(act.who, act.other, self._now_s(), chars)
        try:
            await person.node.send(name_of(act.other), text)
        except P2PChatError:
            self._oracle.refused()

    # -- what befalls machines ----------------------------------------------------------------------------------------

    async def _part(self, person: Person, act: Act) -> None:
        other = self._people[act.other]
        if person.node is not None and other.node is not None:
            network = self._cluster.network
            deed = {"cut": network.cut, "stall": network.stall, "heal": network.heal}[act.kind]
            deed(person.node.network, other.node.network)

    async def _ail(self, person: Person, act: Act) -> None:
        if act.kind == "well":
            await self._heal_disk(person)
        elif person.disk is None or person.slowness is None or person.context is None:
            return
        elif act.kind == "slow":
            person.slowness.seconds = act.value
        else:
            person.disk.ill = _ILL[act.kind]

    async def _set_clock(self, person: Person, act: Act) -> None:
        if person.node is not None:
            person.node.now.skew_s = self._plan.skews[person.who] + act.value


async def _state(node: Node, who: int) -> str | None:
    """A contact's; None: there is no such contact."""
    try:
        return (await node.contact(name_of(who))).state
    except UsageError:
        return None


def _storer(node: Node) -> Storer | None:
    """None while it is down."""
    return node.running.context.dht.storer if node.running is not None else None
