"""Making and opening a profile: one clear sentence, the documented exit status, nothing half-written."""

from __future__ import annotations

import os
import pty
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.daemons import ALICE, Daemon, daemons, environment, run, until

pytestmark = pytest.mark.e2e

INIT = ("init", "--number", ALICE, "--name", "Alice")


def files(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def sentence(stderr: bytes) -> tuple[str, str]:
    """The name and the sentence of the last line."""
    name, _, text = stderr.decode().strip().splitlines()[-1].partition(": ")
    return name, text


def test_a_profile_is_private_and_says_what_no_passphrase_gives_up(tmp_path: Path) -> None:
    done = run(tmp_path, *INIT, "--no-passphrase")
    assert done.returncode == 0
    assert b"Without a passphrase" in done.stderr
    folder = tmp_path / "data" / "default"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    everything = b"".join(file.read_bytes() for file in folder.iterdir())
    assert ALICE.encode() not in everything
    assert b"Alice" not in everything


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, *INIT, "--no-passphrase").returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "data" / "default").iterdir()}
    again = run(tmp_path, *INIT, "--no-passphrase")
    assert again.returncode == 73
    assert sentence(again.stderr)[0] == "ALREADY_EXISTS"
    assert {path: path.read_bytes() for path in (tmp_path / "data" / "default").iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "--number", "12345", "--name", "A", "--no-passphrase"),
        ("init", "--number", "+82215881234", "--name", "A", "--no-passphrase"),  # a landline
        ("init", "--number", "", "--name", "A", "--no-passphrase"),
        ("init", "--number", ALICE, "--name", "", "--no-passphrase"),
        ("init", "--number", ALICE, "--name", "a\x1b[2J", "--no-passphrase"),
        ("init", "--number", ALICE, "--name", "A", "--passphrase-file", "/nonexistent/file"),
        ("init", "--name", "A", "--no-passphrase"),
        ("init", "--number", ALICE, "--no-passphrase"),
        ("init", "--number", ALICE, "--name", "A"),
        ("--profile", "../x", *INIT, "--no-passphrase"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_writes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = run(tmp_path, *arguments)
    assert refused.returncode == 65
    name, text = sentence(refused.stderr)
    assert name == "INVALID_PARAMS"
    assert text
    assert "12345" not in text
    assert len(refused.stderr.splitlines()) == 1
    assert files(tmp_path) == []


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a directory should be")
    refused = run(tmp_path, *INIT, "--no-passphrase")
    assert refused.returncode == 74
    assert sentence(refused.stderr)[0] == "STORE"
    assert files(tmp_path) == ["data"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system in a namespace of its own")
def test_a_full_disk(tmp_path: Path) -> None:
    script = (
        f"mount -t tmpfs -o size=64k none {tmp_path} || exit 99; "
        f"{shlex.quote(sys.executable)} -m p2pchat.daemon init --number {ALICE} --name A --no-passphrase; status=$?; "
        f"find {tmp_path} -mindepth 1 ! -name data; exit $status"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=environment(tmp_path), capture_output=True, check=False
    )
    if done.returncode == 99 or b"unshare" in done.stderr:
        pytest.skip("mount namespaces are not allowed here")
    assert done.returncode == 74, done.stderr
    assert sentence(done.stderr)[0] == "NO_SPACE"
    assert done.stdout == b""


def test_a_passphrase_opens_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    home = tmp_path / "home"
    assert run(home, *INIT, "--passphrase-file", str(right)).returncode == 0
    refused = run(home, "run", "--passphrase-file", str(wrong))
    assert refused.returncode == 77
    assert sentence(refused.stderr)[0] == "FORBIDDEN"
    unasked = run(home, "run")
    assert unasked.returncode == 77
    assert sentence(unasked.stderr)[0] == "LOCKED"
    daemon = Daemon.__new__(Daemon)
    daemon.home, daemon.socket, daemon.log = home, home / "run" / "default.sock", home / "log.txt"
    try:
        daemon.start("--passphrase-file", str(right))
        assert daemon.stop() == 0
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


def test_prompts_ask_for_what_is_missing_on_a_terminal(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pchat.daemon", "init", "--region", "KR"],
        env=environment(tmp_path),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown = b""

    def answer(question: bytes, text: bytes) -> None:
        nonlocal shown
        while question not in shown:
            shown += os.read(leader, 1024)
        shown = b""
        os.write(leader, text + b"\n")

    try:
        answer(b"mobile number", b"123")
        answer(b"mobile number", b"010-1234-5678")
        answer(b"Your name", "앨리스".encode())
        answer(b"passphrase for this profile", b"secret")
        answer(b"same again", b"different")
        answer(b"passphrase for this profile", b"secret")
        answer(b"same again", b"secret")
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert (tmp_path / "data" / "default" / "key").exists()


def test_a_profile_that_was_never_made(tmp_path: Path) -> None:
    refused = run(tmp_path, "run")
    assert refused.returncode == 66
    name, text = sentence(refused.stderr)
    assert name == "NO_PROFILE"
    assert "init" in text
    assert files(tmp_path) == []


@pytest.mark.slow
def test_a_second_daemon_a_busy_port_and_bad_addresses(tmp_path: Path) -> None:
    with daemons(tmp_path, ALICE, None) as (alice, other):
        alice.start()
        second = run(alice.home, "run", "--listen", "/ip4/127.0.0.1/tcp/0")
        assert second.returncode == 73
        assert sentence(second.stderr)[0] == "ALREADY_RUNNING"
        busy = alice.address.partition("/p2p/")[0]
        refused = run(other.home, "run", "--listen", busy)
        assert refused.returncode == 74
        assert sentence(refused.stderr)[0] == "ADDRESS_IN_USE"
        for bad in ("nonsense", "/ip4/1.2.3/tcp/1", "/ip4/127.0.0.1/tcp/99999", ""):
            for flag in ("--listen", "--bootstrap"):
                refused = run(other.home, "run", flag, bad)
                assert refused.returncode == 65, (flag, bad, refused.stderr)
                assert sentence(refused.stderr)[0] == "INVALID_PARAMS"
        refused = run(other.home, "run", "--bootstrap", busy)
        assert refused.returncode == 65
        assert "/p2p/" in sentence(refused.stderr)[1]


@pytest.mark.slow
def test_the_port_survives_a_restart_and_an_unreachable_bootstrap_is_said_clearly(tmp_path: Path) -> None:
    with daemons(tmp_path, ALICE, None) as (alice, gone):
        gone.start()
        unreachable = gone.address
        assert gone.stop() == 0
        alice.start("--bootstrap", unreachable)
        first = alice.address
        assert alice.call("node.status")["peers"] == 0
        until(lambda: "bootstrap.no_node_answered" in alice.log.read_text(), "nothing is said of it")
        assert alice.stop() == 0
        alice.start()
        assert alice.address == first
