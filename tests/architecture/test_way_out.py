"""What leaves this machine leaves in one place, which a proxy closes, or is off behind a proxy."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.daemon import unlocked
from p2pchat.daemon.node import parse
from p2pchat.net.socks import Socks
from p2pchat.services.config import Config
from p2pchat.services.context import Health, no_names
from p2pchat.testing.entropy import SeededEntropy

PACKAGE = Path(__file__).resolve().parents[2] / "p2pchat"
CALLS = {"connect_from", "create_connection", "getaddrinfo", "gethostbyname", "open_tcp_stream", "open_tcp_listeners"}
MODULES = {"aiohttp", "dns", "http", "miniupnpc", "smtplib", "socketserver", "urllib", "zeroconf"}

ALLOWED = {
    # the way itself: listening sockets, connections of the one way and of the other
    "net/tcp.py": {"getaddrinfo", "socket", "open_tcp_stream"},
    "net/way.py": {"tcp.connect", "connect_from"},
    "net/socks.py": {"tcp.connect"},
    "net/outgoing.py": {"connect_from"},  # the way's
    # sockets of this machine
    "client/connecting.py": {"socket"},
    "control/socket_file.py": {"socket"},
    "daemon/activation.py": {"socket"},  # one that was handed over
    "daemon/checkup.py": {"socket"},  # whether a port is free: nothing is sent
    "daemon/system.py": {"socket"},
    "net/interfaces.py": {"socket"},  # netlink, and a question to the kernel: nothing is sent
    # off behind a proxy: see below
    "net/dnsaddr.py": {"dns.exception", "dns.resolver"},
    "net/lan.py": {"socket", "zeroconf", "zeroconf.asyncio"},
    "net/router.py": {"socket"},
    "net/upnp.py": {"miniupnpc"},
}


def leaves(text: str) -> set[str]:
    """What in ``text`` opens sockets, asks name servers, or belongs to a library that does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            last = called.rpartition(".")[2]
            if called.endswith("socket.socket"):
                found.add("socket")
            elif called == "tcp.connect":
                found.add(called)
            elif last in CALLS:
                found.add(last)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if is_of_the_network(alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if is_of_the_network(node.module):
                found.add(node.module)
            if node.module in ("socket", "trio.socket") or node.module == "p2pchat.net.tcp":
                found |= {alias.name for alias in node.names if alias.name in {*CALLS, "connect", "socket"}}
    return found


def is_of_the_network(module: str) -> bool:
    return module.partition(".")[0] in MODULES and module != "urllib.parse"


def test_nothing_else_opens_a_socket() -> None:
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if "testing" not in path.parts]
    found = {str(path.relative_to(PACKAGE)): leaves(path.read_text(encoding="utf-8")) for path in paths}
    assert {name: what for name, what in found.items() if what} == ALLOWED


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import trio\nasync def f(): await trio.open_tcp_stream('x', 1)", {"open_tcp_stream"}),
        ("def f():\n    from socket import create_connection as c\n    c(('x', 1))", {"create_connection"}),
        ("import socket\nsocket.socket()", {"socket"}),
        ("import trio\ntrio.socket.socket(1, 2)", {"socket"}),
        ("from p2pchat.net import tcp\ntcp.connect('x', 1)", {"tcp.connect"}),
        ("from p2pchat.net.tcp import connect", {"connect"}),
        ("import socket\nsocket.getaddrinfo('x', 1)", {"getaddrinfo"}),
        ("def f():\n    from dns.resolver import Resolver", {"dns.resolver"}),
        ("import urllib.request", {"urllib.request"}),
    ],
)
def test_whatever_does_is_found(text: str, what: set[str]) -> None:
    assert leaves(text) == what


def test_behind_a_proxy_all_of_them_are_off() -> None:
    """The local network, the router, names and the public DHT; and the host has the proxy for its way."""
    eager = Config(lan=True, public_dht=True, announce=True, mapping=True, relay_offer="on")
    for config, is_off in ((eager, False), (replace(eager, proxy="socks5://[::1]:1"), True)):
        settings = parse(config)
        reach = settings.reach
        assert {reach.lan, reach.mapping, reach.public_dht, reach.announce} == {not is_off}
        assert isinstance(unlocked._way(settings.proxy, Health(), SeededEntropy(1)), Socks) == is_off
        assert (unlocked._names(settings) is no_names) == is_off
