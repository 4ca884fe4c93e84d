"""Two homes behind NATs and a relay between them, in namespaces: who meets directly, and whom the router lets in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from netlab.lab import Lab
from netlab.spaces import Unavailable, check
from netlab.topology import Options
from p2pchat.net import tcp
from tests.e2e.netlabs import PORT, listen

ROOT = Path(__file__).parents[2]
HOMES = ("alice", "bob")


@pytest.fixture(autouse=True)
def namespaces() -> None:
    try:
        check()
    except Unavailable as error:
        pytest.skip(str(error))


class Node:
    """A process on a host of the lab."""

    def __init__(self, lab: Lab, host: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.e2e.punching_node", *arguments, host]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = lab.popen(host, command, env={"PYTHONPATH": str(ROOT)}, text=True, **pipes)

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the node has ended"
        return dict(json.loads(line))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


@contextmanager
def relayed(lab: Lab) -> Generator[tuple[dict[str, Node], dict[str, dict[str, Any]]]]:
    """Alice has connected to Bob through the relay; and what each has said of itself before."""
    address = f"/ip4/{lab.addresses('relay')[0]}/tcp/4001"
    nodes = {"relay": Node(lab, "relay", "relay", address)}
    try:
        relay = nodes["relay"].hear()["peer"]
        nodes |= {host: Node(lab, host, "home", address, relay) for host in HOMES}
        said = {host: nodes[host].hear() for host in HOMES}
        nodes["bob"].tell("await")
        nodes["alice"].tell(f"meet {said['bob']['peer']}")
        for host in HOMES:
            assert nodes[host].hear()["path"] == "relayed"
        yield nodes, said
    finally:
        for node in nodes.values():
            node.end()


@pytest.mark.parametrize("delay_ms", [0.0, 60.0])
def test_through_two_nats_that_keep_ports_they_meet_within_seconds(delay_ms: float) -> None:
    with Lab("two-nats") as lab:
        lab.set(delay_ms=delay_ms)
        with relayed(lab) as (nodes, said):
            for number, host in enumerate(HOMES, 1):
                assert said[host]["seen"] == f"/ip4/45.77.{number}.1/tcp/4001"
                assert not said[host]["reached"]
                met = nodes[host].hear()
                assert met["path"] == "direct"
                assert met["after_s"] < 30


@pytest.mark.slow
def test_through_a_nat_that_gives_out_ports_at_random_they_stay_with_the_relay() -> None:
    with Lab("random-nat") as lab, relayed(lab) as (nodes, _):
        assert [nodes[host].hear()["path"] for host in HOMES] == ["relayed", "relayed"]


def test_who_was_cut_off_connects_anew_between_the_same_ports() -> None:
    """The end of the connection before reached nobody, and would be repeated for minutes."""
    with Lab("lan") as lab:
        [there] = lab.addresses("bob")
        with listen(lab, "bob", there) as listener, lab.inside("alice"):

            async def connect() -> None:
                for _ in range(2):
                    stream = await tcp.connect_from(("0.0.0.0", PORT), there, PORT, must=True)  # noqa: S104
                    near, _ = listener.accept()
                    lab.cut("alice", "bob")
                    stream.socket.close()
                    near.close()
                    lab.heal()

            trio.run(connect)


@pytest.mark.parametrize("way", ["natpmp", "upnp"])
def test_a_router_lets_in_whom_it_was_asked_for(way: str) -> None:
    with Lab("two-nats", Options(natpmp=way == "natpmp", upnp=way == "upnp")) as lab:
        address = f"/ip4/{lab.addresses('relay')[0]}/tcp/4001"
        relay = Node(lab, "relay", "relay", address)
        alice = Node(lab, "alice", "home", address, relay.hear()["peer"], "map")
        try:
            assert alice.hear() == {"mapped": ["/ip4/45.77.1.1/tcp/4001"]}
            assert alice.hear()["reached"]
            assert opened(lab) == [4001]
            alice.tell("end")
            alice.process.wait(10)
            assert opened(lab) == []
        finally:
            alice.end()
            relay.end()


def opened(lab: Lab) -> list[int]:
    """The outside ports that Alice's router was asked to open."""
    return [each["outside_port"] for each in lab.status()["boxes"]["alice-home"]["mappings"] if each["opened"]]
