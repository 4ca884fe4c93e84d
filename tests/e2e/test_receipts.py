"""Two real daemons: what is read is told, a kill later too, and not once receipts are switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon, matched_pair, objects, p2pchat, until

pytestmark = pytest.mark.e2e


def states(daemon: Daemon, to: str, direction: str) -> list[str]:
    return [row["state"] for row in daemon.history(to) if row["direction"] == direction]


def test_what_is_read_is_told_and_not_once_that_is_switched_off(tmp_path: Path) -> None:
    with matched_pair(tmp_path) as (alice, bob):
        for number in range(3):
            alice.call("message.send", to="Bob", text=f"text {number}", wait="delivered")
        assert states(bob, "Alice", "in") == ["received"] * 3  # to be listed is not to be read
        first = bob.history("Alice")[0]
        (marked,) = objects(p2pchat(bob.home, "read", first["id"], "--json"))
        assert (marked["id"], marked["state"]) == (first["id"], "read")
        until(lambda: states(alice, "Bob", "out") == ["read", "delivered", "delivered"], "the receipt did not arrive")

        alice.kill()
        assert p2pchat(bob.home, "read", "Alice").returncode == 0
        bob.kill()
        bob.start()
        alice.start()
        until(lambda: states(alice, "Bob", "out") == ["read"] * 3, "the receipt was lost")
        events = alice.call("events.fetch", since=0, types=["message.read"])["events"]
        assert [event["data"]["text"] for event in events] == [f"text {number}" for number in range(3)]
        assert all(event["data"]["read_ms"] for event in events)

        assert p2pchat(bob.home, "contacts", "receipts", "Alice", "off").returncode == 0
        alice.call("message.send", to="Bob", text="unseen", wait="delivered")
        assert p2pchat(bob.home, "read", "Alice").returncode == 0
        assert states(bob, "Alice", "in") == ["read"] * 4
        bob.call("message.send", to="Alice", text="answer", wait="delivered")
        assert states(alice, "Bob", "out") == ["read"] * 3 + ["delivered"]
        assert alice.texts("Bob") == ["answer"]
