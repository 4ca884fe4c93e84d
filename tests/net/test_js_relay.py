"""js-libp2p and our nodes relay for each other (PROTOCOL.md 7.2): circuit relay v2 as a stranger speaks it. Needs what
tests/net/test_js.py needs.
"""

from __future__ import annotations

import time

import pytest

from p2pchat.net import circuits
from p2pchat.net.addresses import format_address
from p2pchat.net.circuits import STOP
from p2pchat.net.transport import Stream
from tests.contract.lab import ECHO, read_exactly
from tests.net.hosts import now
from tests.net.test_js import js_node
from tests.net.test_js import pytestmark as needs_js
from tests.net.test_relay import running

pytestmark = needs_js


@pytest.mark.slow
async def test_js_reaches_our_node_through_our_relay() -> None:
    async with running() as lab, js_node() as js:
        milliseconds = await js.ask("ping", format_address(lab.circuits[0], lab.home.peer_id))
        assert float(milliseconds[0]) < 5_000
        assert [(link.peer, link.path) for link in lab.home.links() if link.peer == js.peer] == [(js.peer, "relayed")]
        assert lab.server.circuits == 1


@pytest.mark.slow
async def test_our_node_reaches_js_through_our_relay() -> None:
    async with running(time.time) as lab:
        relay = format_address(lab.relay.addresses()[0], lab.relay.peer_id)
        async with js_node("node.mjs", f"{relay}/p2p-circuit") as js:
            assert lab.server.reservations == 2
            await lab.asker.dial(js.peer, lab.circuits)
            assert [link.path for link in lab.asker.links() if link.peer == js.peer] == ["relayed"]
            assert await lab.asker.probe(js.peer) < 5


@pytest.mark.slow
async def test_our_nodes_reach_each_other_through_a_js_relay() -> None:
    async with running() as lab, js_node() as js:

        async def stop(stream: Stream) -> None:
            await circuits.accept(lab.home, stream, lambda peer: peer == js.peer)

        lab.home.handle(STOP, stop)
        await lab.home.dial(js.peer, [js.address])
        granted = await circuits.reserve(lab.home, js.peer, now())
        assert granted.life_s >= 120
        await lab.asker.dial(lab.home.peer_id, granted.circuits)
        assert [link.path for link in lab.asker.links() if link.peer == lab.home.peer_id] == ["relayed"]
        stream = await lab.asker.open(lab.home.peer_id, ECHO)
        await stream.write(b"through js")
        assert await read_exactly(stream, 10) == b"through js"
