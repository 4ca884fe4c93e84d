"""``mailbox.*``: what this node holds for others, and offers to."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from p2pchat.api import calls, objects
from p2pchat.control.once import once
from p2pchat.control.server import Connection
from p2pchat.core.mailbox_link import Holder, encode_mailbox_link
from p2pchat.core.params import DAY_S
from p2pchat.services.context import Context
from p2pchat.services.holding import opaque_id
from p2pchat.services.transparency import locked_reveals, unlocked_reveals
from p2pchat.store import held, mailbox, offer
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import needs_passphrase
from p2pchat.store.mailbox import Past, Stock


class MailboxMethods:
    """One method of the API each.

    Args:
        own: the profile's folder, in which its key is; None: there is none, and no passphrase.
    """

    def __init__(self, context: Context, own: Path | None = None) -> None:
        self._context = context
        self._own = own

    async def offer(self, params: calls.MailboxOffer, _: Connection) -> objects.MailboxOffer:
        link = self._link()

        def change(tx: Tx) -> objects.MailboxOffer:
            given = {"to": params.for_, "quota": params.quota}
            changes = {name: value for name, value in given.items() if value is not None}
            if changes:
                offer.save(tx, msgspec.structs.replace(offer.load(tx), **changes))
            return _offered(tx, link)

        shown = await once(self._context, "mailbox.offer", params, objects.MailboxOffer, change)
        await self._context.offered()
        return shown

    async def transparency(self, _params: calls.NoParams, _: Connection) -> objects.Transparency:
        link, passphrase = self._link(), self._own is not None and needs_passphrase(self._own / "key")
        return await self._context.db.run(lambda tx: _transparency(tx, link, passphrase=passphrase))

    def _link(self) -> str | None:
        """With which anyone finds this node; None where it has no address."""
        network = self._context.network
        addresses = network.addresses()
        return encode_mailbox_link(Holder(network.peer_id, addresses)) if addresses else None


def _offered(tx: Tx, link: str | None) -> objects.MailboxOffer:
    offered, (boxes, size) = offer.load(tx), mailbox.total(tx)
    return objects.MailboxOffer(
        for_=offered.to,
        quota=offered.quota,
        bytes=size,
        boxes=boxes,
        owners=mailbox.count(tx),
        invite=link if offered.to == "anyone" else None,
    )


def _transparency(tx: Tx, link: str | None, *, passphrase: bool) -> objects.Transparency:
    (boxes, size), (records, records_size) = mailbox.total(tx), held.of_others(tx)
    return objects.Transparency(
        mailboxes=[_mailbox(each) for each in mailbox.stock(tx)],
        boxes=boxes,
        bytes=size,
        records=objects.HeldRecords(count=records, bytes=records_size),
        deleted=[_deleted(each) for each in mailbox.past(tx)],
        offer=_offered(tx, link),
        passphrase=passphrase,
        locked_reveals=locked_reveals(passphrase=passphrase),
        unlocked_reveals=unlocked_reveals(),
    )


def _mailbox(stock: Stock) -> objects.HeldMailbox:
    return objects.HeldMailbox(
        id=opaque_id(stock.owner),
        boxes=stock.boxes,
        bytes=stock.size,
        oldest_ms=None if stock.oldest_s is None else stock.oldest_s * 1000,
        until_ms=None if stock.until_s is None else stock.until_s * 1000,
        seen_ms=stock.seen_s * 1000,
    )


def _deleted(past: Past) -> objects.DeletedBoxes:
    day = time.strftime("%Y-%m-%d", time.gmtime(past.day * DAY_S))
    return objects.DeletedBoxes(day=day, why=past.why, boxes=past.boxes, bytes=past.size)
