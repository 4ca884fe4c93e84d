"""``discovery``: what finding costs in a network of 50 nodes, and what is left of it when 30 % are gone at once.

Before the first run a network of five does a little of everything, which warms files and caches up, and is thrown away.
Each run makes a new network: real libp2p hosts and real DHTs with production parameters, in five processes, each node
on a /24 of its own; one process has a single node, the *requester*. Work is mined before the first run. One node after
the other starts and joins through the first. When the last one's first refresh (after a minute) is over, each walks
eight times, as its first contacts would make it do: what it has learnt of round trips while 50 nodes refreshed on the
same two cores is true of no network. Then single walks are measured.

- *warm*: the requester walks to places that it has never seen, on connections that are there. *Requests*, *out* and
  *in* are a walk's, without libp2p's own bytes.
- *cold*: the same with every connection closed before. *Joining*: a node that knows one other, and then its first walk.
- *put → pushed*: from the call that puts a record to the callback at a node in another process that watches the slot.
- *match*: two daemons in that network. The first has added the second and has long published; by the event logs from
  the second's ``contact.added`` to the later ``contact.matched``. The second's daemon derives its root meanwhile, once:
  nothing but looking for a person derives it, so that there is nothing to have cached.
- *30 % gone*: 15 nodes, of two processes, one stopped (its sockets stay open and silent), one killed. Then every node
  left walks, one node after the other: *first* is its first walk since, *second* the next, which may meet others of the
  dead, *later* are all 20 that follow the first at once. What is asked for are records that nodes now gone have put
  before; *found* is of all readings. *60 s on* is the same again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from bench import limits
from bench.daemons import Node, until
from bench.fleet import Fleet
from bench.fleet_wire import Echo, Errand, Known, Newcomer, Pushes, Walk, Walked, Watch
from bench.measure import Samples, quantile, rounds
from bench.report import Metric
from p2pchat.base.ids import Address, PeerId
from p2pchat.cli.reading import fields, number
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.work import mine
from p2pchat.net.addresses import format_address

ALICE: Final = "+821012345678"
_TCP = ("tcp p50 ms", "TCP echo")
_FAN = ("fan p50 ms", "20 libp2p echoes of 1 KB at once")
_LONE = ("libp2p p50 ms", "libp2p echo")
_WATCHED_WITHIN_S: Final = 5.0
_PUBLISHED_WITHIN_S: Final = 3.0
_ECHO_BYTES: Final = 1_024  # about what a reply has

METRICS: Final = (
    Metric("warm p50 ms", "warm walk, p50", "ms", (_FAN, _LONE, _TCP), bar=40, goal=10),
    Metric("warm p99 ms", "warm walk, p99", "ms", (("fan p99 ms", _FAN[1]),), bar=100, goal=25),
    Metric("requests", "requests a walk", "", (("k", "k, which each walk asks"),)),
    Metric("out KB", "out a walk", "KB"),
    Metric("in KB", "in a walk", "KB"),
    Metric("cold p50 ms", "cold walk, p50", "ms", (_FAN,)),
    Metric("cold p90 ms", "cold walk, p90", "ms"),
    Metric("join s", "joining through one node", "s"),
    Metric("new ms", "first walk of who has just joined", "ms"),
    Metric("push p50 ms", "put → pushed, p50", "ms", (_LONE,), bar=30, goal=5),
    Metric("push p90 ms", "put → pushed, p90", "ms", bar=60, goal=10),
    Metric("match s", "second adds → both matched", "s", (("argon2 s", "1 × Argon2id"),), bar=2),
    Metric("gone found %", "30 % gone: found", "%", bar=99.99, rising=True),
    Metric("gone first ms", "30 % gone: first walk, p90", "ms", bar=1000, goal=350),
    Metric("gone second ms", "30 % gone: second walk, p90", "ms"),
    Metric("gone later ms", "30 % gone: 20 later walks, p90", "ms", (_FAN,), bar=100, goal=40),
    Metric("old found %", "60 s on: found", "%", bar=99.99, rising=True),
    Metric("old first ms", "60 s on: first walk, p90", "ms", bar=1000, goal=350),
    Metric("old second ms", "60 s on: second walk, p90", "ms"),
    Metric("old later ms", "60 s on: 20 later walks, p90", "ms", (_FAN,), bar=100, goal=40),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the network is and how much is done in a run."""

    crews: dict[str, int] = field(default_factory=lambda: {"a": 17, "b": 17, "stopped": 7, "killed": 8, "requester": 1})
    settle_s: float = 66.0
    warm: int = 300
    cold: int = 20
    newcomers: int = 5
    pushes: int = 60
    matches: int = 2
    records: int = 100
    later: int = 20
    pause_s: float = 60.0
    echoes: int = 200


QUICK: Final = Scale(
    crews={"a": 1, "b": 1, "stopped": 1, "killed": 1, "requester": 1},
    settle_s=0,
    warm=10,
    cold=2,
    newcomers=1,
    pushes=3,
    matches=1,
    records=5,
    later=3,
    pause_s=0.5,
    echoes=10,
)


def run(sandbox: Sandbox, folder: Path, runs: int, scale: Scale, samples: Samples) -> None:
    """Add ``runs`` values of everything. A small run before them warms up and is thrown away."""
    records = [_record() for _ in range(scale.records + scale.pushes + 1)]
    for index, values in rounds(runs, samples, warm_up=scale is not QUICK):
        _one(sandbox, folder / str(index), records, scale if index else QUICK, values)


def _one(sandbox: Sandbox, folder: Path, records: Sequence[Errand], scale: Scale, samples: Samples) -> None:
    folder.mkdir()
    limits.trips(samples, scale.echoes)
    limits.argon2(samples)
    samples.add("k", PRODUCTION.k)
    fleet = Fleet(sandbox, folder / "fleet", scale.crews)
    try:
        _in_network(sandbox, folder, fleet, records, scale, samples)
    finally:
        fleet.end()


def _in_network(
    sandbox: Sandbox, folder: Path, fleet: Fleet, records: Sequence[Errand], scale: Scale, samples: Samples
) -> None:
    joined_at = time.monotonic()
    _newcomers(fleet, scale, samples)
    _matches(sandbox, folder, fleet, scale, samples)
    while time.monotonic() < joined_at + scale.settle_s:
        sandbox.check()
        time.sleep(0.1)
    fleet.wander(walks=8)
    _echoes(fleet, scale, samples)
    _alone(fleet, scale, samples)
    _pushed(fleet, records[scale.records : scale.records + scale.pushes + 1], samples)
    _gone(fleet, records[: scale.records], scale, samples)


def _record() -> Errand:
    """A record of a slot of its own, mined."""
    slot = Slot(os.urandom(32), 1)
    unmined = prepare_record(slot, ed25519_pair(os.urandom(32)), b"bench", int(time.time()), os.urandom(24), PRODUCTION)
    return Errand(slot.loc, finish(unmined, mine(unmined.digest, PRODUCTION.work_bits)))


def _echoes(fleet: Fleet, scale: Scale, samples: Samples) -> None:
    requester, others = fleet.crews["requester"], fleet.everyone(["a", "b"])
    for name, peers in (("libp2p", others[:1]), ("fan", others[: PRODUCTION.k])):
        taken_s = requester.ask(Echo(0, peers, _ECHO_BYTES, scale.echoes), list[float])
        samples.add(f"{name} p50 ms", quantile(taken_s, 0.5) * 1000)
        samples.add(f"{name} p99 ms", quantile(taken_s, 0.99) * 1000)


def _alone(fleet: Fleet, scale: Scale, samples: Samples) -> None:
    requester = fleet.crews["requester"]
    warm = requester.ask(Walk(0, _places(scale.warm)), list[Walked])
    _add_ms(samples, "warm", warm, p50=0.5, p99=0.99)
    samples.add("requests", sum(walked.requests for walked in warm) / len(warm))
    samples.add("out KB", sum(walked.sent for walked in warm) / len(warm) / 1000)
    samples.add("in KB", sum(walked.received for walked in warm) / len(warm) / 1000)
    _add_ms(samples, "cold", requester.ask(Walk(0, _places(scale.cold), cold=True), list[Walked]), p50=0.5, p90=0.9)
    requester.ask(Walk(0, _places(scale.cold)), list[Walked])  # warm again for what follows


def _newcomers(fleet: Fleet, scale: Scale, samples: Samples) -> None:
    crew, entrance = fleet.crews["requester"], fleet.everyone(["a"])[:1]
    came = [crew.ask(Newcomer(fleet.new_host(), entrance), tuple[float, float]) for _ in range(scale.newcomers)]
    samples.add("join s", quantile([joined_s for joined_s, _ in came], 0.5))
    samples.add("new ms", quantile([walk_s for _, walk_s in came], 0.5) * 1000)


def _pushed(fleet: Fleet, records: Sequence[Errand], samples: Samples) -> None:
    """The first put, which finds some streams unopened, is thrown away."""
    watcher, writer = fleet.crews["b"], fleet.crews["requester"]
    watcher.ask(Watch(0, [errand.loc for errand in records]), list[int])
    taken_s: list[float] = []
    for errand in records:
        (put,) = writer.ask(Walk(0, [errand]), list[Walked])
        deadline = time.monotonic() + _WATCHED_WITHIN_S
        while (at := watcher.ask(Pushes(0), dict[bytes, float]).get(errand.loc)) is None:
            if time.monotonic() > deadline:
                at = float("inf")
                break
            time.sleep(0.01)
        taken_s.append(at - put.at)
    samples.add("push p50 ms", quantile(taken_s[1:], 0.5) * 1000)
    samples.add("push p90 ms", quantile(taken_s[1:], 0.9) * 1000)


def _matches(sandbox: Sandbox, folder: Path, fleet: Fleet, scale: Scale, samples: Samples) -> None:
    entrance = _text(fleet.everyone(["a"])[0])
    alice = Node(sandbox, folder / "alice", "Alice", ALICE)
    others = [Node(sandbox, folder / f"bob{i}", f"Bob{i}", f"+8210987654{i:02}") for i in range(scale.matches)]
    for node in (alice, *others):
        node.init()
    for node in (alice, *others):
        node.ended()
    alice.start("--bootstrap", entrance)
    for bob in others:
        bob.start("--bootstrap", entrance)
        alice.client.call("contacts.add", number=bob.number, name=bob.name)
        time.sleep(_PUBLISHED_WITHIN_S)
        bob.client.call("contacts.add", number=alice.number, name=alice.name)
        samples.add("match s", _match_s(sandbox, alice, bob))
        bob.stop()
    alice.stop()


def _match_s(sandbox: Sandbox, alice: Node, bob: Node) -> float:
    until(sandbox, lambda: len(_matched_ms(alice, bob)) == 2, "They do not match")
    (added,) = bob.events("contact.added")
    return (max(_matched_ms(alice, bob)) - number(added, "ts")) / 1000


def _matched_ms(alice: Node, bob: Node) -> list[int]:
    """When each side wrote down that it has matched, unix milliseconds, of those that have."""
    sides = ((alice, bob.name), (bob, alice.name))
    return [
        number(event, "ts")
        for node, name in sides
        for event in node.events("contact.matched")
        if fields(event, "data")["name"] == name
    ]


def _gone(fleet: Fleet, records: Sequence[Errand], scale: Scale, samples: Samples) -> None:
    authors = [(crew, index) for name in ("stopped", "killed") for crew in (fleet.crews[name],) for index in
               range(len(crew.known))]  # fmt: skip
    for (crew, index), errand in zip(cycle(authors), records, strict=False):
        crew.ask(Walk(index, [errand]), list[Walked])
    fleet.crews["stopped"].stop()
    fleet.crews["killed"].kill()
    began = time.monotonic()
    sought = cycle([Errand(errand.loc) for errand in records])
    for name in ("gone", "old"):
        each = [
            crew.ask(Walk(index, list(islice(sought, 1 + scale.later))), list[Walked])
            for crew in (fleet.crews[left] for left in ("requester", "a", "b"))
            for index in range(len(crew.known))
        ]
        _add_ms(samples, f"{name} first", [walks[0] for walks in each], p90=0.9, bare=True)
        _add_ms(samples, f"{name} second", [walks[1] for walks in each], p90=0.9, bare=True)
        _add_ms(samples, f"{name} later", [walked for walks in each for walked in walks[1:]], p90=0.9, bare=True)
        readings = [walked for walks in each for walked in walks]
        samples.add(f"{name} found %", 100 * sum(walked.found == 1 for walked in readings) / len(readings))
        time.sleep(max(began + scale.pause_s - time.monotonic(), 0) if name == "gone" else 0)


def _places(count: int) -> list[Errand]:
    return [Errand(os.urandom(32)) for _ in range(count)]


def _add_ms(samples: Samples, name: str, walks: Sequence[Walked], *, bare: bool = False, **shares: float) -> None:
    for title, share in shares.items():
        value = quantile([walked.seconds for walked in walks], share) * 1000
        samples.add(f"{name} ms" if bare else f"{name} {title} ms", value)


def _text(known: Known) -> str:
    return format_address(Address(known.addresses[0]), PeerId(known.peer))
