"""libp2p on loopback keeps the contracts that the memory network keeps in tests/contract/test_network.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import endpoint, from_socket, parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.transport import Network
from tests.contract.lab import Lab
from tests.contract.network import MeetingContract, NetworkContract
from tests.contract.silence import SilenceContract
from tests.contract.streams import StreamContract
from tests.net.hosts import LOOPBACK, NOWHERE, WEBSOCKET, now

pytestmark = pytest.mark.net


class TcpGate:
    """Forwards connections to ``target``, as long as it is let."""

    def __init__(self, nursery: trio.Nursery, target: Address) -> None:
        self.addresses: tuple[Address, ...] = ()
        self._nursery = nursery
        self._target = endpoint(target)
        self._flowing = trio.Event()
        self._flowing.set()
        self._streams: list[trio.SocketStream] = []

    async def open(self) -> None:
        serve = partial(trio.serve_tcp, self._forward, 0, host="127.0.0.1")
        (listener,) = await self._nursery.start(serve)
        self.addresses = (from_socket("127.0.0.1", listener.socket.getsockname()[1], ws=self._target.ws),)

    def stall(self) -> None:
        self._flowing = trio.Event()

    def heal(self) -> None:
        self._flowing.set()

    async def cut(self) -> None:
        for stream in self._streams:
            await trio.aclose_forcefully(stream)
        self._streams.clear()

    async def _forward(self, near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(self._target.host, self._target.port)
        self._streams += (near, far)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, near, far)
            nursery.start_soon(self._pass, far, near)

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some():
                await self._flowing.wait()
                await sink.send_all(data)
            await self._flowing.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one side is gone, and so is the other
        for stream in (source, sink):
            await trio.aclose_forcefully(stream)


class Life:
    """One host, which can be ended before the test."""

    def __init__(self, seed: bytes, listen: Address) -> None:
        self._seed = seed
        self._listen = listen
        self.over = trio.Event()
        self._end = trio.Event()

    async def run(self, task_status: trio.TaskStatus[Libp2pHost]) -> None:
        async with Libp2pHost.listen(self._seed, [self._listen], now=now) as host:
            task_status.started(host)
            await self._end.wait()
        self.over.set()

    async def end(self) -> None:
        self._end.set()
        await self.over.wait()


@asynccontextmanager
async def three(listen: Address, nowhere: Address) -> AsyncIterator[Lab]:
    async with trio.open_nursery() as nursery:
        lives = [Life(bytes([number]) * 32, listen) for number in (1, 2, 3)]
        hosts = [await nursery.start(life.run) for life in lives]
        gate = TcpGate(nursery, hosts[1].listening()[0])
        await gate.open()

        async def end(node: Network) -> None:
            await lives[hosts.index(node)].end()

        yield Lab(hosts[0], hosts[1], hosts[2], nowhere, gate, end)
        for life in lives:
            await life.end()
        nursery.cancel_scope.cancel()


class TestLibp2p(NetworkContract, MeetingContract, StreamContract, SilenceContract):
    @pytest.fixture
    def clock(self) -> None:
        return None

    @pytest.fixture
    async def lab(self) -> AsyncIterator[Lab]:
        async with three(LOOPBACK, NOWHERE) as lab:
            yield lab


class TestWebSocket(NetworkContract, StreamContract):
    @pytest.fixture
    def clock(self) -> None:
        return None

    @pytest.fixture
    async def lab(self) -> AsyncIterator[Lab]:
        async with three(WEBSOCKET, parse_address("/ip4/127.0.0.1/tcp/1/ws")[0]) as lab:
            yield lab

    @pytest.mark.parametrize("a_leads", [True, False])
    async def test_two_that_punch_do_not_meet(self, lab: Lab, clock: object, a_leads: bool) -> None:
        """Nobody meets half way where both listen for WebSocket alone: who waits opens nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(limits, "PUNCH_S", 0.1)
            with pytest.raises(NetError):
                await lab.a.punch(lab.b.peer_id, lab.b.addresses(), leads=a_leads)
        assert lab.a.links() == lab.b.links() == ()
