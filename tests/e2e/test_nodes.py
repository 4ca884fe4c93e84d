"""Real daemons: a node that knows nobody gets in by a file that another has written, and by WebSocket."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.net.addresses import endpoint, parse_address
from tests.e2e.daemons import Daemon, daemons, p2pchat, until

pytestmark = pytest.mark.e2e


def connected(daemon: Daemon) -> set[str]:
    return {str(peer["peer_id"]) for peer in daemon.call("net.peers")["peers"]}


def test_a_node_that_knows_nobody_joins_by_an_imported_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PCHAT_PUBLIC_DHT", "off")
    with daemons(tmp_path, None, None, None) as (alice, bob, carol):
        alice.start("--listen", "/ip4/127.0.0.1/tcp/0/ws")  # and so Carol comes to her by WebSocket
        assert endpoint(parse_address(alice.address)[0]).ws
        bob.start("--bootstrap", alice.address)
        carol.start()
        ids = [str(each.call("node.status")["peer_id"]) for each in (alice, bob, carol)]
        until(lambda: bob.call("node.status")["peers"] == 1, "no join")
        assert connected(carol) == set()

        file = tmp_path / "nodes.txt"
        done = p2pchat(bob.home, "net", "export", "--own", "--lan", str(file))
        assert done.returncode == 0, done.stderr
        wrong = tmp_path / "wrong.txt"
        wrong.write_text(file.read_text() + "p2pchat:1\n")
        done = p2pchat(carol.home, "net", "import", str(wrong))
        assert (done.returncode, done.stdout) == (65, b"")
        assert b"Line 3 was cut off or mistyped; nothing was taken." in done.stderr
        assert connected(carol) == set()

        done = p2pchat(carol.home, "net", "import", str(file))
        assert (done.returncode, done.stdout) == (0, b"2 nodes, 2 of them new\n"), done.stderr
        until(lambda: connected(carol) == set(ids[:2]), "Carol found not both")
        until(lambda: carol.call("node.status")["peers"] == 2, "Carol has not joined")

        carol.stop()  # and what it has met stays
        carol.start()
        until(lambda: carol.call("node.status")["peers"] == 2, "Carol has forgotten them")
