"""When the router is asked for a port, how long it is kept, and that nothing waits for a router."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import from_socket
from p2pchat.net.router import Mapped, PortTakenError, Router
from p2pchat.services.context import Context, Health, Reach
from p2pchat.services.mapping import Mapper
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode

OUTSIDE = from_socket("12.0.0.9", 4001)
HOUR_S = 3_600.0


class Double(Router):
    """A router that does as the test wants."""

    def __init__(self, host: str = "12.0.0.9") -> None:
        self.host = host
        self.taken: set[int] = set()
        self.is_silent = False
        self.hangs = False
        self.asked: list[tuple[float, int]] = []
        self.ended: list[int] = []

    async def map(self, gateway: str, host: str, port: int, wanted: int) -> Mapped:
        self.asked.append((trio.current_time(), wanted))
        assert (gateway, host, port) == ("192.168.1.1", "192.168.1.2", 4001)
        if self.hangs:
            await trio.sleep_forever()
        if self.is_silent:
            raise NetError("The router does not answer.")
        if wanted in self.taken:
            raise PortTakenError("The router has refused to map a port.")
        return Mapped(self.host, wanted, HOUR_S)

    async def unmap(self, gateway: str, port: int, external_port: int) -> None:
        if self.hangs:
            await trio.sleep_forever()
        self.ended.append(external_port)


@asynccontextmanager
async def mapping(
    *routers: Router,
    host: str = "192.168.1.2",
    gateway: str | None = "192.168.1.1",
    allowed: bool = True,
    health: Health | None = None,
    ws: bool = False,
) -> AsyncGenerator[MemoryNode]:
    async with MemoryNetwork.run(seed=5) as net:
        node = net.node(host=host)
        node._whereabouts.bound = (from_socket(host, 4001, ws=ws),)
        namespace = SimpleNamespace(
            network=node, jitter=lambda: 0.5, reach=Reach(mapping=allowed), health=health or Health()
        )
        context = cast(Context, namespace)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Mapper(context, lambda: None, routers, lambda: gateway).run)
            await trio.sleep(1)
            yield node
            nursery.cancel_scope.cancel()


def told(node: MemoryNode) -> list[Address]:
    return [address for address in node.addresses() if address != node.bound]


async def test_a_port_is_mapped_renewed_at_half_its_life_and_given_back(autojump_clock: MockClock) -> None:
    router, health = Double(), Health()
    async with mapping(router, health=health) as node:
        assert told(node) == [OUTSIDE]
        assert health.mapping == "mapped"
        await trio.sleep(5 * HOUR_S)
        assert len(router.asked) == 11
        assert router.ended == []
    assert router.ended == [4001]


async def test_what_leads_to_a_websocket_is_told_as_one(autojump_clock: MockClock) -> None:
    async with mapping(Double(), ws=True) as node:
        assert told(node) == [from_socket("12.0.0.9", 4001, ws=True)]


async def test_nobody_is_asked_where_there_is_no_reason(autojump_clock: MockClock) -> None:
    home, inside = "192.168.1.2", "192.168.1.1"
    for host, gateway, allowed in (
        (home, inside, False),
        ("12.0.0.1", inside, True),
        ("127.0.0.1", inside, True),
        (home, "12.0.0.254", True),
        (home, None, True),
    ):
        router, health = Double(), Health()
        async with mapping(router, host=host, gateway=gateway, allowed=allowed, health=health) as node:
            assert health.mapping == ("unneeded" if allowed else "off")
            await trio.sleep(5 * HOUR_S)
            assert told(node) == []
        assert router.asked == []
        assert router.ended == []


async def test_the_second_way_is_tried_where_the_first_does_not_lead(autojump_clock: MockClock) -> None:
    silent, router = Double(), Double()
    silent.is_silent = True
    async with mapping(silent, router) as node:
        assert told(node) == [OUTSIDE]
    assert router.ended == [4001]
    assert silent.ended == []


async def test_another_port_does_where_this_one_is_taken(autojump_clock: MockClock) -> None:
    router = Double()
    router.taken = {4001}
    async with mapping(router) as node:
        assert told(node) == [from_socket("12.0.0.9", 57_344)]
    assert router.ended == [57_344]


async def test_behind_a_second_nat_nothing_is_told_and_the_mapping_given_back(autojump_clock: MockClock) -> None:
    for host in ("10.0.0.7", "100.64.3.3", "127.0.0.1", "224.0.0.1"):
        router = Double(host)
        async with mapping(router) as node:
            assert told(node) == []
            assert router.ended == [4001]
            await trio.sleep(2 * HOUR_S)
            assert len(router.asked) <= 5


async def test_a_router_that_stops_answering_is_not_told_of_any_more(autojump_clock: MockClock) -> None:
    router, health = Double(), Health()
    with capture_logs() as logs:
        async with mapping(router, health=health) as node:
            router.is_silent = True
            await trio.sleep(HOUR_S)
            assert told(node) == []
            said = [health.mapping]
            router.is_silent = False
            await trio.sleep(HOUR_S)
            assert told(node) == [OUTSIDE]
            assert [*said, health.mapping] == ["refused", "mapped"]
            await trio.sleep(10 * HOUR_S)
    assert [entry["event"] for entry in logs] == ["mapping.unavailable"]
    assert all("12.0" not in str(entry) and "192.168" not in str(entry) for entry in logs)


async def test_a_router_that_hangs_holds_up_neither_the_node_nor_its_end(autojump_clock: MockClock) -> None:
    router = Double()
    async with mapping(router) as node:
        router.hangs = True
        assert told(node) == [OUTSIDE]
        began = trio.current_time()
    assert trio.current_time() - began <= 2.5
