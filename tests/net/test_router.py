"""NAT-PMP against a router on loopback, and which router that is."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest
import trio

from p2pchat.base.errors import NetError
from p2pchat.net import gateway
from p2pchat.net.router import LIFETIME_S, NatPmp
from p2pchat.net.upnp import Upnp

pytestmark = pytest.mark.net

Answer = Callable[[bytes], bytes | None]
OUTSIDE = bytes([12, 0, 0, 9])


def honest(question: bytes) -> bytes | None:
    if question == b"\0\0":
        return b"\0\x80\0\0" + bytes(4) + OUTSIDE
    internal, external, lifetime_s = struct.unpack_from("!HHL", question, 4)
    return b"\0\x82\0\0" + bytes(4) + struct.pack("!HHL", internal, external, lifetime_s)


@asynccontextmanager
async def router(answer: Answer) -> AsyncGenerator[tuple[NatPmp, list[bytes]]]:
    asked: list[bytes] = []
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))

        async def serve() -> None:
            while True:
                question, sender = await sock.recvfrom(2_000)
                asked.append(question)
                reply = answer(question)
                if reply is not None:
                    await sock.sendto(reply, sender)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield NatPmp(sock.getsockname()[1]), asked
            nursery.cancel_scope.cancel()


async def test_a_port_is_mapped_and_given_back() -> None:
    async with router(honest) as (asker, asked):
        mapped = await asker.map("127.0.0.1", "127.0.0.1", 4001, 4002)
        assert (mapped.host, mapped.port, mapped.lifetime_s) == ("12.0.0.9", 4002, LIFETIME_S)
        await asker.unmap("127.0.0.1", 4001, 4002)
        assert asked[-1] == b"\0\2\0\0" + struct.pack("!HHL", 4001, 0, 0)


async def test_an_answer_that_is_lost_is_asked_for_again() -> None:
    lost = [b""]

    def answer(question: bytes) -> bytes | None:
        return lost.pop() and None if lost else honest(question)

    async with router(answer) as (asker, asked):
        await asker.map("127.0.0.1", "127.0.0.1", 4001, 4001)
        assert len(asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: b"",
        lambda _: b"\0",
        lambda _: b"\0\x82\0\2" + bytes(12),
        lambda _: b"\0\x80\0\0",
        lambda _: b"\xff" * 1_500,
        lambda question: question,
        lambda _: None,
    ],
    ids=["empty", "a byte", "refusal", "short", "junk", "echo", "nothing"],
)
async def test_a_router_that_answers_something_else(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.net.router._WAITS_S", (0.01, 0.02))
    async with router(answer) as (asker, asked):
        with trio.fail_after(5), pytest.raises(NetError):
            await asker.map("127.0.0.1", "127.0.0.1", 4001, 4001)
        assert len(asked) <= 2


async def test_where_nothing_listens_it_is_known_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with trio.fail_after(2), pytest.raises(NetError):
        await NatPmp(port).map("127.0.0.1", "127.0.0.1", 4001, 4001)


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t50\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_the_default_route_with_the_least_metric_names_the_gateway() -> None:
    assert gateway.parse_routes(ROUTES) == "192.168.1.254"


@pytest.mark.parametrize(
    "text",
    ["", "junk", ROUTES.replace("0003", "0001"), "h\na b c", ROUTES.replace("A8C0", "A8C0FF"), "h\n" + "x\t" * 8],
)
def test_without_a_gateway_there_is_none(text: str) -> None:
    assert gateway.parse_routes(text) is None


class Loud:
    """What a UPnP search finds in a local network where somebody answers with anything."""

    discoverdelay = 0

    def __init__(self, host: str) -> None:
        self._host = host

    def discover(self) -> int:
        return 1

    def selectigd(self) -> None: ...

    def externalipaddress(self) -> str:
        return self._host

    def addportmapping(self, *_: object) -> None: ...


@pytest.mark.parametrize("host", ["", "nobody", "1.2.3", "2001:db8::1", "12.0.0.9/24", "<b>"])
async def test_who_answers_to_a_search_with_something_else_is_no_router(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miniupnpc.UPnP", lambda: Loud(host))
    with pytest.raises(NetError):
        await Upnp().map("192.168.1.1", "192.168.1.2", 4001, 4001)


async def test_who_has_no_file_left_to_open_asks_no_router(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(trio.socket, "socket", full)
    with pytest.raises(NetError):
        await NatPmp().map("192.168.1.1", "192.168.1.2", 4001, 4001)
