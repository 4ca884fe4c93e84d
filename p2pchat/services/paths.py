"""Which of several streams with one peer stays, and when a stream moves to a better connection (PROTOCOL.md 5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.base.ids import PeerId
from p2pchat.net.transport import Network
from p2pchat.services.link import Link


def superfluous(own: PeerId, links: Sequence[Link]) -> list[Link]:
    """Those of a contact's streams that this node ends: it opened them, and another with the same node stays.

    A stream through a relay goes when one without has carried a heartbeat, whoever opened that. Among equals the one
    stays whose opener has the lower PeerID.
    """
    return [link for link in links if link.outbound and any(_replaces(other, link, own) for other in links)]


def _replaces(other: Link, link: Link, own: PeerId) -> bool:
    if other is link or other.stream.peer != link.stream.peer:
        return False
    if other.is_relayed != link.is_relayed:
        return link.is_relayed and other.proven.is_set()
    return not other.outbound and own > link.stream.peer


def should_move(network: Network, link: Link) -> bool:
    """Whether a stream that this node opened leads through a relay, and a connection that does not is there by now."""
    if not (link.outbound and link.is_relayed):
        return False
    return any(each.peer == link.stream.peer and each.path != "relayed" for each in network.links())
