"""Two daemons on one LAN, each in a network namespace of its own, with no way out and nobody to start from.

alice ─ 10.88.0.1 ══ veth ══ 10.88.0.2 ─ bob
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import base58
import pytest

from tests.e2e.daemons import ALICE, BOB, Daemon, environment, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip", "hostname"))),
        reason="network namespaces need root, unshare, nsenter, ip and hostname",
    ),
]

HOST = "somebodys-laptop"

# Everything that passes an interface, until it is ended.
TAP = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
with open(sys.argv[1], "ab", buffering=0) as file:
    while True:
        file.write(tap.recv(65536))
"""


class Machine:
    """A network namespace, for as long as its first process lives."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep 3600"], stdout=-1
        )
        assert self.holder.stdout is not None
        self.holder.stdout.readline()
        self.enter = ["nsenter", "--target", str(self.holder.pid), "--net", "--uts"]

    def ip(self, command: str) -> None:
        subprocess.run([*self.enter, "ip", *command.split()], check=True)

    def end(self) -> None:
        self.holder.kill()
        self.holder.wait()
        assert self.holder.stdout is not None
        self.holder.stdout.close()


class Inhabitant(Daemon):
    """A daemon on a machine, with the settings that a user has at first."""

    def __init__(self, home: Path, number: str, machine: Machine) -> None:
        super().__init__(home, number)
        self.machine = machine

    def launch(self, *arguments: str) -> None:
        """Start and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.machine.enter, sys.executable, "-m", "p2pchat.daemon", "run", *arguments],
                env=environment(self.home) | {"P2PCHAT_LAN": "on"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextmanager
def one_machine(folder: Path) -> Iterator[tuple[Inhabitant, Inhabitant]]:
    """Both on one machine, as two profiles or two users are."""
    machine = Machine()
    made: list[Inhabitant] = []
    try:
        machine.ip("link add e0 type veth peer name e1")
        machine.ip("addr add 10.88.0.1/24 dev e0")
        machine.ip("link set e0 up")
        machine.ip("link set e1 up")
        for name, number in (("alice", ALICE), ("bob", BOB)):
            made.append(Inhabitant(folder / name, number, machine))
        yield made[0], made[1]
    finally:
        for each in made:
            if each.process is not None:
                each.process.kill()
                each.process.wait()
        machine.end()


@contextmanager
def lan(folder: Path) -> Iterator[tuple[Inhabitant, Inhabitant]]:
    """Both, not started; what passes between them is written to ``folder/wire``."""
    machines = [Machine(), Machine()]
    running: list[subprocess.Popen[bytes]] = []
    made: list[Inhabitant] = []
    try:
        here, there = (machine.holder.pid for machine in machines)
        subprocess.run(
            ["ip", "link", "add", "e0", "netns", str(here), "type", "veth", "peer", "name", "e0", "netns", str(there)],
            check=True,
        )
        for host, machine in enumerate(machines, 1):
            machine.ip(f"addr add 10.88.0.{host}/24 dev e0")
            machine.ip("link set e0 up")
        tap = subprocess.Popen([*machines[0].enter, sys.executable, "-c", TAP, str(folder / "wire")])
        running.append(tap)
        for name, number, machine in (("alice", ALICE, machines[0]), ("bob", BOB, machines[1])):
            made.append(Inhabitant(folder / name, number, machine))
        yield made[0], made[1]
    finally:
        running += [each.process for each in made if each.process is not None]
        for process in running:
            process.kill()
            process.wait()
        for machine in machines:
            machine.end()


def exchanged(alice: Daemon, bob: Daemon, text: str) -> Callable[[], bool]:
    """Each writes ``text`` to the other; whether both have come."""
    alice.call("message.send", to="Bob", text=text)
    bob.call("message.send", to="Alice", text=text)
    return lambda: text in alice.texts("Bob") and text in bob.texts("Alice")


def test_two_machines_on_one_lan_need_nothing_else(tmp_path: Path) -> None:
    with lan(tmp_path) as (alice, bob):
        alice.start()
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.start()
        bob.call("contacts.add", number=ALICE, name="Alice")
        # how soon is for the most part when children of a low priority have derived the roots
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        until(exchanged(alice, bob, "hello"), "nothing came")

        # well before the silence of the old connections would be noticed
        bob.machine.ip("addr del 10.88.0.2/24 dev e0")
        bob.machine.ip("addr add 10.88.0.77/24 dev e0")
        until(exchanged(alice, bob, "another address"), "not reached at the new address", within_s=20)

        bob.machine.ip("link set e0 down")
        time.sleep(20)
        up = exchanged(alice, bob, "up again")
        bob.machine.ip("link set e0 up")
        until(up, "not reached after the interface was down", within_s=20)

        wire = (tmp_path / "wire").read_bytes()
        assert b"_p2pchat" in wire
        for daemon in (alice, bob):
            peer = str(daemon.call("node.status")["peer_id"])
            for personal in (peer.encode(), base58.b58decode(peer), HOST.encode(), b"Somebody"):
                assert personal not in wire
        for number in (ALICE, BOB):
            assert number.encode() not in wire
            assert number[3:].encode() not in wire
        assert alice.stop() == bob.stop() == 0


def test_two_profiles_of_one_machine_find_each_other_the_same_way(tmp_path: Path) -> None:
    with one_machine(tmp_path) as (alice, bob):
        alice.start()
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.start()
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        until(exchanged(alice, bob, "hello"), "nothing came")
        assert alice.stop() == bob.stop() == 0
