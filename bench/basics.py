"""``basics``: what a user feels of one daemon and of two that talk.

Each run makes two new profiles with production parameters, starts their daemons, lets them match by number, measures,
and stops them; the raw limits are taken in every run, between its profiles and its daemons, when nothing else works.
Starts and memory have measures of their own (:mod:`bench.start`, :mod:`bench.memory`).

- *match*: by the two event logs, from the later ``contact.added`` to the later ``contact.matched``.
- *lone message*: one ``message.send`` with ``wait: delivered`` after the other; by the log, ``delivered_ms`` less
  ``created_ms``, in whole milliseconds.
- *messages/s*: 100-byte texts on one connection a writer, from ``created_ms`` of the first to ``delivered_ms`` of the
  last: until its ack is on the writer's disk. *queued/s*: until the last reply is read.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import limits, talk
from bench.daemons import Node, until
from bench.measure import Samples, each_s, quantile, rounds
from bench.pipeline import pour, send_requests
from bench.report import Metric
from p2pchat.cli.program import interpreter
from p2pchat.cli.reading import number
from p2pchat.cli.sandbox import Sandbox

TEXT: Final = "x" * 100
_MESSAGES = (("rows /s", "rows of SQLCipher, 500 a commit"), ("ratchet /s", "messages sealed and opened, one by one"))

METRICS: Final = (
    Metric(
        "cli ms",
        "p2pchat status",
        "ms",
        (("click ms", "import click, json, socket"), ("python ms", "python -c pass")),
        bar=150,
    ),
    Metric("call p50 ms", "node.status, p50", "ms", (("unix p50 ms", "Unix socket echo"),)),
    Metric("call p99 ms", "node.status, p99", "ms", (("unix p99 ms", "Unix socket echo"),)),
    Metric(
        "lone p50 ms",
        "lone message, send → delivered, p50",
        "ms",
        (("parts ms", "3 commits, TCP and Unix echo"), ("commit p50 ms", "1 commit"), ("tcp p50 ms", "TCP echo")),
        bar=10,
    ),
    Metric("lone p99 ms", "lone message, send → delivered, p99", "ms", (("commit p99 ms", "1 commit"),)),
    Metric("lone log ms", "lone message by the log, p50", "ms"),
    Metric("queued /s", "queued, one writer", "/s", _MESSAGES[:1], rising=True),
    Metric("one way /s", "delivered, one way", "/s", _MESSAGES, rising=True),
    Metric("both ways /s", "delivered, both ways, sum", "/s", _MESSAGES, rising=True),
    Metric("match s", "match by number", "s", (("match floor s", "2 × Argon2id, 6 × work, on both sides at once"),)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done in a run."""

    lone: int = 300
    burst: int = 5000
    commands: int = 20


QUICK: Final = Scale(lone=20, burst=200, commands=2)


def run(sandbox: Sandbox, folder: Path, runs: int, scale: Scale, samples: Samples) -> None:
    """Add ``runs`` values of everything. A run before them warms files and caches up and is thrown away."""
    for index, values in rounds(runs, samples, warm_up=scale is not QUICK):
        _one(sandbox, folder / str(index), scale, values)


def _one(sandbox: Sandbox, folder: Path, scale: Scale, samples: Samples) -> None:
    folder.mkdir()
    alice = Node(sandbox, folder / "a", "Alice", "+821012345678")
    bob = Node(sandbox, folder / "b", "Bob", "+821098765432")
    for node in (alice, bob):
        node.init()
    for node in (alice, bob):
        node.ended()
    limits.measure(samples, folder, scale.lone)
    alice.start()
    bob.start("--bootstrap", alice.address)
    _match(sandbox, alice, bob, samples)
    _command_line(alice, scale, samples)
    _lone(alice, scale, samples)
    _burst(sandbox, (alice,), scale, samples, "one way /s")
    _burst(sandbox, (alice, bob), scale, samples, "both ways /s")
    for node in (alice, bob):
        node.stop()


def _match(sandbox: Sandbox, alice: Node, bob: Node, samples: Samples) -> None:
    talk.match(sandbox, alice, bob)
    added, found = (
        max(number(one.events(kind)[0], "ts") for one in (alice, bob)) for kind in ("contact.added", "contact.matched")
    )
    samples.add("match s", (found - added) / 1000)
    work_s = 2 * samples["argon2 s"].values[-1] + 6 * samples["mine s"].values[-1]
    samples.add("match floor s", work_s / min(os.cpu_count() or 1, 2))  # the two sides work side by side


def _command_line(node: Node, scale: Scale, samples: Samples) -> None:
    command = [*interpreter(), "-m", "p2pchat.cli", "status"]

    def status() -> None:
        subprocess.run(command, env=node.environment, stdout=subprocess.DEVNULL, check=True)  # noqa: S603

    samples.add("cli ms", quantile(each_s(status, scale.commands), 0.5) * 1000)
    calls_s = each_s(lambda: node.client.call("node.status"), scale.lone)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        samples.add(f"call {name} ms", quantile(calls_s, share) * 1000)


def _lone(alice: Node, scale: Scale, samples: Samples) -> None:
    told = talk.lone(alice, "Bob", TEXT, scale.lone, samples)
    samples.add("lone log ms", max(quantile(told, 0.5), 0.5))  # whole milliseconds: 0 is less than one
    # queued, sealed, received, settled: in sequence, since nothing leaves before its commit
    parts_ms = (samples[name].values[-1] for name in ("commit p50 ms",) * 3 + ("tcp p50 ms", "unix p50 ms"))
    samples.add("parts ms", sum(parts_ms))


def _burst(sandbox: Sandbox, writers: tuple[Node, ...], scale: Scale, samples: Samples, name: str) -> None:
    others = {"Alice": "Bob", "Bob": "Alice"}
    lines = {writer.socket: send_requests(others[writer.name], scale.burst, TEXT) for writer in writers}
    taken_s = pour(lines)
    until(sandbox, lambda: talk.settled(writers), "The messages do not arrive")
    first, last = zip(*(talk.span(writer, others[writer.name], scale.burst) for writer in writers), strict=True)
    samples.add(name, len(writers) * scale.burst / max(max(last) - min(first), 1) * 1000)
    if len(writers) == 1:
        samples.add("queued /s", scale.burst / taken_s)
