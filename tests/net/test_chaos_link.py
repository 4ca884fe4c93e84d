"""What lies between the nodes of ``scripts/chaos``: who is seen from where, and what a cut does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import trio

import chaos
from chaos.link import Cut, Heal, Link, Stand
from testnet.node import free_network

pytestmark = pytest.mark.net

PORT = 4001
WITHIN_S = 30.0


@dataclass
class Place:
    """A link before three nodes, of which the last one, ``node``, listens."""

    link: Link
    network: str
    node: trio.SocketListener
    stack: AsyncExitStack

    async def tell(self, command: msgspec.Struct) -> object:
        return await self.link.do(msgspec.msgpack.encode(command))

    async def dial(self, dialer: int) -> trio.SocketStream:
        stream = await trio.open_tcp_stream(f"{self.network}.2.{100 + dialer}", PORT)
        return await self.stack.enter_async_context(stream)

    async def accept(self) -> trio.SocketStream:
        return await self.stack.enter_async_context(await self.node.accept())


@asynccontextmanager
async def standing() -> AsyncGenerator[Place]:
    network = free_network()
    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            link = Link(nursery)
            assert await link.do(msgspec.msgpack.encode(Stand(network, 3, [PORT]))) == 6
            [node] = await trio.open_tcp_listeners(PORT, host=f"{network}.2.1")
            await stack.enter_async_context(node)
            yield Place(link, network, node, stack)
            nursery.cancel_scope.cancel()


async def test_a_node_is_reached_and_sees_who_is_there() -> None:
    async with standing() as place:
        for dialer in (0, 1):
            near = await place.dial(dialer)
            far = await place.accept()
            assert far.socket.getpeername()[0] == f"{place.network}.{dialer}.1"
            await near.send_all(b"hello")
            assert await far.receive_some() == b"hello"
            await far.send_all(b"and back")
            assert await near.receive_some() == b"and back"
            await near.aclose()
            assert await far.receive_some() == b""
        assert await place.tell(Heal()) == 2 * len(b"hello" + b"and back")


async def test_a_silent_cut_holds_what_is_sent_between_the_two_alone() -> None:
    async with standing() as place:
        held, free = await place.dial(0), await place.dial(1)
        ends = {end.socket.getpeername()[0]: end for end in (await place.accept(), await place.accept())}
        assert await place.tell(Cut([0], [2], False)) == 1
        assert await place.tell(Cut([0], [1, 2], False)) == 1  # again: it stays cut
        await held.send_all(b"late")
        await free.send_all(b"now")
        assert await ends[f"{place.network}.1.1"].receive_some() == b"now"
        with trio.move_on_after(0.1) as waited:
            await ends[f"{place.network}.0.1"].receive_some()
        assert waited.cancelled_caught
        await place.tell(Heal())
        assert await ends[f"{place.network}.0.1"].receive_some() == b"late"


async def test_a_loud_cut_resets_what_is_there_and_what_is_begun() -> None:
    async with standing() as place:
        near = await place.dial(0)
        far = await place.accept()
        assert await place.tell(Cut([2], [0], True)) == 1
        for end in (near, far, await place.dial(0)):
            with pytest.raises(trio.BrokenResourceError):
                await end.receive_some()
        await place.tell(Heal())
        again = await place.dial(0)
        await again.send_all(b"again")
        assert await (await place.accept()).receive_some() == b"again"


async def test_who_is_down_resets() -> None:
    async with standing() as place:
        await place.node.aclose()
        near = await place.dial(0)
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()


def test_a_bent_process_takes_its_own_way_to_the_nodes_and_none_other_elsewhere() -> None:
    asked = (
        "import sitecustomize as s; m = s.other_hosts('127.9', '103'); print(*m('127.9.4.1', 1), *m('127.90.4.1', 2))"
    )
    bent = str(Path(chaos.__file__).parent / "bent")
    told = subprocess.run(
        [sys.executable, "-c", asked], env=os.environ | {"PYTHONPATH": bent}, capture_output=True, check=True
    )
    assert told.stdout == b"127.9.4.103 1 127.90.4.1 2\n"
