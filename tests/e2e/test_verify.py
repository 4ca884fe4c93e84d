"""Verification as it is typed: two real daemons, both users at their command lines, wrong input and exit statuses."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemons import BOB, DEADLINE_S, Daemon, environment, matched_pair, objects, p2pchat, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Daemon, Daemon]]:
    with matched_pair(tmp_path) as pair:
        yield pair


def trust(daemon: Daemon, to: str) -> str:
    return str(daemon.call("contacts.get", to=to)["trust"])


def ended(done: subprocess.CompletedProcess[bytes]) -> tuple[int, str]:
    """Exit status and the name of the error, of which the sentence is one line."""
    return done.returncode, done.stderr.decode().splitlines()[-1].partition(":")[0] if done.stderr else ""


def on_a_terminal(home: Path, typed: str, *arguments: str) -> str:
    """What a command shows on a terminal on which ``typed`` is typed when it asks."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "p2pchat.cli", *arguments]
    process = subprocess.Popen(command, env=environment(home), stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown, deadline = b"", time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    data = os.read(leader, 65_536)
                except OSError:  # Linux says so when the last one has closed the other end
                    break
                shown += data
                if b"[y/N]" in data:
                    os.write(leader, typed.encode())
        assert process.wait(DEADLINE_S) == 0, shown
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    return shown.decode()


def test_in_person(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    alice, bob = pair
    alices = objects(p2pchat(alice.home, "contacts", "verify", "Bob", "--json"))[0]
    bobs = objects(p2pchat(bob.home, "contacts", "verify", "Alice", "--json"))[0]
    number = alices["safety_number"]
    assert number == bobs["safety_number"]
    shown = p2pchat(alice.home, "contacts", "verify", "Bob", stdin=b"y\n").stdout.decode().splitlines()
    assert " ".join(shown[-3:]) == number
    assert shown[-4] == alices["qr"]
    assert trust(alice, "Bob") == "claimed"  # without a terminal nothing was asked

    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    own = objects(p2pchat(alice.home, "id", "qr", "--json"))[0]["qr"]
    for arguments, status, name in (
        (("--safety-number", wrong), 76, "UNTRUSTED_KEY"),
        (("--safety-number", number[:-1]), 65, "INVALID_PARAMS"),
        (("--scanned", own), 65, "INVALID_PARAMS"),
        (("--scanned", bobs["qr"][:-3]), 65, "INVALID_PARAMS"),
        (("--scanned", "https://example.org"), 65, "INVALID_PARAMS"),
        (("--scanned", own, "--safety-number", number), 2, "Error"),
    ):
        assert ended(p2pchat(alice.home, "contacts", "verify", "Bob", *arguments)) == (status, name)
    assert ended(p2pchat(alice.home, "contacts", "verify", "Nobody")) == (66, "CONTACT_NOT_FOUND")
    assert trust(alice, "Bob") == "claimed"

    assert "Nothing was changed" in on_a_terminal(alice.home, "\n", "contacts", "verify", "Bob")
    assert trust(alice, "Bob") == "claimed"
    screen = on_a_terminal(alice.home, "y\n", "contacts", "verify", "Bob")
    assert "Bob: in_person" in screen
    assert trust(alice, "Bob") == "in_person"
    done = p2pchat(bob.home, "contacts", "verify", "Alice", "--scanned", f"<{alices['qr'].upper()}>", "--json")
    assert objects(done)[0]["trust"] == "in_person"
    assert b"in_person" in p2pchat(bob.home, "contacts", "list").stdout
    assert b"in_person" in p2pchat(bob.home, "contacts", "show", "Alice").stdout

    picture = tmp_path / "qr.png"
    assert p2pchat(bob.home, "contacts", "verify", "Alice", "--png", str(picture)).returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert ended(p2pchat(bob.home, "id", "qr", "--png", str(picture))) == (73, "ALREADY_EXISTS")
    assert ended(p2pchat(bob.home, "id", "qr", "--png", str(tmp_path / "none" / "x.png"))) == (74, "STORE")


def wait_for_the_result(daemon: Daemon, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "p2pchat.cli", "contacts", "sms-proof", *arguments, "--wait", "--json"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment(daemon.home), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


def test_by_sms(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    early = p2pchat(bob.home, "contacts", "sms-proof", "Alice", "ABCD-EFGH-JKLM-NPQR")
    assert ended(early) == (65, "INVALID_PARAMS")
    assert b"has not asked" in early.stderr
    with wait_for_the_result(alice, "Bob") as asking:
        assert asking.stdout is not None
        asked = json.loads(asking.stdout.readline())
        sms = asked["text"]
        assert len(sms) <= 70
        code = sms.removeprefix("p2pchat ").partition(":")[0]
        until(lambda: bob.call("events.fetch", since=0, types=["contact.proof_asked"])["events"], "no question")
        for typed in (code[:-1] + "0", code[:-1], code + "A"):
            assert ended(p2pchat(bob.home, "contacts", "sms-proof", "Alice", typed)) == (65, "INVALID_PARAMS")
        other = code[:-1] + ("A" if code[-1] != "A" else "B")
        assert ended(p2pchat(bob.home, "contacts", "sms-proof", "Alice", other, "--wait")) == (76, "UNTRUSTED_KEY")
        assert trust(alice, "Bob") == "claimed"
        done = p2pchat(bob.home, "contacts", "sms-proof", "Alice", code.lower(), "--wait", "--json")
        assert [line.get("ok") for line in objects(done)] == [None, True]
        out, _ = asking.communicate(timeout=DEADLINE_S)
        assert [json.loads(line)["ok"] for line in out.splitlines()] == [False, True]
        assert asking.returncode == 0
    assert (trust(alice, "Bob"), trust(bob, "Alice")) == ("number_verified", "claimed")
    words = p2pchat(alice.home, "contacts", "sms-proof", "Bob")
    assert BOB.encode() in words.stderr
    assert b"by ordinary SMS, not through p2pchat" in words.stderr
    assert words.stdout.startswith(b"p2pchat ")
    waiting = p2pchat(alice.home, "contacts", "sms-proof", "Bob", "--wait", "--timeout", "0.2")
    assert ended(waiting) == (75, "TIMEOUT")


def test_three_wrong_codes_end_it(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    with wait_for_the_result(alice, "Bob") as asking:
        assert asking.stdout is not None
        json.loads(asking.stdout.readline())
        until(lambda: bob.call("events.fetch", since=0, types=["contact.proof_asked"])["events"], "no question")
        for _ in range(3):
            done = p2pchat(bob.home, "contacts", "sms-proof", "Alice", "ABCD-EFGH-JKLM-NPQR", "--wait")
            assert ended(done) == (76, "UNTRUSTED_KEY")
        _, err = asking.communicate(timeout=DEADLINE_S)
        assert asking.returncode == 76
        assert err.decode().splitlines()[-1].startswith("UNTRUSTED_KEY: ")
    assert trust(alice, "Bob") == "claimed"
    fourth = p2pchat(bob.home, "contacts", "sms-proof", "Alice", "ABCD-EFGH-JKLM-NPQR")
    assert ended(fourth) == (65, "INVALID_PARAMS")


def test_who_is_not_matched_cannot_be_asked(pair: tuple[Daemon, Daemon]) -> None:
    alice, _ = pair
    alice.call("contacts.add", number="+821055556666", name="Carol")
    for arguments, name in (
        (("sms-proof", "Carol"), (65, "INVALID_PARAMS")),
        (("verify", "Carol"), (66, "CONTACT_NOT_FOUND")),
    ):
        assert ended(p2pchat(alice.home, "contacts", *arguments)) == name


def test_no_command_but_those_that_draw_loads_the_library(tmp_path: Path) -> None:
    program = "import sys, p2pchat.cli.contacts, p2pchat.cli.identity; print('segno' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, check=True)
    assert done.stdout == b"False\n"
