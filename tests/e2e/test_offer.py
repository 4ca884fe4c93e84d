"""What a stranger is offered by a running daemon: eight protocols over TCP, and nothing that libp2p would add."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from p2pchat.base.ids import Address
from p2pchat.net.addresses import parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from tests.e2e.daemons import ALICE, Daemon, daemons

pytestmark = pytest.mark.e2e


def sockets(daemon: Daemon) -> set[str]:
    """The kinds of network sockets that the process has open."""
    assert daemon.process is not None
    folder = Path(f"/proc/{daemon.process.pid}")
    if not folder.exists():
        pytest.skip("no /proc on this system")
    links = {str(link.readlink()) for link in (folder / "fd").iterdir() if link.is_symlink()}
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    kinds = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")
    return {
        kind
        for kind in kinds
        for line in (folder / "net" / kind).read_text().splitlines()[1:]
        if line.split()[9] in inodes
    }


async def test_a_stranger_is_offered_eight_protocols_and_tcp_alone(tmp_path: Path) -> None:
    with daemons(tmp_path, ALICE) as (alice,):
        alice.start()
        assert sockets(alice) == {"tcp"}
        address, peer = parse_address(alice.address)
        assert peer is not None
        async with Libp2pHost.listen(bytes(range(32)), (), now=time.time) as stranger:
            await stranger.dial(peer, (Address(address),))
            _, protocols = await stranger.learn(peer)
        assert protocols == {
            "/ipfs/id/1.0.0",
            "/ipfs/ping/1.0.0",
            "/libp2p/autonat/1.0.0",
            "/libp2p/circuit/relay/0.2.0/stop",
            "/libp2p/dcutr",
            "/p2pchat/kad/1.0.0",
            "/p2pchat/msg/1",
            "/p2pchat/records/1",
        }
        assert alice.stop() == 0


@pytest.mark.parametrize("listen", ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0/wss"])
def test_other_transports_are_refused_in_one_sentence(tmp_path: Path, listen: str) -> None:
    with daemons(tmp_path, ALICE) as (alice,):
        with pytest.raises(AssertionError, match="INVALID_PARAMS: This is not an address"):
            alice.start("--listen", listen)
        assert alice.process is not None
        assert alice.process.wait(timeout=10) == 65
