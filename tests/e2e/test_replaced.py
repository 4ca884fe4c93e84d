"""Real daemons of one person: the old device is started again after a backup was restored elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon, matched_pair, objects, p2pchat, until
from tests.e2e.test_backup import PASSPHRASE, restored
from tests.e2e.test_init import sentence

pytestmark = pytest.mark.e2e


def sockets_of(daemon: Daemon) -> int:
    """How many TCP sockets the process listens on or has connected."""
    assert daemon.process is not None
    own: set[str] = set()
    for descriptor in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            own.add(descriptor.readlink().name)
        except FileNotFoundError:  # closed meanwhile
            continue
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return sum(f"socket:[{row[9]}]" in own for row in rows)


@pytest.mark.slow
def test_the_old_device_says_why_and_leaves_the_network(tmp_path: Path) -> None:
    file, secret = tmp_path / "alice.backup", tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    with matched_pair(tmp_path / "pair") as (alice, bob):
        alice.call("message.send", to="Bob", text="first", wait="delivered")
        alice.call("backup.create", path=str(file), passphrase=PASSPHRASE)
        alice.call("contacts.add", number="+821055555555", name="Carol")
        alice.call("message.send", to="Carol", text="for nobody yet")
        assert alice.stop() == 0
        with restored(tmp_path / "new", file, str(secret)) as again:
            again.start("--passphrase-file", str(secret), "--bootstrap", bob.address)
            again.call("message.send", to="Bob", text="from the new one", wait="delivered")

            alice.start("--bootstrap", bob.address)
            until(lambda: alice.call("node.status")["replaced_ms"], "nobody tells it")
            until(lambda: sockets_of(alice) == 0, "it is still in the network")
            assert sockets_of(again) > 0
            done = p2pchat(alice.home, "status")
            assert done.returncode == 0, (done.stderr, alice.log.read_text()[-2000:])
            shown = done.stdout.decode()
            (line,) = [line for line in shown.splitlines() if line.startswith("replaced: ")]
            assert "newer device of yours is in use since" in line
            assert "backup restore" in line
            assert "a newer device of yours is in use; this one neither sends" in alice.log.read_text()

            refused = p2pchat(alice.home, "send", "Bob", "hello?")
            assert (refused.returncode, sentence(refused.stderr)[0]) == (77, "FORBIDDEN")
            assert "newer device" in refused.stderr.decode()
            assert [row["text"] for row in objects(p2pchat(alice.home, "history", "Bob", "--json"))] == ["first"]
            assert [(row["text"], row["state"]) for row in alice.history("Carol")] == [("for nobody yet", "queued")]
            events = alice.call("events.fetch", since=0)["events"]
            (told,) = [event for event in events if event["type"] == "node.warning"]
            assert told["data"] == {"replaced_ms": alice.call("node.status")["replaced_ms"]}
            assert p2pchat(alice.home, "export", str(tmp_path / "out.jsonl")).returncode == 0
            later = tmp_path / "later.backup"
            assert alice.call("backup.create", path=str(later), passphrase=PASSPHRASE)["messages"] == 2
            assert alice.stop() == 0

            alice.start("--bootstrap", bob.address)
            assert alice.call("node.status")["replaced_ms"] == told["data"]["replaced_ms"]
            assert sockets_of(alice) == 0
            assert alice.log.read_text().count("a newer device of yours is in use; this one") == 2

            again.call("message.send", to="Bob", text="and on", wait="delivered")
            bob.call("message.send", to="Alice", text="welcome", wait="delivered")
            assert again.texts("Bob") == ["welcome"]
            assert bob.texts("Alice") == ["first", "from the new one", "and on"]
            assert again.call("node.status")["replaced_ms"] is None
            assert p2pchat(alice.home, "wipe", "--yes").returncode == 0


@pytest.mark.slow
def test_locked_and_unlocked_it_stays_out(tmp_path: Path) -> None:
    file, secret = tmp_path / "alice.backup", tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    with matched_pair(tmp_path / "pair") as (alice, bob):
        alice.call("passphrase.change", new=PASSPHRASE)
        alice.call("message.send", to="Bob", text="first", wait="delivered")
        alice.call("backup.create", path=str(file), passphrase=PASSPHRASE)
        assert alice.stop() == 0
        with restored(tmp_path / "new", file, str(secret)) as again:
            again.start("--passphrase-file", str(secret), "--bootstrap", bob.address)
            again.call("message.send", to="Bob", text="from the new one", wait="delivered")
            alice.start("--passphrase-file", str(secret), "--bootstrap", bob.address)
            until(lambda: alice.call("node.status")["replaced_ms"], "nobody tells it")
            alice.call("node.lock")
            assert alice.call("node.status")["replaced_ms"] is None  # it stands in the database
            alice.call("node.unlock", passphrase=PASSPHRASE)
            assert alice.call("node.status")["replaced_ms"]
            assert sockets_of(alice) == 0
            assert alice.stop() == 0
