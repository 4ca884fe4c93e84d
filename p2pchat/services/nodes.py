"""Nodes that travel by hand: written down for others, and taken from what others have written (PROTOCOL.md 3.5, 7.6).

Rules:

- Handed over is who was reached: those that have answered at another time than they became known, or answer now.
- What is taken pushes out nobody, changes no address of a node that is known, and counts as heard before all
  others: who hands nodes over may have made all of them. A handshake shows that each is who it is said to be, no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.nodes_link import NODE_ADDRESSES, NamedNode, decode_nodes, encode_nodes
from p2pchat.core.peer_cache import CachedPeer, handed_over, with_named
from p2pchat.net.addresses import Scope, dialable, endpoint, is_global, scope_of, varied
from p2pchat.net.dnsaddr import NodeAddress
from p2pchat.net.hearsay import fit_to_dial, network_to_dial
from p2pchat.net.whereabouts import CIRCUITS_TOLD
from p2pchat.services.context import Context
from p2pchat.store import known_peers
from p2pchat.store.db import Tx

_PARAM: Final = "links"


async def export(context: Context, count: int, *, own: bool, lan: bool) -> list[str]:
    """The links of ``count`` nodes at most, and of this node before them.

    Args:
        own: this node as well.
        lan: also addresses that mean something on a local network alone.

    Raises:
        UsageError: INVALID_PARAMS, this node has no address to tell.
    """
    named = [_own(context, lan=lan)] if own else []
    rows = await context.db.run(known_peers.load)
    reached = {row.peer: row for row in rows if row.heard_s > row.since_s and not row.failures}
    now_s = int(context.now())
    known = context.dht.known_peers()
    silent = context.dht.failing(peer for peer, _ in known)
    for peer, addresses in known:
        if peer not in silent:
            reached[peer] = reached.get(peer, CachedPeer(peer, addresses, now_s, now_s)).on_heard(addresses, now_s)
    told = {peer: addresses for peer, row in reached.items() if (addresses := _told(row.addresses, lan=lan))}
    fit = [row for row in reached.values() if row.peer in told and row.peer != context.network.peer_id]
    named += [NamedNode(row.peer, told[row.peer]) for row in handed_over(fit, network_to_dial, count)]
    return encode_nodes(named)


def _told(addresses: Sequence[Address], *, lan: bool) -> tuple[Address, ...]:
    fit = (address for address in fit_to_dial(map(bytes, addresses)) if lan or is_global(address))
    return varied(fit, NODE_ADDRESSES)


def _own(context: Context, *, lan: bool) -> NamedNode:
    network = context.network
    circuits = [each for each in network.circuits() if lan or scope_of(endpoint(each).host) is Scope.GLOBAL]
    circuits = circuits[:CIRCUITS_TOLD]
    addresses = (*_told(network.addresses(), lan=lan)[: NODE_ADDRESSES - len(circuits)], *circuits)
    if not addresses:
        raise UsageError(
            "own: this node has no address beyond its local network; --lan tells those within it", data={"param": "own"}
        )
    return NamedNode(network.peer_id, addresses)


def read(links: Sequence[str]) -> list[NodeAddress]:
    """The nodes of ``links``, each once, with those of its addresses that can be dialled.

    Raises:
        UsageError: INVALID_PARAMS, one of them is no such link; ``data.index`` says which, from 0.
    """
    found: dict[PeerId, dict[Address, None]] = {}
    for index, link in enumerate(links):
        try:
            nodes = decode_nodes(link, _PARAM)
        except UsageError as error:
            raise UsageError(error.message, data={"param": _PARAM, "index": index}) from None
        for node in nodes:
            usable = dict.fromkeys(filter(dialable, node.addresses))
            if usable:
                found.setdefault(node.peer_id, {}).update(usable)
    return [(peer, tuple(addresses)[:NODE_ADDRESSES]) for peer, addresses in found.items()]


def take(tx: Tx, context: Context, nodes: Sequence[NodeAddress]) -> int:
    """Keep ``nodes`` to start from where there is room; how many of them are new."""
    rows = known_peers.load(tx)
    others = [(peer, addresses) for peer, addresses in nodes if peer != context.network.peer_id]
    kept = with_named(rows, others, network_to_dial, tx.now_s)
    known_peers.save(tx, kept)
    return len({row.peer for row in kept} - {row.peer for row in rows})
