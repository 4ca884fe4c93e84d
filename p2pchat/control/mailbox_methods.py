"""``mailbox.*``: where others leave what is for this node while it is away."""

from __future__ import annotations

from typing import Final

from p2pchat.api import calls, objects
from p2pchat.control.once import once, repeated
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.control.server import Connection
from p2pchat.services import mailboxes
from p2pchat.services.context import Context
from p2pchat.store import contacts, meta, own_mailbox
from p2pchat.store.db import Tx
from p2pchat.store.own_mailbox import OwnMailbox

_FAILING_S: Final = 600  # of silence, which a restart of the holder's node does not take


class MailboxMethods:
    """One method of the API each."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def use(self, params: calls.MailboxUse, _: Connection) -> objects.Mailboxes:
        context = self._context
        refuse_if_replaced(context.replaced_ms)
        known = await repeated(context, "mailbox.use", params, objects.Mailboxes)
        if known is None:
            settled = await mailboxes.request(context, params.with_, auto=bool(params.auto))

            def effect(tx: Tx) -> objects.Mailboxes:
                refuse_if_replaced(meta.load_replaced(tx))
                mailboxes.settle(tx, context, settled)
                return _shown(tx)

            if settled.failure is not None:  # no result to repeat: the next call asks again
                await context.db.run(effect)
                await mailboxes.publish(context)
                raise settled.failure
            known = await once(context, "mailbox.use", params, objects.Mailboxes, effect)
        failure = await mailboxes.publish(context)
        if failure is not None:
            raise failure
        return known

    async def list(self, _params: calls.NoParams, _: Connection) -> objects.Mailboxes:
        return await self._context.db.run(_shown)


def _shown(tx: Tx) -> objects.Mailboxes:
    return objects.Mailboxes(
        auto=own_mailbox.auto(tx), mailboxes=[_mailbox(tx, each) for each in own_mailbox.everyone(tx)]
    )


def _mailbox(tx: Tx, row: OwnMailbox) -> objects.Mailbox:
    contact = contacts.get(tx, row.contact) if row.contact is not None else None
    return objects.Mailbox(
        id=bytes(row.peer).hex(),
        contact_id=contact.uid.hex() if contact is not None else None,
        name=contact.name if contact is not None else None,
        chosen=row.chosen,
        state=_state(row, tx.now_s),
        granted_ms=row.granted_s * 1000 if row.granted_s is not None else None,
        heard_ms=row.heard_s * 1000 if row.heard_s is not None else None,
        quota=row.quota,
    )


def _state(row: OwnMailbox, now_s: int) -> objects.MailboxState:
    if row.ends_s is not None:
        return "ending"
    if row.failed_s >= _FAILING_S:
        return "failing"
    return "granted" if row.honoured(now_s) is not None else "asked"
