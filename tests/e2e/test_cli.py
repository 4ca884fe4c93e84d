"""The command line as it is typed: real processes against real daemons."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.client.blocking import Client
from p2pchat.store import word_index
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import connect
from tests.e2e.daemons import ALICE, BOB, Daemon, daemons, environment, matched_pair, objects, p2pchat, until

pytestmark = pytest.mark.e2e

DEADLINE_S = 60.0
HEAVY = {"trio", "libp2p", "msgspec", "asyncio", "ssl", "structlog", "rich", "sqlcipher3", "nacl", "subprocess"} | {
    "prompt_toolkit"
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    with matched_pair(tmp_path_factory.mktemp("cli")) as pair:
        yield pair


@pytest.mark.parametrize(
    "module",
    [
        "client.blocking",
        "cli.app",
        "cli.node",
        "cli.messages",
        "cli.search",
        "cli.listen",
        "cli.config",
        "cli.chat.command",
        "cli.candidates",
    ],
)
def test_a_command_loads_little(tmp_path: Path, module: str) -> None:
    program = f"import sys, p2pchat.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, check=True
    ).stdout.split()
    assert f"p2pchat.{module}" in loaded
    assert not HEAVY & set(loaded)


def test_init_and_daemon_from_the_command_line(tmp_path: Path) -> None:
    done = p2pchat(tmp_path, "status")
    assert (done.returncode, done.stdout) == (69, b"")
    assert b"p2pchat init" in done.stderr
    assert p2pchat(tmp_path, "init", "--name", "Alice", "--no-passphrase").returncode == 65
    assert p2pchat(tmp_path, "init", "--number", "12", "--name", "Alice", "--no-passphrase").returncode == 65
    init = ("init", "--number", ALICE, "--name", "Alice", "--no-passphrase", "--json")
    assert objects(p2pchat(tmp_path, *init))[0]["number"] == ALICE
    again = p2pchat(tmp_path, *init)
    assert (again.returncode, again.stderr.split(b":")[0]) == (73, b"ALREADY_EXISTS")
    assert b"p2pchat daemon" in p2pchat(tmp_path, "status").stderr
    daemon = subprocess.Popen(
        [sys.executable, "-m", "p2pchat.cli", "daemon", "--listen", "/ip4/127.0.0.1/tcp/0", "--log-level", "error"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with daemon:
        try:
            until(lambda: p2pchat(tmp_path, "status").returncode == 0, "the daemon does not answer")
            second = p2pchat(tmp_path, "daemon")
            assert (second.returncode, second.stderr.split(b":")[0]) == (73, b"ALREADY_RUNNING")
            assert p2pchat(tmp_path, "stop").stderr == b"stopped\n"
            assert daemon.wait(DEADLINE_S) == 0
        finally:
            daemon.kill()
    assert p2pchat(tmp_path, "stop").returncode == 69


def test_a_message_from_hand_to_hand(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    text = "한글 \x1b[2J\0\r\n\n"
    sent = objects(p2pchat(alice.home, "send", "Bob", "-", "--wait", "delivered", "--json", stdin=text.encode()))[0]
    assert (sent["state"], sent["text"]) == ("delivered", text)
    received = objects(p2pchat(bob.home, "history", "Alice", "--limit", "1", "--json"))[0]
    assert (received["direction"], received["text"]) == ("in", text)
    assert b"\x1b" not in p2pchat(bob.home, "history", "Alice").stdout


def test_stats_tell_what_goes_on(pair: tuple[Daemon, Daemon]) -> None:
    alice, _ = pair
    (stats,) = objects(p2pchat(alice.home, "stats", "--json"))
    assert set(stats["refusals"].values()) <= {0, 1, 2}
    assert stats["connections"]["inbound"] + stats["connections"]["outbound"] >= 1
    assert set(stats["streams"].values()) <= {*range(1, 9)}
    assert stats["db_bytes"] > 100_000
    assert stats["rss_bytes"] > 20_000_000
    assert 0 < stats["commit_ms"]["p50"] <= stats["commit_ms"]["p99"] <= stats["commit_ms"]["max"]
    assert b"database" in p2pchat(alice.home, "stats").stdout


def test_what_was_written_is_found_at_both_ends_and_after_a_restart(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    text = "Grüße aus Köln: 김치찌개 먹자 👍🏽"
    p2pchat(alice.home, "send", "Bob", text, "--wait", "delivered")

    def found(daemon: Daemon, *arguments: str) -> list[object]:
        return [message["text"] for message in objects(p2pchat(daemon.home, *arguments, "--json"))]

    for words in ("koln grus", "찌개", "먹", "👍"):
        assert found(alice, "search", words) == found(bob, "search", words, "--to", "Alice") == [text]
        assert found(bob, "history", "Alice", "--search", words) == [text]
    assert found(bob, "search", "찌개먹") == found(bob, "search", "rusze") == []
    refused = p2pchat(bob.home, "search", "...")
    assert (refused.returncode, refused.stdout, refused.stderr.split(b":")[0]) == (65, b"", b"INVALID_PARAMS")
    assert f"Alice: {text}" in p2pchat(bob.home, "search", "김치").stdout.decode()
    for _ in range(64):  # a batch: now it stands in the index
        bob.call("message.send", to="Alice", text="filler")
    (path,) = bob.home.rglob("p2pchat.db")

    def indexed() -> bool:
        connection = connect(path, read_key(path.with_name("key"), None))
        try:
            return word_index.indexed(Tx(connection, 0)) >= 64
        finally:
            connection.close()

    until(indexed, "nothing is in the index")
    assert bob.stop() == 0
    bob.start()
    assert found(bob, "search", "찌개") == [text]
    assert len(found(bob, "search", "fill", "--limit", "100")) == 64


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "name"),
    [
        (["send", "Bob", "-"], b"", 65, "INVALID_PARAMS"),
        (["send", "Bob", "-"], b"\xff", 65, "INVALID_PARAMS"),
        (["send", "Bob", "-"], b"x" * 65_537, 74, "TOO_LARGE"),
        (["send", "Nobody", "x"], b"", 66, "CONTACT_NOT_FOUND"),
        (["contacts", "add", "12"], b"", 65, "INVALID_PARAMS"),
        (["contacts", "add", ALICE], b"", 65, "INVALID_PARAMS"),
        (["rpc", "message.get", '{"id": "00"}'], b"", 66, "MESSAGE_NOT_FOUND"),
        (["rpc", "no.such"], b"", 65, "METHOD_NOT_FOUND"),
        (["net", "dial", "nonsense"], b"", 65, "INVALID_PARAMS"),
    ],
)
def test_refusals(pair: tuple[Daemon, Daemon], arguments: list[str], stdin: bytes, status: int, name: str) -> None:
    done = p2pchat(pair[0].home, *arguments, stdin=stdin)
    assert (done.returncode, done.stderr.decode().split(":")[0]) == (status, name)
    assert done.stdout == b""


def test_waiting_for_somebody_who_is_not_there_times_out(pair: tuple[Daemon, Daemon]) -> None:
    alice, _ = pair
    assert p2pchat(alice.home, "contacts", "add", "+821011112222", "--name", "Carol").returncode == 0
    done = p2pchat(alice.home, "send", "Carol", "hello", "--wait", "delivered", "--timeout", "0.2")
    assert (done.returncode, done.stderr.split(b":")[0]) == (75, b"TIMEOUT")
    assert objects(p2pchat(alice.home, "history", "Carol", "--json"))[0]["state"] == "queued"
    assert p2pchat(alice.home, "contacts", "remove", "Carol").returncode == 0


class Listener:
    """``p2pchat listen``, read line by line."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "p2pchat.cli", "listen", *arguments],
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err


def test_listen_replays_follows_and_ends_with_130(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    head = bob.call("node.hello")["head"]
    p2pchat(alice.home, "send", "Bob", "before", "--wait", "delivered")
    listener = Listener(bob.home, "--since", str(head), "--json")
    assert json.loads(listener.line())["data"]["text"] == "before"
    p2pchat(alice.home, "send", "Bob", "after", "--wait", "delivered")
    assert json.loads(listener.line())["data"]["text"] == "after"
    listener.process.send_signal(signal.SIGINT)
    status, _, err = listener.end()
    assert (status, err) == (130, b"")


def test_a_pipe_that_closes_ends_listen_without_a_word(pair: tuple[Daemon, Daemon]) -> None:
    _, bob = pair
    listener = Listener(bob.home, "--since", "0", "--json")
    assert listener.line()
    assert listener.process.stdout is not None
    assert listener.process.stderr is not None
    listener.process.stdout.close()
    with listener.process.stderr as stderr:
        assert stderr.read() == b""
    assert listener.process.wait(DEADLINE_S) == 141


def test_an_output_that_cannot_be_written_is_an_error(pair: tuple[Daemon, Daemon]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "p2pchat.cli", "status"],
            env=environment(pair[0].home),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (74, b"STORE: No space left on device\n")


def test_listen_goes_on_after_a_restart(tmp_path: Path) -> None:
    with daemons(tmp_path, BOB) as (bob,):
        bob.start()
        listener = Listener(bob.home, "--since", "0", "--json")
        assert json.loads(listener.line())["type"] == "node.started"
        assert bob.stop() == 0
        assert listener.process.stderr is not None
        said = b"The daemon does not answer. Listening goes on when it is there again.\n"
        assert listener.process.stderr.readline() == said
        bob.start()
        assert json.loads(listener.line())["type"] == "node.started"
        listener.process.send_signal(signal.SIGINT)
        status, _, err = listener.end()
        assert (status, err) == (130, b"")


def test_an_address_book_is_imported_and_then_looked_for(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    alice, _ = pair
    book = tmp_path / "book.vcf"
    people = (("Bob the known", BOB), ("Carol", "+821033334444"), ("Shop", "+82 2-312-3456"), ("Dave", "+821044445555"))
    cards = (f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL:{number}\nEND:VCARD\n" for name, number in people)
    book.write_text("".join(cards))
    (result,) = objects(p2pchat(alice.home, "contacts", "import", str(book), "--json"))
    refused = [{"line": 14, "reason": "This is not a mobile phone number."}]
    assert result == {"added": 2, "known": 1, "refused": refused}
    assert b"not looked for" in p2pchat(alice.home, "contacts", "show", "Carol").stdout
    assert b"This waits" in p2pchat(alice.home, "send", "Carol", "hello").stderr
    with Client(alice.socket) as client:
        progress = client.events(types=["discovery.progress"])
        done = p2pchat(alice.home, "contacts", "find", "Carol", "--json")
        assert [each["searching"] for each in objects(done)] == [True]
        assert b"45 to 111 USD" in done.stderr
        data = next(progress)["data"]
    assert isinstance(data, dict)
    assert (data["name"], data["step"], data["roots_done"], data["roots_total"]) == ("Carol", "root", 1, 1)
    again = p2pchat(alice.home, "contacts", "import", "-", "--find", "all", stdin=book.read_bytes())
    assert again.stdout.startswith(b"added 0, known 3, refused 1\n")
    assert not [each for each in objects(p2pchat(alice.home, "contacts", "list", "--json")) if each["name"] == "Shop"]
    assert {each["name"] for each in alice.call("contacts.list")["contacts"] if each["searching"]} == {"Carol", "Dave"}
