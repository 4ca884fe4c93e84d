"""Meeting peers: what is asked of it before it runs, and after."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import trio

from p2pchat.core.params import PRODUCTION
from p2pchat.core.peers import PeerBook
from p2pchat.core.routing import RoutingTable
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.meeting import Meetings
from p2pchat.net.transport import Network

PARAMS = replace(PRODUCTION, k=1)
OWN, OTHER = (peer_id_from_key(bytes([number] * 32)) for number in (0, 1))


async def test_after_its_end_nobody_is_met() -> None:
    """An invite that is added while the node takes another key names a peer when this one has ended."""
    nobody = cast("Network", None)  # who is asked anything fails
    meetings = Meetings(nobody, PARAMS, PeerBook(), RoutingTable(OWN, PARAMS))
    meetings.contact_soon(OTHER, [])
    async with trio.open_nursery() as nursery:
        await nursery.start(meetings.run)
        nursery.cancel_scope.cancel()
    meetings.contact_soon(OTHER, [])
    meetings.meet(OTHER)
