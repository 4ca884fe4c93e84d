"""One contract, two networks: libp2p on loopback and the memory network on a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.net.addresses import parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.testing.memnet import MemoryNetwork
from tests.net.hosts import WEBSOCKET
from tests.net.network_contract import Lab, NetworkContract

LOOPBACK = parse_address("/ip4/127.0.0.1/tcp/0")[0]


def now() -> float:
    return 1_700_000_000.0


@pytest.mark.net
class TestLibp2p(NetworkContract):
    @pytest.fixture
    def clock(self) -> None:
        return None

    @pytest.fixture
    async def lab(self) -> AsyncGenerator[Lab]:
        async with (
            Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as a,
            Libp2pHost.listen(b"\x02" * 32, [LOOPBACK], now=now) as b,
            Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as c,
        ):
            yield Lab(a, b, c, parse_address("/ip4/127.0.0.1/tcp/1")[0])


@pytest.mark.net
class TestWebSocket(NetworkContract):
    @pytest.fixture
    def clock(self) -> None:
        return None

    @pytest.fixture
    async def lab(self) -> AsyncGenerator[Lab]:
        async with (
            Libp2pHost.listen(b"\x01" * 32, [WEBSOCKET], now=now) as a,
            Libp2pHost.listen(b"\x02" * 32, [WEBSOCKET], now=now) as b,
            Libp2pHost.listen(b"\x03" * 32, [WEBSOCKET], now=now) as c,
        ):
            yield Lab(a, b, c, parse_address("/ip4/127.0.0.1/tcp/1/ws")[0])

    @pytest.mark.parametrize("a_leads", [True, False])
    async def test_two_that_punch_meet_in_one_connection(self, lab: Lab, clock: object, a_leads: bool) -> None:
        """Nobody meets half way where both listen for WebSocket alone: who waits opens nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(limits, "PUNCH_S", 0.1)
            with pytest.raises(NetError):
                await lab.a.punch(lab.b.peer_id, lab.b.addresses(), leads=a_leads)
        assert lab.a.links() == lab.b.links() == ()


class TestMemory(NetworkContract):
    @pytest.fixture
    def clock(self) -> trio.testing.MockClock:
        return trio.testing.MockClock(autojump_threshold=0)

    @pytest.fixture
    async def lab(self) -> AsyncGenerator[Lab]:
        async with MemoryNetwork.run(seed=7, now=now) as net:
            yield Lab(net.node(), net.node(), net.node(), parse_address("/ip4/10.9.9.9/tcp/1")[0])
