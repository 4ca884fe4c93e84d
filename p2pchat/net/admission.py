"""Admission of strangers: how many may be connected, and how many may be about to.

Rules:

- A connection holds its inbound slot for its own life, not for the node's (guard 2).
- Handshakes have places of their own. Who finds them taken is let in nevertheless: the oldest handshake of the origin
  that has most of them under way is given up for it. So who connects and does not go on keeps nobody out: a true
  handshake takes some milliseconds, and would have to see all places filled anew within them.
- Who is cut off and comes again, under whatever PeerID, waits, and so does for some seconds who connects from there: its
  handshakes, and what is allowed to a newcomer, would be most of what a flood costs.
- A public IPv4 address is one origin, and so is an IPv6 /64, which one machine has whole. Only public origins are
  bounded in number: behind a loopback or private address may stand a router or a whole test network. A relay is an
  origin, too.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field

import trio

from p2pchat.base.ids import PeerId
from p2pchat.net.addresses import Scope, scope_of

_IP6_NETWORK_BYTES = 8
_ORIGINS = 4_096  # that were cut off, before those are forgotten who need not wait any more


@dataclass(eq=False, slots=True)
class InboundSlot:
    """One stranger's place. Its handshake runs in ``scope``, which is cancelled when it has to make room."""

    origin: bytes = field(repr=False)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Delays:
    """From when on each origin may shake hands again.

    Args:
        each_s: by how much one that was cut off delays the next ones.
        most_s: the longest that anybody waits.
    """

    def __init__(self, each_s: float, most_s: float) -> None:
        self._each_s = each_s
        self._most_s = most_s
        self._until: dict[bytes, float] = {}

    def until(self, origin: bytes) -> float:
        """The time from which on handshakes of ``origin`` may begin."""
        return self._until.get(origin, 0.0)

    def cut_off(self, origin: bytes, now: float) -> None:
        """Somebody of ``origin`` was cut off."""
        if len(self._until) >= _ORIGINS:
            self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[origin] = min(max(self.until(origin), now) + self._each_s, now + self._most_s)


class InboundGate:
    """Gives out the slots.

    Args:
        total: of connections whose handshake is done; handshakes come on top.
        per_origin: of one public origin or one relay, both kinds together.
        handshakes: under way at the same time.
    """

    def __init__(self, total: int, per_origin: int, handshakes: int) -> None:
        self._total = total
        self._per_origin = per_origin
        self._places = handshakes
        self._held = 0
        self._origins: Counter[bytes] = Counter()
        self._handshakes: dict[InboundSlot, None] = {}  # oldest first

    def enter(self, host: str) -> InboundSlot | None:
        """Take a slot for a connection from the IP literal ``host`` that has yet to authenticate itself; None: none."""
        return self._enter(_origin_of(host), is_bounded=scope_of(host) is Scope.GLOBAL)

    def enter_through(self, relay: PeerId) -> InboundSlot | None:
        """As :meth:`enter`, for one that comes through ``relay``, which is an origin and bounded wherever it is."""
        return self._enter(bytes(relay), is_bounded=True)

    def _enter(self, origin: bytes, *, is_bounded: bool) -> InboundSlot | None:
        is_crowded = is_bounded and self._origins[origin] >= self._per_origin
        if is_crowded or self._held - len(self._handshakes) >= self._total:
            return None
        if len(self._handshakes) >= self._places:
            self._make_room()
        slot = InboundSlot(origin)
        self._handshakes[slot] = None
        self._held += 1
        self._origins[origin] += 1
        return slot

    def admit(self, slot: InboundSlot) -> None:
        """The handshake is done: this slot makes room for nobody any more."""
        self._handshakes.pop(slot, None)

    def leave(self, slot: InboundSlot) -> None:
        """Give the slot back."""
        self._handshakes.pop(slot, None)
        self._held -= 1
        self._origins[slot.origin] -= 1
        if not self._origins[slot.origin]:
            del self._origins[slot.origin]

    def _make_room(self) -> None:
        counts = Counter(slot.origin for slot in self._handshakes)
        most = max(counts.values())
        oldest = next(slot for slot in self._handshakes if counts[slot.origin] == most)
        del self._handshakes[oldest]
        oldest.scope.cancel()


def _origin_of(host: str) -> bytes:
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.packed
    return ip.ipv4_mapped.packed if ip.ipv4_mapped is not None else ip.packed[:_IP6_NETWORK_BYTES]
