"""The parameters of the methods ``net.*``. Source: docs/CONTROL-API.md, "Methods"."""

from __future__ import annotations

from p2pchat.api.calls import Multiaddr, Mutation, Params, Target, invalid
from p2pchat.api.text import is_unicode


class NetDial(Params, kw_only=True, frozen=True):
    """``address``: a multiaddr that ends in ``/p2p/`` and a peer id, or ``/dnsaddr/NAME``."""

    address: Multiaddr

    def may_wait(self) -> bool:
        return True


class NetRule(Mutation, kw_only=True, frozen=True):
    """``what``: an IP address or a network in CIDR notation, a peer id, or a contact as in ``contacts.get``."""

    what: Target

    def check(self) -> None:
        if not is_unicode(self.what):
            raise invalid("what", "holds half of a surrogate pair, which is no character")
