"""Two real daemons: what is for a live stream alone goes at once or never, and notes to oneself stay."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon, matched_pair, objects, p2pchat, until

pytestmark = pytest.mark.e2e


def online(daemon: Daemon, name: str) -> bool:
    return bool(daemon.call("contacts.get", to=name)["online"])


def state(daemon: Daemon, message: str) -> str:
    return str(daemon.call("message.get", id=message)["state"])


@pytest.mark.slow
def test_it_goes_at_once_or_never_whoever_is_killed(tmp_path: Path) -> None:
    with matched_pair(tmp_path) as (alice, bob):
        until(lambda: online(alice, "Bob"), "Bob is not connected")
        (sent,) = objects(p2pchat(alice.home, "send", "--live-only", "Bob", "now", "--wait", "delivered", "--json"))
        assert (sent["state"], bob.texts("Alice")) == ("delivered", ["now"])

        assert bob.process is not None
        os.kill(bob.process.pid, signal.SIGSTOP)  # it takes what is sent, and never answers
        (lost,) = objects(p2pchat(alice.home, "send", "--live-only", "Bob", "never", "--json"))
        until(lambda: state(alice, lost["id"]) == "sent", "it has not left")
        alice.kill()
        bob.kill()
        alice.start()
        failed = alice.call("message.get", id=lost["id"])
        assert failed["state"] == "failed"
        assert failed["reason"] == "this node stopped before it was confirmed; it may have arrived"
        refused = p2pchat(alice.home, "send", "--live-only", "Bob", "offline")
        assert (refused.returncode, refused.stdout) == (75, b"")
        sentence = b"PEER_OFFLINE: The contact is not connected now: nothing was sent, and nothing waits."
        assert refused.stderr.splitlines() == [sentence]
        explained = p2pchat(alice.home, "explain", lost["id"])
        assert b"It does not go again." in explained.stdout

        bob.start()
        alice.call("message.send", to="Bob", text="after", wait="delivered")
        assert bob.texts("Alice") == ["now", "after"]
        assert [row["text"] for row in alice.history("Bob")] == ["now", "never", "after"]


def test_notes_outlive_a_kill_at_once(tmp_path: Path) -> None:
    with matched_pair(tmp_path) as (alice, bob):
        (note,) = objects(p2pchat(alice.home, "send", "self", "milk", "--json"))
        alice.kill()
        alice.start()
        (again,) = alice.history("self")
        assert again == note
        assert note["state"] == "delivered"
        assert p2pchat(alice.home, "history", "self").stdout.endswith(b"milk\n")
        assert alice.outbox() == 0
        assert bob.texts("Alice") == []
