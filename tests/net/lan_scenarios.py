"""What :mod:`tests.net.test_lan` has run in a network namespace of its own, one scenario a process.

The loopback interface there takes multicast and has 10.77.0.1/24 and fd77::1/64; v0 (10.78.0.1/24) leads to v1.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import trio
from zeroconf._dns import DNSPointer, DNSService, DNSText
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf.asyncio import AsyncZeroconf

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net import lan
from p2pchat.net.addresses import endpoint, from_socket
from p2pchat.net.interfaces import SystemInterfaces
from p2pchat.net.lan import SERVICE, Announcement, ZeroconfLan
from tests.contract.lan import LanContract, LanLab

GROUP, PORT = "224.0.0.251", 5353
OURS = {"_p2pchat", "_tcp", "local", "_services", "_dns-sd", "_udp"}
RANDOM = re.compile(r"[a-z2-7]{16}")
FOUR, SIX = from_socket("10.77.0.1", 4001), from_socket("fd77::1", 4003)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def on_lo(port: int, *hosts: str) -> Announcement:
    return Announcement(1, port, hosts or ("10.77.0.1",))


class Ear:
    """Every multicast DNS packet of the namespace, with the address it came from."""

    def __init__(self, *interfaces: str) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._sock.bind((GROUP, PORT))
        for host in interfaces or ("10.77.0.1",):
            member = socket.inet_aton(GROUP) + socket.inet_aton(host)
            self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._sock.setblocking(False)

    def packets(self) -> list[tuple[bytes, str]]:
        found: list[tuple[bytes, str]] = []
        while True:
            try:
                data, (host, _) = self._sock.recvfrom(65_536)
            except BlockingIOError:
                return found
            found.append((data, str(host)))

    def close(self) -> None:
        self._sock.close()


def labels(packet: bytes) -> set[str]:
    """Every label of every name, in questions, in answers and in what answers point to."""
    message = DNSIncoming(packet)
    assert message.valid
    names = [question.name for question in message.questions]
    for record in message.answers():
        names.append(record.name)
        names += [str(getattr(record, field)) for field in ("alias", "server") if hasattr(record, field)]
        if isinstance(record, DNSText):
            assert record.text == b"\x00"
        if isinstance(record, DNSService):
            assert (record.priority, record.weight) == (0, 0)
    return {label for name in names for label in name.rstrip(".").split(".")}


class Heard(list[tuple[Address, ...]]):
    """What a node hears."""

    async def until(self, *wanted: Address, within_s: float = 10.0) -> float:
        started = trio.current_time()
        with trio.fail_after(within_s):
            while not set(wanted) <= {address for each in self for address in each}:  # noqa: ASYNC110  another thread fills it
                await trio.sleep(0.02)
        return trio.current_time() - started


async def _while_announced(
    each: Sequence[tuple[Sequence[Announcement], Heard]], body: Callable[[], Awaitable[None]]
) -> float:
    """Run ``body`` beside announcers; the seconds that ending them took."""
    async with trio.open_nursery() as nursery:
        for announcements, heard in each:
            nursery.start_soon(ZeroconfLan().run, announcements, heard.append)
        await body()
        nursery.cancel_scope.cancel()
        ended = trio.current_time()
    return trio.current_time() - ended


async def two_nodes_hear_of_each_other_soon() -> None:
    """On two ports and by both families, and the loop of neither node stands still for it."""
    first, second = Heard(), Heard()
    other = from_socket("10.77.0.1", 4002)
    lag_s = [0.0]

    async def body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(measure)
            assert await first.until(other) < 4
            assert await second.until(FOUR, SIX) < 4
            nursery.cancel_scope.cancel()

    async def measure() -> None:
        while True:
            before = trio.current_time()
            await trio.sleep(0.01)
            lag_s.append(trio.current_time() - before - 0.01)

    took_s = await _while_announced([((on_lo(4001), on_lo(4003, "fd77::1")), first), ((on_lo(4002),), second)], body)
    assert took_s < 2, took_s
    assert max(lag_s) < 0.5, max(lag_s)
    for thread in threading.enumerate():  # the last of it says goodbye to nobody any more, and may take a moment
        if thread.name == "lan":
            thread.join(2)
            assert not thread.is_alive()


async def an_address_that_is_not_ready_yet_is_waited_for() -> None:
    heard, late = Heard(), from_socket("10.77.0.5", 4001)

    async def body() -> None:
        await trio.sleep(1.5)
        ip("addr", "add", "10.77.0.5/24", "dev", "lo")
        await heard.until(late)

    await _while_announced([((on_lo(4001, "10.77.0.5"),), Heard()), ((on_lo(4002),), heard)], body)


async def ipv6_alone_will_do() -> None:
    """Not on the loopback interface, to which no route of IPv6 multicast leads."""
    first, second = Heard(), Heard()
    v0 = _index_of("fd78::1")

    async def body() -> None:
        await first.until(from_socket("fd78::1", 4004))
        await second.until(from_socket("fd78::1", 4003))

    each = [((Announcement(v0, port, ("fd78::1",)),), heard) for port, heard in ((4003, first), (4004, second))]
    await _while_announced(each, body)


def _index_of(host: str) -> int:
    return next(own.interface for own in SystemInterfaces().read().addresses if str(own.ip.ip) == host)


def _wait_for_carrier(host: str) -> None:
    """Both ends of a pair are up at once, and running when the kernel comes to it."""
    deadline = time.monotonic() + 20
    while host not in {str(own.ip.ip) for own in SystemInterfaces().read().addresses}:
        assert time.monotonic() < deadline, "v0 has no carrier"
        time.sleep(0.005)


async def _settled(heard: Heard) -> None:
    await heard.until(FOUR, SIX)
    await trio.sleep(2)  # every announcement is repeated


async def nothing_personal_is_on_the_wire_and_names_are_new_each_time() -> None:
    ear, names = Ear(), list[set[str]]()
    for _ in range(2):
        heard = Heard()
        both = [((on_lo(4001), on_lo(4003, "fd77::1")), Heard()), ((on_lo(4002),), heard)]
        await _while_announced(both, partial(_settled, heard))
        packets = ear.packets()
        assert len(packets) > 5
        found = {label for packet, _ in packets for label in labels(packet)}
        names.append(found - OURS)
        assert all(map(RANDOM.fullmatch, names[-1])), found
        assert len(names[-1]) == 6  # an instance and a host of each
    ear.close()
    assert not names[0] & names[1]


async def an_interface_tells_of_no_other() -> None:
    ear, heard = Ear("10.77.0.1", "10.78.0.1"), Heard()
    both = (on_lo(4001), Announcement(_index_of("10.78.0.1"), 4001, ("10.78.0.1",)))

    async def body() -> None:
        await heard.until(FOUR, from_socket("10.78.0.1", 4001))

    await _while_announced([(both, Heard()), ((on_lo(4002),), heard)], body)
    packets = ear.packets()
    ear.close()
    for host, other in (("10.77.0.1", "10.78.0.1"), ("10.78.0.1", "10.77.0.1")):
        sent = [packet for packet, source in packets if source == host]
        assert any(socket.inet_aton(host) in packet for packet in sent)
        assert not any(socket.inet_aton(other) in packet for packet in sent)


async def it_ends_soon_whenever_it_is_told_to() -> None:
    for after_s in (0.0, 0.001, 0.05, 0.3, 0.7, 1.1):
        started = trio.current_time()
        with trio.move_on_after(after_s):
            await ZeroconfLan().run([on_lo(4001)], Heard().append)
        assert trio.current_time() - started - after_s < 2
    await trio.sleep(0.2)
    assert "lan" not in [thread.name for thread in threading.enumerate()]


async def where_nothing_can_be_announced_it_says_so() -> None:
    for announcement in (Announcement(1, 4001, ("10.99.0.1",)), Announcement(1, 4001, ("fd99::1",))):
        with trio.fail_after(8):
            try:
                await ZeroconfLan().run([announcement], Heard().append)
            except NetError:
                continue
        raise AssertionError("it has announced an address that is not there")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy:
        greedy.bind(("", PORT))
        with trio.fail_after(8):
            try:
                await ZeroconfLan().run([on_lo(4001)], Heard().append)
            except NetError:
                return
        raise AssertionError("the port was not free")


@contextmanager
def _port_taken() -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy:
        greedy.bind(("", PORT))
        yield


async def the_contract_is_kept() -> None:
    """As by the local network in memory; see tests/contract."""
    hosts = tuple(f"10.77.0.{number}" for number in range(101, 103 + limits.LAN_ADDRESSES))
    for host in hosts:
        ip("addr", "add", f"{host}/24", "dev", "lo")
    contract, lab = LanContract(), LanLab(ZeroconfLan, hosts, _port_taken)
    alone = contract.test_where_nothing_can_be_announced_it_says_so
    tests = [getattr(contract, name) for name in dir(contract) if name.startswith("test_")]
    assert len(tests) > 4
    async with trio.open_nursery() as nursery:  # they mind their own ports
        for test in tests:
            if test != alone:
                nursery.start_soon(test, lab, None)
    await alone(lab, None)


def record(name: bytes, kind: int, data: bytes, ttl: int = 4500) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def dns_name(*parts: bytes) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\x00"


def answers(*records: bytes) -> bytes:
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


TYPE = dns_name(b"_p2pchat", b"_tcp", b"local")


def service(instance: bytes, port: int, hosts: Sequence[str]) -> bytes:
    """One packet with all there is to say about a service."""
    name, host = dns_name(instance, b"_p2pchat", b"_tcp", b"local"), dns_name(instance, b"local")
    return answers(
        record(TYPE, 12, name),
        record(name, 33, struct.pack(">HHH", 0, 0, port) + host),
        record(name, 16, b"\x00"),
        *(record(host, 1, socket.inet_aton(each)) for each in hosts),
    )


def letters(rng: random.Random, count: int = 16) -> bytes:
    return bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz234567", k=count))


async def hostile_answers_are_bounded_and_an_honest_node_is_found_among_them() -> None:
    rng, heard = random.Random(7), Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.1"))
        sock.bind(("10.77.0.1", PORT))

        def say(packet: bytes) -> None:
            sock.sendto(packet, (GROUP, PORT))

        async def body() -> None:
            await trio.sleep(1.5)
            for length in range(0, 600, 7):
                say(rng.randbytes(length))
            whole = service(letters(rng), 4009, ["10.77.0.9"])
            for length in range(0, len(whole), 3):
                say(whole[:length])
            odd = (b"short", letters(rng, 63), b"\xff" * 16, b"ABCDEFGHIJKLMNOP", b"aaaaaaa.aaaaaaaa", b"\x00" * 16)
            for instance in odd:
                say(service(instance, 4009, ["10.77.0.66"]))
            say(service(letters(rng), 0, ["10.77.0.66"]))
            say(service(letters(rng), 4009, []))
            say(service(letters(rng), 4010, [f"10.77.0.{n}" for n in range(1, 60)]))
            await heard.until(from_socket("10.77.0.1", 4002), within_s=5)
            for _ in range(2_000):
                say(service(letters(rng), rng.randrange(1, 65_536), ["10.77.0.77"]))
                await trio.sleep(0.001)
            await trio.sleep(1)

        honest = ((on_lo(4002),), Heard())
        started = trio.current_time()
        ended_s = await _while_announced([((on_lo(4001),), heard), honest], body)
        assert ended_s < 2, ended_s
        lasted_s = trio.current_time() - started
    assert len(heard) <= limits.LAN_HEARD + lasted_s * limits.LAN_HEARD_PER_S
    assert len(heard) > 20
    assert max(map(len, heard)) <= limits.LAN_ADDRESSES
    ends = [endpoint(address) for each in heard for address in each]
    assert all(end.port for end in ends)
    assert not any(end.host == "10.77.0.66" for end in ends)


async def too_many_records_are_forgotten() -> None:
    async def fill() -> None:
        opened = AsyncZeroconf(interfaces=["10.77.0.1"])
        cache = opened.zeroconf.cache
        for count in (limits.LAN_RECORDS, 2 * limits.LAN_RECORDS):
            cache.async_add_records(DNSPointer(SERVICE, 12, 1, 4500, f"{n}.{SERVICE}") for n in range(count))
            lan._trim(opened)
            left = len(cache.entries_with_name(SERVICE))
            assert left == (count if count == limits.LAN_RECORDS else 0), left
        await opened.async_close()

    await trio.to_thread.run_sync(asyncio.run, fill())


async def every_change_of_interfaces_is_noticed() -> None:
    interfaces = SystemInterfaces()
    with interfaces.watching() as wait:
        for arguments in (
            "addr add 10.77.0.2/24 dev lo",
            "addr del 10.77.0.2/24 dev lo",
            "addr add fd77::2/64 dev lo nodad",
            "addr del fd77::2/64 dev lo",
            "route add default via 10.78.0.9",
            "route replace default via 10.78.0.8",
            "-6 route add default via fd78::9",
            "route del default",
            "link set v1 down",  # v0 loses its carrier
            "link set v1 up",
            "link set v0 down",
            "link set v0 up",
        ):
            before = interfaces.read()
            ip(*arguments.split())
            with trio.fail_after(2):
                while interfaces.read() == before:
                    await wait()
    await trio.sleep(3)  # the kernel makes sure that v0's link-local address is nobody else's
    with interfaces.watching() as wait:
        for _ in range(300):  # more than the socket holds
            ip("addr", "add", "10.77.0.3/24", "dev", "lo")
            ip("addr", "del", "10.77.0.3/24", "dev", "lo")
        with trio.fail_after(1):
            await wait()
        with trio.move_on_after(0.2) as scope:
            await wait()
        assert scope.cancelled_caught  # all of them were one sign


if __name__ == "__main__":
    ip("link", "set", "lo", "up", "multicast", "on")
    ip("addr", "add", "10.77.0.1/24", "dev", "lo")
    ip("addr", "add", "fd77::1/64", "dev", "lo", "nodad")
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
    ip("addr", "add", "10.78.0.1/24", "dev", "v0")
    ip("addr", "add", "fd78::1/64", "dev", "v0", "nodad")
    ip("link", "set", "v0", "up")
    ip("link", "set", "v1", "up")
    _wait_for_carrier("10.78.0.1")
    trio.run(globals()[sys.argv[1]])
