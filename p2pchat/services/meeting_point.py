"""The public DHT of IPFS as a meeting point: the last way in for who knows nobody (PROTOCOL.md 7.6).

Rules:

- Nothing of a person goes there: one key, the same for everybody, and where nodes are that want to be found.
- Who looks asks under a PeerID made for that one look and thrown away: strangers cannot tell which node it was, nor
  that two looks were one node's. What they see is the IP address.
- It is looked at only where the user lets it (``bootstrap.public_dht``), and where there is a network at all beyond
  this machine.
- Who is named there has asked for that (``bootstrap.announce``), and can be reached by strangers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.core.public_wire import MEETING_KEY
from p2pchat.net.addresses import Scope, endpoint, is_global, scope_of
from p2pchat.net.dnsaddr import DnsName, NodeAddress, resolved
from p2pchat.net.hearsay import network_to_dial
from p2pchat.net.public_dht import PublicDht
from p2pchat.services.context import Context, Stranger

ANNOUNCED_S: Final = 12 * 3_600.0
_LOOK_MIN_S: Final = 60.0
_LOOK_MAX_S: Final = 3_600.0
_AGAIN_S: Final = 600.0
_CHECK_S: Final = 60.0
_UNWANTED_S: Final = 600.0  # where nobody wants it: the setting is read anew

log = structlog.get_logger()


@dataclass(slots=True)
class Backoff:
    """When the next look is due: after one that brought nobody, in a minute, then twice as long, up to an hour."""

    pause_s: float = _LOOK_MIN_S
    due_at: float = field(default=0.0)

    def on_look(self, now: float) -> None:
        """One was made."""
        self.due_at = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, _LOOK_MAX_S)


def may_look(context: Context) -> bool:
    """Whether the user lets this node look, and it is in any network at all."""
    if context.stranger is None or not context.reach.public_dht or context.reach.is_local:
        return False
    return any(scope_of(endpoint(address).host) is not Scope.LOOPBACK for address in context.network.addresses())


async def look(context: Context, stranger: Stranger) -> list[NodeAddress]:
    """Nodes that are named at the meeting point, at most ``limits.PUBLIC_MET``.

    Args:
        stranger: as whom it is asked.

    Raises:
        NetError: nobody there answered.
    """
    entries = await _entries(context)
    async with stranger() as network:
        found = await PublicDht(network, entries).providers(MEETING_KEY)
    return _varied(each for each in found if each[0] != context.network.peer_id)


async def announce(context: Context) -> None:
    """Be named at the meeting point while the user wants it and strangers reach this node, until cancelled.

    Said again every :data:`ANNOUNCED_S`, of the 24 hours for which the oldest servers there remember it (newer ones:
    48), and when the addresses are others.
    """
    said: tuple[Address, ...] = ()
    due_at = 0.0
    if context.reach.announce and not context.reach.public_dht:
        log.warning("meeting_point.not_announced", reason="bootstrap.announce is on and bootstrap.public_dht is off")
    while True:
        is_wanted = context.reach.announce and context.network.standing == "public" and may_look(context)
        own = tuple(address for address in context.network.addresses() if is_global(address)) if is_wanted else ()
        if own and (own != said or trio.current_time() >= due_at):
            said, due_at = own, trio.current_time() + ANNOUNCED_S
            if not await _announce(context, own):
                said = ()
                await trio.sleep(_AGAIN_S)
        await trio.sleep(_CHECK_S if context.reach.announce else _UNWANTED_S)


async def _announce(context: Context, addresses: tuple[Address, ...]) -> bool:
    try:
        entries = await _entries(context)
        count = await PublicDht(context.network, entries).provide(MEETING_KEY, addresses)
    except NetError as error:
        log.warning("meeting_point.not_announced", reason=error.message)
        return False
    log.info("meeting_point.announced", count=count)
    return count > 0


async def _entries(context: Context) -> list[NodeAddress]:
    """Of what a name tells only what is on the internet: it is no name of this network."""
    entries = context.reach.public_entry
    named = await resolved((each for each in entries if isinstance(each, DnsName)), context.texts)
    public = [(peer, tuple(filter(is_global, addresses))) for peer, addresses in named]
    return [*(each for each in entries if not isinstance(each, DnsName)), *(each for each in public if each[1])]


def _varied(found: Iterable[NodeAddress]) -> list[NodeAddress]:
    tally = Counter[bytes | None]()
    chosen: list[NodeAddress] = []
    for peer, addresses in found:
        network = network_to_dial(addresses)
        tally[network] += 1
        if network is None or tally[network] <= limits.PUBLIC_PER_PREFIX:
            chosen.append((peer, addresses))
    return chosen[: limits.PUBLIC_MET]
