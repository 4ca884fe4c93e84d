"""``p2pchat doctor`` as it is typed: with a daemon and without, in a terminal and a pipe, in English and Korean."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netlab.lab import Lab
from netlab.topology import Options
from tests.e2e.daemons import Daemon, daemons, environment, objects, p2pchat, until
from tests.e2e.netlabs import needs_lab
from tests.e2e.terminal import terminal
from tests.e2e.test_reach import Settler

pytestmark = pytest.mark.e2e

PAGE = 4096
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("mount"),
    reason="file systems of their own need root, unshare and mount",
)


def rows(home: Path, *arguments: str, status: int, wrapped: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """What is found, by the names of checks."""
    done = subprocess.run(
        [*wrapped, sys.executable, "-m", "p2pchat.cli", "doctor", "--json", *arguments],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    done.returncode = 0
    return {row["name"]: row for row in objects(done)}


def test_a_daemon_with_a_neighbour_is_examined(tmp_path: Path) -> None:
    with daemons(tmp_path, None, None) as (alice, bob):
        alice.start()
        bob.start("--bootstrap", alice.address)
        until(lambda: alice.call("node.status")["peers"], "nobody came")
        until(lambda: rows(bob.home, status=0)["bootstrap"]["code"] == "bootstrap.known", "no first node")
        found = rows(alice.home, status=0)  # warnings alone
        codes = {row["code"] for row in found.values()}
        assert {"daemon.running", "socket.ok", "database.ok", "port.listening", "dht.few"} <= codes
        assert {"addresses.loopback", "test.local_network", "mapping.off", "clock.ok"} <= codes
        assert found["test"]["facts"] == {"inbound": 1}
        until(lambda: alice.call("node.status")["peers"] == 1, "the node of the moment stayed")
        assert rows(alice.home, "--no-send", status=0)["test"]["code"] == "test.not_sent"
        peer_id = str(alice.call("node.status")["peer_id"])
        assert peer_id not in str(found) + (alice.home / "log.txt").read_text()

        korean = {"LANG": "ko_KR.UTF-8", "LC_ALL": ""}
        with terminal(alice.home, "doctor", columns=60, rows=60, variables=korean) as screen:
            assert screen.ends() == 0
            screen.sees("✓ 데몬", "데몬이 실행 중입니다.", "확인한 것에는 이상이 없습니다.")
            assert screen.shows("! 주소")
        with terminal(alice.home, "doctor", columns=60, rows=70) as screen:
            assert screen.ends() == 0
            screen.sees("✓ daemon", "Nothing that was looked at is in disorder.")
            wide = [line for line in screen.lines if line.startswith("! addresses")]
            assert wide == ["! addresses         The node listens on this machine alone:"]

        alice.call("node.shutdown")
        until(lambda: alice.process is not None and alice.process.poll() is not None, "it does not end")
        found = rows(alice.home, status=1)
        assert (found["daemon"]["code"], found["test"]["code"]) == ("daemon.none", "test.no_daemon")
        assert found["database"]["code"] == "database.ok"


def test_a_locked_node_says_what_it_can(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("correct horse\n")
    alice = Daemon(tmp_path / "alice", None, tmp_path / "word")
    try:
        alice.start("--locked")
        found = rows(alice.home, status=0)
        assert found["daemon"]["code"] == "daemon.locked"
        assert (found["database"]["code"], found["relays"]["code"]) == ("database.locked", "relays.locked")
        assert (found["key"]["code"], found["disk"]["state"]) == ("key.protected", "ok")
        assert "p2pchat unlock" in found["daemon"]["advice"]
    finally:
        alice.kill()
    left = rows(alice.home, status=1)
    assert (left["socket"]["code"], left["database"]["code"]) == ("socket.stale", "database.needs_passphrase")
    found = rows(alice.home, "--fix", "--passphrase-file", str(tmp_path / "word"), status=1)
    assert found["fix"]["code"] == "fix.socket"
    assert (found["socket"]["code"], found["database"]["code"]) == ("socket.none", "database.ok")


@pytest.mark.slow
def test_a_damaged_database_beside_a_daemon_and_without(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (alice,):
        alice.start()
        path = alice.home / "data" / "default" / "p2pchat.db"
        until(lambda: path.with_name("p2pchat.db-wal").stat().st_size == 0, "the log is not emptied")
        with path.open("r+b") as file:  # the last page of all, which the daemon has no reason to read
            file.seek(-PAGE + 100, os.SEEK_END)
            file.write(b"scribble")
        found = rows(alice.home, "--no-send", status=1)["database"]
        assert (found["code"], found["facts"]["places"]) == ("database.damaged", 1)
        assert alice.call("node.status")["locked"] is False  # it goes on
        alice.kill()
        asked = rows(alice.home, "--fix", status=1)
        assert (asked["fix"]["code"], asked["database"]["code"]) == ("fix.can_be_saved", "database.damaged")
        saved = rows(alice.home, "--fix", "--yes", status=1)
        assert (saved["fix"]["code"], saved["database"]["code"]) == ("fix.saved", "database.ok")


@needs_mounts
def test_a_disk_that_is_full_and_one_that_can_only_be_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert p2pchat(home, "init", "--no-number", "--name", "A", "--no-passphrase").returncode == 0
    data = home / "data" / "default"
    moved = tmp_path / "moved"
    shutil.move(data, moved)
    data.mkdir()
    for options, code in (("size=2m", "disk.full"), ("size=2m,ro", "disk.read_only")):
        made = f"mount -t tmpfs -o size=2m,mode=700 none {data} && cp {moved}/* {data}"
        script = f'{made} && mount -o remount,{options} {data} && exec "$@"'
        found = rows(home, status=1, wrapped=("unshare", "--mount", "sh", "-c", script, "sh"))
        assert found["disk"]["code"] == code
        assert found["database"]["code"] == "database.ok"
        assert found["key"]["code"] == "key.open"


@pytest.mark.slow
@needs_lab
def test_behind_a_router_the_way_in_is_tried_as_others_would_come(tmp_path: Path) -> None:
    with Lab("random-nat", Options(public=2)) as lab:
        relays = [Settler(tmp_path / host, None, lab, host, relays=True) for host in ("relay", "relay2")]
        alice = Settler(tmp_path / "a", None, lab, "alice")
        relays[0].start()
        for node in (relays[1], alice):  # who comes last is told of both
            node.start("--bootstrap", relays[0].entrance(4))
        found = dict[str, dict[str, Any]]()

        def has_come_back() -> bool:
            found.update({row["name"]: row for row in alice.call("node.doctor")["checks"]})
            return bool(found["relays"]["code"] == "relays.ok" and found["nat"]["code"] != "nat.unknown")

        until(has_come_back, "no relays", every_s=1.0)
        assert (found["test"]["code"], found["nat"]["code"]) == ("test.relayed", "nat.other_ports")
        assert found["nat"]["facts"]["observers"] == 2
        assert found["addresses"]["code"] == "addresses.private"
