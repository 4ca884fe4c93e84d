"""What ``net.dial`` refuses before anybody is dialled, and how often ``net.peers`` measures."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import calls, net_calls
from p2pchat.base.errors import NetError, UsageError
from p2pchat.base.ids import PeerId
from p2pchat.control.net_methods import NetMethods
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_address, parse_address, peer_id_from_key
from p2pchat.net.transport import Link
from p2pchat.services.context import Context, Reach

OWN = peer_id_from_key(bytes(32))
NEAR, GONE, SILENT = (peer_id_from_key(bytes([seed]) * 32) for seed in (1, 2, 3))
NOWHERE = parse_address("/ip4/127.0.0.1/tcp/1")[0]


@pytest.mark.parametrize("method", ["dial", "bootstrap"])
async def test_ones_own_address_is_no_other_node(method: str) -> None:
    context = cast(
        Context, SimpleNamespace(network=SimpleNamespace(peer_id=OWN), replaced_ms=None, texts=None, reach=Reach())
    )
    ask = getattr(NetMethods(context), method)
    with pytest.raises(UsageError, match="this node itself") as refused:
        await ask(net_calls.NetDial(address=format_address(NOWHERE, OWN)), cast(Connection, None))
    assert refused.value.error_name == "INVALID_PARAMS"


async def test_who_asks_again_and_again_measures_each_peer_once_a_second(autojump_clock: MockClock) -> None:
    """A peer ends a connection on which it is asked for much more."""
    measured: list[PeerId] = []

    async def probe(peer: PeerId) -> float:
        measured.append(peer)
        if peer == GONE:
            raise NetError("gone")
        await trio.sleep(0.02 if peer == NEAR else math.inf)
        return 0.02

    links = [Link(peer, "direct", 0.0) for peer in (NEAR, GONE, SILENT)]
    network = SimpleNamespace(probe=probe, links=lambda: links)
    methods = NetMethods(cast(Context, SimpleNamespace(network=network)))
    told: list[list[float | None]] = []

    async def ask() -> None:
        found = await methods.peers(calls.NoParams(), cast(Connection, None))
        told.append([peer.rtt_ms for peer in found.peers])

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    for _ in range(20):
        await ask()
    assert told == [[20.0, None, None]] * 40
    assert sorted(measured) == sorted([NEAR, GONE, SILENT])
    assert trio.current_time() - began == 1.0
    await trio.sleep(1.0)
    del links[1:]
    await ask()
    assert measured[3:] == [NEAR]
    links.append(Link(GONE, "direct", 0.0))
    await ask()
    assert measured[3:] == [NEAR, GONE]  # whoever has just come is not waited with
