"""``start``: from before a daemon's process exists until it has answered ``node.hello`` on its socket.

Four profiles with production parameters, without a network: 10, 1,000 and 100,000 messages, all indexed, and one with
10 that a passphrase protects. In every run each of them starts and stops once, by turns; the first run warms files and
caches up and is thrown away, unless it is ``--quick``, which also has 1,000 messages at most.

- *cold*: the profile with 10, after the kernel was asked to drop what it caches of Python's, the packages' and the
  profile's files. What other processes have mapped stays: it is colder after a boot.
- *Raw limits* are taken in every run.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import p2pchat
from bench import limits
from bench.daemons import Node
from bench.history import Profile
from bench.measure import Samples, rounds
from bench.plot import Chart, Line
from bench.report import Metric
from p2pchat.cli.sandbox import Sandbox

_MESSAGES: Final = {"few s": 10, "some s": 1_000, "many s": 100_000}
_QUICK_MESSAGES: Final = 1_000
_INTERPRETERS: Final = 5
_BAR_S: Final = 2.0
_BESIDE: Final = (("libp2p s", "import libp2p"), ("python s", "python -c pass"))

METRICS: Final = (
    *(Metric(name, f"ready, {count:,} messages", "s", _BESIDE, bar=_BAR_S) for name, count in _MESSAGES.items()),
    Metric("locked s", "ready, with a passphrase", "s", (("argon2 s", "Argon2id"),), bar=_BAR_S),
    Metric("cold s", "ready, nothing cached", "s", _BESIDE),
)
CHARTS: Final = (
    Chart(
        "Start of a daemon",
        "messages in the history",
        "process begun → ready, s",
        (Line("", tuple((f"{name} messages", name) for name in _MESSAGES)),),
    ),
)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything."""
    nodes: dict[str, Node] = {}
    for name, count in _MESSAGES.items():
        messages = min(count, _QUICK_MESSAGES) if quick else count
        profile = Profile(sandbox, folder / name[0:2], "Alice", messages)
        samples.add(f"{name} messages", messages)
        profile.fill()
        profile.index(Samples())
        nodes[name] = profile.node
    nodes["locked s"] = Node(sandbox, folder / "lo", "Alice", "+821012345678", "three old boots")
    nodes["locked s"].init()
    nodes["locked s"].ended()
    for _, values in rounds(runs, samples, warm_up=not quick):
        limits.interpreters(values, _INTERPRETERS)
        limits.imported(values)
        limits.argon2(values)
        for name, node in nodes.items():
            _start(node, name, values)
        _forget([Path(sys.prefix), Path(sysconfig.get_path("stdlib")), Path(p2pchat.__file__).parent, folder])
        _start(nodes["few s"], "cold s", values)


def _start(node: Node, name: str, samples: Samples) -> None:
    samples.add(name, node.start())
    node.stop()


def _forget(folders: Iterable[Path]) -> None:
    """Ask the kernel to drop what it caches of all files below."""
    os.sync()  # what is not on the disk yet cannot be dropped
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                if path.is_file() and not path.is_symlink():
                    descriptor = os.open(path, os.O_RDONLY)
                    try:
                        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    finally:
                        os.close(descriptor)
