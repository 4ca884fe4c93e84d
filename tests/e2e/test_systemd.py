"""The units of ``contrib/systemd`` under a real systemd of a user, in namespaces and a control group of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from p2pchat.cli.sandbox import ALONE
from tests.e2e.daemons import ALICE, BOB, DEADLINE_S, environment, objects, until

MANAGER: Final = "/usr/lib/systemd/systemd"
GROUPS: Final = Path("/sys/fs/cgroup")
UNITS: Final = Path(__file__).parents[2] / "contrib" / "systemd"
UNSHARED: Final = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
STARTS_WITHIN_S: Final = 20.0
INSTANCE: Final = "p2pchat@default"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, (MANAGER, "systemctl", "unshare", "nsenter"))),
        reason="a manager of its own needs root, systemd, unshare and nsenter",
    ),
]

# The manager wants a system that was booted with systemd, a place for sockets, and control groups that it may divide.
BOOT: Final = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
for group; do echo 0 >"$group/cgroup.procs"; done
/usr/lib/systemd/systemd --user &
wait
"""

# The manager gives a service next to none of its environment.
COMMAND: Final = f"""#!/bin/sh
export PYTHONPATH={Path(__file__).parents[2]} P2PCHAT_LISTEN=/ip4/127.0.0.1/tcp/0
export {" ".join(f"{key}={value}" for key, value in ALONE.items())}
exec {sys.executable} -m p2pchat.cli "$@"
"""

# What a person has in a drop-in; the pauses of minutes are for a machine, not for a test.
DROP_IN: Final = """
[Service]
RestartSec=100ms
WatchdogSec=4s
"""


class Manager:
    """``systemd --user`` with the units, for a user whose program is this checkout's."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self._groups: list[Path] = []
        self._runtime = "/run/user/0"

    @property
    def variables(self) -> dict[str, str]:
        kept = {key: value for key, value in environment(self.home).items() if not key.startswith("P2PCHAT_HOME")}
        return kept | {"XDG_RUNTIME_DIR": self._runtime}

    def start(self) -> None:
        self._make_groups()
        self.process = subprocess.Popen(
            [*UNSHARED, "sh", "-c", BOOT, "sh", *map(str, self._groups)],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while self.systemctl("is-system-running") not in ("running", "degraded"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.skip("systemd does not run here")  # nothing of ours has begun
            time.sleep(0.1)

    def _make_groups(self) -> None:
        """In each hierarchy that systemd itself uses."""
        name = f"p2pchat-{os.getpid()}"
        for root in (GROUPS, GROUPS / "systemd", GROUPS / "unified"):
            if (root / "cgroup.procs").exists():
                try:
                    (root / name).mkdir()
                except OSError:
                    pytest.skip("control groups cannot be made here")
                self._groups.append(root / name)
        if not self._groups:
            pytest.skip("there are no control groups here")

    def inside(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command where the manager is."""
        assert self.process is not None
        first = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return subprocess.run(
            ["nsenter", "--target", *first, "--mount", "--pid", *command],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def systemctl(self, *arguments: str) -> str:
        return self.inside("systemctl", "--user", *arguments).stdout.decode().strip()

    def p2pchat(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return self.inside(str(self.home / ".local/bin/p2pchat"), *arguments)

    def property(self, name: str) -> str:
        return self.systemctl("show", "--value", "--property", name, f"{INSTANCE}.service")

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for group in self._groups:
            until(partial(self._removed, group), "a process stays behind")

    @staticmethod
    def _removed(group: Path) -> bool:
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                return False
        return True


@contextmanager
def user_manager(home: Path) -> Iterator[Manager]:
    """A manager with the units, and the command where they look for it."""
    command, units = home / ".local/bin/p2pchat", home / ".config/systemd/user"
    for folder in (command.parent, units / f"{INSTANCE}.service.d"):
        folder.mkdir(parents=True)
    command.write_text(COMMAND)
    command.chmod(0o755)
    for unit in UNITS.glob("*@.*"):
        # a user's home is what the system says of him, and the test's is not root's
        (units / unit.name).write_text(unit.read_text().replace("%h", str(home)))
    (units / f"{INSTANCE}.service.d" / "quick.conf").write_text(DROP_IN)
    manager = Manager(home)
    try:
        manager.start()
        yield manager
    finally:
        manager.end()


def test_the_units_start_watch_and_end_a_daemon(tmp_path: Path) -> None:
    with user_manager(tmp_path) as manager:
        made = manager.p2pchat("init", "--number", ALICE, "--name", "Alice", "--no-passphrase")
        assert made.returncode == 0, made.stderr
        assert manager.p2pchat("status").returncode == 69
        manager.systemctl("enable", "--now", f"{INSTANCE}.socket")

        (status,) = objects(manager.p2pchat("status", "--json"))  # this starts it
        assert status["locked"] is False
        assert manager.property("ActiveState") == "active"
        assert manager.property("StatusText") == "running"
        (contact,) = objects(manager.p2pchat("contacts", "add", BOB, "--json"))
        assert contact["state"] == "pending"

        first = manager.property("MainPID")
        manager.inside("kill", "-STOP", first)  # it hangs
        until(lambda: manager.property("NRestarts") != "0", "the watchdog does not bite")
        until(lambda: manager.property("StatusText") == "running", "it is not started again")
        assert manager.property("MainPID") != first
        assert len(objects(manager.p2pchat("contacts", "list", "--json"))) == 1

        assert objects(manager.p2pchat("stop", "--json")) == [{}]
        until(lambda: manager.property("ActiveState") == "inactive", "it does not end")
        assert manager.property("Result") == "success"

        settings = tmp_path / ".config/p2pchat/default.toml"
        settings.parent.mkdir()
        settings.write_text("no_such_key = 1\n")
        manager.systemctl("start", f"{INSTANCE}.service")
        assert manager.property("ExecMainStatus") == "65"
        assert manager.property("ActiveState") == "failed"
        settings.unlink()
        assert len(objects(manager.p2pchat("contacts", "list", "--json"))) == 1  # whoever comes starts it
