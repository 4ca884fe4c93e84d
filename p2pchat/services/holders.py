"""Find holders: ask nodes for a mailbox, those that the user names or those that this node knows (PROTOCOL.md 6.1).

By itself it asks the nodes of matched contacts first, the connected ones before the others, then in random order nodes
that it knows from the DHT. One that holds nothing for others does not serve the protocol, and says so at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, PeerError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.hearsay import fit_to_dial
from p2pchat.net.mailbox import visit
from p2pchat.services import grants
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contact_peers, contacts, own_mailbox
from p2pchat.store.db import Tx
from p2pchat.store.own_mailbox import OwnMailbox

_ASK_S: Final = 30.0
_FIND_S: Final = 120.0
_TRIED: Final = 12  # at one time

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may hold boxes, and where it is dialled."""

    peer: PeerId
    addresses: tuple[Address, ...] = field(repr=False)


async def ask(context: Context, candidate: Candidate, *, chosen: bool) -> OwnMailbox:
    """A mailbox that ``candidate`` has granted, to be kept.

    Raises:
        NetError: it could not be reached, or refused.
        PeerError: it sent what is malformed.
    """
    known = await context.db.run(lambda tx: own_mailbox.at(tx, candidate.peer))
    try:
        with trio.fail_after(_ASK_S):
            async with visit(context.network, candidate.peer, candidate.addresses) as there:
                addresses = candidate.addresses or fit_to_dial((await context.network.learn(candidate.peer))[0])
                wanted = known or own_mailbox.make(candidate.peer, addresses, context.entropy, chosen=chosen)
                return await grants.ask(context, there, wanted)
    except trio.TooSlowError:
        raise NetError("the holder took too long", name="TIMEOUT") from None


async def find(context: Context, without: Collection[PeerId], count: int) -> list[OwnMailbox]:
    """Up to ``count`` mailboxes that were granted, to be kept, of holders that are not among ``without``."""
    found: list[OwnMailbox] = []
    with trio.move_on_after(_FIND_S):
        for candidate in await _candidates(context, without):
            if len(found) == count:
                break
            try:
                found.append(await ask(context, candidate, chosen=False))
            except (NetError, PeerError) as error:
                log.debug("mailbox.not_granted", error=cause(error))
    return found


async def _candidates(context: Context, without: Collection[PeerId]) -> list[Candidate]:
    connected = {link.peer for link in context.network.links()}
    theirs, blocked = await context.db.run(lambda tx: (_of_contacts(tx), contact_peers.blocked(tx)))
    theirs.sort(key=lambda each: each.peer not in connected)
    known = [Candidate(peer, addresses) for peer, addresses in context.dht.known_peers()]
    known.sort(key=lambda _: context.jitter())
    excluded = {*without, *blocked, context.network.peer_id}
    chosen = {each.peer: each for each in reversed([*theirs, *known]) if each.peer not in excluded}
    return list(reversed(chosen.values()))[:_TRIED]


def of_contact(tx: Tx, contact: int) -> list[Candidate]:
    """The nodes that a contact has published, what was learnt last first."""
    return [Candidate(node.peer, node.addresses) for node in contact_peers.of_contact(tx, contact) if node.published]


def _of_contacts(tx: Tx) -> list[Candidate]:
    return [each for contact in contacts.everyone(tx, "matched") for each in of_contact(tx, contact.id)]
