"""A message to oneself through the network, for the doctor: what proves that there is a way out, and one in.

Rules:

- It is taken as others would come. Where relays lead here a node under a key of the moment, which nobody knows, goes
  out to the relay, back in through it, and has this node answer 32 bytes. Where strangers reach this node without, some
  are asked to come (PROTOCOL.md 7.3), which they do by a connection of their own.
- Where there is neither, the node of the moment comes at this node's own addresses. That stays within the machine, and
  is called so.
- Nothing is left: no record, no message, no reservation; the node of the moment ends with the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import trio

from p2pchat.api.diagnosis import Finding, found
from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import endpoint, is_global
from p2pchat.net.autonat import AUTONAT, ask
from p2pchat.net.transport import Network
from p2pchat.services.context import Context, Stranger


async def send(context: Context, stranger: Stranger) -> Finding:
    """What came of it, within a minute at most.

    Args:
        stranger: makes the node of the moment.

    Raises:
        NetError: that node could not be made.
    """
    network = context.network
    if network.standing == "public":
        asked, came = await _have_others_come(network)
        if asked:
            port = port_of(network)
            return (
                found("test.dialled_back", nodes=came, asked=asked)
                if came
                else found("test.not_dialled_back", asked=asked, port=port)
            )
    async with stranger() as passer_by:
        if circuits := network.circuits():
            took_s = await _come(passer_by, network.peer_id, [[each] for each in circuits])
            if took_s is not None:
                return found("test.relayed", ms=max(round(took_s * 1000), 1))
            return found("test.relay_failed", relays=len(relays_of(network)))
        if not (own := network.addresses()):
            return found("test.nowhere")
        let_in = [each for each in own if context.access.may_meet(passer_by.peer_id, endpoint(each).host)]
        if not let_in:
            return found("test.denied")
        if await _come(passer_by, network.peer_id, [let_in]) is None:
            return found("test.no_answer")
    inbound = sum(link.inbound and link.peer != passer_by.peer_id for link in network.links())
    return found("test.local_network", inbound=inbound) if inbound else found("test.this_machine")


def relays_of(network: Network) -> set[PeerId]:
    """Those that lead to this node."""
    return {end.relay for end in map(endpoint, network.circuits()) if end.relay is not None}


def port_of(network: Network) -> int:
    """At which this node listens; 0: at none."""
    return next((endpoint(each).port for each in network.addresses()), 0)


async def _come(passer_by: Network, peer: PeerId, ways: Sequence[Sequence[Address]]) -> float | None:
    """Go to ``peer`` by the first of ``ways`` that leads there, and have it answer; how many seconds all took."""
    for way in ways:
        began = trio.current_time()
        with trio.move_on_after(limits.DOCTOR_STEP_S), suppress(NetError):  # the next one may; that none did is told
            await passer_by.dial(peer, way)
            await passer_by.probe(peer)
            return trio.current_time() - began
    return None


async def _have_others_come(network: Network) -> tuple[int, int]:
    """How many connected nodes have tried to come to this one, and how many did."""
    asked = came = 0
    own = [address for address in network.addresses() if is_global(address)]

    async def one(peer: PeerId) -> None:
        nonlocal asked, came
        with suppress(NetError):  # it does not do that, or not now: others do
            stream = await network.open(peer, AUTONAT)
            try:
                kind = "ip6" if ":" in (stream.remote_host or "") else "ip4"
                fit = [address for address in own if endpoint(address).kind == kind]
                reached = await ask(stream, network.peer_id, fit) if fit and asked < limits.DOCTOR_OBSERVERS else None
                asked += bool(fit)
                came += reached is not None
            finally:
                await stream.reset()

    with trio.move_on_after(limits.DOCTOR_STEP_S):
        for link in network.links():
            if link.path == "direct" and asked < limits.DOCTOR_OBSERVERS:
                await one(link.peer)
    return asked, came
