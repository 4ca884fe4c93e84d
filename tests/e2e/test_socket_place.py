"""The socket of a real daemon: where it lies, who gets to it, and what is said where it cannot be."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.paths import ProfilePaths
from p2pchat.client.blocking import Client
from tests.e2e.daemons import DEADLINE_S, environment, until

pytestmark = pytest.mark.e2e

SOMEBODY = 12_345
REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"node.hello"}\n'


def program(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """One run of the command line, without a terminal."""
    command = [sys.executable, "-m", "p2pchat.cli", *arguments]
    return subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
    )


def answers(path: Path) -> bool:
    with suppress(NoDaemon), Client(path) as client:
        return "profile" in client.call("node.hello")
    return False


@contextmanager
def started(environ: Mapping[str, str], *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that answers. ``before``: what starts it."""
    command = [*before, sys.executable, "-m", "p2pchat.daemon", "run", "--listen", "/ip4/127.0.0.1/tcp/0"]
    process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(ProfilePaths(environ=environ).socket), "the daemon does not answer")
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def becoming(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def reply_to(path: Path, uid: int) -> bytes:
    """What a client of that user is told."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        with becoming(uid):
            connection.connect(str(path))
        try:
            connection.sendall(REQUEST)
            return connection.recv(1)
        except ConnectionError:  # closed before the request was taken
            return b""


@pytest.fixture
def home() -> Iterator[Path]:
    with TemporaryDirectory() as folder:  # that of pytest lets nobody else through, and its paths are long
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    made = environment(home)
    del made["P2PCHAT_HOME"]
    init = ("init", "--no-number", "--name", "Alice", "--no-passphrase")
    assert program(made, *init).returncode == 0
    return made


def test_without_a_runtime_directory_and_killed_and_beside_other_users(home: Path, environ: dict[str, str]) -> None:
    path = home / ".local/share/p2pchat/.run/default.sock"
    with started(environ) as process:
        assert (path.lstat().st_mode & 0o777, path.parent.lstat().st_mode & 0o777) == (0o600, 0o700)
        if os.geteuid() == 0:
            with becoming(SOMEBODY), pytest.raises(ApiError) as refused:
                Client(path)
            assert refused.value.error_name == "FORBIDDEN"
            for each in (path.parent, *list(path.parents)[1:5]):
                each.chmod(0o755)
            path.chmod(0o666)  # whoever opens it to others opens it to nobody
            assert reply_to(path, SOMEBODY) == b""
            assert reply_to(path, 0) == b"{"
            path.parent.chmod(0o700)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.is_socket()
    nobody = program(environ, "status")
    assert (nobody.returncode, nobody.stdout, nobody.stderr.count(b"\n")) == (69, b"", 1)
    assert nobody.stderr.startswith(b"NO_DAEMON: ")
    with started(environ):
        assert path.is_socket()


def test_connections_that_were_forgotten_keep_no_command_out(home: Path, environ: dict[str, str]) -> None:
    path = home / ".local/share/p2pchat/.run/default.sock"
    with started(environ, "sh", "-c", 'ulimit -S -n 200; ulimit -H -n 300; exec "$@"', "sh") as process:
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (300, 300)
        with ExitStack() as forgotten:
            for index in range(120):  # a quarter of the files may be clients'
                connection = forgotten.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(str(path))
                with suppress(ConnectionError):  # refused: others came a moment ago
                    connection.sendall(REQUEST[:20] if index % 2 else b"")
            until(lambda: program(environ, "status").returncode == 0, "no command gets in", 10)
            files = list(Path(f"/proc/{process.pid}/fd").iterdir())
            assert 75 <= len(files) < 150


def test_a_place_that_is_not_safe_is_explained(home: Path, environ: dict[str, str]) -> None:
    runtime = home / "runtime"
    runtime.mkdir()
    runtime.chmod(0o777)
    environ["XDG_RUNTIME_DIR"] = str(runtime)
    (home / "elsewhere").mkdir(mode=0o700)
    (runtime / "p2pchat").symlink_to(home / "elsewhere")  # as another user could have made it
    refused = program(environ, "daemon")
    assert (refused.returncode, refused.stdout) == (77, b"")
    last = refused.stderr.splitlines()[-1].decode()
    assert last == f"FORBIDDEN: {runtime / 'p2pchat'} is not a directory but a link"
    assert b"Traceback" not in refused.stderr
    assert list((home / "elsewhere").iterdir()) == []

    environ["XDG_RUNTIME_DIR"] = str(runtime / ("x" * 100))
    for command in ("daemon", "status"):
        refused = program(environ, command)
        assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (65, b"", 1)
        assert refused.stderr.startswith(b"INVALID_PARAMS: socket: its path has ")
    assert [each.name for each in runtime.iterdir()] == ["p2pchat"]
