"""``away``: somebody is gone, what is written to them waits at mailboxes, and then they are back.

Each run makes two people and two nodes that hold boxes for anyone, with production parameters. Bob uses both holders
and stops; Alice writes; he starts again.

- *Lone text, send → held*: he is away and his address refuses; one ``message.send`` with ``wait: held`` after the
  other, from before the call to its reply. It holds the dial that fails.
- *Held /s*: texts that are queued at once, until all of them are in the custody of both holders.
- *Back → shown*: from when his daemon answers on its socket (*ready*: before its process exists) until the last text
  is in its log. Alice is gone by then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.daemons import Node, until
from bench.measure import Samples, quantile
from bench.pipeline import pour, send_requests
from bench.report import Metric
from bench.talk import match
from p2pchat.cli.reading import number, objects, text
from p2pchat.cli.sandbox import Sandbox

TEXT: Final = "x" * 256

METRICS: Final = (
    Metric("lone ms", "lone text, send → held, p50", "ms"),
    Metric("held /s", "queued at once → held twice", "/s", rising=True),
    Metric("shown s", "back → all shown", "s", bar=5),
    Metric("ready s", "start of the daemon → all shown", "s"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured in a run."""

    texts: int = 1_000
    lone: int = 20


QUICK: Final = Scale(texts=50, lone=3)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything."""
    for index in range(runs):
        _one(sandbox, folder / str(index), QUICK if quick else Scale(), samples)


def _one(sandbox: Sandbox, folder: Path, scale: Scale, samples: Samples) -> None:
    folder.mkdir()
    alice = Node(sandbox, folder / "a", "Alice", "+821012345678")
    bob = Node(sandbox, folder / "b", "Bob", "+821098765432")
    one = Node(sandbox, folder / "1", "One", "+821011112222")
    two = Node(sandbox, folder / "2", "Two", "+821033334444")
    nodes = (alice, bob, one, two)
    for node in nodes:
        node.init()
    for node in nodes:
        node.ended()
    one.start()
    for node in (two, alice, bob):
        node.start("--bootstrap", one.address)
    links = [text(holder.client.call("mailbox.offer", **{"for": "anyone"}), "invite") for holder in (one, two)]
    match(sandbox, alice, bob)
    bob.client.call("mailbox.use", **{"with": links})
    bob.stop()
    lone = [_held_s(alice) for _ in range(scale.lone)]
    samples.add("lone ms", quantile(lone, 0.5) * 1000)
    began = time.perf_counter()
    pour({alice.socket: send_requests("Bob", scale.texts, TEXT)}, 512)
    until(sandbox, lambda: _are_held_twice(alice), "The messages are not held", every_s=0.05)
    samples.add("held /s", scale.texts / (time.perf_counter() - began))
    alice.stop()
    began = time.perf_counter()
    took_s = bob.start("--bootstrap", one.address)
    answered, expected = began + took_s, scale.texts + scale.lone
    until(sandbox, lambda: _received(bob) >= expected, "The messages are not shown")
    samples.add("shown s", time.perf_counter() - answered)
    samples.add("ready s", time.perf_counter() - began)
    for node in (bob, one, two):
        node.stop()


def _held_s(alice: Node) -> float:
    began = time.perf_counter()
    alice.client.call("message.send", to="Bob", text=TEXT, wait="held", timeout_ms=60_000)
    return time.perf_counter() - began


def _are_held_twice(alice: Node) -> bool:
    """The newest texts are looked at, in the order in which they are deposited."""
    rows = objects(alice.client.call("message.list", to="Bob", limit=300), "messages")
    return all(len(objects(row, "holders")) == 2 for row in rows)


def _received(bob: Node) -> int:
    """How many texts are in the log, in which nothing else ever was: the position of the newest."""
    rows = objects(bob.client.call("message.list", to="Alice", limit=1), "messages")
    return number(rows[0], "position") if rows else 0
