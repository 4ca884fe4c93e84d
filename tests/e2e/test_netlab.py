"""The test network on real kernels' sockets: who reaches whom, what boxes do to it, and that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from netlab import control
from netlab.__main__ import EX_NOPERM, main
from netlab.control import LabError
from netlab.lab import Lab
from netlab.nat import Lifetimes
from netlab.topology import Options, names
from tests.e2e.daemons import until
from tests.e2e.netlabs import (
    COMES_S,
    MISSING_S,
    PORT,
    connects,
    hears,
    listen,
    needs_lab,
    opens_at_once,
    pings,
    seen_as,
    udp,
)

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
ALICE_OUTSIDE, BOB_OUTSIDE, RELAY = "45.77.1.1", "45.77.2.1", "45.77.100.1"
FEW = 20  # what a kernel says of itself meanwhile, to groups that it joins and to routers
BURST_BYTES = 5_000_000
LATE_S = 2.0  # where much else runs a line holds them longer than it is told to, never shorter
REACHED = {
    # topology: who is reached at an own address by everybody
    "lan": {"alice", "bob"},
    "internet": {"alice", "bob", "relay"},
    "two-nats": {"relay"},
    "random-nat": {"relay"},
    "carrier": {"relay"},
    "ipv6": {"alice", "bob", "relay"},
    "dual": {"relay"},
    "firewall": {"bob", "relay"},
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


@needs_lab
@pytest.mark.parametrize("topology", names())
def test_who_reaches_whom(topology: str, stack: ExitStack) -> None:
    lab = stack.enter_context(Lab(topology))
    assert set(lab.hosts) == {"alice", "bob"} | ({"relay"} - ({"relay"} if topology == "lan" else set()))
    for host in lab.hosts:
        assert connects(lab, host, "127.0.0.1") == "refused", "loopback is up"
        for address in lab.addresses(host):
            stack.enter_context(listen(lab, host, address))
            assert ip_address(address).is_global != address.startswith("192.168.")
    for sender in lab.hosts:
        for host in lab.hosts:
            if sender == host:
                continue
            for address in lab.addresses(host):
                if (topology == "dual" and ":" in address) or host in REACHED[topology]:
                    expected = "yes"
                else:
                    expected = "silence" if topology == "firewall" else "no way"
                within_s = MISSING_S if expected == "silence" else COMES_S
                assert connects(lab, sender, address, within_s=within_s) == expected, (sender, address)
                within_s = COMES_S if expected == "yes" else MISSING_S
                assert pings(lab, sender, address, within_s=within_s) == (expected == "yes"), (sender, address)


@needs_lab
def test_there_is_no_way_out_of_a_lan() -> None:
    with Lab("lan", Options(hosts=4)) as lab:
        assert lab.hosts == ["alice", "bob", "host3", "host4"]
        assert [connects(lab, "alice", address) for address in (RELAY, "192.168.7.99")] == ["no way", "no way"]


@needs_lab
def test_a_preserving_router_keeps_one_port_and_refuses_strangers(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats", Options(public=2)))
    alice, relay, relay2 = (stack.enter_context(udp(lab, host)) for host in ("alice", "relay", "relay2"))
    assert seen_as(alice, relay, RELAY) == (ALICE_OUTSIDE, PORT)
    relay2.sendto(b"unasked", (ALICE_OUTSIDE, PORT))
    assert not hears(alice, MISSING_S)
    relay.sendto(b"answer", (ALICE_OUTSIDE, PORT))
    assert alice.recv(100) == b"answer"
    assert seen_as(alice, relay2, lab.addresses("relay2")[0]) == (ALICE_OUTSIDE, PORT)
    assert lab.status()["boxes"]["alice-home"]["refused"] == 1
    stack.enter_context(listen(lab, "alice", "192.168.1.2"))
    assert connects(lab, "relay", ALICE_OUTSIDE, within_s=MISSING_S) == "silence"
    lab.restart("alice-home")
    relay.sendto(b"late", (ALICE_OUTSIDE, PORT))
    assert not hears(alice, MISSING_S)


@needs_lab
def test_a_random_router_has_a_port_for_each_destination(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("random-nat", Options(public=2)))
    alice, relay, relay2 = (stack.enter_context(udp(lab, host)) for host in ("alice", "relay", "relay2"))
    one, other = seen_as(alice, relay, RELAY), seen_as(alice, relay2, lab.addresses("relay2")[0])
    assert one[0] == other[0] == ALICE_OUTSIDE
    assert len({one[1], other[1], PORT}) == 3
    assert seen_as(alice, relay, RELAY) == one
    relay2.sendto(b"unasked", one)
    assert not hears(alice, MISSING_S)


@needs_lab
def test_a_mapping_lasts_as_long_as_it_is_told_to(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats", lifetimes=Lifetimes(udp_s=2.0)))
    alice, relay = (stack.enter_context(udp(lab, host)) for host in ("alice", "relay"))
    outside = seen_as(alice, relay, RELAY)
    relay.sendto(b"in time", outside)
    assert hears(alice)
    until(lambda: not lab.status()["boxes"]["alice-home"]["mappings"], "the mapping stays")
    alice.recv(100)
    relay.sendto(b"too late", outside)
    assert not hears(alice, MISSING_S)


@needs_lab
@pytest.mark.parametrize(("topology", "works"), [("two-nats", True), ("random-nat", False), ("carrier", False)])
def test_opening_from_both_sides_works_where_ports_are_kept(topology: str, works: bool) -> None:
    outside = "45.77.50.1" if topology == "carrier" else ALICE_OUTSIDE
    with Lab(topology) as lab:
        lab.set(delay_ms=20)
        assert opens_at_once(lab, (("alice", outside), ("bob", BOB_OUTSIDE)), 4.0 if works else 1.2) is works


@needs_lab
def test_opening_from_both_sides_passes_a_firewall() -> None:
    with Lab("firewall") as lab:
        lab.set(delay_ms=20)
        assert opens_at_once(lab, (("alice", "45.77.1.2"), ("bob", "45.77.2.2")), 4.0)


@needs_lab
def test_an_unreachable_port_is_told_through_both_translators(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("carrier"))
    alice = stack.enter_context(udp(lab, "alice"))
    alice.connect((RELAY, 9))
    alice.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        alice.recv(10)


def index_of(lab: Lab, host: str) -> int:
    with lab.inside(host):
        return socket.if_nametoindex("eth0")


@needs_lab
def test_multicast_and_broadcast_stay_in_their_segment(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("dual", Options(hosts_at_home=2)))
    hosts = ("alice", "alice2", "bob", "relay")
    listeners = {host: stack.enter_context(udp(lab, host, 5353)) for host in hosts}
    listeners6 = {host: stack.enter_context(udp(lab, host, 5354, ipv6=True)) for host in hosts}
    for host in hosts:
        own = socket.inet_aton(lab.addresses(host)[0])
        listeners[host].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + own)
        index = index_of(lab, host)
        group = socket.inet_pton(socket.AF_INET6, "ff02::fb") + struct.pack("@i", index)
        listeners6[host].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    sender = listeners["alice"]
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.168.1.2"))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for group4 in ("224.0.0.251", "192.168.1.255"):
        sender.sendto(b"anybody", (group4, 5353))
        assert listeners["alice2"].recvfrom(100) == (b"anybody", ("192.168.1.2", 5353))
    listeners6["alice"].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    listeners6["alice"].sendto(b"anybody", ("ff02::fb", 5354, 0, index_of(lab, "alice")))
    data, source6 = listeners6["alice2"].recvfrom(100)
    assert (data, source6[0].partition("%")[0]) == (b"anybody", "fe80::102")
    assert not any(hears(each[host], 0.1) for each in (listeners, listeners6) for host in ("bob", "relay"))


@pytest.mark.slow
@needs_lab
def test_lines_delay_and_lose_by_their_own_counters(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats"))
    alice = stack.enter_context(udp(lab, "alice"))
    lab.set("alice", delay_ms=100, jitter_ms=20)
    for _ in range(50):
        alice.sendto(b"x", (RELAY, PORT))
    until(lambda: lab.counts("alice")["delivered"] >= 50, "not all arrive")
    counts = lab.counts("alice")
    assert 0.08 <= counts["shortest_s"] <= counts["longest_s"] < LATE_S
    assert counts["held_s"] / counts["delivered"] >= 0.08
    lab.set("alice", delay_ms=0, jitter_ms=0, loss=0.25)
    for _ in range(1000):
        alice.sendto(b"x", (RELAY, PORT))
    until(lambda: lab.counts("alice")["sent"] >= 1000, "not all are sent")
    counts = lab.counts("alice")
    assert 170 < counts["lost"] < 330
    assert 0 <= counts["delivered"] - (1000 - counts["lost"]) <= FEW


@needs_lab
def test_a_rate_is_kept(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("lan"))
    alice, bob = (stack.enter_context(udp(lab, host)) for host in ("alice", "bob"))
    lab.set("alice", rate_kbit=800)
    to = (lab.addresses("bob")[0], PORT)
    for _ in range(20):
        alice.sendto(bytes(972), to)  # 1,000 bytes with its headers: 10 ms
    until(lambda: lab.counts("alice")["delivered"] >= 20, "not all arrive")
    assert 0.15 < lab.counts("alice")["longest_s"] < LATE_S
    assert hears(bob)


def used_s(pid: int) -> float:
    """How long a process has had a core: whatever else wants one makes that no longer."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@needs_lab
def test_thousands_of_packets_a_second_get_through(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats"))
    server = stack.enter_context(listen(lab, "relay", RELAY))
    with lab.inside("alice"):
        client = stack.enter_context(socket.create_connection((RELAY, PORT), 5))
    there, _ = server.accept()
    writer = threading.Thread(target=client.sendall, args=(bytes(BURST_BYTES),))
    with there:
        began_s = used_s(lab.pid)
        writer.start()
        got = 0
        while got < BURST_BYTES:
            got += len(there.recv(1 << 20))
        took_s = used_s(lab.pid) - began_s
    writer.join()
    assert (lab.counts("alice")["delivered"] + lab.counts("relay")["delivered"]) / took_s > 2000


@needs_lab
def test_a_cut_is_silent_and_heals(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("ipv6", Options(public=2)))
    for host in lab.hosts:
        stack.enter_context(listen(lab, host, lab.addresses(host)[0]))
    [bob], [relay] = lab.addresses("bob"), lab.addresses("relay")

    def reached(*expected: str) -> bool:
        waits = [MISSING_S if each == "silence" else COMES_S for each in expected]
        found = [connects(lab, "alice", *to) for to in zip((bob, relay), (PORT, PORT), waits, strict=True)]
        return found == [*expected]

    lab.cut("alice", "bob")
    assert reached("silence", "yes")
    lab.cut_all("relay")
    assert reached("silence", "silence")
    assert connects(lab, "bob", relay, within_s=MISSING_S) == "silence"
    lab.heal("alice", "bob")
    assert reached("yes", "silence")
    lab.heal()
    assert reached("yes", "yes")


@needs_lab
def test_a_host_moves_and_its_connections_do_not(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats"))
    relay = stack.enter_context(udp(lab, "relay"))
    with closing(udp(lab, "alice")) as alice:
        assert seen_as(alice, relay, RELAY)[0] == ALICE_OUTSIDE
    assert lab.move("alice", "bob-home") == ["192.168.2.3/24"] != lab.addresses("bob")
    with closing(udp(lab, "alice")) as alice:
        assert seen_as(alice, relay, RELAY)[0] == BOB_OUTSIDE
    stack.enter_context(listen(lab, "bob", "192.168.2.2"))
    assert connects(lab, "alice", "192.168.2.2") == "yes"
    assert lab.move("alice", None, "192.168.2.77/24") == ["192.168.2.77/24"]
    assert lab.addresses("alice") == ["192.168.2.77"]
    lab.plug("alice", is_in=False)
    assert connects(lab, "alice", "192.168.2.2") == "no way"
    lab.plug("alice", is_in=True)
    assert connects(lab, "alice", "192.168.2.2") == "yes"
    lab.move("alice", "internet")
    with closing(udp(lab, "alice")) as alice:
        assert seen_as(alice, relay, RELAY) == ("45.77.101.1", PORT)
    with pytest.raises(LabError, match="taken"):
        lab.move("alice", "bob-home", "192.168.2.2/24")
    with pytest.raises(LabError, match="nowhere"):
        lab.move("alice", "nowhere")


@needs_lab
def test_a_router_maps_ports_by_natpmp(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats", Options(natpmp=True)))
    stack.enter_context(listen(lab, "alice", "192.168.1.2"))
    alice = stack.enter_context(udp(lab, "alice"))
    assert connects(lab, "relay", ALICE_OUTSIDE, 5000, within_s=MISSING_S) == "silence"
    alice.sendto(b"\0\0", ("192.168.1.1", 5351))
    assert alice.recv(100)[8:] == socket.inet_aton(ALICE_OUTSIDE)
    alice.sendto(b"\0\2\0\0" + struct.pack("!HHI", PORT, 5000, 60), ("192.168.1.1", 5351))
    assert struct.unpack("!HHI", alice.recv(100)[8:]) == (PORT, 5000, 60)
    assert connects(lab, "relay", ALICE_OUTSIDE, 5000) == "yes"
    assert connects(lab, "bob", ALICE_OUTSIDE, 5000) == "yes"
    alice.sendto(b"\0\2\0\0" + struct.pack("!HHI", PORT, 0, 0), ("192.168.1.1", 5351))
    alice.recv(100)
    assert connects(lab, "relay", ALICE_OUTSIDE, 5000, within_s=MISSING_S) == "silence"


@needs_lab
def test_a_router_without_mapping_does_not_answer(stack: ExitStack) -> None:
    lab = stack.enter_context(Lab("two-nats"))
    alice = stack.enter_context(udp(lab, "alice"))
    assert pings(lab, "alice", "192.168.1.1")
    alice.sendto(b"\0\0", ("192.168.1.1", 5351))
    assert not hears(alice, MISSING_S)


@needs_lab
def test_a_router_maps_ports_by_upnp(stack: ExitStack) -> None:
    miniupnpc = pytest.importorskip("miniupnpc")
    lab = stack.enter_context(Lab("two-nats", Options(upnp=True)))
    stack.enter_context(listen(lab, "alice", "192.168.1.2"))
    with lab.inside("alice"):
        client = miniupnpc.UPnP()
        client.discoverdelay = 1_500
        assert client.discover() == 1
        client.selectigd()
        assert (client.lanaddr, client.externalipaddress()) == ("192.168.1.2", ALICE_OUTSIDE)
        assert client.addportmapping(5000, "TCP", client.lanaddr, PORT, "test", "")
    assert connects(lab, "relay", ALICE_OUTSIDE, 5000) == "yes"
    with lab.inside("alice"):
        assert client.getspecificportmapping(5000, "TCP")[:2] == ("192.168.1.2", PORT)
        assert client.deleteportmapping(5000, "TCP")
    assert connects(lab, "relay", ALICE_OUTSIDE, 5000, within_s=MISSING_S) == "silence"


@needs_lab
def test_two_labs_run_at_once_and_a_name_is_taken_once() -> None:
    with Lab("lan", name="test-a") as one, Lab("lan") as other:
        assert {one.name, other.name} <= set(control.running())
        with pytest.raises(LabError, match="running already"), Lab("lan", name="test-a"):
            pass
        with pytest.raises(LabError, match="no topology"), Lab("mesh"):
            pass
    assert not {one.name, other.name} & set(control.running())


@needs_lab
def test_the_end_kills_what_runs_in_it() -> None:
    with Lab("lan") as lab:
        process = lab.popen("alice", ["sleep", "1000"])
        home, wire = lab.home("alice"), lab.pid
        assert home.is_dir()
        assert os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert process.wait(COMES_S) == -signal.SIGKILL
    assert control.has_ended(wire)
    assert not home.parent.exists()
    with pytest.raises(LabError, match="not running"):
        lab.status()


OWNER = """
import signal, sys
from netlab.lab import Lab
with Lab("lan") as lab:
    child = lab.popen("alice", ["sleep", "1000"], start_new_session=True)
    print(lab.pid, child.pid, lab.home("alice").parent, lab.name, flush=True)
    signal.pause()
"""


@needs_lab
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_lab_whose_owner_is_killed(number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with owner:
        assert owner.stdout is not None
        wire, child, homes, name = owner.stdout.readline().decode().split()
        owner.send_signal(number)
        owner.wait(10)
        until(lambda: control.has_ended(int(wire)) and control.has_ended(int(child)), "processes are left", 10)
    assert not Path(homes).exists()
    assert name not in control.running()
    assert not Path(f"/run/netns/{name}").exists()


def netlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netlab", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@needs_lab
def test_the_commands() -> None:
    name = f"test-{os.getpid()}"
    try:
        up = netlab("--name", name, "up", "two-nats")
        assert (up.returncode, up.stderr) == (0, "")
        assert f"{name}: two-nats, " in up.stdout
        again = netlab("--name", name, "up", "lan")
        assert (again.returncode, again.stderr) == (1, f"netlab: A lab '{name}' is running already.\n")
        done = netlab("--name", name, "exec", "alice", "sh", "-c", 'echo "$HOME"; cat /proc/net/fib_trie; exit 7')
        assert done.returncode == 7
        assert "192.168.1.2" in done.stdout
        told = json.loads(netlab("--name", name, "status", "--json").stdout)
        assert done.stdout.splitlines()[0] == f"{told['homes']}/alice"
        for command in (
            ["set", "alice", "--loss", "0.5"],
            ["set", "--delay-ms", "3"],
            ["cut", "alice"],
            ["unplug", "bob"],
        ):
            assert netlab("--name", name, *command).returncode == 0
        moved = netlab("--name", name, "move", "alice", "--to", "bob-home")
        assert moved.stdout == "192.168.2.3/24\n"
        told = json.loads(netlab("--name", name, "status", "--json").stdout)
        assert told["hosts"]["alice"]["link"] == {"delay_ms": 3, "jitter_ms": 0, "loss": 0.5, "rate_kbit": 0}
        assert (told["cut"], told["hosts"]["bob"]["is_plugged"]) == ([["alice"]], False)
        assert netlab("--name", name, "heal").returncode == 0
        bad = netlab("--name", name, "set", "nobody", "--loss", "0.5")
        assert (bad.returncode, "no host 'nobody'" in bad.stderr) == (1, True)
    finally:
        down = netlab("--name", name, "down")
    assert (down.returncode, down.stderr) == (0, "")
    assert (control.has_ended(told["pid"]), Path(told["homes"]).exists()) == (True, False)
    gone = netlab("--name", name, "status")
    assert (gone.returncode, gone.stderr) == (1, f"netlab: No lab '{name}' is running.\n")


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["netlab", "up", "lan"])
    assert main() == EX_NOPERM == 77
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("netlab: A test network needs ")
