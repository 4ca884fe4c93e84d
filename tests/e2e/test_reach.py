"""Real daemons in test networks: they find each other by number and deliver both ways."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from netlab.lab import Lab
from netlab.topology import Options
from tests.e2e.daemons import ALICE, BOB, Daemon, environment, until
from tests.e2e.netlabs import PORT, needs_lab
from tests.e2e.runs import Run, starting

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_lab]


class Settler(Daemon):
    """A daemon on a host of a lab; it listens on PORT of every address."""

    def __init__(self, home: Path, number: str | None, lab: Lab, host: str, *, relays: bool = False) -> None:
        super().__init__(home, number)
        self._lab = lab
        self._host = host
        self._own = {"P2PCHAT_RELAY_OFFER": "on"} if relays else {}

    def launch(self, *arguments: str) -> None:
        versions = {ip_address(each).version for each in self._lab.addresses(self._host)}
        listen = [f"/ip4/0.0.0.0/tcp/{PORT}" if version == 4 else f"/ip6/::/tcp/{PORT}" for version in versions]
        with self.log.open("ab") as log:
            self.process = self._lab.popen(
                self._host,
                [sys.executable, "-m", "p2pchat.daemon", "run", *(f"--listen={each}" for each in listen), *arguments],
                env=environment(self.home) | self._own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def entrance(self, version: int) -> str:
        """Where others find it, by IPv4 or IPv6."""
        host = next(each for each in self._lab.addresses(self._host) if ip_address(each).version == version)
        return next(each for each in map(str, self.call("net.addrs")["addresses"]) if f"/{host}/" in each)

    def path(self) -> set[str]:
        return {str(each["path"]) for each in self.call("net.peers")["peers"]}

    def path_to(self, other: Settler) -> str:
        """The best path of the connections to ``other``; empty if there is none."""
        theirs = other.call("node.status")["peer_id"]
        found = {str(each["path"]) for each in self.call("net.peers")["peers"] if each["peer_id"] == theirs}
        return next((path for path in ("lan", "direct", "relayed") if path in found), "")


@contextmanager
def talking(
    folder: Path, topology: str, first: str, second: str, version: int
) -> Iterator[tuple[Lab, Settler, Settler]]:
    """Alice on the host ``first``, Bob, who knows her address, on ``second``; they have matched and delivered."""
    with Lab(topology) as lab:
        alice = Settler(folder / "a", ALICE, lab, first)
        bob = Settler(folder / "b", BOB, lab, second)
        alice.start()
        bob.start("--bootstrap", alice.entrance(version))
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        say(alice, "Bob", "to Bob")
        say(bob, "Alice", "to Alice")
        assert (bob.texts("Alice"), alice.texts("Bob")) == (["to Bob"], ["to Alice"])
        yield lab, alice, bob


def say(writer: Settler, to: str, text: str) -> None:
    """Send, and wait for the delivery."""
    told = writer.call("message.send", to=to, text=text, wait="delivered", timeout_ms=30_000)
    assert told["state"] == "delivered", told


@pytest.mark.parametrize(
    ("topology", "first", "second", "version", "path"),
    [
        ("lan", "alice", "bob", 4, "lan"),
        ("dual", "alice", "bob", 6, "direct"),
        ("ipv6", "alice", "bob", 6, "direct"),
        ("two-nats", "relay", "bob", 4, "direct"),
        ("carrier", "relay", "alice", 4, "direct"),
        ("firewall", "bob", "alice", 4, "direct"),
    ],
)
def test_two_people_meet_where_one_can_be_reached(
    tmp_path: Path, topology: str, first: str, second: str, version: int, path: str
) -> None:
    with talking(tmp_path, topology, first, second, version) as (_, alice, bob):
        assert alice.path() == bob.path() == {path}


def test_texts_go_on_while_two_homes_meet_through_a_relay_and_then_directly(tmp_path: Path) -> None:
    """Both behind NATs; ten texts a second each way, from before the match until after it: each once, in order."""
    with Lab("two-nats", Options(public=2)) as lab:
        relays = [Settler(tmp_path / host, None, lab, host, relays=True) for host in ("relay", "relay2")]
        alice, bob = Settler(tmp_path / "a", ALICE, lab, "alice"), Settler(tmp_path / "b", BOB, lab, "bob")
        relays[0].start()
        first = relays[0].entrance(4)
        relays[1].start("--bootstrap", first)
        for node in (alice, bob):
            node.launch("--bootstrap", first)
        for node in (alice, bob):
            node.become_ready()
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        paths, texts = list[tuple[str, str]](), list[str]()

        def speak() -> bool:
            texts.append(f"text {len(texts)}")
            alice.call("message.send", to="Bob", text=texts[-1])
            bob.call("message.send", to="Alice", text=texts[-1])
            paths.append((alice.path_to(bob), bob.path_to(alice)))
            return paths[-20:] == [("direct", "direct")] * 20

        until(speak, "no direct path for a while", every_s=0.1)
        assert "relayed" in {path for both in paths for path in both}
        until(lambda: len(bob.texts("Alice")) >= len(texts) <= len(alice.texts("Bob")), "texts are missing", 20)
        assert bob.texts("Alice") == alice.texts("Bob") == texts


def test_two_homes_find_each_other_again_when_nobody_is_left_between_them(tmp_path: Path) -> None:
    """The relay, all that they know, is killed, then both people, and their routers forget whom they let in."""
    with Lab("two-nats") as lab:
        relay = Settler(tmp_path / "relay", None, lab, "relay", relays=True)
        alice, bob = Settler(tmp_path / "a", ALICE, lab, "alice"), Settler(tmp_path / "b", BOB, lab, "bob")
        relay.start()
        for node in (alice, bob):
            node.launch("--bootstrap", relay.entrance(4))
        for node in (alice, bob):
            node.become_ready()
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: (alice.path_to(bob), bob.path_to(alice)) == ("direct", "direct"), "no direct path")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        relay.kill()
        say(alice, "Bob", "without a relay")
        for node in (alice, bob):
            node.kill()
        for home in ("alice-home", "bob-home"):
            lab.restart(home)
        for node in (alice, bob):
            node.launch()
        for node in (alice, bob):
            node.become_ready()
        say(alice, "Bob", "again")
        say(bob, "Alice", "here, too")
        assert alice.path_to(bob) == bob.path_to(alice) == "direct"


def leaves_nothing(run: Run) -> None:
    run.leaves_nothing()
    assert [*run.folder.glob("netlab-*")] == []


def test_a_measurement_tells_what_works_and_what_does_not(tmp_path: Path) -> None:
    """Relay and people in one network of public addresses meet; who cannot within a moment is no failure of it."""
    file = tmp_path / "reach.json"
    options = ("--people", "public", "--cut-s", "1", "--json", str(file))
    with starting() as begin:
        run = begin("-m", "bench", "reach", "--topologies", "ipv6", *options)
        status, out, err = run.finish()
        assert (status, err) == (0, "")
        found = json.loads(file.read_text())
        names = [f"ipv6, public {what} s" for what in ("match", "cold", "direct", "healed")]
        assert [row["name"] for row in found["rows"]] == names
        assert all(row["median"] > 0 for row in found["rows"])
        assert found["told"] == ["ipv6, public: direct, then direct"] == out.splitlines()[-1:]
        run = begin("-m", "bench", "reach", "--topologies", "two-nats", "--within-s", "0.1", *options)
        status, out, err = run.finish()
        assert (status, out.splitlines()[-1], err) == (0, "two-nats, public: no match, 0.1 s long", "")
        leaves_nothing(run)


def test_an_interrupted_measurement_leaves_nothing() -> None:
    with starting() as begin:
        run = begin("-m", "bench", "reach", "--topologies", "lan")
        run.wait_for(lambda: len(run.processes()) >= 2)
        run.process.send_signal(signal.SIGINT)
        assert run.finish() == (130, "", "")
        leaves_nothing(run)
