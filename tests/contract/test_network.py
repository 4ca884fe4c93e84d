"""The network in memory keeps the contract that libp2p keeps in tests/net/test_contract.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio.testing

from p2pchat.net.addresses import parse_address
from p2pchat.net.transport import Network
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode
from tests.contract.lab import Lab
from tests.contract.network import MeetingContract, NetworkContract
from tests.contract.silence import SilenceContract
from tests.contract.streams import StreamContract


def now() -> float:
    return 1_700_000_000.0


class MemoryGate:
    """Between two nodes of the memory network."""

    def __init__(self, net: MemoryNetwork, a: MemoryNode, b: MemoryNode) -> None:
        self.addresses = b.addresses()
        self._net = net
        self.stall = partial(net.stall, a, b)
        self.heal = partial(net.heal, a, b)
        self._cut = partial(net.cut, a, b)

    async def cut(self) -> None:
        self._cut()


class TestMemory(NetworkContract, MeetingContract, StreamContract, SilenceContract):
    @pytest.fixture
    def clock(self) -> trio.testing.MockClock:
        return trio.testing.MockClock(autojump_threshold=0)

    @pytest.fixture
    async def lab(self) -> AsyncIterator[Lab]:
        async with MemoryNetwork.run(seed=7, now=now) as net:
            a, b, c = net.node(), net.node(), net.node()

            async def end(node: Network) -> None:
                assert isinstance(node, MemoryNode)
                net.down(node)

            yield Lab(a, b, c, parse_address("/ip4/10.9.9.9/tcp/1")[0], MemoryGate(net, a, b), end)
