"""One run: texts through all that the plan has, everything healed, and what is there at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from bench.report import machine
from chaos.attackers import KINDS
from chaos.figures import Figures, Sample, absent_s, latencies, spans
from chaos.hellos import Hellos
from chaos.link import Heal
from chaos.node import Daemon
from chaos.plan import Act, drawn
from chaos.seen import Seen
from chaos.soak import burden, swollen
from chaos.verdict import Check, Evidence, Row, first_wrong, verdict
from chaos.world import World
from p2pchat.api.errors import ApiError
from p2pchat.cli.reading import number, objects, text
from p2pchat.cli.sandbox import Sandbox

DRAIN_S: Final = 180.0
_TICK_S: Final = 0.02
_SAMPLE_S: Final = 2.0
_SOAK_SAMPLE_S: Final = 20.0
_HELLO_S: Final = 0.5
_TOLD_S: Final = 30.0
_EXPLAINED: Final = 5
SEEN: Final = "seen.json"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run shall be; ``per_s``: texts a second, of all nodes together; ``is_soak``: nothing goes wrong."""

    seconds: float
    seed: int
    nodes: int
    attackers: bool
    per_s: float
    is_soak: bool = False

    def plan(self, *skipped: str) -> list[Act]:
        """What will befall the nodes."""
        if self.is_soak:
            return []
        return drawn(self.seed, self.seconds, self.nodes, KINDS if self.attackers else (), skipped)


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    checks: list[Check]
    figures: Figures


@dataclass(slots=True)
class _Course:
    """What is noted while it runs. Moments are those of ``time.monotonic``."""

    began_s: float = 0.0
    healed_s: float = 0.0
    drained_s: float = 0.0
    disk: list[int] = field(default_factory=list[int])
    samples: list[Sample] = field(default_factory=list[Sample])
    hellos: Hellos = field(default_factory=Hellos)
    acts: list[Act] = field(default_factory=list[Act])


def run(sandbox: Sandbox, folder: Path, asked: Asked, say: Say) -> Outcome:
    """All of it. ``say`` gets the plan, and what happens when it does.

    Raises:
        ApiError: it could not begin, or not go on.
    """
    told = machine()
    world = World(sandbox, folder, asked.nodes, asked.seed, int(asked.seconds * asked.per_s), say)
    try:
        course = _Run(world, asked, say)
        world.begin()
        return course.outcome(told)
    finally:
        world.close()


class _Run:
    def __init__(self, world: World, asked: Asked, say: Say) -> None:
        self._world = world
        self._asked = asked
        self._say = say
        self._plan = asked.plan(*("fill" for _ in range(world.disk is None)))
        self._course = _Course()
        say(f"seed {asked.seed}, {asked.nodes} nodes, {asked.seconds:g} s; the plan:")
        for act in self._plan:
            say(f"  {act}")

    def outcome(self, told: Callable[[], dict[str, object]]) -> Outcome:
        """After everything."""
        self._storm()
        self._drain()
        evidence = self._evidence()
        self._world.tell(self._world.folder / SEEN)
        seen = msgspec.json.decode((self._world.folder / SEEN).read_bytes(), type=Seen)
        carried = self._world.link.ask(Heal(), int)
        self._world.shut_down()
        evidence.ends = self._world.ends
        evidence.restored = self._world.restored
        evidence.logs = [
            line
            for node in self._world.nodes
            for line in node.complaints(is_damaged=node.index in self._world.restored)
        ]
        evidence.grown = self._grown(seen)
        evidence.swollen = list(swollen(self._course.samples)) if self._asked.is_soak else []
        checks = verdict(seen, evidence)
        return Outcome(checks, self._figures(seen, evidence, checks, carried, told()))

    # -- the course ------------------------------------------------------------------------------------------------

    def _storm(self) -> None:
        """Everything that is planned, while they talk."""
        world, course = self._world, self._course
        course.disk = [node.disk_bytes() for node in world.nodes]
        course.began_s = time.monotonic()
        world.send(self._asked.per_s)
        left = list(self._plan)
        every_s = min(_SOAK_SAMPLE_S, self._asked.seconds / 20) if self._asked.is_soak else _SAMPLE_S
        sampled = greeted = told = course.began_s - _TOLD_S
        late_s = 0.0
        while (now_s := time.monotonic()) - course.began_s < self._asked.seconds + late_s:
            world.tend()
            if left and now_s - course.began_s >= left[0].at_s + late_s:
                act = left.pop(0)
                began = time.monotonic()
                self._tell(f"{act.words}, {act.for_s:.1f} s")
                world.strike(act, course.began_s + act.until_s + late_s, self._asked.per_s)
                took_s = time.monotonic() - began
                course.acts.append(replace(act, at_s=began - course.began_s, for_s=max(act.for_s, took_s)))
                late_s += max(0.0, took_s - act.for_s) if act.kind == "damage" else 0.0
            if now_s - sampled >= every_s:
                sampled = now_s
                self._sample()
            if now_s - greeted >= _HELLO_S:
                greeted = now_s
                self._greet()
            if now_s - told >= _TOLD_S:
                told = now_s
                self._tell("")
            time.sleep(_TICK_S)

    def _drain(self) -> None:
        """Everything healed, nothing new said, until all has arrived, or it takes too long."""
        world, course = self._world, self._course
        world.send(0)
        world.heal()
        self._tell("everything is healed")
        course.healed_s = time.monotonic()
        while time.monotonic() < course.healed_s + DRAIN_S:
            world.tend()
            look = world.look()
            if all(look.present) and not any(look.waiting) and self._at_rest():
                break
            time.sleep(0.1)
        course.drained_s = time.monotonic()
        self._sample()
        self._tell(f"drained, {course.drained_s - course.healed_s:.1f} s later")

    def _at_rest(self) -> bool:
        with suppress(ApiError):  # it is not there again yet
            return self._world.quiet and not any(_outbox(node) for node in self._world.nodes)
        return False

    def _greet(self) -> None:
        present = self._world.look().present
        self._course.hellos.ask([node for node in self._world.nodes if present[node.index] and not node.is_stopped])

    def _sample(self) -> None:
        course, nodes = self._course, self._world.nodes
        at_s = time.monotonic() - course.began_s
        present = self._world.look().present  # who is not opens its key, which takes 256 MiB for a second
        rss_mb = [round(node.rss_mb(), 1) if present[node.index] else 0.0 for node in nodes]
        sizes = [node.disk_bytes() for node in nodes]
        burdens = [burden(node) for node in nodes] if self._asked.is_soak else []
        course.samples.append(Sample(round(at_s, 1), rss_mb, sum(sizes), burdens))

    def _tell(self, what: str) -> None:
        look = self._world.look()
        waiting = look.said - look.received
        at_s = time.monotonic() - self._course.began_s
        absent = [str(node) for node, present in enumerate(look.present) if not present]
        away = f"  no answer: {' '.join(absent)}" if absent else ""
        self._say(f"{at_s:7.1f} s  {look.accepted:>6,} accepted {waiting:>5,} under way  {what}{away}")

    # -- what is there at the end ----------------------------------------------------------------------------------

    def _evidence(self) -> Evidence:
        evidence = Evidence(rss_mb=[max(each) for each in zip(*(s.rss_mb for s in self._course.samples), strict=True)])
        for node in self._world.nodes:
            outbox = 0
            try:
                for other in self._world.nodes:
                    if other is not node:
                        rows = _history(node, f"Node {other.index}")
                        evidence.histories[node.index, other.index] = rows
                outbox = _outbox(node)
                if outbox:
                    evidence.explained += _explained(node)
            except ApiError as error:
                evidence.ends.append(f"{node} does not answer: {error.error_name}: {error.message}")
            evidence.outboxes.append(outbox)
        evidence.hellos = self._course.hellos
        evidence.pretended = list(self._pretended())
        return evidence

    def _pretended(self) -> list[str]:
        planned = {act.kind for act in self._plan}
        done = self._world.done
        missing = [f"no {kind} happened" for kind in sorted(planned) if not done.get(kind)]
        if "flood" in planned and not self._world.attacked:
            missing.append("nobody was attacked")
        if "slow" in planned and not self._waited():
            missing.append("no commit was slow")
        return missing

    def _waited(self) -> int:
        return sum(node.waited for node in self._world.nodes)

    def _grown(self, seen: Seen) -> list[tuple[int, int]]:
        texts = [sum(index in (said.writer, said.reader) for said in seen.said) for index in range(seen.nodes)]
        sizes = [node.disk_bytes() - before for node, before in zip(self._world.nodes, self._course.disk, strict=True)]
        held = sum(said.held for said in seen.said)  # boxes of others, in the first two's
        return [(size, count + held) for size, count in zip(sizes, texts, strict=True)]

    def _figures(
        self, seen: Seen, evidence: Evidence, checks: list[Check], carried: int, told: dict[str, object]
    ) -> Figures:
        world, course, samples = self._world, self._course, self._course.samples
        troubles, floods = spans(course.acts, seen.nodes, course.began_s)
        wrong = first_wrong(checks)
        disk = [sample.disk_bytes / 1e6 for sample in samples]
        return Figures(
            self._asked.seed,
            self._asked.nodes,
            self._asked.seconds / 60,
            "PASS" if wrong is None else "FAIL",
            wrong,
            said=len(seen.said),
            accepted=sum(said.id is not None for said in seen.said),
            received=sum(bool(said.received_s) for said in seen.said),
            held=sum(bool(said.held) for said in seen.said),
            calls_repeated=sum(max(0, said.asked - 1) for said in seen.said),
            events=seen.events,
            refusals=seen.refusals,
            acts=world.done,
            kills=sum(node.kills for node in world.nodes),
            starts_refused=world.refused_starts,
            latency=latencies(seen.said, troubles, floods),
            drained_s=course.drained_s - course.healed_s,
            rss_mb={
                "start": max(samples[0].rss_mb),
                "most": max(evidence.rss_mb),
                "end": max(samples[-1].rss_mb),
            },
            disk_mb={"start": disk[0], "end": disk[-1]},
            carried_mb=carried / 1e6,
            absent_s=absent_s(seen, course.began_s, course.drained_s),
            commits_waited=self._waited(),
            hellos=course.hellos,
            floods=[
                {"kind": kind, "offered": each.offered, "bytes": each.bytes, "cuts": each.cuts}
                for kind, each in world.attacked
            ],
            cannot=world.cannot,
            machine=told,
            plan=course.acts,
            samples=samples,
            texts=[
                (round(said.asked_s - course.began_s, 3), round(said.received_s[0] - said.asked_s, 4))
                for said in seen.said
                if said.received_s
            ],
        )


def _outbox(node: Daemon) -> int:
    return number(node.call("node.status"), "outbox")


def _history(node: Daemon, to: str) -> list[Row]:
    """The whole conversation, oldest first."""
    found: list[dict[str, Any]] = []
    before: object = None
    while True:
        page = node.call("message.list", to=to, limit=1000, **({} if before is None else {"before": before}))
        found = objects(page, "messages") + found
        before = page["next"]
        if before is None:
            return cast("list[Row]", found)


def _explained(node: Daemon) -> list[str]:
    """Why the first of what is pending has not arrived, as it says itself."""
    contacts = objects(node.call("contacts.list"), "contacts")
    rows = [row for contact in contacts for row in _history(node, text(contact, "name"))]
    pending = [row for row in rows if row["direction"] == "out" and row["state"] in ("queued", "sent", "held")]
    return [f"{node}: {row['text'][:40]}: {node.call('message.explain', id=row['id'])}" for row in pending[:_EXPLAINED]]
