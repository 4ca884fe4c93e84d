"""Find holders: ask nodes for a mailbox, those that the user names or those that this node knows (PROTOCOL.md 6.1).

By itself it asks the nodes of matched contacts first, the connected ones before the others, then in random order nodes
that it knows from the DHT: of these no two of one prefix, and none that knew an earlier node key of this node. One that
holds nothing for others does not serve the protocol, and says so at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, PeerError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.limits import MAILBOX_GONE_S
from p2pchat.net.hearsay import fit_to_dial, network_to_dial, prefix_of
from p2pchat.net.mailbox import visit
from p2pchat.services import grants
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contact_peers, contacts, meta, own_mailbox
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


async def ask(context: Context, candidate: Candidate, *, chosen: bool, prefixes: Collection[bytes] = ()) -> OwnMailbox:
    """A mailbox that ``candidate`` has granted, to be kept.

    Args:
        prefixes: where it must not be (PROTOCOL.md 3.2).

    Raises:
        NetError: it could not be reached, refused, or is there.
        PeerError: it sent what is malformed.
    """
    known = await context.db.run(lambda tx: own_mailbox.at(tx, candidate.peer))
    try:
        with trio.fail_after(_ASK_S):
            async with visit(context.network, candidate.peer, candidate.addresses) as there:
                if prefix_of(there.host, there.peer) in prefixes:
                    raise NetError("another holder is in the same network")
                addresses = candidate.addresses or fit_to_dial((await context.network.learn(candidate.peer))[0])
                wanted = known or own_mailbox.make(candidate.peer, addresses, context.entropy, chosen=chosen)
                return await grants.ask(context, there, wanted)
    except trio.TooSlowError:
        raise NetError("the holder took too long", name="TIMEOUT") from None


async def find(context: Context, without: Collection[PeerId], count: int) -> list[OwnMailbox]:
    """Up to ``count`` mailboxes that were granted, to be kept, of holders that are not among ``without``."""
    found: list[OwnMailbox] = []
    with trio.move_on_after(_FIND_S):
        theirs, others, prefixes = await _candidates(context, without)
        for candidate in [*theirs, *others][:_TRIED]:
            if len(found) == count:
                break
            is_theirs = candidate in theirs
            try:
                granted = await ask(context, candidate, chosen=False, prefixes=() if is_theirs else prefixes)
            except (NetError, PeerError) as error:
                log.debug("mailbox.not_granted", error=cause(error))
                continue
            found.append(granted)
            if not is_theirs:
                prefixes.add(_prefix(granted))
    return found


async def _candidates(
    context: Context, without: Collection[PeerId]
) -> tuple[list[Candidate], list[Candidate], set[bytes]]:
    """Nodes of contacts, others, and the prefixes in which none of the others is wanted any more."""
    connected = {link.peer for link in context.network.links()}

    def look(tx: Tx) -> tuple[list[Candidate], set[PeerId], list[PeerId], set[bytes]]:
        there = own_mailbox.everyone(tx)
        prefixes = {_prefix(each) for each in there if each.contact is None and each.peer in without}
        gone = [each.peer for each in there if each.failed_s >= MAILBOX_GONE_S]
        return _of_contacts(tx), {*without, *contact_peers.blocked(tx), *gone}, own_mailbox.left(tx), prefixes

    theirs, excluded, left, prefixes = await context.db.run(look)
    excluded.add(context.network.peer_id)
    theirs = list({each.peer: each for each in reversed(theirs) if each.peer not in excluded}.values())[::-1]
    theirs.sort(key=lambda each: each.peer not in connected)
    excluded.update(left, (each.peer for each in theirs))
    others = [Candidate(peer, addresses) for peer, addresses in context.dht.known_peers() if peer not in excluded]
    others.sort(key=lambda _: context.jitter())
    return theirs, others, prefixes


def _prefix(mailbox: OwnMailbox) -> bytes:
    return network_to_dial(mailbox.addresses) or prefix_of(None, mailbox.peer)


async def follow(context: Context, mailbox: int) -> bool:
    """Ask the nodes that a contact has named since for a mailbox in place of one at a node of it that does not answer.

    Returns: whether one was granted and is in use instead.

    Raises:
        StoreError: the disk refused.

    Source: PROTOCOL.md 6.6.
    """
    seed = context.profile.node_seed
    for candidate in await context.db.run(partial(_later, mailbox=mailbox)):
        try:
            granted = await ask(context, candidate, chosen=True)
        except (NetError, PeerError) as error:
            log.debug("mailbox.not_granted", error=cause(error))
            continue
        return await context.db.run(partial(_move, context=context, mailbox=mailbox, granted=granted, seed=seed))
    return False


def _later(tx: Tx, mailbox: int) -> list[Candidate]:
    """What the contact whose node holds ``mailbox`` has named after that node, the latest first."""
    known = own_mailbox.get(tx, mailbox)
    if known is None or known.contact is None or known.ends_s is not None:
        return []
    row = contacts.get(tx, known.contact)
    named = of_contact(tx, row.id) if row is not None and row.state == "matched" else []
    later = takewhile(lambda each: each.peer != known.peer, named)
    blocked = contact_peers.blocked(tx)
    return [each for each in later if each.peer not in blocked and own_mailbox.at(tx, each.peer) is None]


def _move(tx: Tx, context: Context, mailbox: int, granted: OwnMailbox, seed: bytes) -> bool:
    """``granted``, asked for under the node key of ``seed``, is in use instead of ``mailbox``."""
    known = own_mailbox.get(tx, mailbox)
    if known is None or known.ends_s is not None or meta.load_profile(tx).node_seed != seed:
        return False
    own_mailbox.keep(tx, replace(granted, chosen=known.chosen))
    own_mailbox.give_up(tx, mailbox, context.params)
    return True


def of_contact(tx: Tx, contact: int) -> list[Candidate]:
    """The nodes that a contact has published, what was learnt last first."""
    return [Candidate(node.peer, node.addresses) for node in contact_peers.of_contact(tx, contact) if node.published]


def _of_contacts(tx: Tx) -> list[Candidate]:
    return [each for contact in contacts.everyone(tx, "matched") for each in of_contact(tx, contact.id)]
