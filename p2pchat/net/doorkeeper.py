"""Keeps to :class:`~p2pchat.core.access.Access` wherever an end of the network meets others.

Rules:

- Asked when somebody connects (where from), after the handshake (who), before this node dials, about addresses that
  peers tell, and about each stream that they open.
- Whom the rules keep away is told nothing: the connection ends, or the protocol is one that is not served.
- What is refused to peers is counted; what is not dialled is told to whoever wanted it, in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.access import Access
from p2pchat.net.addresses import Endpoint, endpoint
from p2pchat.net.transport import Told

_NOT_ALLOWED: Final = "The rules or the mode of this node do not allow it."


class Doorkeeper:
    """That of one end of the network.

    Args:
        refusals: where it is counted who was refused.

    ``access``: as it stands.
    """

    def __init__(self, access: Access, refusals: Refusals) -> None:
        self.access = access
        self._refusals = refusals

    def lets_in(self, host: str) -> bool:
        """Whether somebody who has connected from the IP literal ``host`` may shake hands."""
        return self._counted(Refusal.CONNECTION_DENIED, self.access.may_come(host))

    def lets_stay(self, peer: PeerId, host: str | None) -> bool:
        """Whether ``peer``, which has shown its key, may be connected; ``host`` None: through a relay."""
        return self._counted(Refusal.CONNECTION_DENIED, self.access.may_meet(peer, host))

    def serves(self, peer: PeerId, host: str | None, protocol: str) -> bool:
        """Whether a stream of ``peer`` may be of ``protocol``, which this node serves."""
        return self._counted(Refusal.STREAM_DENIED, self.access.serves(peer, host, protocol))

    def check_relayed(self, peer: PeerId | None) -> None:
        """Raises: NetError: there is to be no connection through relays, or none to ``peer``; None: to somebody."""
        allowed = self.access.relays if peer is None else self.access.may_meet(peer, None)
        if not allowed:
            raise NetError(_NOT_ALLOWED)

    def check_dial(self, peer: PeerId | None, end: Endpoint) -> None:
        """Raises: NetError: ``end`` is not to be dialled; ``peer`` None: whoever answers there. A name is looked at
        again, by :meth:`check_host`, when it is resolved.
        """
        if end.relay is not None:
            self.check_relayed(peer)
        elif end.kind in ("ip4", "ip6"):
            self.check_host(peer, end.host)
        elif not self.access.resolves_names:
            raise NetError(_NOT_ALLOWED)

    def check_host(self, peer: PeerId | None, host: str) -> None:
        """Raises: NetError: ``peer`` is not to be dialled at the IP literal ``host``."""
        if not self.access.may_dial(peer, host):
            raise NetError(_NOT_ALLOWED)

    def permitted(self, peer: PeerId, addresses: Iterable[Address], told: Told | None = None) -> tuple[Address, ...]:
        """The addresses at which ``peer`` may be dialled; of the others ``told`` is told.

        Raises:
            NetError: there are some, and none of them is.
        """
        known = tuple(addresses)
        if self.access.lets_all:  # as a rule: nothing is read to be compared with nothing
            return known
        fit = tuple(address for address in known if self._is_permitted(peer, address))
        for address in known if told is not None and len(fit) < len(known) else ():
            if address not in fit and told is not None:
                told(address, _NOT_ALLOWED)
        if known and not fit:
            raise NetError(_NOT_ALLOWED)
        return fit

    def learnt(self, peer: PeerId, addresses: Sequence[Address]) -> tuple[Address, ...]:
        """What ``peer`` says of itself, without what it may not be dialled at."""
        if self.access.lets_all:
            return tuple(addresses)
        return tuple(address for address in addresses if self._is_permitted(peer, address))

    def shown(self, addresses: Iterable[Address]) -> tuple[Address, ...]:
        """Of this node's own addresses those that others are told of."""
        if self.access.mode != "lan":
            return tuple(addresses)
        return tuple(address for address in addresses if self.access.is_told(endpoint(address).host))

    def _is_permitted(self, peer: PeerId, address: Address) -> bool:
        try:
            self.check_dial(peer, endpoint(address))
        except NetError:
            return False
        return True

    def _counted(self, kind: Refusal, allowed: bool) -> bool:
        if not allowed:
            self._refusals.note(kind)
        return allowed
