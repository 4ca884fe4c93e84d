"""Several profiles of one user on one machine: each has its own socket, port, log and lock, and none another's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.errors import NoDaemon
from p2pchat.client.blocking import Client
from tests.e2e.daemons import environment, p2pchat, run, until

pytestmark = pytest.mark.e2e

PROFILES = ("default", "work")


@pytest.mark.slow
def test_two_profiles_run_side_by_side(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = {}
        for profile in PROFILES:
            made = run(tmp_path, "--profile", profile, "init", "--no-number", f"--name={profile}", "--no-passphrase")
            assert made.returncode == 0, made.stderr
            log = stack.enter_context((tmp_path / profile).open("wb"))
            running[profile] = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "p2pchat.cli", "--profile", profile, "daemon"],
                    env=environment(tmp_path),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
            stack.callback(running[profile].kill)
        for profile in PROFILES:
            until(partial(status, tmp_path, profile), "it does not answer")
        first, second = (status(tmp_path, profile) for profile in PROFILES)
        assert (
            [each["profile"] for each in (first, second)] == [each["name"] for each in (first, second)] == [*PROFILES]
        )
        assert first["peer_id"] != second["peer_id"]
        assert not {port(each) for each in first["addresses"]} & {port(each) for each in second["addresses"]}
        assert run(tmp_path, "--profile", "work", "run").returncode == 73
        assert p2pchat(tmp_path, "--profile", "work", "stop").returncode == 0
        assert running["work"].wait(30) == 0
        assert status(tmp_path, "work") == {}
        assert status(tmp_path, "default")
        running["default"].send_signal(signal.SIGTERM)
        assert running["default"].wait(30) == 0
        for profile in PROFILES:
            lines = [json.loads(line) for line in (tmp_path / profile).read_text().splitlines()]
            assert [line["event"] for line in lines].count("node.ready") == 1


def status(home: Path, profile: str) -> dict[str, Any]:
    """What the daemon of a profile says; nothing where none answers."""
    try:
        with Client(home / "run" / f"{profile}.sock") as client:
            return client.call("node.status")
    except NoDaemon:
        return {}


def port(address: str) -> str:
    return address.split("/tcp/")[1].split("/")[0]
