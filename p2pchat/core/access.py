"""Who may come near a node: what its user has said of contacts, PeerIDs and networks, and the mode (net.mode).

Rules:

- The most specific rule decides: one about the PeerID, then one about the contact whose node it is, then that about the
  longest network. Where none speaks the mode does. So an allow is an exception from a wider deny and from the mode.
- Before a handshake only the network is known. Who comes from one that is denied is let as far as that where any PeerID
  or contact is allowed: it could be theirs.
- Where a peer is that comes through a relay nobody knows: no rule about networks applies to it. The relay's own do.
- In the mode contacts strangers are served what keeps the network going, and nothing that leads to the user.
- In the mode lan there is nobody beyond the local network, no relay and no name. An address of a carrier's network
  (100.64.0.0/10) is not local.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Set
from typing import Final, Literal

from p2pchat.base.ids import PeerId

Mode = Literal["open", "contacts", "lan"]
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FOR_STRANGERS: Final = frozenset(
    {
        "/ipfs/id/1.0.0",
        "/ipfs/ping/1.0.0",
        "/p2pchat/kad/1.0.0",
        "/p2pchat/records/1",
        "/libp2p/autonat/1.0.0",
        "/libp2p/circuit/relay/0.2.0/hop",
        "/libp2p/circuit/relay/0.2.0/stop",  # of this node's own relays, which are strangers; of no others
    }
)
"""What is served to everybody in the mode contacts: identify, ping, the DHT, AutoNAT, and relays."""

FORWARDED: Final = ""
"""In place of an IP literal: a program of this machine has forwarded the connection (an onion service leads to it), so
that nobody here sees where the peer is. No relay is in that, and no rule about networks applies."""

LOCAL: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
"""Private, link-local and loopback addresses."""
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 addresses as IPv6 sockets show them
_MAPPED_BITS: Final = 96


class Access:
    """What may come near, as it stands at one time.

    Args:
        relays: whether this node is reached, and reaches others, through relays.
        peers: rules about PeerIDs: whether each is allowed.
        nodes: the nodes of contacts about whom there is a rule, in the same way.
        networks: rules about networks.
        friends: the nodes of all contacts that are matched or looked for. Needed in the mode contacts only.
    """

    def __init__(
        self,
        mode: Mode = "open",
        *,
        relays: bool = True,
        peers: Mapping[PeerId, bool] | None = None,
        nodes: Mapping[PeerId, bool] | None = None,
        networks: Mapping[Network, bool] | None = None,
        friends: Set[PeerId] = frozenset(),
    ) -> None:
        self.mode: Final = mode
        self.relays: Final = relays and mode != "lan"
        self._peers = {**(nodes or {}), **(peers or {})}
        self._friends = friends
        self._has_exceptions = True in self._peers.values()
        allowed = [network for network, allow in (networks or {}).items() if allow]
        self._allows_beyond = self._has_exceptions or not all(map(_is_local_network, allowed))
        self._networks: dict[tuple[int, int], dict[int, bool]] = {}
        for network in sorted(networks or (), key=lambda each: each.prefixlen, reverse=True):
            of_length = self._networks.setdefault((network.version, network.prefixlen), {})
            of_length[int(network.network_address)] = bool(networks and networks[network])

    @property
    def lets_all(self) -> bool:
        """Whether everybody may be met, wherever they are."""
        return self.mode != "lan" and self.relays and not self._peers and not self._networks

    @property
    def knows_networks(self) -> bool:
        """Whether where somebody is matters: a name has to be resolved before it is dialled."""
        return bool(self._networks) or self.mode == "lan"

    @property
    def is_all_local(self) -> bool:
        """Whether nobody beyond the local network may come, by the mode, and no rule makes an exception."""
        return self.mode == "lan" and not self._allows_beyond

    @property
    def resolves_names(self) -> bool:
        """Whether a name server may be asked."""
        return self.mode != "lan"

    def may_come(self, host: str) -> bool:
        """Whether a stranger at the IP literal ``host`` may shake hands, to say who it is."""
        return self._has_exceptions or self._may(None, host)

    def may_meet(self, peer: PeerId, host: str | None) -> bool:
        """Whether there may be a connection to ``peer`` at the IP literal ``host``, or :data:`FORWARDED`; None:
        through a relay."""
        return (host is not None or self.relays) and self._may(peer, host)

    def may_dial(self, peer: PeerId | None, host: str) -> bool:
        """Whether ``peer`` may be dialled at the IP literal ``host``; None: whoever answers there."""
        return self.may_come(host) if peer is None else self.may_meet(peer, host)

    def serves(self, peer: PeerId, host: str | None, protocol: str) -> bool:
        """Whether ``peer``, with which there is a connection, is served ``protocol``."""
        if self.mode != "contacts" or protocol in FOR_STRANGERS or peer in self._friends:
            return True
        return self._said(peer, host) is True

    def is_told(self, host: str) -> bool:
        """Whether others are told that this node is reached at the IP literal or name ``host``."""
        return self.mode != "lan" or is_local(host)

    def _may(self, peer: PeerId | None, host: str | None) -> bool:
        said = self._said(peer, host)
        if said is not None:
            return said
        return self.mode != "lan" or host is None or is_local(host)

    def _said(self, peer: PeerId | None, host: str | None) -> bool | None:
        """What the rules say; None: nothing."""
        if peer is not None and peer in self._peers:
            return self._peers[peer]
        ip = None if host is None or not self._networks else _ip(host)
        if ip is None:
            return None
        number, bits = int(ip), ip.max_prefixlen
        for (version, length), rules in self._networks.items():  # longest first
            if version == ip.version and (said := rules.get(number >> bits - length << bits - length)) is not None:
                return said
        return None


def is_local(host: str) -> bool:
    """Whether an IP literal is private, link-local or loopback; no name is."""
    ip = _ip(host)
    return ip is not None and any(ip in network for network in LOCAL if network.version == ip.version)


def _is_local_network(network: Network) -> bool:
    return any(
        isinstance(network, ipaddress.IPv4Network) and network.subnet_of(local)
        if isinstance(local, ipaddress.IPv4Network)
        else isinstance(network, ipaddress.IPv6Network) and network.subnet_of(local)
        for local in LOCAL
    )


def parse_network(text: str) -> Network:
    """A network in CIDR notation; an address alone is the network of itself. An IPv4-mapped one is IPv4.

    Raises:
        ValueError: neither; or there are bits beyond the prefix, so that it is open what was meant.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network):
        if network.network_address.scope_id is not None:
            raise ValueError("a zone means nothing in a rule")
        if network.subnet_of(_MAPPED):
            number = int(network.network_address) & 0xFFFF_FFFF
            return ipaddress.IPv4Network((number, network.prefixlen - _MAPPED_BITS))
    return network


def _ip(host: str) -> Ip | None:
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
