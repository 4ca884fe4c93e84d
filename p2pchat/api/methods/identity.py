"""``identity.*``: who this profile is, and its invites."""

from __future__ import annotations

from typing import Final

from p2pchat.api import calls, objects
from p2pchat.api.methods.spec import MethodSpec

IDENTITY: Final = {
    "identity.show": MethodSpec(calls.NoParams, objects.Identity, False, "Shows who this profile is."),
    "identity.set": MethodSpec(
        calls.IdentitySet,
        objects.Identity,
        True,
        "Sets what holds for this profile: whether read receipts are exchanged, at once, with every contact of whom "
        "`contacts.receipts` says nothing else.",
    ),
    "identity.qr": MethodSpec(
        calls.NoParams,
        objects.Qr,
        False,
        "Gives the link that others scan to verify this profile, not made for one of them.",
    ),
    "identity.invite": MethodSpec(
        calls.IdentityInvite,
        objects.Invite,
        True,
        "Makes a link with which others become contacts without a number. Whoever has the link can use it up, and "
        "learns the root key and the addresses. RATE_LIMITED where 100 invites are open.",
        errors=("RATE_LIMITED",),
    ),
    "identity.invites": MethodSpec(
        calls.NoParams, objects.Invites, False, "Lists the invites that are open or have not expired yet."
    ),
    "identity.revoke": MethodSpec(
        calls.IdentityRevoke, objects.Invite, True, "Closes an invite: it lets nobody in any more."
    ),
}
