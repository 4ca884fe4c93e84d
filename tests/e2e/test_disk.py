"""Real daemons on a disk that takes no more, and on a database of which a page does not open."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.base.limits import DISK_RESERVE_BYTES
from p2pchat.daemon.system import SystemEntropy
from p2pchat.store.keyfile import read_key
from p2pchat.store.repair import inspect, salvage
from tests.damage import flip, pages_of
from tests.e2e.daemons import Daemon, daemons, environment, p2pchat, until

pytestmark = pytest.mark.e2e

WELL_S = 15.0


def limit(daemon: Daemon, size: int) -> None:
    """Let no file of this process grow beyond ``size`` bytes."""
    assert daemon.process is not None
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def refusal(daemon: Daemon) -> str:
    try:
        daemon.call("message.send", to="self", text="one more")
    except ApiError as error:
        return error.error_name
    return ""


def test_a_disk_that_takes_no_more_is_said_and_left_again_without_a_restart(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (ann,):
        ann.start()
        ann.call("message.send", to="self", text="before")
        reserve = next(ann.home.rglob("p2pchat.db-reserve"))
        with subprocess.Popen(
            [sys.executable, "-m", "p2pchat.cli", "listen", "--since", "0", "--json"],
            env=environment(ann.home),
            stdout=subprocess.PIPE,
        ) as listening:
            try:
                assert listening.stdout is not None
                told = iter(map(json.loads, listening.stdout))
                assert next(told)["type"] == "node.started"  # and so whoever listens is there
                until(lambda: ann.call("node.status")["disk"] == "ok", "it begins well")
                limit(ann, 4096)
                until(lambda: refusal(ann) == "NO_SPACE", "what is new is refused")
                assert ann.call("node.status")["disk"] == "full"
                assert "before" in {row["text"] for row in ann.history("self")}  # what there is can be read
                assert p2pchat(ann.home, "send", "self", "x").returncode == 74
                assert "the disk is full" in p2pchat(ann.home, "status").stdout.decode()
                assert not reserve.exists() or reserve.stat().st_size < DISK_RESERVE_BYTES
                kept = len(ann.history("self"))
                limit(ann, resource.RLIM_INFINITY)
                until(lambda: ann.call("node.status")["disk"] == "ok", "it goes on by itself", WELL_S)
                assert reserve.stat().st_size == DISK_RESERVE_BYTES
                ann.call("message.send", to="self", text="after")
                assert len(ann.history("self")) == kept + 1
                seen: list[str] = []
                for event in told:
                    if event["type"] == "node.warning":
                        seen.append(event["data"]["disk"])
                    elif event["type"] == "message.queued" and event["data"]["text"] == "after":
                        break
                assert [each for each in seen if each != "slow"][-2:] == ["full", "ok"]  # slow where much else runs
                assert seen.count("full") == 1
            finally:
                listening.terminate()
        assert ann.stop() == 0
        assert '"defect"' not in ann.log.read_text()


def digest(path: Path) -> dict[str, str]:
    return {
        each.name.removeprefix(path.name): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in path.parent.glob(f"{path.name}*")
        if each.name in (path.name, path.name + "-wal") and each.stat().st_size
    }


@pytest.mark.slow
def test_a_damaged_database_ends_the_daemon_and_what_it_gives_is_saved(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (ann,):
        ann.start()
        texts = [f"note {number} " + "x" * 500 for number in range(200)]
        for text in texts:
            ann.call("message.send", to="self", text=text)
        assert ann.stop() == 0
        path = next(ann.home.rglob("p2pchat.db"))
        key = read_key(path.with_name("key"), None)
        leaves = pages_of(path, key, "message")
        flip(path, leaves[len(leaves) // 2])
        flip(path, pages_of(path, key, "event")[0])
        ann.launch()
        assert ann.process is not None
        try:
            ann.become_ready()
            ann.history("self")
        except (ApiError, AssertionError, OSError):
            pass  # by then it may have met the page by itself
        assert ann.process.wait(timeout=20) == 74
        assert "p2pchat doctor --fix" in ann.log.read_text()
        before = digest(path)
        assert not inspect(path, key).sound
        report = salvage(path, key, SystemEntropy(), int(time.time() * 1000))
        assert report.aside is not None
        assert digest(report.aside) == before
        ann.start()
        kept = [row["text"] for row in ann.history("self")]
        assert len(texts) - 40 < len(kept) < len(texts)
        assert set(kept) < set(texts)
        assert ann.stop() == 0
        flip(path, 1)
        ann.launch()
        assert ann.process.wait(timeout=20) == 74
        assert "ERROR" not in ann.log.read_text()  # the library writes there by itself, unless it is told not to
