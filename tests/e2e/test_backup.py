"""Backups of real daemons: made while messages flow, read by nobody else, restored in a clean home."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.client.blocking import Client
from tests.e2e.daemons import ALICE, BOB, Daemon, environment, matched_pair, objects, p2pchat, run, until
from tests.e2e.needles import Needles
from tests.e2e.secret_keys import data_key, secret_keys
from tests.e2e.test_init import files, sentence

pytestmark = pytest.mark.e2e

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    return str(file)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    file = tmp_path / "wrong"
    file.write_text("horse\n")
    return str(file)


@contextmanager
def restored(home: Path, file: Path, passphrase: str) -> Iterator[Daemon]:
    """A daemon whose profile is made from a backup by the command line, not started."""
    home.mkdir()
    done = p2pchat(home, "backup", "restore", str(file), "--passphrase-file", passphrase)
    assert done.returncode == 0, done.stderr
    daemon = Daemon.__new__(Daemon)
    daemon.home, daemon.socket, daemon.log, daemon.process = home, home / "run" / "default.sock", home / "log.txt", None
    try:
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


class Talk:
    """Messages from both sides, one after the other, until it is ended."""

    def __init__(self, alice: Daemon, bob: Daemon) -> None:
        self.sent: dict[str, list[str]] = {"Alice": [], "Bob": []}
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._talk, args=(alice, "Alice", "Bob")),
            threading.Thread(target=self._talk, args=(bob, "Bob", "Alice")),
        ]

    def __enter__(self) -> Talk:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _talk(self, daemon: Daemon, me: str, to: str) -> None:
        with Client(daemon.socket) as client:
            while not self._end.is_set():
                text = f"{me} says {len(self.sent[me])} by the canary"
                client.call("message.send", to=to, text=text)
                self.sent[me].append(text)


@pytest.mark.slow
def test_a_backup_that_is_made_while_messages_flow_is_restored_and_the_talk_goes_on(
    tmp_path: Path, passphrase: str
) -> None:
    file = tmp_path / "alice.backup"
    with matched_pair(tmp_path / "pair") as (alice, bob):
        (alice.home / "config").mkdir()
        (alice.home / "config" / "default.toml").write_text('log_level = "debug"\n')
        with Talk(alice, bob) as talk:
            until(lambda: min(map(len, talk.sent.values())) > 20, "nobody talks")
            [made] = objects(
                p2pchat(alice.home, "backup", "create", str(file), "--passphrase-file", passphrase, "--json")
            )
            so_far = len(talk.sent["Alice"])
            until(lambda: len(talk.sent["Alice"]) > so_far + 20, "the talk has ended")
        assert made["bytes"] == file.stat().st_size
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert sorted(path.name for path in tmp_path.iterdir()) == ["alice.backup", "pair", "passphrase"]

        # read by the daemon, and without one
        checked = alice.call("backup.verify", path=str(file), passphrase=PASSPHRASE)
        [offline] = objects(p2pchat(tmp_path, "backup", "verify", str(file), "--passphrase-file", passphrase, "--json"))
        assert made == checked == offline

        content = file.read_bytes()
        needles = Needles()
        for secret, name in secret_keys(alice.home / "data" / "default").items():
            needles.add_key(name, secret)
        needles.add_key("the database key", data_key(alice.home / "data" / "default"))
        needles.add_number(ALICE, "82")
        needles.add_number(BOB, "82")
        for word in ("by the canary", "Somebody", PASSPHRASE):
            needles.add_text(word, word)
        assert needles.found_in(content) == set()
        assert PASSPHRASE not in alice.log.read_text()

        until(lambda: alice.outbox() == bob.outbox() == 0, "not everything was delivered")
        safety = alice.call("contacts.safety", to="Bob")["safety_number"]
        root = alice.call("identity.show")["root"]
        alice.kill()
        lost = bob.call("message.send", to="Alice", text="are you there?")

        with restored(tmp_path / "new", file, passphrase) as again:
            assert (again.home / "config" / "default.toml").read_text() == 'log_level = "debug"\n'
            again.start("--passphrase-file", passphrase)
            assert again.call("identity.show")["root"] == root
            assert again.call("contacts.safety", to="Bob")["safety_number"] == safety
            kept = again.history("Bob")
            assert len(kept) >= made["messages"]
            again.call("message.send", to="Bob", text="back again", wait="delivered", timeout_ms=60_000)
            until(lambda: bob.call("message.get", id=lost["id"])["state"] == "delivered", "it was not sent again")
            until(lambda: again.outbox() == bob.outbox() == 0, "not everything was delivered")
            assert bob.texts("Alice") == [*talk.sent["Alice"], "back again"]
            incoming = again.texts("Bob")
            assert incoming[-1] == "are you there?"
            assert incoming[:-1] == talk.sent["Bob"][: len(incoming) - 1]
            mine = [row["text"] for row in again.history("Bob") if row["direction"] == "out"]
            assert mine == [*talk.sent["Alice"][: len(mine) - 1], "back again"]
            assert {row["state"] for row in again.history("Bob") if row["direction"] == "out"} == {"delivered"}
            bob.call("message.send", to="Alice", text="welcome", wait="delivered", timeout_ms=60_000)
            assert again.stop() == 0


@pytest.mark.slow
def test_whatever_is_wrong_is_said_in_one_sentence_and_changes_nothing(
    tmp_path: Path, passphrase: str, wrong: str
) -> None:
    daemon = Daemon(tmp_path / "home", None)
    file = tmp_path / "backup"
    try:
        daemon.start()
        arguments = ("backup", "create", str(file), "--passphrase-file", passphrase)
        assert p2pchat(daemon.home, *arguments).returncode == 0
        again = p2pchat(daemon.home, *arguments)
        assert (again.returncode, sentence(again.stderr)[0]) == (73, "ALREADY_EXISTS")
        with pytest.raises(ApiError) as refused:
            daemon.call("backup.verify", path=str(file), passphrase="horse")
        assert refused.value.error_name == "FORBIDDEN"
        nowhere = p2pchat(daemon.home, "backup", "create", str(tmp_path / "no" / "x"), "--passphrase-file", passphrase)
        assert (nowhere.returncode, sentence(nowhere.stderr)[0]) == (74, "STORE")
        own = daemon.home / "data" / "default"
        (tmp_path / "link").symlink_to(own)
        for place in (own / "backup", tmp_path / "link" / "backup"):  # whoever asks the daemon itself
            with pytest.raises(ApiError) as refused:
                daemon.call("backup.create", path=str(place), passphrase=PASSPHRASE)
            assert (refused.value.error_name, refused.value.data["param"]) == ("INVALID_PARAMS", "path")
        assert not list(own.glob("backup*"))
    finally:
        daemon.kill()
    content = file.read_bytes()
    (tmp_path / "newer").write_bytes(b"p2pchat backup\n\2\0037.1" + content[20:])
    (tmp_path / "cut").write_bytes(content[:-1])
    (tmp_path / "altered").write_bytes(content[:-100] + bytes((content[-100] ^ 4,)) + content[-99:])
    (tmp_path / "none").write_bytes(b"PK" + bytes(1000))
    clean = tmp_path / "clean"
    clean.mkdir()
    for command in ("verify", "restore"):
        for name, secret, status, error in (
            ("backup", wrong, 77, "FORBIDDEN"),
            ("cut", passphrase, 74, "CORRUPT"),
            ("altered", passphrase, 74, "CORRUPT"),
            ("none", passphrase, 74, "CORRUPT"),
            ("newer", passphrase, 74, "STORE"),
            ("missing", passphrase, 74, "STORE"),
            ("backup", str(tmp_path / "missing"), 65, "INVALID_PARAMS"),
        ):
            done = p2pchat(clean, "backup", command, str(tmp_path / name), "--passphrase-file", secret)
            assert (done.returncode, sentence(done.stderr)[0]) == (status, error), (command, name, done.stderr)
            assert len(done.stderr.splitlines()) == 1
            assert done.stdout == b""
            assert files(clean) in ([], ["data"])
        for name, status, error in (("none", 74, "CORRUPT"), ("missing", 74, "STORE"), ("", 65, "INVALID_PARAMS")):
            unasked = p2pchat(clean, "backup", command, name and str(tmp_path / name))  # it is not the passphrase
            assert (unasked.returncode, sentence(unasked.stderr)[0]) == (status, error), unasked.stderr
    unasked = p2pchat(clean, "backup", "restore", str(file))
    assert (unasked.returncode, sentence(unasked.stderr)[0]) == (65, "INVALID_PARAMS")
    before = {path: path.read_bytes() for path in (daemon.home / "data" / "default").iterdir()}
    over = p2pchat(daemon.home, "backup", "restore", str(file), "--passphrase-file", passphrase)
    assert (over.returncode, sentence(over.stderr)[0]) == (73, "ALREADY_EXISTS")
    assert {path: path.read_bytes() for path in (daemon.home / "data" / "default").iterdir()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system in a namespace of its own")
def test_a_full_disk_at_the_restore_leaves_nothing(tmp_path: Path, passphrase: str) -> None:
    daemon = Daemon(tmp_path / "home", None)
    file, small = tmp_path / "backup", tmp_path / "small"
    try:
        daemon.start()
        daemon.call("backup.create", path=str(file), passphrase=PASSPHRASE)
    finally:
        daemon.kill()
    small.mkdir()
    program = f"{shlex.quote(sys.executable)} -m p2pchat.daemon restore --passphrase-file {passphrase} {file}"
    script = (
        f"mount -t tmpfs -o size=64k none {small} || exit 99; {program}; status=$?; "
        f"find {small} -mindepth 1 ! -name data; exit $status"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=environment(small), capture_output=True, check=False
    )
    if done.returncode == 99 or b"unshare" in done.stderr:
        pytest.skip("mount namespaces are not allowed here")
    assert done.returncode == 74, done.stderr
    assert sentence(done.stderr)[0] == "NO_SPACE"
    assert done.stdout == b""


def test_the_restored_profile_has_the_passphrase_of_the_backup(tmp_path: Path, passphrase: str, wrong: str) -> None:
    daemon = Daemon(tmp_path / "home", ALICE)
    file = tmp_path / "backup"
    try:
        daemon.start()
        daemon.call("backup.create", path=str(file), passphrase=PASSPHRASE)
    finally:
        daemon.kill()
    piped = p2pchat(
        tmp_path, "backup", "verify", "-", "--passphrase-file", passphrase, "--json", stdin=file.read_bytes()
    )
    assert objects(piped)[0]["bytes"] == file.stat().st_size
    with restored(tmp_path / "new", file, passphrase) as again:
        folder = again.home / "data" / "default"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert sorted(path.name for path in (again.home / "data").iterdir()) == ["default"]
        refused = run(again.home, "run", "--passphrase-file", wrong)
        assert (refused.returncode, sentence(refused.stderr)[0]) == (77, "FORBIDDEN")
        again.start("--passphrase-file", passphrase)
        status = again.call("node.status")
        assert (status["name"], status["number"]) == ("Somebody", ALICE)
        assert again.stop() == 0


def test_an_export_holds_everything_in_the_open(tmp_path: Path) -> None:
    texts = ["안녕", "a\nb\0c", "x" * 65_536, *(f"number {n}" for n in range(50))]
    with matched_pair(tmp_path / "pair") as (alice, bob):
        for text in texts:
            alice.call("message.send", to="Bob", text=text)
        until(lambda: len(bob.texts("Alice")) == len(texts), "not everything arrived")
        file = tmp_path / "out.jsonl"
        done = p2pchat(bob.home, "export", str(file))
        assert done.returncode == 0, done.stderr
        assert b"not encrypted" in done.stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        printed = p2pchat(bob.home, "export")
        rows = [[json.loads(line) for line in data.splitlines()] for data in (file.read_bytes(), printed.stdout)]
        assert rows[0][1:] == rows[1][1:]
        head, contact, *found = rows[0]
        assert (head["type"], head["data"]["format"]) == ("export", 1)
        assert (contact["type"], contact["data"]["name"]) == ("contact", "Alice")
        assert {row["type"] for row in found} == {"message"}
        assert [row["data"] for row in found] == bob.history("Alice")
        assert [row["data"]["text"] for row in found] == texts
