"""What a node says of itself depends on who asks."""

from __future__ import annotations

import pytest
from libp2p.identity.identify.pb.identify_pb2 import Identify

from p2pchat.net.addresses import format_address, from_socket
from p2pchat.net.identify import describe

LOOPBACK, PRIVATE, PUBLIC = (from_socket(host, 4001) for host in ("127.0.0.1", "192.168.1.7", "8.8.8.8"))


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        (("127.0.0.1", 5000), [PUBLIC, PRIVATE, LOOPBACK]),
        (("192.168.1.9", 5000), [PUBLIC, PRIVATE]),
        (("9.9.9.9", 5000), [PUBLIC]),
        (("2606:4700::1", 5000), [PUBLIC]),
        (None, [PUBLIC]),
    ],
)
def test_a_stranger_is_not_told_of_the_home_network(remote: tuple[str, int] | None, told: list[bytes]) -> None:
    data = describe(public_key=b"key", protocols=["/b", "/a"], addresses=[PUBLIC, PRIVATE, LOOPBACK], remote=remote)
    assert data[0] == len(data) - 1
    message = Identify.FromString(data[1:])
    assert list(message.listen_addrs) == [bytes(address) for address in told]
    assert list(message.protocols) == ["/a", "/b"]
    assert message.agent_version == "p2pchat"
    assert message.observed_addr == (b"" if remote is None else bytes(from_socket(*remote)))


def test_an_ipv4_peer_on_an_ipv6_socket_sees_its_ipv4_address() -> None:
    data = describe(public_key=b"", protocols=[], addresses=[], remote=("::ffff:9.9.9.9", 5000))
    assert format_address(from_socket("9.9.9.9", 5000)) == "/ip4/9.9.9.9/tcp/5000"
    assert Identify.FromString(data[1:]).observed_addr == bytes(from_socket("9.9.9.9", 5000))
