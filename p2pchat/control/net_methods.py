"""``net.*``: the nodes around this one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from p2pchat.api import calls, handover, net_calls, objects
from p2pchat.base import limits
from p2pchat.base.errors import NetError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.control.once import once
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.control.rule_methods import RuleMethods
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_address, format_peer_id
from p2pchat.net.dnsaddr import DnsName, parse_entry, resolved
from p2pchat.net.transport import Link
from p2pchat.services import nodes
from p2pchat.services.context import Context
from p2pchat.store.db import Tx

_RTT_S: Final = 1.0  # for the slowest of them to answer
_RTT_KEPT_S: Final = 1.0
"""Whoever asks more often is told the same: each measurement is a stream at the peer, which ends a connection on which
more than ten a second are opened for long (:data:`limits.MUX_US_PER_S`)."""


def addresses(context: Context) -> list[str]:
    """Where others can reach this node, as text; through relays last."""
    network = context.network
    return [format_address(address, network.peer_id) for address in (*network.addresses(), *network.circuits())]


def _shown(link: Link, rtt_ms: float | None) -> objects.Peer:
    since_ms = int(link.since_s * 1000)
    return objects.Peer(peer_id=format_peer_id(link.peer), path=link.path, rtt_ms=rtt_ms, since_ms=since_ms)


class NetMethods(RuleMethods):
    """One method of the API each."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._measuring = trio.Lock()
        self._rtts: dict[PeerId, tuple[float, float | None]] = {}  # when it was measured, and what; of those of then

    async def peers(self, _params: calls.NoParams, _: Connection) -> objects.Peers:
        async with self._measuring:
            links = self._context.network.links()
            now = trio.current_time()
            known = {link.peer: self._rtts.get(link.peer, (-math.inf, None)) for link in links}
            self._rtts = {peer: found for peer, found in known.items() if now - found[0] < _RTT_KEPT_S}
            await self._measure([peer for peer in known if peer not in self._rtts])
            rtts = {link.peer: self._rtts[link.peer][1] for link in links}
        return objects.Peers(peers=[_shown(link, rtts[link.peer]) for link in links])

    async def _measure(self, peers: Sequence[PeerId]) -> None:
        found: dict[PeerId, float | None] = dict.fromkeys(peers)

        async def measure(peer: PeerId) -> None:
            with suppress(NetError):  # null says that nothing came back
                found[peer] = round(await self._context.network.probe(peer) * 1000, 1)

        with trio.move_on_after(_RTT_S):
            async with trio.open_nursery() as nursery:
                for peer in peers:
                    nursery.start_soon(measure, peer)
        now = trio.current_time()  # who has waited meanwhile is told it, too
        self._rtts |= {peer: (now, rtt_ms) for peer, rtt_ms in found.items()}

    async def addrs(self, _params: calls.NoParams, _: Connection) -> objects.Addresses:
        return objects.Addresses(addresses=addresses(self._context))

    async def dial(self, params: net_calls.NetDial, _: Connection) -> objects.Peer:
        return (await self._dial(params.address))[0]

    async def bootstrap(self, params: net_calls.NetDial, _: Connection) -> objects.Peer:
        shown, peer, addresses = await self._dial(params.address)
        try:
            await self._context.dht.bootstrap([(peer, addresses)])
        except NetError as error:
            raise UsageError("The node answers, but takes no part in the DHT.", name="PEER_OFFLINE") from error
        return shown

    async def export(self, params: handover.NetExport, _: Connection) -> handover.NodeLinks:
        links = await nodes.export(self._context, params.nodes, own=params.own, lan=params.lan)
        return handover.NodeLinks(links=links)

    async def import_(self, params: handover.NetImport, _: Connection) -> handover.NodesTaken:
        found = nodes.read(params.links)

        def take(tx: Tx) -> handover.NodesTaken:
            return handover.NodesTaken(nodes=len(found), new=nodes.take(tx, self._context, found))

        taken = await once(self._context, "net.import", params, handover.NodesTaken, take)
        self._context.nodes_named(found)
        return taken

    async def _dial(self, text: str) -> tuple[objects.Peer, PeerId, tuple[Address, ...]]:
        """Connect to a node, or to the first that answers of those of whom a name tells."""
        refuse_if_replaced(self._context.replaced_ms)
        entry = parse_entry(text)
        if self._context.reach.proxy and isinstance(entry, DnsName):
            raise UsageError("Through a proxy no name server is asked; /dns4/… names of nodes work, and addresses.")
        named = await resolved([entry], self._context.texts)
        why = "No name server tells of a node under that name."
        own = self._context.network.peer_id
        if named and all(peer == own for peer, _ in named):
            raise UsageError("This is the address of this node itself; name that of another.")
        for peer, addresses in named[: limits.BOOTSTRAP_WAVES]:
            try:
                await self._context.network.dial(peer, addresses)
            except NetError as error:
                why = error.message
                continue
            return self._shown(peer), peer, addresses
        raise UsageError(why, name="PEER_OFFLINE")

    def _shown(self, peer: PeerId) -> objects.Peer:
        link = next((link for link in self._context.network.links() if link.peer == peer), None)
        if link is None:
            raise UsageError("The node closed the connection at once.", name="PEER_OFFLINE")
        return _shown(link, None)
