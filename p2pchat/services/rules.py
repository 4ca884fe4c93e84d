"""The user says who may come near: contacts, PeerIDs and networks, allowed or denied."""

from __future__ import annotations

import re
from typing import Final

from p2pchat.base.errors import UsageError
from p2pchat.base.limits import RULES
from p2pchat.core.access import parse_network
from p2pchat.net.addresses import parse_peer_id
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.store import rules
from p2pchat.store.db import Tx
from p2pchat.store.rules import RuleRow, Subject

_LIKE_A_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.%]*/.*|.*/[0-9]{1,3}")
_LIKE_A_PEER: Final = re.compile(r"(?:12D3Koo|16Uiu2H|Qm)[1-9A-HJ-NP-Za-km-z]{20,}")


def allow(tx: Tx, context: Context, what: str) -> RuleRow:
    """Let ``what`` come near; raises as :func:`subject`."""
    return _put(tx, context, what, allow=True)


def deny(tx: Tx, context: Context, what: str) -> RuleRow:
    """Keep ``what`` away; raises as :func:`subject`."""
    return _put(tx, context, what, allow=False)


def _put(tx: Tx, context: Context, what: str, *, allow: bool) -> RuleRow:
    about = subject(tx, context, what)
    if rules.get(tx, about) is None and rules.count(tx) >= RULES:
        raise UsageError(f"what: there are {RULES} rules, and no room for more", data={"param": "what"})
    return rules.put(tx, about, allow=allow)


def forget(tx: Tx, context: Context, what: str) -> RuleRow:
    """Take back what was said of ``what``; the rule that there was.

    Raises:
        UsageError: as :func:`subject`; INVALID_PARAMS, there is none.
    """
    row = rules.get(tx, subject(tx, context, what))
    if row is None:
        raise UsageError("what: there is no rule about that; see: p2pchat net rules", data={"param": "what"})
    rules.forget(tx, row.id)
    return row


def subject(tx: Tx, context: Context, what: str) -> Subject:
    """Whom ``what`` names: an IP address or a network in CIDR notation, a PeerID, or else a contact.

    Raises:
        UsageError: INVALID_PARAMS, it is malformed or this node itself; CONTACT_NOT_FOUND with near matches, AMBIGUOUS.
    """
    text = what.strip()
    try:
        return Subject(network=str(parse_network(text)))
    except ValueError:
        if _LIKE_A_NETWORK.fullmatch(text):
            raise UsageError(
                "what: is no network like 192.0.2.0/24 or 2001:db8::/32, without bits beyond the prefix",
                data={"param": "what"},
            ) from None
    if _LIKE_A_PEER.fullmatch(text):
        try:
            peer = parse_peer_id(text)
        except UsageError as error:
            raise UsageError("what: is no PeerID like 12D3KooW…", data={"param": "what"}) from error
        if peer == context.network.peer_id:
            raise UsageError("what: is this node itself", data={"param": "what"})
        return Subject(peer=peer)
    return Subject(contact=book.resolve_other(tx, context, text, "what").id)
