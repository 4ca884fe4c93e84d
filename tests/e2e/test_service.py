"""A daemon under systemd: the socket that it is given, what it says, and that a start causes no second one."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon, daemons, environment, objects, p2pchat, run, until
from tests.e2e.runs import is_stopped
from tests.e2e.services import Service, ended, inode

pytestmark = pytest.mark.e2e

UNITS = Path(__file__).parents[2] / "contrib" / "systemd"
PASSPHRASE = "correct horse"


@contextmanager
def service(daemon: Daemon, *, watchdog_s: float | None = None) -> Iterator[Service]:
    made = Service(daemon, watchdog_s=watchdog_s)
    try:
        yield made
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()
        made.close()


@pytest.mark.slow
def test_whoever_connects_starts_it_and_the_socket_outlives_it(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (node,), service(node) as systemd, ThreadPoolExecutor(1) as pool:
        own = inode(node.socket)
        early = pool.submit(p2pchat, node.home, "status", "--json")
        systemd.start()
        (status,) = objects(early.result())
        assert status["locked"] is False
        assert systemd.told() == ["READY=1", "STATUS=running"]

        second = systemd.launch()
        assert ended(second) == 73
        by_hand = run(node.home, "run")
        assert (by_hand.returncode, by_hand.stderr[:17]) == (73, b"ALREADY_RUNNING: ")
        assert node.call("node.hello")["profile"] == "default"  # neither has taken the socket away

        assert node.stop() == 0
        assert systemd.told()[-1] == "STOPPING=1"
        assert inode(node.socket) == own
        late = pool.submit(p2pchat, node.home, "status", "--json")
        systemd.start()
        assert objects(late.result())[0]["locked"] is False
        assert objects(p2pchat(node.home, "stop", "--json")) == [{}]
        assert node.process is not None
        assert ended(node.process) == 0
        assert inode(node.socket) == own


@pytest.mark.slow
def test_without_its_passphrase_it_starts_locked(tmp_path: Path) -> None:
    secret = tmp_path / "p2pchat.passphrase"
    secret.write_text(PASSPHRASE)
    node = Daemon(tmp_path / "home", None, secret)
    with service(node) as systemd:
        systemd.start()
        assert systemd.told() == ["READY=1", "STATUS=locked"]
        assert p2pchat(node.home, "status").stdout.startswith(b"locked")
        assert p2pchat(node.home, "unlock", "--passphrase-file", str(secret)).returncode == 0
        assert systemd.told()[-1] == "STATUS=running"
        assert node.stop() == 0
        systemd.start(CREDENTIALS_DIRECTORY=str(tmp_path))
        assert systemd.told() == ["READY=1", "STATUS=running"]
        assert node.stop() == 0


def test_a_sign_of_life_comes_while_it_works_and_none_while_it_hangs(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (node,), service(node, watchdog_s=0.4) as systemd:
        systemd.start()
        systemd.signs(3)
        assert node.process is not None
        node.process.send_signal(signal.SIGSTOP)
        until(partial(is_stopped, node.process.pid), "it is not stopped")
        systemd.told()
        assert systemd.silent(1.0)
        node.process.send_signal(signal.SIGCONT)
        systemd.signs(1)
        assert node.stop() == 0
        # until all replies are out it goes on to give signs of life
        assert [each for each in systemd.told() if each != "WATCHDOG=1"][-1] == "STOPPING=1"


def test_a_socket_elsewhere_is_refused(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (node,), service(node) as systemd:
        elsewhere = tmp_path / "elsewhere.sock"
        assert ended(systemd.launch(P2PCHAT_HOME=str(tmp_path / "other"))) == 65
        node.socket.rename(elsewhere)
        assert ended(systemd.launch()) == 65
        said = node.log.read_text().splitlines()
        assert all(line.startswith("INVALID_PARAMS: socket: systemd listens elsewhere than at") for line in said)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("whose", ["user", "system"])
def test_systemd_understands_the_units(tmp_path: Path, whose: str) -> None:
    program = tmp_path / ".local" / "bin" / "p2pchat"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = []
    for unit in sorted((UNITS if whose == "user" else UNITS / "system").glob("p2pchat@.*")):
        units.append(tmp_path / unit.name.replace("@", "@work"))
        # root's home is not $HOME, and the program is not installed
        units[-1].write_text(
            unit.read_text().replace("%h", str(tmp_path)).replace("/usr/local/bin/p2pchat", str(program))
        )
    assert len(units) == (2 if whose == "user" else 1)
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--{whose}", "--man=no", *map(str, units)],
        env=environment(tmp_path) | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
