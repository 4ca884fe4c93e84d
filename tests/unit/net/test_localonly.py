"""The filter of listening sockets, by an interpreter of its own: it takes what is local and nothing else."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from p2pchat.core.access import LOCAL, is_local
from p2pchat.net.localonly import program

HOSTS = (
    *("10.0.0.1", "10.255.255.255", "11.0.0.0", "172.16.0.1", "172.32.0.1", "192.168.0.255", "192.169.0.1", "8.8.8.8"),
    *("100.64.0.1", "169.254.9.9", "127.0.0.1", "126.255.255.255", "0.1.2.3", "255.255.255.255", "9.255.255.255"),
    *("fe80::1", "febf::1", "fec0::1", "fc00::1", "fdff::1", "fe00::1", "::1", "::", "::2", "1::1", "0:0:1::1"),
    *("2001:db8::1", "ff02::fb", "::ffff:10.0.0.1", "0:0:0:1::1"),
)


def takes(code: bytes, source: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Run a filter on a packet from ``source``."""
    header = bytes(12 if source.version == 4 else 8) + source.packed
    instructions = list(struct.iter_unpack("HBBI", code))
    at, value = 0, 0
    while True:
        operation, if_true, if_false, k = instructions[at]
        at += 1
        if operation == 0x20:
            value = int.from_bytes(header[k - 0xFFF00000 :][:4], "big")
        elif operation == 0x54:
            value &= k
        elif operation == 0x15:
            at += if_true if value == k else if_false
        else:
            assert operation == 0x06
            return bool(k != 0)


@pytest.mark.parametrize("host", HOSTS)
def test_it_takes_what_is_local(host: str) -> None:
    ip = ipaddress.ip_address(host)
    code = program(network for network in LOCAL if network.version == ip.version)
    # an IPv6 socket of this node gets no IPv4: what looks like it there is no local address
    assert takes(code, ip) is (is_local(host) and not host.startswith("::ffff:"))
