"""``identity.*``: whose node this is, and how others become contacts without a number."""

from __future__ import annotations

from p2pchat.api import calls, objects
from p2pchat.control import render
from p2pchat.control.once import once
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_peer_id
from p2pchat.services import invites, verify
from p2pchat.services.context import Context
from p2pchat.store import invites as store
from p2pchat.store import receipts
from p2pchat.store.db import Tx
from p2pchat.store.invites import InviteRow


class IdentityMethods:
    """One method of the API each."""

    def __init__(self, context: Context, profile: str) -> None:
        self._context = context
        self._profile = profile

    async def show(self, _params: calls.NoParams, _: Connection) -> objects.Identity:
        return await self._context.db.run(self._shown)

    async def set(self, params: calls.IdentitySet, _: Connection) -> objects.Identity:
        def change(tx: Tx) -> objects.Identity:
            receipts.set_for_all(tx, on=params.receipts)
            return self._shown(tx)

        return await once(self._context, "identity.set", params, objects.Identity, change)

    def _shown(self, tx: Tx) -> objects.Identity:
        context = self._context
        return objects.Identity(
            profile=self._profile,
            name=context.profile.name,
            number=context.profile.number or None,
            root=context.identity.root.public.hex(),
            peer_id=format_peer_id(context.network.peer_id),
            receipts=receipts.for_all(tx) is not False,
        )

    async def qr(self, _params: calls.NoParams, _: Connection) -> objects.Qr:
        return objects.Qr(qr=verify.shown_link(self._context, None))

    async def invite(self, params: calls.IdentityInvite, _: Connection) -> objects.Invite:
        def create(tx: Tx) -> objects.Invite:
            return self._invite(invites.create(tx, self._context, params.uses, params.expires_s, ask=params.ask))

        return await once(self._context, "identity.invite", params, objects.Invite, create)

    async def invites(self, _params: calls.NoParams, _: Connection) -> objects.Invites:
        rows = await self._context.db.run(store.everyone)
        return objects.Invites(invites=[self._invite(row) for row in rows])

    async def revoke(self, params: calls.IdentityRevoke, _: Connection) -> objects.Invite:
        def revoke(tx: Tx) -> objects.Invite:
            return self._invite(invites.revoke(tx, params.id))

        return await once(self._context, "identity.revoke", params, objects.Invite, revoke)

    def _invite(self, row: InviteRow) -> objects.Invite:
        return render.invite(row, invites.link(self._context, row))
