"""One run: two daemons matched, texts both ways through all that the schedule has, and what is there at the end."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from chaos.disk import Disk, NotAllowed
from tests.endure.link import Relay
from tests.endure.schedule import HOUR_S, NAMES, SMALL_DISK, Action, Clock, Free, Moment, Scale, drawn
from tests.endure.talk import Writer
from tests.endure.verdict import Check, Seen, verdict
from tests.endure.world import World

_STRIKES_WITHIN_S: Final = 120.0
_SETTLES_WITHIN_S: Final = 300.0
_DISK_MIB: Final = 32
_DISK_MIB_A_THOUSAND: Final = 12

Say = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What came of it."""

    checks: list[Check]
    facts: dict[str, str] = field(default_factory=dict[str, str])
    missing: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        """Whether nothing was wrong, and everything that was to happen did."""
        return not self.missing and not any(check.wrong for check in self.checks)


def endure(folder: Path, seed: int, scale: Scale, say: Say) -> Report:
    """Run it. ``say`` gets the schedule, line by line, as it happens.

    Concurrency: this process must not have threads yet.
    """
    with ExitStack() as stack:
        skipped: list[str] = []
        disk: Disk | None = None
        try:
            size_mib = _DISK_MIB + _DISK_MIB_A_THOUSAND * scale.messages // 1000
            disk = stack.enter_context(Disk(folder / "small", size_mib))
        except NotAllowed as reason:
            skipped.append(f"the full disk: no small file system can be mounted here ({reason})")
        relay = stack.enter_context(Relay())
        world = World(folder, relay, disk)
        stack.callback(world.end)
        world.begin()
        report = _Run(world, seed, scale, say).report()
        report.skipped = skipped
        return report


def texts_of(who: int, seed: int, count: int) -> list[str]:
    """All different, most of them short."""
    chance = random.Random(f"{seed} {who}")
    return [
        f"{NAMES[who]} {seed} says {number}" + " and more" * int(chance.expovariate(0.3)) for number in range(count)
    ]


class _Run:
    """What happens once the two are matched."""

    def __init__(self, world: World, seed: int, scale: Scale, say: Say) -> None:
        self._world = world
        self._scale = scale
        self._say = say
        self._schedule = drawn(seed, scale, disk=world.disk is not None)
        self._texts = [texts_of(who, seed, scale.messages) for who in (0, 1)]
        self._writers = [world.writer(who, f"{seed}-{who}", self._texts[who]) for who in (0, 1)]
        self._began = time.monotonic()
        self._flows_s: list[float] = []

    def report(self) -> Report:
        """After everything."""
        for number, moment in enumerate(self._schedule, 1):
            if moment.flowing and self._accepted() > self._world.delivered():
                self._flow()
            self._send_until(number, moment)
            self._make_felt(moment.action)
            self._tell(str(moment.action))
            self._world.strike(moment)
        try:
            self._settle()
        except AssertionError as late:  # the verdict says what is not there
            self._tell(f"waited in vain: {late}")
        took_s = time.monotonic() - self._began
        checks = verdict((self._seen(0), self._seen(1)))
        return Report(checks, self._facts(took_s), list(self._missing()))

    def _flow(self) -> None:
        took_s = self._world.flow()
        if took_s is not None:
            self._flows_s.append(took_s)
            self._tell(f"it flows, {took_s:.1f} s after both answered")

    def _send_until(self, number: int, moment: Moment) -> None:
        """Let both send another share, until the part of it was accepted that the moment waits for."""
        parts, messages = len(self._schedule) + 1, self._scale.messages
        before, share = messages * (number - 1) // parts, messages * number // parts
        mark = self._accepted() + max(1, int((share - before) * moment.part))
        for writer in self._writers:
            writer.allow(share)
        self._world.wait(lambda: self._accepted() >= mark, "the run does not go on", _STRIKES_WITHIN_S)
        time.sleep(moment.delay_s)

    def _make_felt(self, end: Action) -> None:
        """Before a disk is freed, or a clock set right, let texts be sent one by one until it has made a difference."""
        match end:
            case Free():
                self._send_one_by_one(SMALL_DISK, self._noticed)
            case Clock(who, ahead_s=0):
                self._send_one_by_one(who, partial(self._misdated, who))
            case _:
                pass

    def _send_one_by_one(self, who: int, felt: Callable[[], bool]) -> None:
        writer = self._writers[who]
        for count in range(len(writer.replies) + 1, self._scale.messages + 1):
            if felt():
                return
            writer.allow(count)
            answered = partial(self._answered, writer, count, felt)
            self._world.wait(answered, "nobody answers", _STRIKES_WITHIN_S)

    def _answered(self, writer: Writer, count: int, felt: Callable[[], bool]) -> bool:
        return len(writer.replies) >= count or felt()

    def _noticed(self) -> bool:
        """Whether anybody was told that the disk is full."""
        return bool(self._writers[SMALL_DISK].refusals or self._world.peers[SMALL_DISK].gave_up)

    def _misdated(self, who: int) -> bool:
        """Whether a text was dated by a clock that was off, and the listener knows."""
        now_ms = time.time() * 1000
        dates = (event["ts"] for event in reversed(self._world.listeners[who].events))
        return any(abs(date - now_ms) > HOUR_S * 1000 / 2 for date in dates)

    def _settle(self) -> None:
        """Let all be sent and arrive."""
        for writer in self._writers:
            writer.allow(self._scale.messages)
        self._world.wait(lambda: all(writer.done for writer in self._writers), "not accepted", _SETTLES_WITHIN_S)
        self._tell("all accepted")
        self._world.wait(self._world.at_rest, "not at rest", _SETTLES_WITHIN_S, 0.05)
        self._tell("both outboxes empty")

    def _seen(self, who: int) -> Seen:
        peer, listener, writer = self._world.peers[who], self._world.listeners[who], self._writers[who]
        peer.become_ready()
        return Seen(
            self._texts[who],
            writer.refused,
            writer.replies,
            peer.history(NAMES[1 - who]),
            listener.events,
            peer.outbox(),
            [*writer.complaints, *listener.complaints, *peer.complaints()],
        )

    def _facts(self, took_s: float) -> dict[str, str]:
        world, writers = self._world, self._writers
        facts = {
            "took": f"{took_s:.0f} s, {self._accepted() / took_s:.0f} messages/s through it all",
            "kills": f"{world.kills}; {sum(writer.repeated for writer in writers):,} calls repeated that had been done",
            "flows again": self._flows(),
            "link": f"{world.relay.carried_bytes:,} bytes, cut {world.relay.cuts} times",
            "full disk": f"{sum(writer.refusals for writer in writers):,} texts refused, and sent again; "
            f"{world.peers[SMALL_DISK].gave_up} starts refused",
        }
        for name, peer in zip(NAMES, world.peers, strict=True):
            kinds = peer.logged().most_common()
            facts[f"{name} logged"] = ", ".join(f"{count} × {kind}" for kind, count in kinds)
        return facts

    def _flows(self) -> str:
        if not self._flows_s:
            return "never waited for"
        half_s, longest_s = statistics.median(self._flows_s), max(self._flows_s)
        return f"{half_s:.1f} s after both answered (half of {len(self._flows_s)}), {longest_s:.1f} s at the longest"

    def _missing(self) -> Iterator[str]:
        """What was to happen and did not: then the rest shows less than it seems to."""
        world = self._world
        if world.kills != self._scale.kills:
            yield f"{world.kills} kills instead of {self._scale.kills}"
        if world.relay.cuts != self._scale.cuts or not world.relay.carried_bytes:
            yield "the link was not between the two, or not cut"
        if world.disk is not None and not self._noticed():
            yield "nobody noticed that the disk was full"
        yield from (f"{NAMES[who]}'s clock was never off" for who in (0, 1) if not self._misdated(who))

    def _accepted(self) -> int:
        return sum(len(writer.replies) for writer in self._writers)

    def _tell(self, what: str) -> None:
        accepted = self._accepted()
        waiting = accepted - self._world.delivered()
        self._say(f"{time.monotonic() - self._began:6.1f} s {accepted:7,} accepted {waiting:6,} under way  {what}")
