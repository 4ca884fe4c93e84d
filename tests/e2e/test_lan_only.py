"""A node in the mode lan, in a home with a way out, and everything there to tempt it: no packet goes beyond the LAN."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest

from netlab.lab import Lab
from netlab.topology import Options
from p2pchat.base.errors import P2PChatError
from tests.e2e.daemons import ALICE, BOB, Daemon, environment, until
from tests.e2e.netlabs import PORT, connects, has_parted, needs_lab, with_name_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_lab]

Ip = IPv4Address | IPv6Address
NEAR = [ip_network(each) for each in ("192.168.1.0/24", "224.0.0.0/24", "fe80::/10", "ff02::/16")]
ETH_P_ALL = 3
OUTGOING = 4
UDP = 17
MDNS = 5353
NAME_SERVER = "45.77.100.53"
NOBODY = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
# of nobody, so that they are asked beside the far node, however fast it answers
UNASKED = (f"/ip4/45.99.1.1/tcp/{PORT}", f"/ip6/2a0e:b1ff::1/tcp/{PORT}", f"/dns4/node.example.org/tcp/{PORT}")


class Inhabitant(Daemon):
    """A daemon on a host of a lab, with the settings that a user has at first, and ``lines`` of configuration."""

    def __init__(self, home: Path, number: str | None, lab: Lab, host: str, lines: str = "") -> None:
        super().__init__(home, number)
        self._lab = lab
        self._host = host
        self.configure(lines)

    def configure(self, lines: str) -> None:
        (self.home / "config").mkdir(exist_ok=True)
        (self.home / "config" / "default.toml").write_text(lines)

    def launch(self, *arguments: str) -> None:
        """Start and wait for nothing."""
        unset = ("P2PCHAT_LAN", "P2PCHAT_NAT_MAPPING", "P2PCHAT_PUBLIC_DHT", "P2PCHAT_RELAY_OFFER")
        given = {key: value for key, value in environment(self.home).items() if key not in unset}
        apart = with_name_server(self.home, NAME_SERVER)
        listen = (f"--listen=/ip4/0.0.0.0/tcp/{PORT}", f"--listen=/ip6/::/tcp/{PORT}")
        with self.log.open("ab") as log:
            self.process = self._lab.popen(
                self._host,
                [*apart, sys.executable, "-m", "p2pchat.daemon", "run", *listen, *arguments],
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


class Capture:
    """Where the packets go that leave a host."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.seen: set[tuple[Ip, int, int]] = set()
        with lab.inside(host):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            try:
                packet, come_by = self._socket.recvfrom(65_535)
            except TimeoutError:
                continue
            device, kind = str(come_by[0]), int(come_by[2])
            if kind == OUTGOING and device != "lo":
                self.seen.add(destination(packet))

    def close(self) -> None:
        self._is_over = True
        self._thread.join()
        self._socket.close()

    def beyond(self) -> set[tuple[Ip, int, int]]:
        """Of them those that leave the local network: address, protocol and port."""
        return {each for each in self.seen if not any(each[0] in near for near in NEAR)}


def destination(packet: bytes) -> tuple[Ip, int, int]:
    if packet[0] >> 4 == 4:
        ip: Ip = IPv4Address(packet[16:20])
        protocol, start = packet[9], 4 * (packet[0] & 15)
    else:
        ip, protocol, start = IPv6Address(packet[24:40]), packet[6], 40
    port = int.from_bytes(packet[start + 2 : start + 4], "big") if protocol in (6, 17) else 0
    return ip, protocol, port


@contextmanager
def capturing(lab: Lab, *hosts: str) -> Iterator[list[Capture]]:
    captures = [Capture(lab, host) for host in hosts]
    try:
        yield captures
    finally:
        for each in captures:
            each.close()


def test_no_packet_leaves_the_local_network(tmp_path: Path) -> None:
    """First as any node, so that what tempts it is known to; then in the mode lan, with the same data."""
    with Lab("dual", Options(hosts_at_home=2, natpmp=True, upnp=True)) as lab:
        far = Inhabitant(tmp_path / "far", None, lab, "relay", 'lan = false\n[relay]\noffer = "on"\n')
        far.start()
        entries = [str(each) for each in far.call("net.addrs")["addresses"]]
        entries += [f"{each}/p2p/{NOBODY}" for each in UNASKED] + ["/dnsaddr/bootstrap.example.org"]
        tempting = f'[bootstrap]\nnodes = {entries}\npublic_dht = true\nannounce = true\n[relay]\noffer = "on"\n'
        invite = far.call("identity.invite")["invite"]
        alice = Inhabitant(tmp_path / "a", ALICE, lab, "alice", tempting)
        bob = Inhabitant(tmp_path / "b", BOB, lab, "alice2", tempting + '[net]\nmode = "lan"\n')

        with capturing(lab, "alice") as (capture,):
            alice.start()
            alice.call("contacts.add", number=BOB, name="Bob")
            alice.call("contacts.add", invite=invite, name="Far")
            until(lambda: alice.call("net.peers")["peers"], "the far node is not found")
            with pytest.raises(P2PChatError, match="answered"):
                alice.call("net.bootstrap", address=entries[-2])  # alone: at the start the far node may be faster
            until(lambda: 53 in {port for _, _, port in capture.beyond()}, "no name is looked up")
            assert alice.stop() == 0
        reached = {str(ip) for ip, protocol, _ in capture.beyond() if protocol == 6}
        assert reached & set(lab.addresses("relay"))
        far.kill()
        until(
            lambda: has_parted(lab, "alice", "relay"), "a connection does not end"
        )  # its farewells go to the far node

        alice.configure(tempting + '[net]\nmode = "lan"\n')
        with capturing(lab, "alice", "alice2") as captures:
            for node in (alice, bob):
                node.launch()
            for node in (alice, bob):
                node.become_ready()
            bob.call("contacts.add", number=ALICE, name="Alice")
            until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match on the LAN")
            alice.call("message.send", to="Bob", text="here", wait="delivered", timeout_ms=30_000)
            bob.call("message.send", to="Alice", text="here, too", wait="delivered", timeout_ms=30_000)
            # whoever knew it comes again, and knocks where it was
            outside = [each for each in lab.addresses("alice") if ip_address(each).version == 6]
            assert [connects(lab, "relay", each, within_s=1.0) for each in outside] == ["silence"]
            assert connects(lab, "alice2", lab.addresses("alice")[0]) == "yes"
            status = alice.call("node.status")
            assert (status["mode"], status["reachability"]) == ("lan", "lan")
            assert all(ip_address(str(each).split("/")[2]).is_private for each in status["addresses"])
            assert {each["path"] for each in alice.call("net.peers")["peers"]} == {"lan"}
            assert alice.stop() == bob.stop() == 0
        assert [each.beyond() for each in captures] == [set(), set()]
        asked = {port for each in captures for _, protocol, port in each.seen if protocol == UDP}
        assert asked == {MDNS}  # and so no router, by NAT-PMP or UPnP
