"""What a router does with ports, by where others see a node."""

from __future__ import annotations

import pytest

from p2pchat.net.addresses import parse_address
from p2pchat.net.transport import Standing
from p2pchat.services.observed import judge


@pytest.mark.parametrize(
    ("seen", "standing", "code"),
    [
        ([], "unknown", "unknown"),
        ([], "private", "private"),
        (["/ip4/45.1.1.1/tcp/4001"], "unknown", "unknown"),
        (["/ip4/45.1.1.1/tcp/4001"] * 2, "unknown", "same_port"),
        (["/ip4/45.1.1.1/tcp/4001"] * 3, "private", "same_port"),
        (["/ip4/45.1.1.1/tcp/4001", "/ip4/45.1.1.1/tcp/4002"], "unknown", "other_ports"),
        (["/ip4/45.1.1.1/tcp/4001", "/ip4/45.1.1.2/tcp/4001"], "private", "other_ports"),
        (["/ip4/45.1.1.1/tcp/4001", "/ip6/2a00::1/tcp/4001"], "unknown", "unknown"),
        (["/ip6/2a00::7/tcp/4001"], "unknown", "open"),
        (["/ip6/2a00::7/tcp/4001", "/ip4/45.1.1.1/tcp/4001"], "private", "firewall"),
    ],
)
def test_what_follows(seen: list[str], standing: Standing, code: str) -> None:
    addresses = [parse_address(text)[0] for text in seen]
    assert judge(addresses, {"192.168.0.5", "2a00::7"}, standing, 4001).code == f"nat.{code}"
