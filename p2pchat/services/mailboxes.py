"""Use mailboxes at nodes that the user names, or that this node chooses; give the others up (PROTOCOL.md 6.1).

Holders are asked first: a mailbox is written down once it was granted, all of one call in one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from p2pchat.api.language import marked
from p2pchat.base.errors import NetError, P2PChatError, PeerError, UnsupportedProtocol, UsageError
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import OWN_MAILBOXES
from p2pchat.core.invite import Invite, decode_invite
from p2pchat.core.links import is_link
from p2pchat.core.mailbox import Reason
from p2pchat.core.mailbox_link import Holder, decode_mailbox_link
from p2pchat.net.mailbox import MailboxRefused
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.services.holders import Candidate, ask, find
from p2pchat.store import contact_peers, meta, own_mailbox
from p2pchat.store.contacts import SELF
from p2pchat.store.db import Tx
from p2pchat.store.own_mailbox import OwnMailbox

_PUT_S: Final = 60.0
_NOT_OFFERED: Final = marked("holds nothing for you: its owner has to offer that, with p2pchat mailbox offer")
_ALONE: Final = marked("That node {why}.")
_BOTH: Final = marked("Each of the two {why}.")
_EACH: Final = marked("The first {why}; the second {other}.")
_ONE: Final = (marked("The first {why}; the other is in use."), marked("The second {why}; the other is in use."))


@dataclass(frozen=True, slots=True)
class Settled:
    """What was asked for and granted, to be written down by :func:`settle`.

    Attributes:
        granted: mailboxes at nodes that the user named.
        found: those that this node chose.
        staying: the holders that stay in use, those that could not be asked now included; None: all.
        auto: whether this node chooses from now on.
        failure: why not all could be had.
        node_seed: of the node key under which it was asked for.
    """

    granted: tuple[OwnMailbox, ...]
    found: tuple[OwnMailbox, ...]
    staying: frozenset[PeerId] | None
    auto: bool
    failure: UsageError | None
    node_seed: bytes = field(repr=False)


async def request(context: Context, with_: Sequence[str] | None, *, auto: bool) -> Settled:
    """Ask for the mailboxes that the user wants.

    Args:
        with_: names, numbers or ids of matched contacts, invites, or links of mailboxes; None: those that there are.
        auto: this node chooses what is missing.

    Raises:
        UsageError: INVALID_PARAMS, CONTACT_NOT_FOUND, BLOCKED: of what was named. PEER_OFFLINE, TIMEOUT: none of what
            was named could be had; nothing is to be changed.
    """
    seed = context.profile.node_seed
    wanted = [await context.db.run(partial(_candidates, context=context, to=to)) for to in with_ or ()]
    nodes = [each.peer for candidates in wanted for each in candidates]
    if len(set(nodes)) < len(nodes):
        raise UsageError("with: names the same node twice", data={"param": "with"})
    granted: list[OwnMailbox] = []
    failures: dict[int, P2PChatError] = {}
    for index, candidates in enumerate(wanted):
        try:
            granted.append(await _first(context, candidates))
        except (NetError, PeerError) as error:
            failures[index] = error
    failure = _failure(failures, len(wanted)) if failures else None
    if failure is not None and not granted:
        raise failure
    unasked = {each.peer for index in failures for each in wanted[index]}
    there = await context.db.run(own_mailbox.in_use)
    staying = {each.peer for each in granted} | {each.peer for each in there if with_ is None or each.peer in unasked}
    found: list[OwnMailbox] = []
    if auto:
        own_choice = [each.peer for each in there if not (each.chosen or each.failed_s)]
        staying.update(own_choice[: max(0, OWN_MAILBOXES - len(staying))])
        if len(staying) < OWN_MAILBOXES:
            found = await find(context, staying | unasked, OWN_MAILBOXES - len(staying))
        if not found and not staying:
            failure = UsageError(
                "No node that can be reached holds messages for you yet; this node goes on looking for one.",
                name="PEER_OFFLINE",
            )
    wanted_peers = None if with_ is None else frozenset(staying)
    return Settled(tuple(granted), tuple(found), wanted_peers, auto, failure, seed)


def settle(tx: Tx, context: Context, settled: Settled) -> None:
    """Write down what was granted, and give up what is not wanted any more."""
    blocked = contact_peers.blocked(tx)
    for each in (*settled.granted, *settled.found):
        if each.peer not in blocked:
            own_mailbox.keep(tx, each)
    found = {each.peer for each in settled.found}
    for known in own_mailbox.in_use(tx):
        if settled.staying is not None and known.peer not in settled.staying | found:
            own_mailbox.give_up(tx, known.id, context.params)
    own_mailbox.set_auto(tx, on=settled.auto)
    if meta.load_profile(tx).node_seed != settled.node_seed:  # a contact was blocked while the holders were asked
        own_mailbox.leave_strangers(tx, context.entropy)


async def publish(context: Context) -> UsageError | None:
    """Have it take effect: the presence tells of it. What went wrong, if that could not be done so soon."""
    with trio.move_on_after(_PUT_S):
        if await context.tell_mailboxes():
            return None
    return UsageError(
        "The mailboxes are settled, but no other node has taken the presence record that tells your contacts so; it "
        "is put as soon as one does.",
        name="TIMEOUT",
    )


async def _first(context: Context, candidates: Sequence[Candidate]) -> OwnMailbox:
    """The first of one person's nodes that grants."""
    failure: NetError | PeerError = NetError("there is no node to ask")
    for candidate in candidates:
        try:
            return await ask(context, candidate, chosen=True)
        except (NetError, PeerError) as error:
            if not isinstance(failure, MailboxRefused):
                failure = error
    raise failure


def _candidates(tx: Tx, context: Context, to: str) -> list[Candidate]:
    """The nodes that ``to`` names: a contact, or whoever made a link."""
    if not is_link(to):
        row = book.resolve(tx, context, to)
        if row.state == SELF:
            raise _itself("with: holds yourself; name a node that is on while yours is off")
        book.refuse_blocked(row)
        if row.state != "matched":
            sentence = "with: holds a contact that is not matched yet; p2pchat contacts list shows when it is"
            raise UsageError(sentence, data={"param": "with"})
        # also one that only spoke as the contact, since its Reach may not have been read yet
        found = [Candidate(node.peer, node.addresses) for node in contact_peers.of_contact(tx, row.id)]
        if not found:
            sentence = "with: holds a contact whose node has not been met yet; try again when it is connected"
            raise UsageError(sentence, name="PEER_OFFLINE", data={"param": "with"})
        return found
    link = _node(to)
    if link.peer_id == context.network.peer_id:
        raise _itself("with: holds a link to this node itself; name a node that is on while yours is off")
    if link.peer_id in contact_peers.blocked(tx):
        raise UsageError("with: holds a link to a node of a blocked contact", name="BLOCKED", data={"param": "with"})
    return [Candidate(link.peer_id, link.addresses)]


def _itself(sentence: str) -> UsageError:
    return UsageError(sentence, data={"param": "with"})


def _node(link: str) -> Holder | Invite:
    try:
        return decode_mailbox_link(link, "with")
    except UsageError:
        return decode_invite(link, "with")  # the only other kind that says where a node is


def _failure(failures: dict[int, P2PChatError], count: int) -> UsageError:
    late = all(error.error_name == "TIMEOUT" for error in failures.values())
    first, *rest = sorted(failures)
    why = _why(failures[first])
    if count == 1:
        sentence = _ALONE.format(why=why)
    elif not rest:
        sentence = _ONE[first].format(why=why)
    elif (other := _why(failures[rest[0]])) == why:
        sentence = _BOTH.format(why=why)
    else:
        sentence = _EACH.format(why=why, other=other)
    return UsageError(
        sentence,
        name="TIMEOUT" if late else "PEER_OFFLINE",
        data={"failed": sorted(failures)},
    )


def _why(error: P2PChatError) -> str:
    if isinstance(error, MailboxRefused) and error.reason is not Reason.REFUSED:
        no_space = error.reason is Reason.NO_SPACE
        return marked("has no space left") if no_space else marked("was asked too often; try later")
    if isinstance(error, MailboxRefused | UnsupportedProtocol):
        return _NOT_OFFERED
    if error.error_name == "TIMEOUT":
        return marked("did not answer in time")
    return marked("could not be reached: it has to be on while you name it")
