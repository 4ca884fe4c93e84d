"""js-libp2p's WebSocket transport and ours (PROTOCOL.md 7.1). Needs what tests/net/test_js.py needs."""

from __future__ import annotations

import pytest

from p2pchat.net.addresses import endpoint, format_address
from tests.contract.lab import until
from tests.net.hosts import WEBSOCKET, two_hosts
from tests.net.test_js import js_node
from tests.net.test_js import pytestmark as needs_js

pytestmark = needs_js


@pytest.mark.slow
async def test_js_reaches_our_node_by_websocket_and_ours_reaches_js() -> None:
    async with two_hosts(WEBSOCKET) as (a, b), js_node("node.mjs", format_address(WEBSOCKET)) as js:
        milliseconds = await js.ask("ping", format_address(b.addresses()[0], b.peer_id))
        assert float(milliseconds[0]) < 5_000
        assert [(link.peer, link.inbound) for link in b.links()] == [(js.peer, True)]
        where = [address for _, (address,) in js.nodes if endpoint(address).ws]
        assert len(where) == 1
        await a.dial(js.peer, where)
        assert await a.probe(js.peer) < 5
        said, _ = await a.learn(js.peer)
        assert where[0] in said
        await a.disconnect(js.peer)
        await until(lambda: a.links() == ())
