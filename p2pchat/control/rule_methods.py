"""``net.allow``, ``net.deny``, ``net.forget``, ``net.rules``: who may come near."""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.api import calls, net_calls, objects
from p2pchat.control.once import once
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_peer_id
from p2pchat.services import rules as verbs
from p2pchat.services.context import Context
from p2pchat.store import contacts, rules
from p2pchat.store.db import Tx
from p2pchat.store.rules import RuleRow

_ID_BYTES = 8


def shown(tx: Tx, row: RuleRow) -> objects.Rule:
    """A rule as it is now."""
    about, contact = row.about, None
    what = about.network or ""
    if about.peer is not None:
        what = format_peer_id(about.peer)
    elif about.contact is not None:
        contact = contacts.get(tx, about.contact)
        what = "" if contact is None else contact.name
    return objects.Rule(
        id=row.id.to_bytes(_ID_BYTES, "big").hex(),
        kind=about.kind,
        what=what,
        contact_id=None if contact is None else contact.uid.hex(),
        allow=row.allow,
        made_ms=row.made_ms,
    )


class RuleMethods:
    """One method of the API each."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def allow(self, params: net_calls.NetRule, _: Connection) -> objects.Rule:
        return await self._change("net.allow", params, verbs.allow)

    async def deny(self, params: net_calls.NetRule, _: Connection) -> objects.Rule:
        return await self._change("net.deny", params, verbs.deny)

    async def forget(self, params: net_calls.NetRule, _: Connection) -> objects.Rule:
        return await self._change("net.forget", params, verbs.forget)

    async def rules(self, _params: calls.NoParams, _: Connection) -> objects.Rules:
        return await self._context.db.run(
            lambda tx: objects.Rules(rules=[shown(tx, row) for row in rules.everyone(tx)])
        )

    async def _change(
        self, method: str, params: net_calls.NetRule, verb: Callable[[Tx, Context, str], RuleRow]
    ) -> objects.Rule:
        def effect(tx: Tx) -> objects.Rule:
            return shown(tx, verb(tx, self._context, params.what))

        changed = await once(self._context, method, params, objects.Rule, effect)
        await self._context.renew_access()
        return changed
