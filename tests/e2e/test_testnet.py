"""``scripts/testnet``: its nodes know each other, do what the commands say, and nothing of them is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netlab import control
from testnet import asking
from testnet.network import TESTNET
from tests.e2e.daemons import DEADLINE_S, until
from tests.e2e.netlabs import needs_lab
from tests.e2e.runs import ROOT, Run, starting

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAME = f"test-{os.getpid()}"
IS_UP = "ends it"


def tell(what: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testnet", what, "--name", NAME, *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith("P2PCHAT_")}
        | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def done(what: str, *arguments: str) -> str:
    """What a command that succeeds prints."""
    told = tell(what, *arguments)
    assert told.returncode == 0, told.stderr
    return told.stdout


def look() -> dict[str, dict[str, Any]]:
    """The nodes, by name."""
    return {node["name"]: node for node in asking.looked_at(asking.ask(NAME, "status"))["nodes"]}


def says(writer: str, reader: str, within_s: int) -> int:
    """The exit status of a text that has to be delivered."""
    words = ("send", reader, "here", "--wait", "delivered", "--timeout", str(within_s))
    return tell("shell", writer, "p2pchat", *words).returncode


def processes(run: Run) -> list[int]:
    """All that was begun by it, whatever its home."""
    marker = f"TMPDIR={run.folder}\0".encode()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != run.process.pid:
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:  # it ended meanwhile, or is another user's
                continue
            if marker in environment:
                found.append(int(entry.name))
    return found


def leaves_nothing(run: Run) -> None:
    until(lambda: processes(run) == [], "a process is left", within_s=15)
    assert list(run.folder.iterdir()) == []
    assert NAME not in control.running(TESTNET)
    assert NAME not in control.running()


def test_a_network_does_what_it_is_told_and_leaves_nothing() -> None:
    with starting() as begin:
        run = begin("-m", "testnet", "4", "--matched", "1", "--name", NAME)
        run.read_until(IS_UP)
        nodes = look()
        assert json.loads(done("status", "--json"))["nodes"] == list(nodes.values())
        assert list(nodes) == ["alice", "bob", "host3", "host4"]
        assert {(node["state"], node["contacts"], node["outbox"]) for node in nodes.values()} == {("running", 1, 0)}
        assert len({node["number"] for node in nodes.values()} | {node["peer_id"] for node in nodes.values()}) == 8
        assert all(node["address"].startswith("/ip4/127.") for node in nodes.values())
        # opposite in the ring are contacts
        assert says("alice", "host3", 30) == 0

        done("partition", "alice", "bob,host4")
        # whoever is cut off is told by connections that close, so a moment later
        until(lambda: [node["peers"] for node in look().values()] == [0, 1, 0, 1], "they are not parted")
        assert says("alice", "host3", 1) == 75
        assert "parted: alice | bob,host4 | host3" in done("status")

        done("kill", "host3")
        killed = look()["host3"]
        assert (killed["state"], killed["pid"]) == ("killed", None)
        again = tell("kill", "host3")
        assert (again.returncode, again.stderr) == (1, "testnet: host3 does not run.\n")
        done("heal")  # which a node that does not run cannot hear
        done("restart", "host3")
        assert done("shell", "host3", "p2pchat", "net", "rules", "--json") == ""
        until(lambda: look()["alice"]["outbox"] == 0, "what waited for a killed node does not come")
        until(lambda: "node.ready" in done("logs", "host3"), "no log")

        before = look()["bob"]["pid"]
        done("restart", "bob")
        after = look()["bob"]
        assert (after["state"], after["contacts"]) == ("running", 1)
        assert after["pid"] != before
        done("shell", "bob", "p2pchat", "stop")
        until(lambda: look()["bob"]["state"] == "ended 0", "its end is not seen")

        with subprocess.Popen(
            [sys.executable, "-m", "testnet", "--name", NAME, "logs", "alice", "-f"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        ) as following:
            try:
                assert following.stdout is not None
                assert b"passphrase" in following.stdout.readline()  # which the making of the profile has said
                done("down")
                assert (run.finish(), following.wait(DEADLINE_S)) == ((0, "", ""), 0)
            finally:
                following.kill()
        leaves_nothing(run)


@needs_lab
def test_in_namespaces_and_killed_outright_it_leaves_nothing() -> None:
    with starting() as begin:
        run = begin("-m", "testnet", "2", "--netns", "--name", NAME)
        run.read_until(IS_UP)
        assert {node["address"].split("/")[2] for node in look().values()} == {"46.10.100.1", "46.11.100.1"}
        assert says("alice", "bob", 30) == 0
        done("partition", "alice")
        assert says("alice", "bob", 1) == 75
        assert control.ask(NAME, {"do": "status"})["cut"] == [["alice", "bob"]]
        done("heal")
        until(lambda: look()["alice"]["outbox"] == 0, "what waited for the cut to heal does not come")
        assert len(processes(run)) >= 4  # two nodes, the wire, and who removes the files
        run.process.kill()
        run.finish()
        leaves_nothing(run)


@needs_lab
def test_where_somebody_ends_its_lab_it_says_so_and_leaves_nothing() -> None:
    with starting() as begin:
        run = begin("-m", "testnet", "2", "--matched", "0", "--netns", "--name", NAME)
        run.read_until(IS_UP)
        control.end(NAME)
        assert run.finish() == (1, "", f"testnet: The lab {NAME!r} has ended, and all nodes with it.\n")
        leaves_nothing(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_it_comes_up_leaves_nothing(number: signal.Signals) -> None:
    with starting() as begin:
        run = begin("-m", "testnet", "up", "3", "--name", NAME)
        run.wait_for(run.processes)
        early = tell("kill", "alice")
        assert (early.returncode, early.stderr) == (1, "testnet: The network is still coming up.\n")
        run.process.send_signal(number)
        assert run.finish() == (128 + number, "", "")
        leaves_nothing(run)


def test_a_node_that_does_not_come_is_named_with_its_log() -> None:
    program = "import sys; sys.exit('STORE: the reason')"
    with_another = (
        "import sys; from testnet import __main__, node; "
        f"node.daemon_program = lambda: [sys.executable, '-c', {program!r}]; "
        f"sys.argv = ['testnet', '2', '--name', {NAME!r}]; sys.exit(__main__.main())"
    )
    with starting() as begin:
        run = begin("-c", with_another)
        status, out, err = run.finish()
        assert (status, out) == (1, "")
        assert "testnet: alice: STORE: the reason" in err
        assert err.splitlines()[-1] == "testnet: alice ended with 1 at its start."
        leaves_nothing(run)
