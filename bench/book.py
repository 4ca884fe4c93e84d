"""``import``: an address book of 500 people in a daemon with production parameters, and what it does meanwhile.

One daemon with a number, one that only stores; a vCard file is imported by the command line, then everybody in it is
looked for. All the while three clients, processes of their own, call without a pause but for a tenth of a second:
``node.status``, ``contacts.list`` (all 500) and ``message.send`` to one of them; beside them one calls a process that
only echoes. At the end the daemon is started again.

- *import*: the command, process and parsing included. *found*: from ``contacts find all`` to the last root.
- *CPU*: seconds that the daemon's own process has run until then; its children (roots, work) beside it.
- *RSS*: the kernel's high-water mark of the daemon; with its children the sum of their marks, pages that are shared
  counted for each.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from bench.caller import CALLS, ECHO
from bench.daemons import Node
from bench.measure import Samples, quantile
from bench.procfs import cpu_ns, family, peak_mb
from bench.report import Metric
from p2pchat.api.errors import ApiError
from p2pchat.cli.program import interpreter
from p2pchat.cli.reading import fields, number
from p2pchat.cli.sandbox import Sandbox
from p2pchat.client.blocking import Client

PEOPLE: Final = 500
QUICK: Final = 4
_AFTERWARDS_S: Final = 0.2
_AFTER_START_S: Final = 30.0
_WITHIN_S: Final = 3600.0
_RPC_MS: Final = 100.0

_PHASES: Final = {"rest": "at rest", "import": "importing", "find": "while roots are derived", "start": "after a start"}


def _latencies() -> Iterator[Metric]:
    for phase, when in _PHASES.items():
        for call in CALLS:
            if phase == "import" and call == "message.send":
                continue  # there is nobody to write to yet
            for share in ("p50", "p99", "max"):
                bar = _RPC_MS if share == "max" and phase != "rest" else None
                beside = ((f"{phase} echo {share}", "Unix socket echo meanwhile"),)
                yield Metric(f"{phase} {call} {share}", f"{call}, {when}, {share}", "ms", beside, bar)


METRICS: Final = (
    Metric("import s", "import of the file", "s"),
    Metric("find s", "all roots derived", "s"),
    Metric("root s", "a root", "s"),
    Metric("daemon cpu s", "CPU of the daemon meanwhile", "s"),
    Metric("children cpu s", "CPU of its children meanwhile", "s"),
    Metric("daemon rss MB", "peak RSS of the daemon", "MB"),
    Metric("family rss MB", "the same with its children's, added", "MB"),
    *_latencies(),
)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything."""
    for index in range(runs):
        _one(sandbox, folder / str(index), QUICK if quick else PEOPLE, samples)


def _one(sandbox: Sandbox, folder: Path, people: int, samples: Samples) -> None:
    folder.mkdir()
    alice = Node(sandbox, folder / "a", "Alice", "+821012345678")
    storer = Node(sandbox, folder / "s", "Storer", "+821098765432")
    for node in (alice, storer):
        node.init()
        node.ended()
    storer.start()
    alice.start("--bootstrap", storer.address)
    book = folder / "book.vcf"
    book.write_text("".join(map(_card, range(people))), encoding="utf-8")
    with _calling(alice, "import", samples, ["node.status", "contacts.list"]):
        samples.add("import s", _command(alice, "import", str(book)))
    with _calling(alice, "rest", samples):
        time.sleep(3.0 if people == QUICK else _AFTER_START_S)
    _find(alice, people, samples)
    alice.stop()
    alice.start("--bootstrap", storer.address)
    with _calling(alice, "start", samples):
        time.sleep(3.0 if people == QUICK else _AFTER_START_S)
    for node in (alice, storer):
        node.stop()


def _card(index: int) -> str:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Person {index}\r\nTEL:+8210{20_000_000 + index}\r\nEND:VCARD\r\n"


def _command(node: Node, *arguments: str) -> float:
    began = time.perf_counter()
    command = [*interpreter(), "-m", "p2pchat.cli", "contacts", *arguments]
    subprocess.run(command, env=node.environment, capture_output=True, check=True)  # noqa: S603
    return time.perf_counter() - began


def _find(alice: Node, people: int, samples: Samples) -> None:
    pid, highest = alice.process.pid, 0.0
    before = cpu_ns(pid)
    children: dict[str, int] = {}
    began = time.perf_counter()
    with Client(alice.socket) as client, _calling(alice, "find", samples):
        events = client.events(types=["discovery.progress"])
        _command(alice, "find", "all")
        for event in events:
            highest = max(highest, sum(peak_mb(member) for member in family(pid)))
            children |= {task: ran for member in family(pid)[1:] for task, ran in cpu_ns(member).items()}
            data = fields(event, "data")
            if data.get("step") == "root" and number(data, "roots_done") == people:
                break
    took = time.perf_counter() - began
    own = sum(ran - before.get(task, 0) for task, ran in cpu_ns(pid).items() if task not in children)
    samples.add("find s", took)
    samples.add("root s", took / people)
    samples.add("daemon cpu s", own / 1e9)
    samples.add("children cpu s", sum(ran - before.get(task, 0) for task, ran in children.items()) / 1e9)
    samples.add("daemon rss MB", peak_mb(pid))
    samples.add("family rss MB", highest)


@contextmanager
def _calling(node: Node, phase: str, samples: Samples, names: Iterable[str] = tuple(CALLS)) -> Iterator[None]:
    """Call all the while, each kind from a process of its own, and beside them one that only has an echo."""
    callers = {name: _caller(node, name) for name in (*names, ECHO)}
    try:
        for name, caller in callers.items():
            if _output(caller).readline() != "ready\n":
                raise ApiError("INTERNAL", f"The caller of {name} ended at its start.")
        yield
        time.sleep(_AFTERWARDS_S)
        for name, caller in callers.items():
            told, _ = caller.communicate(timeout=_WITHIN_S)
            if caller.returncode:
                raise ApiError("INTERNAL", f"The caller of {name} failed.")
            values = [float(value) for value in json.loads(told)]
            samples.add(f"{phase} {name} p50", quantile(values, 0.5))
            samples.add(f"{phase} {name} p99", quantile(values, 0.99))
            samples.add(f"{phase} {name} max", max(values))
    finally:
        for caller in callers.values():
            caller.kill()
            caller.wait()


def _caller(node: Node, name: str) -> subprocess.Popen[str]:
    command = [*interpreter(), "-m", "bench.caller", str(node.socket), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603


def _output(caller: subprocess.Popen[str]) -> IO[str]:
    assert caller.stdout is not None  # noqa: S101  it was asked for
    return caller.stdout
