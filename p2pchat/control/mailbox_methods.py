"""``mailbox.*``: what this node offers and holds for others, and where others hold what is for it."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from p2pchat.api import calls, mailbox_objects
from p2pchat.base import limits
from p2pchat.control.once import once, repeated
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.control.server import Connection
from p2pchat.core.mailbox_link import LINK_ADDRESSES, Holder, encode_mailbox_link, fit_for_link
from p2pchat.core.params import DAY_S
from p2pchat.net.whereabouts import reached_at
from p2pchat.services import mailboxes
from p2pchat.services.context import Context
from p2pchat.services.holding import opaque_id
from p2pchat.services.transparency import locked_reveals, unlocked_reveals
from p2pchat.store import contacts, held, mailbox, meta, offer, own_mailbox
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import needs_passphrase
from p2pchat.store.mailbox import Past, Stock
from p2pchat.store.own_mailbox import OwnMailbox


class MailboxMethods:
    """One method of the API each.

    Args:
        own: the profile's folder, in which its key is; None: there is none, and no passphrase.
    """

    def __init__(self, context: Context, own: Path | None = None) -> None:
        self._context = context
        self._own = own

    async def offer(self, params: calls.MailboxOffer, _: Connection) -> mailbox_objects.MailboxOffer:
        link = self._link()

        def change(tx: Tx) -> mailbox_objects.MailboxOffer:
            given = {"to": params.for_, "quota": params.quota}
            changes = {name: value for name, value in given.items() if value is not None}
            if changes:
                offer.save(tx, msgspec.structs.replace(offer.load(tx), **changes))
            return _offered(tx, link)

        shown = await once(self._context, "mailbox.offer", params, mailbox_objects.MailboxOffer, change)
        await self._context.offered()
        return shown

    async def transparency(self, _params: calls.NoParams, _: Connection) -> mailbox_objects.Transparency:
        link, passphrase = self._link(), self._own is not None and needs_passphrase(self._own / "key")
        return await self._context.db.run(lambda tx: _transparency(tx, link, passphrase=passphrase))

    async def use(self, params: calls.MailboxUse, _: Connection) -> mailbox_objects.Mailboxes:
        context = self._context
        refuse_if_replaced(context.replaced_ms)
        known = await repeated(context, "mailbox.use", params, mailbox_objects.Mailboxes)
        if known is None:
            settled = await mailboxes.request(context, params.with_, auto=bool(params.auto))

            def effect(tx: Tx) -> mailbox_objects.Mailboxes:
                refuse_if_replaced(meta.load_replaced(tx))
                mailboxes.settle(tx, context, settled)
                return _shown(tx)

            if settled.failure is not None:  # no result to repeat: the next call asks again
                await context.db.run(effect)
                await mailboxes.publish(context)
                raise settled.failure
            known = await once(context, "mailbox.use", params, mailbox_objects.Mailboxes, effect)
        failure = await mailboxes.publish(context)
        if failure is not None:
            raise failure
        return known

    async def list(self, _params: calls.NoParams, _: Connection) -> mailbox_objects.Mailboxes:
        return await self._context.db.run(_shown)

    def _link(self) -> str | None:
        """With which anyone finds this node; None where it has no address that fits one."""
        network = self._context.network
        addresses = reached_at(network, LINK_ADDRESSES)
        return encode_mailbox_link(Holder(network.peer_id, addresses)) if fit_for_link(addresses) else None


def _offered(tx: Tx, link: str | None) -> mailbox_objects.MailboxOffer:
    offered, (boxes, size) = offer.load(tx), mailbox.total(tx)
    return mailbox_objects.MailboxOffer(
        for_=offered.to,
        quota=offered.quota,
        bytes=size,
        boxes=boxes,
        owners=mailbox.count(tx),
        invite=link if offered.to == "anyone" else None,
    )


def _transparency(tx: Tx, link: str | None, *, passphrase: bool) -> mailbox_objects.Transparency:
    (boxes, size), (records, records_size) = mailbox.total(tx), held.of_others(tx)
    return mailbox_objects.Transparency(
        mailboxes=[_mailbox(each) for each in mailbox.stock(tx)],
        boxes=boxes,
        bytes=size,
        records=mailbox_objects.HeldRecords(count=records, bytes=records_size),
        deleted=[_deleted(each) for each in mailbox.past(tx)],
        offer=_offered(tx, link),
        passphrase=passphrase,
        locked_reveals=locked_reveals(passphrase=passphrase),
        unlocked_reveals=unlocked_reveals(),
    )


def _mailbox(stock: Stock) -> mailbox_objects.HeldMailbox:
    return mailbox_objects.HeldMailbox(
        id=opaque_id(stock.owner),
        boxes=stock.boxes,
        bytes=stock.size,
        oldest_ms=None if stock.oldest_s is None else stock.oldest_s * 1000,
        until_ms=None if stock.until_s is None else stock.until_s * 1000,
        seen_ms=stock.seen_s * 1000,
    )


def _deleted(past: Past) -> mailbox_objects.DeletedBoxes:
    day = time.strftime("%Y-%m-%d", time.gmtime(past.day * DAY_S))
    return mailbox_objects.DeletedBoxes(day=day, why=past.why, boxes=past.boxes, bytes=past.size)


def _shown(tx: Tx) -> mailbox_objects.Mailboxes:
    return mailbox_objects.Mailboxes(
        auto=own_mailbox.auto(tx), mailboxes=[_own_mailbox(tx, each) for each in own_mailbox.everyone(tx)]
    )


def _own_mailbox(tx: Tx, row: OwnMailbox) -> mailbox_objects.Mailbox:
    contact = contacts.get(tx, row.contact) if row.contact is not None else None
    return mailbox_objects.Mailbox(
        id=bytes(row.peer).hex(),
        contact_id=contact.uid.hex() if contact is not None else None,
        name=contact.name if contact is not None else None,
        chosen=row.chosen,
        state=_state(row, tx.now_s),
        granted_ms=row.granted_s * 1000 if row.granted_s is not None else None,
        heard_ms=row.heard_s * 1000 if row.heard_s is not None else None,
        quota=row.quota,
    )


def _state(row: OwnMailbox, now_s: int) -> mailbox_objects.MailboxState:
    if row.ends_s is not None:
        return "ending"
    if row.failed_s >= limits.MAILBOX_FAILING_S:
        return "failing"
    return "granted" if row.honoured(now_s) is not None else "asked"
