"""Of libp2p only what is used is loaded, and the rest still is when somebody asks for it: in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(program: str) -> list[str]:
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout.split()


def test_the_daemon_loads_no_transport_but_tcp() -> None:
    unused = [
        "libp2p.host",
        "libp2p.kad_dht",
        "libp2p.transport.tcp",
        "libp2p.transport.websocket",
        "miniupnpc",
        "requests",
        "wsproto",
        "zeroconf",
    ]
    program = f"""
import sys
import p2pchat.daemon.node
print(*[name for name in {unused!r} if name in sys.modules])
"""
    assert run(program) == []


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import libp2p; print(libp2p.new_host.__name__)", ["new_host"]),
        ("from libp2p import new_swarm; print(new_swarm.__module__)", ["libp2p"]),
        ("from libp2p.transport import TCP; print(TCP.__module__)", ["libp2p.transport.tcp.tcp"]),
        (
            "from libp2p import transport, host; print(transport.__name__, host.__name__)",
            ["libp2p.transport", "libp2p.host"],
        ),
        ("import libp2p; print(getattr(libp2p, 'nothing_of_that_name', 'none'))", ["none"]),
    ],
)
def test_what_is_asked_for_is_there(program: str, expected: list[str]) -> None:
    assert run(f"import p2pchat.net.libp2p_host\n{program}") == expected


def test_what_was_imported_before_is_left_alone() -> None:
    program = "import libp2p; before = vars(libp2p).copy(); import p2pchat.net; print(vars(libp2p) == before)"
    assert run(program) == ["True"]
