"""``p2pchat wipe`` on real profiles: it asks, it stops the daemon, it removes one profile and no other."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.daemons import ALICE, Daemon, daemons, environment, p2pchat, run

pytestmark = pytest.mark.e2e


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}


def typed(home: Path, answer: bytes) -> int:
    """The exit status of a wipe whose question is answered on a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pchat.cli", "wipe"],
        env=environment(home),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    try:
        shown = b""
        while b"Type its name" not in shown:
            shown += os.read(leader, 1024)
        os.write(leader, answer + b"\n")
        return process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def test_a_running_profile_is_stopped_and_removed_and_no_other(tmp_path: Path) -> None:
    with daemons(tmp_path, ALICE) as (alice,):
        other = ("--profile", "other", "init", "--no-number", "--name", "O", "--no-passphrase")
        assert run(alice.home, *other).returncode == 0
        (alice.home / "config").mkdir()
        for name in ("default", "other"):
            (alice.home / "config" / f"{name}.toml").write_text("")
        before = files(alice.home)
        alice.start()
        assert p2pchat(alice.home, "wipe").returncode == 65
        assert typed(alice.home, b"other") == 65
        assert alice.call("node.status")["name"] == "Somebody"
        assert before <= files(alice.home)
        assert typed(alice.home, b"default") == 0
        assert process_of(alice).wait(10) == 0
        mine = {"config/default.toml", "data/default/key", "data/default/p2pchat.db"}
        assert files(alice.home) == (before | {"log.txt"}) - mine
        again = p2pchat(alice.home, "wipe", "--yes")
        assert (again.returncode, again.stderr[:12]) == (66, b"NO_PROFILE: ")


def process_of(daemon: Daemon) -> subprocess.Popen[bytes]:
    assert daemon.process is not None
    return daemon.process


def test_what_a_wipe_has_left_is_no_profile_until_the_next_finishes(tmp_path: Path) -> None:
    with daemons(tmp_path, ALICE) as (alice,):
        (alice.home / "data" / "default" / "key").unlink()  # where a wipe was interrupted
        for command in (["daemon"], ["passphrase", "--no-passphrase"]):
            refused = p2pchat(alice.home, *command)
            assert (refused.returncode, refused.stderr[:12]) == (66, b"NO_PROFILE: ")
            assert b"wipe" in refused.stderr
        done = p2pchat(alice.home, "wipe", "--yes")
        assert (done.returncode, done.stdout) == (0, b"The profile default is gone.\n")
        assert files(alice.home) == set()
