"""``reach``: who reaches whom in the test networks of ``scripts/netlab``, how fast, by which path. Needs root.

    scripts/bench reach [--topologies NAME …] [--what first|loss|survive|half] [--people home public]

Two people in each topology: at home on both sides, and (``public``) one at home and one on the internet. Two other
nodes of the internet relay and are everybody's bootstrap nodes; home routers map ports by NAT-PMP only with
``--mapping``. They match by number once, are stopped, and then each row begins.

- ``first``. *Match*: from both contacts being added until both have matched. *Cold start → both ways*: from before
  either process exists until a text of each, queued as soon as its daemon answers, is shown at the other. *Direct*:
  from then until ``net.peers`` of both tells a path without a relay. *Healed → delivered*: nothing passes to or from
  one of them for ``--cut-s`` seconds, each writes meanwhile, and both texts are shown.
- ``loss``: every line loses 5 % and delays by 100 ± 20 ms; 1,000 texts each way, ten a second; p50 and p99 from
  created to delivered by the writer's log.
- ``survive``: the relays are killed while they talk, directly if they can, a text each way; then both start again,
  knowing nobody but whom they have kept on disk.
- ``half``: :mod:`bench.half`; ``--nodes``, ``--pause-s``.

What a topology cannot do is said, and no failure of the measurement.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench import half
from bench.arguments import at_least_one, positive
from bench.files import to_write
from bench.measure import Samples, quantile
from bench.report import Metric, document, machine, table
from bench.settler import Settler, Unmet, meet, wait
from netlab.control import LabError
from netlab.lab import Lab
from netlab.spaces import Unavailable, check
from netlab.topology import Options, names
from p2pchat.api.errors import ApiError
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.reading import number, objects
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox

EX_NOPERM: Final = 77
ALICE, BOB = "+821012345678", "+821098765432"
_OTHERS: Final = ("+821011112222", "+821033334444")
_RELAYS: Final = ("relay", "relay2")
_PUBLIC: Final = "relay3"
_READY_S: Final = 30.0
_PAGE: Final = 1000
_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """Two hosts of a topology."""

    topology: str
    second: str

    @property
    def name(self) -> str:
        return self.topology if self.second == "bob" else f"{self.topology}, public"


@dataclass(slots=True)
class Bench:
    """What a row is measured with. ``told``: what no figure says."""

    sandbox: Sandbox
    folder: Path
    samples: Samples
    told: list[str]
    within_s: float
    cut_s: float
    texts: int
    mapping: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """A topology with its people, who have matched and do not run."""

    lab: Lab
    relays: list[Settler]
    alice: Settler
    bob: Settler
    entrances: list[str]

    @property
    def people(self) -> tuple[Settler, Settler]:
        return self.alice, self.bob


Act = Callable[[Bench, Row, Scene], None]


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        check()
    except Unavailable as error:
        print(f"bench: {error}", file=sys.stderr)
        return EX_NOPERM
    seconds = [{"home": "bob", "public": _PUBLIC}[each] for each in chosen.people]
    rows = [Row(each, who) for each in chosen.topologies for who in seconds if (each, who) != ("lan", _PUBLIC)]
    samples, told, before = Samples(), list[str](), machine()
    plan = _WHAT.get(chosen.what)

    def work(sandbox: Sandbox) -> None:
        folder = sandbox.open()
        if plan is None:
            half.run(sandbox, folder / "half", chosen.nodes, chosen.pause_s, chosen.within_s, samples, told)
            return
        bench = Bench(sandbox, folder, samples, told, chosen.within_s, chosen.cut_s, chosen.texts, chosen.mapping)
        for index, row in enumerate(rows):
            _row(replace(bench, folder=folder / str(index)), row, plan[0])

    try:
        in_sandbox("p2pchat-bench-", work)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except P2PChatError as error:
        print(f"{error.error_name}: {error.message}", file=sys.stderr)
        return 1
    planned = half.metrics() if plan is None else [metric for row in rows for metric in plan[1](row)]
    metrics = [metric for metric in planned if metric.name in samples]
    taken = before()
    lines = [", ".join(f"{name} {value}" for name, value in taken.items()), *table(metrics, samples), *told]
    print(*lines, sep="\n")
    if chosen.json:
        chosen.json.write_text(
            json.dumps(document(metrics, samples, taken) | {"told": told}, indent=1) + "\n", encoding="utf-8"
        )
    return 0


def _row(bench: Bench, row: Row, act: Act) -> None:
    bench.folder.mkdir()
    options = Options(public=len(_RELAYS) + 1, natpmp=bench.mapping)
    try:
        with Lab(row.topology, options) as lab:
            try:
                act(bench, row, _scene(bench, lab, row))
            finally:
                for process in bench.sandbox.running():
                    bench.sandbox.finish(process)
    except (Unmet, ApiError, LabError) as failure:
        bench.told.append(f"{row.name}: {failure.message if isinstance(failure, ApiError) else failure}")


def _scene(bench: Bench, lab: Lab, row: Row) -> Scene:
    """The relays run; the people have matched, by way of them or of their LAN, and are stopped."""
    places = _RELAYS if _RELAYS[0] in lab.hosts else ()
    relays = [
        Settler(bench.sandbox, lab, host, bench.folder / host, host, their, relays=True)
        for host, their in zip(places, _OTHERS, strict=False)
    ]
    alice = Settler(bench.sandbox, lab, "alice", bench.folder / "a", "Alice", ALICE)
    bob = Settler(bench.sandbox, lab, row.second, bench.folder / "b", "Bob", BOB)
    for node in (*relays, alice, bob):
        node.init()
    for node in (*relays, alice, bob):
        node.ended()
    scene = Scene(lab, relays, alice, bob, [])
    for relay in relays:
        _start(bench, (relay,), scene.entrances)
        scene.entrances.extend(relay.entrances())
    _start(bench, scene.people, scene.entrances)
    bench.samples.add(f"{row.name} match s", meet(bench.sandbox, alice, bob, bench.within_s))
    for node in scene.people:
        node.stop()
    return scene


def _start(bench: Bench, nodes: Sequence[Settler], entrances: Sequence[str]) -> None:
    for node in nodes:
        node.launch(*entrances)
    for node in nodes:
        wait(bench.sandbox, node.is_ready, f"{node.host} does not start", _READY_S)


def _both_ways(bench: Bench, scene: Scene, words: str) -> None:
    """Wait until what both have queued is shown."""

    def shown() -> bool:
        return scene.bob.has(scene.alice, words) and scene.alice.has(scene.bob, words)

    wait(bench.sandbox, shown, f"{words!r} is not delivered both ways", bench.within_s)


def _speak(scene: Scene, words: str) -> None:
    scene.alice.send(scene.bob, words)
    scene.bob.send(scene.alice, words)


def _cold(bench: Bench, scene: Scene, entrances: Sequence[str], words: str) -> float:
    """Start both and have each say something as soon as it can; the seconds until both are heard."""
    began = time.monotonic()
    for node in scene.people:
        node.launch(*entrances)
    silent = {scene.alice: scene.bob, scene.bob: scene.alice}

    def all_have_spoken() -> bool:
        for node in [each for each in silent if each.is_ready()]:
            node.send(silent.pop(node), words)
        return not silent

    wait(bench.sandbox, all_have_spoken, "they do not start", _READY_S)
    _both_ways(bench, scene, words)
    return time.monotonic() - began


def _first(bench: Bench, row: Row, scene: Scene) -> None:
    bench.samples.add(f"{row.name} cold s", _cold(bench, scene, scene.entrances, "first"))
    at_first = _paths(scene)
    try:
        took_s = wait(bench.sandbox, lambda: _is_direct(scene), "no direct path", bench.within_s)
    except Unmet as failure:
        bench.told.append(f"{row.name}: {at_first}; {failure}")
    else:
        bench.samples.add(f"{row.name} direct s", took_s)
        bench.told.append(f"{row.name}: {at_first}, then {_paths(scene)}")
    scene.lab.cut_all(scene.alice.host)
    time.sleep(bench.cut_s / 2)
    _speak(scene, "meanwhile")
    time.sleep(bench.cut_s / 2)
    scene.lab.heal()
    began = time.monotonic()
    _both_ways(bench, scene, "meanwhile")
    bench.samples.add(f"{row.name} healed s", time.monotonic() - began)


def _paths(scene: Scene) -> str:
    found = {scene.alice.path_to(scene.bob) or "none", scene.bob.path_to(scene.alice) or "none"}
    return " and ".join(sorted(found))


def _is_direct(scene: Scene) -> bool:
    paths = (scene.alice.path_to(scene.bob), scene.bob.path_to(scene.alice))
    return all(path in ("lan", "direct") for path in paths)


def _loss(bench: Bench, row: Row, scene: Scene) -> None:
    _cold(bench, scene, scene.entrances, "first")
    scene.lab.set(delay_ms=100, jitter_ms=20, loss=0.05)
    began = time.monotonic()
    for index in range(bench.texts):
        _speak(scene, f"text {index}")
        time.sleep(max(began + (index + 1) * _EVERY_S - time.monotonic(), 0.0))
    _both_ways(bench, scene, f"text {bench.texts - 1}")
    wait(bench.sandbox, lambda: not any(_outbox(node) for node in scene.people), "texts stay queued", bench.within_s)
    scene.lab.set(delay_ms=0, jitter_ms=0, loss=0)
    took = [
        each for node, to in ((scene.alice, "Bob"), (scene.bob, "Alice")) for each in _took_s(node, to, bench.texts)
    ]
    bench.samples.add(f"{row.name} p50 s", quantile(took, 0.5))
    bench.samples.add(f"{row.name} p99 s", quantile(took, 0.99))
    bench.told.append(f"{row.name}: {_paths(scene)}; {len(took):,} texts delivered, at most {max(took):.1f} s")


def _outbox(node: Settler) -> int:
    return number(node.client.call("node.status"), "outbox")


def _took_s(node: Settler, to: str, count: int) -> list[float]:
    """Of the newest ``count`` texts that were sent, from created to delivered."""
    sent: list[dict[str, object]] = []
    before: int | None = None
    while len(sent) < count:
        page = node.client.call("message.list", to=to, limit=_PAGE, **({} if before is None else {"before": before}))
        sent += [each for each in objects(page, "messages") if each["direction"] == "out"]
        before = number(page, "next")
    sent.sort(key=lambda each: -number(each, "position"))
    return [(number(each, "delivered_ms") - number(each, "created_ms")) / 1000 for each in sent[:count]]


def _survive(bench: Bench, row: Row, scene: Scene) -> None:
    _cold(bench, scene, scene.entrances, "first")
    with suppress(Unmet):  # some NATs allow no direct path: told below
        wait(bench.sandbox, lambda: _is_direct(scene), "no direct path", bench.within_s)
    bench.told.append(f"{row.name}: {_paths(scene)} when the relays end")
    for relay in scene.relays:
        relay.kill()
    began = time.monotonic()
    _speak(scene, "without relays")
    _both_ways(bench, scene, "without relays")
    bench.samples.add(f"{row.name} on s", time.monotonic() - began)
    for node in scene.people:
        node.stop()
    bench.samples.add(f"{row.name} again s", _cold(bench, scene, (), "again"))


def _first_metrics(row: Row) -> list[Metric]:
    return [
        Metric(f"{row.name} match s", f"{row.name}: match", "s"),
        Metric(f"{row.name} cold s", f"{row.name}: cold start → both ways", "s", bar=8 if row.second == "bob" else 5),
        Metric(f"{row.name} direct s", f"{row.name}: direct", "s", bar=30),
        Metric(f"{row.name} healed s", f"{row.name}: healed → delivered", "s", bar=20),
    ]


def _loss_metrics(row: Row) -> list[Metric]:
    return [
        Metric(f"{row.name} p50 s", f"{row.name}: created → delivered, p50", "s"),
        Metric(f"{row.name} p99 s", f"{row.name}: created → delivered, p99", "s", bar=3),
    ]


def _survive_metrics(row: Row) -> list[Metric]:
    return [
        Metric(f"{row.name} on s", f"{row.name}: relays killed, a text each way", "s"),
        Metric(f"{row.name} again s", f"{row.name}: both started again, a text each way", "s"),
    ]


_WHAT: Final[dict[str, tuple[Act, Callable[[Row], list[Metric]]]]] = {
    "first": (_first, _first_metrics),
    "loss": (_loss, _loss_metrics),
    "survive": (_survive, _survive_metrics),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench reach", description="Who reaches whom, how fast, by which path.")
    parser.add_argument("--topologies", nargs="+", choices=names(), default=names(), metavar="NAME")
    parser.add_argument("--what", choices=(*_WHAT, "half"), default="first")
    parser.add_argument("--people", choices=("home", "public"), nargs="+", default=("home", "public"))
    parser.add_argument("--mapping", action="store_true", help="home routers map ports by NAT-PMP")
    parser.add_argument("--cut-s", type=positive, default=60.0, metavar="N", help="how long nothing passes (60)")
    parser.add_argument(
        "--within-s", type=positive, default=60.0, metavar="N", help="how long anything is waited for (60)"
    )
    parser.add_argument("--texts", type=at_least_one, default=1000, metavar="N", help="of loss, each way (1000)")
    parser.add_argument("--nodes", type=at_least_one, default=30, metavar="N", help="of half, at first (30)")
    parser.add_argument("--pause-s", type=positive, default=60.0, metavar="N", help="of half, between deaths (60)")
    parser.add_argument("--json", type=to_write, metavar="FILE", help="write every value there, too")
    return parser
