"""A daemon behind a SOCKS5 proxy, and every packet that leaves its machine: none but to the proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import pytest

from netlab.lab import Lab
from netlab.packets import ICMPV6, TCP, destination, flow_of, read_pcap, transport_of
from netlab.topology import Options
from p2pchat.api.errors import ApiError
from tests.e2e.daemons import ALICE, BOB, environment, p2pchat, until
from tests.e2e.netlabs import PORT, needs_lab, with_name_server
from tests.e2e.test_reach import Settler, say

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_lab]

PROXY_PORT = 9050
TEMPTED = {"P2PCHAT_LAN": "on", "P2PCHAT_PUBLIC_DHT": "on", "P2PCHAT_NAT_MAPPING": "on"}
_IGMP, _REPORT, _LEAVES = 2, 0x22, 3  # RFC 3376
_ROUTER_SOLICITATION = 133
_RST = 4
NAME_SERVER = "45.77.100.53"
NOBODY = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
NAME = "node.p2pchat-example.net"


class Hidden(Settler):
    """May do whatever it likes but for its proxy."""

    def launch(self, *arguments: str) -> None:
        apart = with_name_server(self.home, NAME_SERVER)
        with self.log.open("ab") as log:
            self.process = self._lab.popen(
                self._host,
                [*apart, sys.executable, "-m", "p2pchat.daemon", "run", *arguments],
                env=environment(self.home) | TEMPTED,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def sent(packets: list[bytes], before: list[bytes]) -> Counter[str]:
    """What left, by protocol, address and port; without the farewells of connections from before."""
    found, ending = Counter[str](), {flow for flow in map(flow_of, before) if flow and flow.protocol == TCP}
    for packet in packets:
        flow, (protocol, at) = flow_of(packet), transport_of(packet)
        if protocol == ICMPV6 and packet[at] == _ROUTER_SOLICITATION:
            continue  # the kernel's, whatever runs here
        if protocol == _IGMP and packet[at] == _REPORT and packet[at + 8] == _LEAVES:
            continue  # the kernel's, of sockets that the daemon had before it had a proxy: once more, a second later
        if protocol == TCP and (flow in ending or packet[at + 13] & _RST):
            continue  # the kernel's: it ends what is over, and refuses whoever knocks where nobody listens any more
        port = flow.destination_port if flow is not None else "?"
        found[f"{'tcp' if protocol == TCP else protocol} {ip_address(destination(packet))} {port}"] += 1
    return found


def written(lab: Lab, host: str, file: Path, to: str) -> list[bytes]:
    """What ``host`` has sent until now, a mark to ``to`` behind it: the wire may be late, and keeps the order."""
    mark = os.urandom(16)
    with lab.inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marking:
        marking.sendto(mark, (to, 9))
    packets = list[bytes]()

    def has_come() -> bool:
        packets[:] = read_pcap(file.read_bytes())
        return any(packet.endswith(mark) for packet in packets)

    until(has_come, "the wire stands still")
    return packets[: next(index for index, packet in enumerate(packets, 1) if packet.endswith(mark))]


def test_no_packet_goes_around_the_proxy(tmp_path: Path) -> None:
    """A neighbour, a router that maps ports, caches, names and an invite tempt it, and the proxy dies meanwhile."""
    options = Options(public=2, hosts_at_home=2, natpmp=True, upnp=True)
    with Lab("two-nats", options) as lab:
        relay = Settler(tmp_path / "r", None, lab, "relay", relays=True)
        neighbour = Hidden(tmp_path / "n", None, lab, "alice2")
        alice, bob = Hidden(tmp_path / "a", ALICE, lab, "alice"), Settler(tmp_path / "b", BOB, lab, "bob")
        relay.start()
        file = lab.capture("alice")
        first = relay.entrance(4)
        for node in (neighbour, alice, bob):
            node.launch("--bootstrap", first)
        for node in (neighbour, alice, bob):
            node.become_ready()
        # what it remembers: nodes of the internet and of its LAN, a port that is mapped
        until(lambda: {"lan", "direct"} <= alice.path(), "the neighbour is not met")
        router = lab.status()["boxes"]["alice-home"]
        until(lambda: [m for m in lab.status()["boxes"]["alice-home"]["mappings"] if m["opened"]], f"{router}")
        alice.stop()

        host, public = lab.addresses("relay2")[0], lab.addresses("relay")[0]
        peer = first.rpartition("/")[2]
        requests = tmp_path / "requests"

        def serve() -> subprocess.Popen[bytes]:
            with requests.open("ab") as told:
                command = ["-m", "tests.net.socks5", host, str(PROXY_PORT), f"{NAME}={public}"]
                return lab.popen("relay2", [sys.executable, *command], env=environment(tmp_path), stdout=told)

        invite = neighbour.call("identity.invite")["invite"]
        before = written(lab, "alice", file, public)
        assert {f"tcp {public} {PORT}", "17 224.0.0.251 5353", "17 192.168.1.1 5351"} <= set(sent(before, []))
        names = [f"/dns4/{NAME}/tcp/{PORT}/p2p/{peer}", f"/dnsaddr/{NAME}", neighbour.entrance(4)]
        names.append(f"/ip4/{host}/tcp/{PORT}/p2p/{NOBODY}")  # another peer, and so another user of the proxy
        alice.start(f"--proxy=socks5://{host}:{PROXY_PORT}", *(f"--bootstrap={each}" for each in names))
        alice.call("contacts.add", invite=invite, name="Neighbour")
        alice.call("contacts.add", number=BOB, name="Bob")
        until(lambda: "nothing goes around" in str(alice.call("node.status")["alone"]), "nobody is told")
        for each in (neighbour.entrance(4), f"/dnsaddr/{NAME}"):
            with pytest.raises(ApiError):
                alice.call("net.bootstrap", address=each)
        status = alice.call("node.status")
        assert (status["proxy"], status["addresses"], status["reachability"]) == (True, [], "none")
        assert "through a proxy" in p2pchat(alice.home, "status").stdout.decode()

        proxy = serve()
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        say(alice, "Bob", "to Bob")
        say(bob, "Alice", "to Alice")
        assert alice.path() <= {"direct", "relayed"}
        until(lambda: alice.call("net.addrs")["addresses"], "no relay")
        addresses = list(map(str, alice.call("net.addrs")["addresses"]))
        assert all("/p2p-circuit/" in each for each in addresses)

        proxy.kill()
        proxy.wait()
        until(lambda: "nothing goes around" in str(alice.call("node.status")["alone"]), "nobody is told")
        assert alice.call("message.send", to="Bob", text="later")["state"] == "queued"
        proxy = serve()
        until(lambda: bob.texts("Alice") == ["to Bob", "later"], "not delivered after the proxy came back")

        alice.stop()
        after = written(lab, "alice", file, public)[len(before) : -1]
        assert set(sent(after, before)) == {f"tcp {host} {PROXY_PORT}"}
        asked = [json.loads(line) for line in requests.read_text().splitlines()]
        hosts = {each["host"] for each in asked}
        assert {public, NAME} & hosts
        assert not [each for each in hosts if each != NAME and not ip_address(each).is_global]
        users = {each["user"]: each["host"] for each in asked}
        assert {host} < set(users.values())
        assert not [line for line in alice.log.read_text().splitlines() if host in line or public in line]
