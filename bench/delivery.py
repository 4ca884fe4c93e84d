"""``delivery``: texts between two daemons on this machine, each durable at both ends before it is acknowledged.

Each run makes two new profiles with production parameters, starts their daemons and lets them match by number. A text
has 256 bytes. ``--quick`` sends few.

- *one way*: one connection of the writer, so many requests ahead of the replies, from ``created_ms`` of the first to
  ``delivered_ms`` of the last, both on the writer's clock: until the last ack is on its disk. *Lists*: JSON-RPC batches
  of 100. *Both ways*: two writers, the sum.
- *Offered*: a connection on which texts are due at a rate for two seconds, whether the ones before are answered or not.
  A text is late from when it was due to its ``delivered_ms``: who takes no more makes those wait that come, and that
  counts. Both are on one clock, of which the latter is told in whole milliseconds.
- *CPU*: of the whole process meanwhile, a text: at its writer, and at its reader.
- *lone*: one ``message.send`` with ``wait: delivered`` after the other, as the client sees it.
- *Raw limits* are taken in every run, between its profiles and its daemons.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nacl.public
import nacl.utils
import trio

from bench import limits, offered
from bench.daemons import Node, until
from bench.measure import Samples, each_s, quantile, rounds, seconds
from bench.pipeline import offer, pour, send_batches, send_requests
from bench.procfs import between_ns, cpu_ns
from bench.report import Metric
from bench.talk import delivered, lone, match, settled, span
from p2pchat.cli.sandbox import Sandbox

TEXT: Final = "x" * 256
_LIST: Final = 100
_BESIDE = (("rows /s", "rows of SQLCipher, 500 a commit"), ("box /s", "Box sealed and opened, one by one"))
_TRIPS = (("trio p50 ms", "trio TCP round trip"), ("sync p50 ms", "fdatasync"), ("commit p50 ms", "1 commit"))

METRICS: Final = (
    Metric("one way /s", "one way, 512 ahead", "/s", _BESIDE, bar=10_000, goal=25_000, rising=True),
    Metric("few /s", "one way, 64 ahead", "/s", _BESIDE[:1], rising=True),
    Metric("lists /s", f"one way, lists of {_LIST}", "/s", _BESIDE[:1], rising=True),
    Metric("both /s", "both ways, sum", "/s", _BESIDE[:1], rising=True),
    Metric("writer us", "CPU of the writer's daemon, a text", "µs"),
    Metric("reader us", "CPU of the reader's daemon, a text", "µs"),
    Metric("lone p50 ms", "lone text, send → delivered, p50", "ms", _TRIPS, bar=6, goal=4),
    Metric("lone p99 ms", "lone text, send → delivered, p99", "ms", (("commit p99 ms", "1 commit"),), bar=20),
    *offered.rows("texts", "delivered", _BESIDE[:1], _TRIPS[2:]),
)
CHARTS: Final = offered.charts("texts", "delivered")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done in a run."""

    texts: int = 20_000
    lone: int = 300
    offered_s: float = 2.0


QUICK: Final = Scale(texts=300, lone=20, offered_s=0.05)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything. A run before them warms files and caches up and is thrown away."""
    scale = QUICK if quick else Scale()
    for index, values in rounds(runs, samples, warm_up=not quick):
        _one(sandbox, folder / str(index), scale, values)


def _one(sandbox: Sandbox, folder: Path, scale: Scale, samples: Samples) -> None:
    folder.mkdir()
    alice = Node(sandbox, folder / "a", "Alice", "+821012345678")
    bob = Node(sandbox, folder / "b", "Bob", "+821098765432")
    for node in (alice, bob):
        node.init()
    for node in (alice, bob):
        node.ended()
    _limits(samples, folder, scale)
    alice.start()
    bob.start("--bootstrap", alice.address)
    match(sandbox, alice, bob)
    lone(alice, "Bob", TEXT, scale.lone, samples)
    _pour(sandbox, {alice: send_requests("Bob", scale.texts // 10, TEXT)}, scale.texts // 10)  # warms up
    writer, reader = cpu_ns(alice.process.pid), cpu_ns(bob.process.pid)
    samples.add("one way /s", _pour(sandbox, {alice: send_requests("Bob", scale.texts, TEXT)}, scale.texts))
    for name, node, before in (("writer us", alice, writer), ("reader us", bob, reader)):
        samples.add(name, between_ns(before, cpu_ns(node.process.pid)) / scale.texts / 1000)
    half = scale.texts // 2
    samples.add("few /s", _pour(sandbox, {alice: send_requests("Bob", half, TEXT)}, half, ahead=64))
    lists = send_batches("Bob", half, TEXT, _LIST)
    samples.add("lists /s", _pour(sandbox, {alice: lists}, half, ahead=10))
    both = {alice: send_requests("Bob", half, TEXT), bob: send_requests("Alice", half, TEXT)}
    samples.add("both /s", _pour(sandbox, both, half))
    for rate in offered.RATES:
        _offer(sandbox, alice, rate, int(rate * scale.offered_s), samples)
    for node in (alice, bob):
        node.stop()


def _pour(sandbox: Sandbox, lines: dict[Node, list[bytes]], count: int, ahead: int = 512) -> float:
    """Texts a second, when each writer sends ``count``."""
    pour({node.socket: each for node, each in lines.items()}, ahead)
    until(sandbox, lambda: settled(lines), "The messages do not arrive")
    other = {"Alice": "Bob", "Bob": "Alice"}
    spans = [span(node, other[node.name], count) for node in lines]
    taken_ms = max(last for _, last in spans) - min(first for first, _ in spans)
    return len(lines) * count / max(taken_ms, 1) * 1000


def _offer(sandbox: Sandbox, writer: Node, rate: int, count: int, samples: Samples) -> None:
    due_ms = offer(writer.socket, send_requests("Bob", count, TEXT), rate).due_ms
    until(sandbox, lambda: settled([writer]), "The messages do not arrive")
    ends_ms = [end_ms for _, end_ms in delivered(writer, "Bob", count)]
    late_ms = [end_ms - at_ms for end_ms, at_ms in zip(ends_ms, due_ms, strict=True)]
    offered.add(samples, rate, (max(ends_ms) - due_ms[0]) / 1000, late_ms)


def _limits(samples: Samples, folder: Path, scale: Scale) -> None:
    limits.disk(samples, folder, scale.lone)
    path = folder / "sync"
    with path.open("wb", buffering=0) as file:

        def sync() -> None:
            file.write(bytes(512))
            os.fdatasync(file.fileno())

        samples.add("sync p50 ms", quantile(each_s(sync, scale.lone), 0.5) * 1000)
    path.unlink()
    one, other = nacl.public.PrivateKey.generate(), nacl.public.PrivateKey.generate()
    box, text = nacl.public.Box(one, other.public_key), nacl.utils.random(len(TEXT))
    samples.add("box /s", scale.texts / seconds(lambda: [box.decrypt(box.encrypt(text)) for _ in range(scale.texts)]))
    with limits.tcp_echo() as near:
        samples.add("trio p50 ms", quantile(trio.run(_trips_s, near, scale.lone), 0.5) * 1000)


async def _trips_s(near: socket.socket, count: int) -> list[float]:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(near))
    taken: list[float] = []
    for _ in range(count):
        began = trio.current_time()
        await stream.send_all(bytes(300))
        received = 0
        while received < 300:
            received += len(await stream.receive_some(300 - received))
        taken.append(trio.current_time() - began)
    return taken
