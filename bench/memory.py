"""``memory``: what one daemon has in memory, at rest and at work, and what its modules weigh.

Each run makes a new profile with production parameters, which knows fifty people (:mod:`bench.light`, one process); no
root is derived and nobody searches. ``--quick`` has five people, and hardly waits; so does the run that warms files and
caches up and is thrown away.

- *at rest*: from ten to forty seconds after the start, nobody is connected. PSS divides what processes share among
  them, the daemon's children among it. *python -c pass* has nothing but the interpreter in memory.
- *fifty online*: all are connected and say nothing, for a minute. *Idle CPU* is that of the daemon and its children,
  percent of one core.
- *after 10,000 texts*: each of the fifty has sent its share, and a few seconds have gone by.
- *modules*: in a process that imports what a daemon imports, and does nothing: by how much its RSS grew while modules
  of a package were run, not what these import of others; and how long that took. Collection of garbage is off, as at
  a daemon's start.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import limits
from bench.acquainted import Acquainted, known
from bench.daemons import Node, clean, until
from bench.fleet import Crew
from bench.light import Meet, Talk, Talked
from bench.measure import Samples, rounds
from bench.procfs import between_ns, cpu_ns, family, peak_mb, resident_mb
from bench.report import Metric
from p2pchat.api.errors import ApiError
from p2pchat.cli.program import interpreter
from p2pchat.cli.reading import objects
from p2pchat.cli.sandbox import Sandbox

_PACKAGES: Final = (
    "p2pchat", "cryptography", "sqlcipher3", "trio", "libp2p", "_ssl", "google", "asyncio", "phonenumbers", "attr",
    "nacl", "structlog", "multihash", "netaddr", "msgspec", "anyio",
)  # fmt: skip
_BYTES: Final = 256
_BAR_MB: Final = 100.0
_GOAL_MB: Final = 60.0
_LIBP2P: Final = (("libp2p MB", "import libp2p"),)

METRICS: Final = (
    Metric("rest MB", "RSS at rest", "MB", (*_LIBP2P, ("python MB", "python -c pass")), bar=_BAR_MB, goal=_GOAL_MB),
    Metric("pss MB", "PSS at rest, with children", "MB"),
    Metric("rest %", "idle CPU of one core, nobody connected", "%", (("trio %", "trio asleep"),), bar=0.5),
    Metric("online MB", "RSS, fifty online", "MB", _LIBP2P, bar=_BAR_MB, goal=_GOAL_MB),
    Metric("online %", "idle CPU of one core, fifty online", "%", (("trio %", "trio asleep"),), bar=0.5),
    Metric("texts MB", "RSS after 10,000 texts", "MB", _LIBP2P, bar=_BAR_MB, goal=_GOAL_MB),
    Metric("peak MB", "the most it had until then", "MB"),
    Metric("modules MB", "all modules", "MB"),
    Metric("modules ms", "all modules", "ms"),
    *(
        Metric(f"modules: {package} {unit}", f"modules of {package}", unit)
        for package in (*_PACKAGES, "others")
        for unit in ("MB", "ms")
    ),
)

_WEIGH: Final = """
import importlib._bootstrap as bootstrap, gc, json, os, sys, time
page, sizes, times, open_ = os.sysconf("SC_PAGESIZE"), {}, {}, []
file = open("/proc/self/statm", "rb", buffering=0)
def taken():
    file.seek(0)
    return int(file.read().split()[1]) * page / 1e6, time.perf_counter() * 1e3
load = bootstrap._load_unlocked
def weigh(spec):
    open_.append([0.0, 0.0])
    began = taken()
    try:
        return load(spec)
    finally:
        spent = [now - then for now, then in zip(taken(), began)]
        of_others, package = open_.pop(), spec.name.partition(".")[0]
        sizes[package] = sizes.get(package, 0.0) + spent[0] - of_others[0]
        times[package] = times.get(package, 0.0) + spent[1] - of_others[1]
        if open_:
            open_[-1][0] += spent[0]
            open_[-1][1] += spent[1]
gc.disable()
bootstrap._load_unlocked = weigh
import p2pchat.daemon.node
print(json.dumps([sizes, times]))
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done in a run."""

    people: int = 50
    texts: int = 10_000
    started_s: float = 10.0
    rest_s: float = 30.0  # some services look every half minute; fifty people online are given a whole one
    online_s: float = 60.0
    settle_s: float = 5.0
    per_s: float = 20.0


QUICK: Final = Scale(people=5, texts=200, started_s=0.5, rest_s=0.5, online_s=1.0, settle_s=0.2)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything."""
    for index, values in rounds(runs, samples, warm_up=not quick):
        _modules(values)
        limits.imported(values)
        (folder / str(index)).mkdir()
        _one(sandbox, folder / str(index), QUICK if quick or not index else Scale(), values)


def _one(sandbox: Sandbox, folder: Path, scale: Scale, samples: Samples) -> None:
    node = Node(sandbox, folder / "n", "Center", "+821012345678")
    node.init()
    node.ended()
    paths = Acquainted(node).paths
    crew = Crew(sandbox, folder, "light", "bench.light", 3600)
    crew.connect()
    crew.ask(Meet(str(paths.database), str(paths.key_file), scale.people), int)
    node.start()
    pid = node.process.pid
    asleep = [*interpreter(), "-c", "import trio; trio.run(trio.sleep_forever)"]
    idle = sandbox.start("trio", asleep, node.environment, folder / "trio.log")
    time.sleep(scale.started_s)
    raw, own = _idle_percent([idle.pid, pid], scale.rest_s)
    sandbox.finish(idle)
    samples.add("trio %", raw)
    samples.add("rest %", own)
    samples.add("rest MB", resident_mb(pid)[0])
    samples.add("pss MB", sum(resident_mb(member)[1] for member in family(pid)))
    crew.send(Talk(known(node.address), 0.0, 2 * scale.settle_s + scale.online_s, _BYTES))
    until(sandbox, lambda: _online(node) == scale.people, "The people do not connect")
    time.sleep(scale.settle_s)
    samples.add("online %", _idle_percent([pid], scale.online_s)[0])
    samples.add("online MB", resident_mb(pid)[0])
    crew.receive(Talked)
    seconds = scale.texts / scale.people / scale.per_s
    talked = crew.ask(Talk(known(node.address), scale.per_s, seconds, _BYTES), Talked)
    if talked.acked != talked.sent or talked.lost:
        raise ApiError("INTERNAL", f"Of {talked.sent} texts {talked.acked} were acknowledged.")
    time.sleep(scale.settle_s)
    samples.add("texts MB", resident_mb(pid)[0])
    samples.add("peak MB", peak_mb(pid))
    crew.stop()
    node.stop()


def _idle_percent(pids: list[int], seconds: float) -> list[float]:
    """Of one core, what each of the processes and its children take."""
    before = [cpu_ns(pid) for pid in pids]
    time.sleep(seconds)
    return [between_ns(ran, cpu_ns(pid)) / seconds / 1e7 for pid, ran in zip(pids, before, strict=True)]


def _online(node: Node) -> int:
    return sum(contact["online"] is True for contact in objects(node.client.call("contacts.list"), "contacts"))


def _modules(samples: Samples) -> None:
    for unit, found in zip(("MB", "ms"), _weigh(), strict=True):
        samples.add(f"modules {unit}", sum(found.values()))
        for package in _PACKAGES:
            samples.add(f"modules: {package} {unit}", found.pop(package, 0.0))
        samples.add(f"modules: others {unit}", sum(found.values()))


def _weigh() -> tuple[dict[str, float], dict[str, float]]:
    """(MB, ms) of the modules of each package."""
    command = [*interpreter(), "-c", _WEIGH]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=clean(os.environ)).stdout  # noqa: S603
    sizes, times = json.loads(told)
    return sizes, times
