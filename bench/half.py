"""``reach --what half``: half of a network is killed at once, three times; those who are left go on and meet.

All nodes are public hosts of one test network, each knowing two of the first. Four of them are people who live to the
end. *A text each way*: after a death, until everybody who has matched has heard everybody else of theirs. *Match*: two
who did not know each other before that death add each other by number, until both have matched.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.measure import Samples
from bench.report import Metric
from bench.settler import Settler, Unmet, meet, wait
from netlab.control import LabError
from netlab.lab import Lab
from netlab.topology import Options
from p2pchat.api.errors import ApiError
from p2pchat.cli.sandbox import Sandbox

TOPOLOGY: Final = "ipv6"
PEOPLE: Final = 4
DEATHS: Final = 3
_READY_S: Final = 60.0
_FIRST: Final = ((0, 1), (2, 3))
_THEN: Final = ((0, 2), (1, 3), (0, 3))
"""Who meets after which death."""

_AT_ONCE: Final = 4
"""Profiles that are made at the same time."""


def metrics() -> list[Metric]:
    return [
        metric
        for death in range(1, DEATHS + 1)
        for metric in (
            Metric(f"{death} texts s", f"death {death}: a text each way", "s"),
            Metric(f"{death} match s", f"death {death}: match", "s"),
        )
    ]


def run(
    sandbox: Sandbox, folder: Path, nodes: int, pause_s: float, within_s: float, samples: Samples, told: list[str]
) -> None:
    """Add every row; what does not come about is ``told``.

    Args:
        nodes: how many there are at first.
        pause_s: from one death to the next.
    """
    folder.mkdir()
    with Lab(TOPOLOGY, Options(public=nodes)) as lab:
        try:
            _run(sandbox, lab, folder, nodes, pause_s, within_s, samples, told)
        except (Unmet, ApiError, LabError) as failure:
            told.append(failure.message if isinstance(failure, ApiError) else str(failure))
        finally:
            for process in sandbox.running():
                sandbox.finish(process)


def _run(
    sandbox: Sandbox,
    lab: Lab,
    folder: Path,
    nodes: int,
    pause_s: float,
    within_s: float,
    samples: Samples,
    told: list[str],
) -> None:
    hosts = [host for host in lab.hosts if host.startswith("relay")]
    everyone = [
        Settler(sandbox, lab, host, folder / host, host, f"+8210{20_000_000 + index}")
        for index, host in enumerate(hosts)
    ]
    for begin in range(0, nodes, _AT_ONCE):
        for node in everyone[begin : begin + _AT_ONCE]:
            node.init()
        for node in everyone[begin : begin + _AT_ONCE]:
            node.ended()
    entrances: list[str] = []
    for node in everyone:
        node.launch(*entrances)
        wait(sandbox, node.is_ready, f"{node.host} does not start", _READY_S)
        if len(entrances) < 2:
            entrances.extend(node.entrances()[:1])
    people, others = everyone[-PEOPLE:], everyone[:-PEOPLE]
    met = list(_FIRST)
    for one, other in met:
        meet(sandbox, people[one], people[other], within_s)
    for death in range(1, DEATHS + 1):
        dying = others[: (len(others) + PEOPLE) // 2]
        others = others[len(dying) :]
        died = time.monotonic()
        for node in dying:
            node.kill()
        told.append(f"death {death}: {len(dying)} killed, {len(others) + PEOPLE} left")
        samples.add(f"{death} texts s", _talk(sandbox, people, met, f"death {death}", within_s))
        one, other = _THEN[death - 1]
        samples.add(f"{death} match s", meet(sandbox, people[one], people[other], within_s))
        met.append((one, other))
        if death < DEATHS:
            time.sleep(max(died + pause_s - time.monotonic(), 0.0))


def _talk(
    sandbox: Sandbox, people: Sequence[Settler], pairs: Sequence[tuple[int, int]], words: str, within_s: float
) -> float:
    """Let both of every pair write to the other; the seconds until all is shown."""
    ways = [(people[a], people[b]) for one, other in pairs for a, b in ((one, other), (other, one))]
    for sender, receiver in ways:
        sender.send(receiver, words)
    return wait(
        sandbox, lambda: all(receiver.has(sender, words) for sender, receiver in ways), f"{words}: silence", within_s
    )
