"""Locking and unlocking of real daemons: what is lost (nothing), what can still be read (nothing), who is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.api.schema import METHODS
from p2pchat.base.errors import Corrupt, WrongPassphrase
from p2pchat.client.blocking import Client
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import connect
from tests.e2e.daemons import ALICE, BOB, Daemon, daemons, environment, objects, p2pchat, run, until
from tests.e2e.needles import Needles
from tests.e2e.pipelined import Sender
from tests.e2e.secret_keys import data_key, secret_keys

pytestmark = pytest.mark.e2e

RIGHT, WRONG = "correct canary battery", "wrong canary battery"


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return written(tmp_path / "right", RIGHT)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return written(tmp_path / "wrong", WRONG)


def written(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    return path


@contextmanager
def one(folder: Path, passphrase: Path | None = None, number: str | None = None) -> Iterator[Daemon]:
    """A profile, not started; whatever runs at the end is killed."""
    daemon = Daemon(folder / "home", number, passphrase)
    try:
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


def name_of(daemon: Daemon, method: str, **params: object) -> str:
    """The name of the error that a call has; empty where it succeeds."""
    try:
        daemon.call(method, **params)
    except ApiError as error:
        return error.error_name
    return ""


def unlock(daemon: Daemon, passphrase: str = RIGHT) -> str:
    return name_of(daemon, "node.unlock", passphrase=passphrase)


def locked(daemon: Daemon) -> bool:
    return bool(daemon.call("node.status")["locked"])


def profile(daemon: Daemon) -> Path:
    return daemon.home / "data" / "default"


def opens(daemon: Daemon, passphrase: str) -> bool:
    """Whether the files on disk can be read with it, by another program."""
    try:
        connection = connect(profile(daemon) / "p2pchat.db", read_key(profile(daemon) / "key", passphrase.encode()))
    except WrongPassphrase:
        return False
    connection.close()
    return True


def has_sent(sender: Sender, count: int) -> bool:
    return len(sender.replies) >= count


# -- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_sent_to_a_locked_node_comes_when_it_is_unlocked_and_once(tmp_path: Path, right: Path) -> None:
    with daemons(tmp_path, ALICE, BOB) as (alice, bob):
        alice.start()
        bob.start("--bootstrap", alice.address)
        bob.call("passphrase.change", new=RIGHT)
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        texts = [f"message {number}" for number in range(1500)]
        with ThreadPoolExecutor(1) as pool:
            sender = Sender(alice.socket, "Bob", "burst")
            burst = pool.submit(sender.send, texts)
            for count in (300, 700):  # twice in the middle of it
                until(partial(has_sent, sender, count), "the burst does not go on", every_s=0.001)
                bob.call("node.lock")
                assert locked(bob)
                assert unlock(bob) == ""
            bob.call("node.lock")
            assert len(burst.result()) == len(texts)
        last = alice.call("message.send", to="Bob", text="while it is locked")
        until(lambda: not alice.call("contacts.get", to="Bob")["online"], "locked, and yet online")
        assert alice.call("message.get", id=last["id"])["state"] in ("queued", "sent")
        assert unlock(bob) == ""
        until(lambda: alice.outbox() == 0, "not everything was acknowledged", 120)
        assert bob.texts("Alice") == [*texts, "while it is locked"]
        bob.call("message.send", to="Alice", text="and on")
        until(lambda: alice.texts("Bob") == ["and on"], "the answer does not come")


@pytest.mark.slow
def test_what_waits_is_told_and_what_was_committed_stays(tmp_path: Path, right: Path) -> None:
    with one(tmp_path, right, BOB) as bob, ThreadPoolExecutor(2) as pool:
        bob.start("--passphrase-file", str(right))
        bob.call("contacts.add", number=ALICE, name="Alice")

        def wait() -> str:
            return name_of(bob, "message.send", to="Alice", text="it waits", wait="delivered", timeout_ms=50_000)

        waiting = pool.submit(wait)
        until(lambda: bob.outbox() == 1, "nothing was queued")
        with Client(bob.socket) as listener:
            events = listener.events(since=0, reconnect=False)
            bob.call("node.lock")
            assert waiting.result(10) == "LOCKED"
            told: list[object] = []
            with pytest.raises(ApiError) as ended:
                told.extend(event["type"] for event in events)
            assert ended.value.error_name == "LOCKED"
            assert told[-1] == "node.locked"
            assert told.count("message.queued") == 1
            assert listener.call("node.status")["locked"] is True  # the connection goes on
        assert unlock(bob) == ""
        assert bob.outbox() == 1
        types = [event["type"] for event in bob.call("events.fetch", since=0)["events"]]
        assert [kind for kind in types if kind.startswith("node.")] == ["node.started", "node.locked", "node.unlocked"]


def test_listen_tells_of_it_and_goes_on_afterwards(tmp_path: Path, right: Path) -> None:
    with one(tmp_path, right) as bob:
        bob.start("--passphrase-file", str(right))
        with subprocess.Popen(
            [sys.executable, "-m", "p2pchat.cli", "listen", "--json", "--since", "0"],
            env=environment(bob.home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as listening:
            assert listening.stdout is not None
            assert b"node.started" in listening.stdout.readline()
            assert objects(p2pchat(bob.home, "lock", "--json")) == [{}]
            assert b"node.locked" in listening.stdout.readline()
            assert listening.stderr is not None
            said = b"The daemon is locked. Listening goes on when it is there again.\n"
            assert listening.stderr.readline() == said
            assert p2pchat(bob.home, "listen").returncode == 77
            assert unlock(bob) == ""
            assert b"node.unlocked" in listening.stdout.readline()
            listening.terminate()
            _, err = listening.communicate(timeout=20)
        assert err == b""


# -- the disk ------------------------------------------------------------------------------------------------------


def test_on_the_disk_of_a_locked_node_nothing_can_be_read(tmp_path: Path, right: Path) -> None:
    with one(tmp_path, right, BOB) as bob:
        bob.start("--passphrase-file", str(right))
        for number in range(50):
            bob.call("contacts.add", number=f"+82105555{number:04}", name=f"canary number {number}")
        assert (profile(bob) / "p2pchat.db-wal").exists()
        until(lambda: children(bob), "no child was begun")  # it is given numbers
        bob.call("node.lock")
        assert children(bob) == []
        assert sorted(file.name for file in profile(bob).iterdir()) == [
            "key",
            "lock",
            "p2pchat.db",
            "p2pchat.db-reserve",
        ]
        content = b"".join(file.read_bytes() for file in profile(bob).iterdir())
        needles = Needles()
        needles.add_text("a name", "canary number")
        needles.add_number(BOB, "82")
        needles.add_key("the database key", read_key(profile(bob) / "key", RIGHT.encode()))
        assert needles.found_in(content) == set()
        assert not opens(bob, WRONG)
        with pytest.raises(Corrupt):
            connect(profile(bob) / "p2pchat.db", bytes(32))
        assert unlock(bob) == ""
        assert len(bob.call("contacts.list")["contacts"]) == 50


@pytest.mark.slow
def test_next_to_no_key_is_left_in_the_memory_of_a_locked_daemon(tmp_path: Path, right: Path) -> None:
    with one(tmp_path, right, BOB) as bob:
        bob.start("--passphrase-file", str(right))
        assert bob.process is not None
        assert unlock(bob) == ""  # a check
        opened = RIGHT.encode()
        keys = {name: secret for secret, name in secret_keys(profile(bob), opened).items()}
        kinds = ("the root's seed", "the device's seed", "ik", "the node's seed", "ask32")
        needles = [opened, data_key(profile(bob), opened), *(keys[kind] for kind in kinds)]
        before = copies(bob.process.pid, needles)
        bob.call("node.lock")
        after = copies(bob.process.pid, needles)
        assert min(before[1:]) > 0  # the passphrase may be gone by chance
        assert sum(before) > 12
        assert sum(after) <= 2  # none, mostly: a free block that is not handed out again may remain


def copies(pid: int, needles: list[bytes]) -> list[int]:
    """How often each stands in the memory of a process."""
    found = [0] * len(needles)
    try:
        with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for region in maps:
                where, mode, *_ = region.split()
                if "r" not in mode or "[v" in region:
                    continue
                begin, end = (int(address, 16) for address in where.split("-"))
                memory.seek(begin)
                content = memory.read(end - begin)
                found = [count + content.count(needle) for count, needle in zip(found, needles, strict=True)]
    except PermissionError:
        pytest.skip("the memory of a process may not be read here")
    return found


def children(daemon: Daemon) -> list[str]:
    assert daemon.process is not None
    tasks = Path(f"/proc/{daemon.process.pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


@pytest.mark.slow
def test_a_profile_without_a_passphrase_cannot_be_locked(tmp_path: Path, right: Path) -> None:
    with one(tmp_path) as bob:
        refused = p2pchat(bob.home, "daemon", "--locked")
        assert (refused.returncode, refused.stderr[:11]) == (77, b"FORBIDDEN: ")
        bob.start()
        refused = p2pchat(bob.home, "lock")
        assert refused.returncode == 77
        assert refused.stderr.startswith(b"FORBIDDEN: ")
        assert b"p2pchat passphrase" in refused.stderr
        assert not locked(bob)
        assert unlock(bob) == "FORBIDDEN"
        assert p2pchat(bob.home, "passphrase", "--new-passphrase-file", str(right)).returncode == 0
        assert p2pchat(bob.home, "lock").returncode == 0
        assert locked(bob)


# -- passphrases ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_wrong_passphrases_and_several_clients(tmp_path: Path, right: Path, wrong: Path) -> None:
    with one(tmp_path, right) as bob:
        bob.start("--locked")
        assert locked(bob)
        for method, spec in METHODS.items():
            if not spec.while_locked:
                assert name_of(bob, method) == "LOCKED", method
        refused = p2pchat(bob.home, "net", "addrs")
        assert (refused.returncode, refused.stderr[:8]) == (77, b"LOCKED: ")
        assert b"p2pchat unlock" in refused.stderr
        began = time.monotonic()
        refused = p2pchat(bob.home, "unlock", "--passphrase-file", str(wrong))
        assert time.monotonic() - began > 0.3
        assert (refused.returncode, refused.stderr[:11]) == (77, b"FORBIDDEN: ")
        assert p2pchat(bob.home, "unlock").returncode == 65  # there is no terminal
        assert locked(bob)
        with ThreadPoolExecutor(6) as pool:
            tried = [pool.submit(unlock, bob, each) for each in (WRONG, RIGHT, WRONG, RIGHT, RIGHT, WRONG)]
            assert [each.result() for each in tried] == ["FORBIDDEN", "", "FORBIDDEN", "", "", "FORBIDDEN"]
        assert not locked(bob)
        types = [event["type"] for event in bob.call("events.fetch", since=0)["events"]]
        assert types == ["node.started", "node.unlocked"]
        assert unlock(bob, WRONG) == "FORBIDDEN"  # open as it is
        assert objects(p2pchat(bob.home, "unlock", "--json", "--passphrase-file", str(right))) == [{}]
        with ThreadPoolExecutor(8) as pool:  # whatever the order, each ends, and the node in one of its two states
            calls = [pool.submit(unlock, bob) if n % 2 else pool.submit(name_of, bob, "node.lock") for n in range(8)]
            assert {call.result() for call in calls} <= {"", "LOCKED"}
        if locked(bob):
            assert unlock(bob) == ""
        assert bob.call("net.addrs")["addresses"]
        bob.call("node.lock")
        assert bob.stop() == 0


@pytest.mark.slow
def test_what_cannot_be_opened_stays_locked(tmp_path: Path, right: Path) -> None:
    with one(tmp_path, right) as bob:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            bob.start("--locked", "--listen", f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}")
            assert unlock(bob) == "ADDRESS_IN_USE"
            assert locked(bob)
        assert unlock(bob) == ""
        database = profile(bob) / "p2pchat.db"
        bob.call("node.lock")
        whole = database.read_bytes()
        database.write_bytes(bytes(4096) + whole[4096:])
        assert unlock(bob) == "CORRUPT"
        assert locked(bob)
        database.write_bytes(whole)
        assert unlock(bob) == ""
        assert bob.stop() == 0


@pytest.mark.slow
def test_the_passphrase_is_changed_with_and_without_a_daemon(tmp_path: Path, right: Path, wrong: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(1, 256)))
    with one(tmp_path) as bob:

        def change(*arguments: str | Path) -> int:
            return p2pchat(bob.home, "passphrase", *map(str, arguments)).returncode

        for start in (False, True):
            if start:
                bob.start()
            assert change("--new-passphrase-file", right) == 0
            assert change("--new-passphrase-file", wrong) in (65, 77)  # the old one is missing
            assert change("--passphrase-file", wrong, "--new-passphrase-file", wrong) == 77
            assert change("--passphrase-file", right) == 65  # the new one is missing
            assert change("--passphrase-file", right, "--no-passphrase", "--new-passphrase-file", wrong) == 2
            assert opens(bob, RIGHT)
            assert change("--passphrase-file", right, "--new-passphrase-file", binary) == 0
            assert not opens(bob, RIGHT)
            assert change("--passphrase-file", binary, "--new-passphrase-file", right) == 0
            assert opens(bob, RIGHT)
            assert change("--passphrase-file", right, "--no-passphrase") == 0
            assert opens(bob, "")
        assert sorted(file.name for file in profile(bob).glob("key*")) == ["key"]
        assert name_of(bob, "passphrase.change", old=RIGHT, new=None) == "FORBIDDEN"  # there is none


DYING = """
import os, signal, sys
from pathlib import Path
from p2pchat.store import keyfile
keyfile._OPS, keyfile._MEMORY = 1, 8192
left = int(sys.argv.pop(1))
def dying(function):
    def called(*arguments):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*arguments)
    return called
class System:
    open, write, pwrite, fsync, fstat, close = map(dying, (os.open, os.write, os.pwrite, os.fsync, os.fstat, os.close))
    O_WRONLY, O_CREAT, O_TRUNC, O_RDONLY = os.O_WRONLY, os.O_CREAT, os.O_TRUNC, os.O_RDONLY
    O_DIRECTORY, O_CLOEXEC = os.O_DIRECTORY, os.O_CLOEXEC
def begin():
    keyfile.os = System
    Path.replace = dying(Path.replace)
from p2pchat.daemon import profile
change = profile.change_passphrase
profile.change_passphrase = lambda *arguments: (begin(), change(*arguments))
from p2pchat.daemon.__main__ import main
main()
"""


@pytest.mark.slow
def test_killed_at_any_step_of_a_change_one_of_the_two_opens(tmp_path: Path, right: Path, wrong: Path) -> None:
    with one(tmp_path, right) as bob:
        old, new = RIGHT, WRONG
        kills, leftovers = 0, 0
        for step in range(40):
            files = [str(right), str(wrong)] if old == RIGHT else [str(wrong), str(right)]
            arguments = ["passphrase", "--passphrase-file", files[0], "--new-passphrase-file", files[1]]
            done = subprocess.run(
                [sys.executable, "-c", DYING, str(step), *arguments],
                env=environment(bob.home),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            assert (opens(bob, old), opens(bob, new)) in ((True, False), (False, True))
            leftovers += (profile(bob) / "key.new").exists()
            if opens(bob, new):
                old, new = new, old
            if done.returncode == 0:
                break
            assert done.returncode == -9, done.stderr
            kills += 1
        assert kills > 8
        assert leftovers > 1
        assert not (profile(bob) / "key.new").exists()  # the next change has removed it


@pytest.mark.slow
def test_a_daemon_killed_in_a_change_starts_with_one_of_the_two(tmp_path: Path, right: Path, wrong: Path) -> None:
    with one(tmp_path, right) as bob:
        for delay_s in (0.1, 0.7, 1.3):
            current = right if opens(bob, RIGHT) else wrong
            bob.start("--passphrase-file", str(current))
            with ThreadPoolExecutor(1) as pool:
                change = {"old": RIGHT, "new": WRONG} if current == right else {"old": WRONG, "new": RIGHT}
                pool.submit(name_of, bob, "passphrase.change", **change)
                time.sleep(delay_s)
                bob.kill()
            assert [opens(bob, RIGHT), opens(bob, WRONG)].count(True) == 1
        (profile(bob) / "key.new").write_bytes((profile(bob) / "key").read_bytes())
        bob.start("--locked")
        assert not (profile(bob) / "key.new").exists()


@pytest.mark.slow
def test_systemd_gives_the_passphrase_as_a_credential(tmp_path: Path, right: Path, wrong: Path) -> None:
    with one(tmp_path, right) as bob, pytest.MonkeyPatch.context() as patch:
        missing = run(bob.home, "run")
        assert missing.returncode == 77
        for hint in (b"LOCKED: ", b"--locked", b"--passphrase-file", b"p2pchat.passphrase"):
            assert hint in missing.stderr
        credentials = tmp_path / "credentials"
        credentials.mkdir()
        patch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        assert run(bob.home, "run").returncode == 77  # another service's credentials
        (credentials / "p2pchat.passphrase").write_text(WRONG)
        refused = run(bob.home, "run")
        assert (refused.returncode, refused.stderr[:11]) == (77, b"FORBIDDEN: ")
        bob.start("--passphrase-file", str(right))  # what is said goes first
        assert bob.stop() == 0
        (credentials / "p2pchat.passphrase").write_text(RIGHT)
        bob.start()
        assert not locked(bob)
        assert bob.stop() == 0
        bob.start("--locked")
        assert locked(bob)


# -- where a passphrase may not be ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_passphrase_is_in_no_argument_environment_log_or_error(tmp_path: Path, right: Path, wrong: Path) -> None:
    with one(tmp_path, right, BOB) as bob:
        bob.start("--passphrase-file", str(right), "--log-level", "debug")
        assert bob.process is not None
        told: list[Any] = []
        with pytest.raises(ApiError) as refusal:
            bob.call("node.unlock", passphrase=WRONG)
        told.append((refusal.value.message, refusal.value.data))
        for method, params in (
            ("node.unlock", {"passphrase": [RIGHT]}),
            ("node.unlock", {"passphrase": RIGHT * 100}),
            ("node.unlock", {RIGHT: 1}),
            ("passphrase.change", {"old": WRONG, "new": RIGHT}),
            ("passphrase.change", {"old": RIGHT}),
            ("message.send", {"to": RIGHT, "text": WRONG}),
        ):
            with pytest.raises(ApiError) as refusal:
                bob.call(method, **params)
            told.append((refusal.value.message, refusal.value.data))
        bob.call("node.lock")
        seen = [*processes(bob)]
        for file in (wrong, right):
            with subprocess.Popen(
                [sys.executable, "-m", "p2pchat.cli", "-v", "unlock", "--passphrase-file", str(file)],
                env=environment(bob.home),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as unlocking:
                while unlocking.poll() is None:
                    seen += processes(bob)
                seen += unlocking.communicate()
        bob.call("contacts.add", number=ALICE, name="Alice")  # its root is derived in a child
        until(lambda: len([*processes(bob)]) > 4, "no child was begun", every_s=0.001)
        seen += processes(bob)
        assert bob.stop() == 0
        needles = Needles()
        needles.add_text("the passphrase", RIGHT)
        needles.add_text("a wrong passphrase", WRONG)
        everything = [*seen, bob.log.read_bytes(), repr(told).encode()]
        assert {each for data in everything for each in needles.found_in(data)} == set()
        assert any(b"unlock" in data for data in seen)
        assert b"node.unlocked" in bob.log.read_bytes()


def processes(daemon: Daemon) -> Iterator[bytes]:
    """The arguments and the environments of this user's processes with the daemon's home: it, its children, clients."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is another's
            around = (folder / "environ").read_bytes()
            if os.fsencode(daemon.home) in around:
                yield from ((folder / "cmdline").read_bytes(), around)
