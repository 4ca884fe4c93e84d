"""kill -9 in the middle of a run: every message arrives once and in order, and the ratchet goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.client.blocking import Client
from tests.e2e.daemons import Daemon, matched_pair, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

COUNT = 500


def send_all(daemon: Daemon, start: int, stop: int) -> None:
    with Client(daemon.socket) as client:
        for number in range(start, stop):
            client.call("message.send", to="Bob", text=f"message {number}", idempotency_key=f"k{number}")


@pytest.mark.parametrize("victim", ["sender", "receiver"])
@pytest.mark.parametrize("after", [1, 137, 400])
def test_a_kill_costs_nothing(tmp_path: Path, victim: str, after: int) -> None:
    with matched_pair(tmp_path) as (alice, bob):
        send_all(alice, 0, after)
        killed = alice if victim == "sender" else bob
        killed.kill()
        if victim == "receiver":
            send_all(alice, after, after + 50)
        killed.start()
        send_all(alice, after, COUNT)  # those that were sent before are recognised by their keys
        wanted = [f"message {number}" for number in range(COUNT)]
        until(lambda: len(bob.texts("Alice")) >= COUNT, "not everything arrived")
        assert bob.texts("Alice") == wanted
        until(lambda: alice.call("node.status")["outbox"] == 0, "not everything was acknowledged")
        # the ratchet goes on in both directions
        bob.call("message.send", to="Alice", text="back", wait="delivered", timeout_ms=30_000)
        alice.call("message.send", to="Bob", text="forth", wait="delivered", timeout_ms=30_000)
        assert alice.texts("Bob") == ["back"]
        assert bob.texts("Alice") == [*wanted, "forth"]
