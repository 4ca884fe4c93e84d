"""``p2pchat net allow``, ``deny``, ``forget`` and ``rules``, and what ``status`` says of the mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.daemons import ALICE, BOB, Daemon, objects, p2pchat, run, until

pytestmark = pytest.mark.e2e


def configure(home: Path, lines: str) -> None:
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "default.toml").write_text(lines)


def test_rules_by_the_command_line(tmp_path: Path) -> None:
    alice, bob = Daemon(tmp_path / "a", ALICE), Daemon(tmp_path / "b", BOB)
    configure(alice.home, '[net]\nmode = "contacts"\n')
    try:
        alice.start()
        bob.start("--bootstrap", alice.address)
        until(lambda: alice.call("net.peers")["peers"], "nobody came")
        theirs = str(bob.call("node.status")["peer_id"])
        denied = p2pchat(alice.home, "net", "deny", theirs)
        assert (denied.returncode, denied.stderr.decode()) == (0, f"denied {theirs}\n")
        assert alice.call("net.peers")["peers"] == []
        assert p2pchat(bob.home, "net", "dial", alice.address).returncode == 75
        (rule,) = objects(p2pchat(alice.home, "net", "rules", "--json"))
        assert (rule["kind"], rule["what"], rule["allow"], rule["contact_id"]) == ("peer", theirs, False, None)
        (allowed,) = objects(p2pchat(alice.home, "net", "allow", "192.0.2.9", "--json"))
        assert allowed["what"] == "192.0.2.9/32"
        shown = p2pchat(alice.home, "net", "rules").stdout.decode().splitlines()
        assert [line.split()[:3] for line in shown] == [["deny", "peer", theirs], ["allow", "network", "192.0.2.9/32"]]
        wrong = p2pchat(alice.home, "net", "deny", "192.0.2.9/24")
        assert (wrong.returncode, b"without bits beyond the prefix" in wrong.stderr) == (65, True)
        assert p2pchat(alice.home, "net", "deny", "Nobody").returncode == 66
        assert p2pchat(alice.home, "net", "forget", theirs).returncode == 0
        assert p2pchat(bob.home, "net", "dial", alice.address).returncode == 0
        assert "contacts only: " in p2pchat(alice.home, "status").stdout.decode()
        assert "only: " not in p2pchat(bob.home, "status").stdout.decode()
    finally:
        for daemon in (alice, bob):
            if daemon.process is not None:
                daemon.kill()


def test_a_proxy_and_the_local_network_alone_exclude_each_other(tmp_path: Path) -> None:
    home = tmp_path / "a"
    Daemon(home, ALICE)
    configure(home, '[net]\nmode = "lan"\nproxy = "socks5://127.0.0.1:9050"\n')
    (home / "config" / "default.toml").chmod(0o600)
    done = run(home, "run", "--listen", "/ip4/127.0.0.1/tcp/0")
    assert done.returncode == 65
    assert b"net.mode is lan, and net.proxy leads to the internet" in done.stderr
