"""What a router in between does with ports, for the doctor: by where others see a node of the moment.

Rules:

- A node under a key of the moment goes to some nodes of different networks, from one port. Where those see it at one
  place the router keeps a port whatever the destination; where not, it takes another one for each.
- This node's own connections are left alone, and tell nothing: they leave from a port each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import trio

from p2pchat.api.diagnosis import Finding, found
from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import encode_endpoint, endpoint, is_global
from p2pchat.net.hearsay import network_of, network_to_dial
from p2pchat.net.transport import Network, Standing
from p2pchat.services.context import Context, Stranger
from p2pchat.services.to_self import port_of


async def look(context: Context, stranger: Stranger | None) -> Finding:
    """What is in between.

    Args:
        stranger: makes the node of the moment; None: nobody is asked.

    Raises:
        NetError: that node could not be made.
    """
    network = context.network
    if context.reach.mode == "lan":
        return found("nat.lan_only")
    if context.reach.proxy:
        return found("nat.proxied")
    if network.standing == "public":
        return found("nat.public")
    seen: list[Address] = []
    if stranger is not None and (observers := observers_of(context)):
        async with stranger(listens=True) as passer_by:
            seen = await _seen(passer_by, observers)
    own = {endpoint(address).host for address in network.addresses()}
    return judge(seen, own, network.standing, port_of(network))


def judge(seen: Sequence[Address], own: Collection[str], standing: Standing, port: int) -> Finding:
    """What follows.

    Args:
        seen: where nodes of different networks see one that goes to them from one port.
        own: the IP literals of this machine's interfaces.
        port: at which this node listens.
    """
    if any(endpoint(address).host in own for address in seen):
        return found("nat.firewall", port=port) if standing == "private" else found("nat.open")
    for kind in ("ip4", "ip6"):
        of_kind = [address for address in seen if endpoint(address).kind == kind]
        if len(of_kind) > 1:
            code = "nat.same_port" if len(set(of_kind)) == 1 else "nat.other_ports"
            return found(code, observers=len(of_kind), port=port)
    return found("nat.private", port=port) if standing == "private" else found("nat.unknown")


def observers_of(context: Context) -> list[tuple[PeerId, Address]]:
    """Nodes on the internet, each of another network: relays that lead here, then those of the DHT."""
    relays = [
        (end.relay, (encode_endpoint(replace(end, relay=None)),))
        for end in map(endpoint, context.network.circuits())
        if end.relay is not None
    ]
    found_: dict[bytes, tuple[PeerId, Address]] = {}
    for peer, addresses in _direct((*relays, *context.dht.known_peers())):
        place = network_to_dial(addresses)
        if place is not None:
            found_.setdefault(place, (peer, addresses[0]))
    return list(found_.values())[: limits.DOCTOR_OBSERVERS]


def _direct(
    nodes: Iterable[tuple[PeerId, tuple[Address, ...]]],
) -> Iterable[tuple[PeerId, tuple[Address, ...]]]:
    for peer, addresses in nodes:
        far = tuple(each for each in addresses if is_global(each) and network_of(endpoint(each).host) is not None)
        if far:
            yield peer, far


async def _seen(passer_by: Network, observers: Sequence[tuple[PeerId, Address]]) -> list[Address]:
    found_: list[Address] = []

    async def one(peer: PeerId, address: Address) -> None:
        with suppress(NetError):  # it is gone, or does not say: others do
            await passer_by.dial(peer, [address], from_port=True)
            seen = await passer_by.seen_by(peer)
            if seen is not None:
                found_.append(seen)

    with trio.move_on_after(limits.DOCTOR_STEP_S):
        async with trio.open_nursery() as nursery:
            for peer, address in observers:
                nursery.start_soon(one, peer, address)
    return found_
