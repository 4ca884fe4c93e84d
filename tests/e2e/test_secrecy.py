"""Canaries: no number, name or text stands in a log line or a file of a node, at the most verbose level."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.daemons import ALICE, BOB, Daemon, daemons, until

pytestmark = pytest.mark.e2e

TEXT = "canary text in the coal mine"
NAMES = ("CanaryAlice", "CanaryBob")


def leaks(daemon: Daemon, secrets: list[bytes]) -> list[str]:
    """Which of ``secrets`` stand in which file under the daemon's home."""
    files = [path for path in daemon.home.rglob("*") if path.is_file()]
    return [f"{path.name}: {secret[:6]!r}" for path in files for secret in secrets if secret in path.read_bytes()]


def test_a_whole_conversation_leaves_no_trace_in_logs_and_files(tmp_path: Path) -> None:
    with daemons(tmp_path, ALICE, BOB) as (alice, bob):
        alice.start("--log-level", "debug")
        bob.start("--log-level", "debug", "--bootstrap", alice.address)
        alice.call("contacts.add", number=BOB, name=NAMES[1])
        bob.call("contacts.add", number=ALICE, name=NAMES[0])
        until(lambda: bob.state_of(NAMES[0]) == "matched", "no match")
        alice.call("message.send", to=NAMES[1], text=TEXT, wait="delivered", timeout_ms=30_000)
        bob.kill()
        bob.start("--log-level", "debug")
        alice.call("message.send", to=NAMES[1], text=TEXT, wait="delivered", timeout_ms=30_000)
        secrets = [TEXT.encode(), *(name.encode() for name in NAMES), b"Somebody"]
        for number in (ALICE, BOB):
            secrets += [number.encode(), number.removeprefix("+82").encode()]
        for daemon in (alice, bob):
            identity = daemon.call("identity.show")
            root = str(identity["root"])
            port = daemon.address.split("/")[4].encode()
            secrets += [root.encode(), bytes.fromhex(root), str(identity["peer_id"]).encode()]
            assert b"tcp/" + port not in daemon.log.read_bytes()
        running = leaks(alice, secrets) + leaks(bob, secrets)
        assert alice.stop() == bob.stop() == 0
        assert running + leaks(alice, secrets) + leaks(bob, secrets) == []
        assert b"node.ready" in alice.log.read_bytes()
