"""Admission of strangers: how many may be connected, and how many may be about to.

Rules:

- A connection holds its inbound slot for its own life, not for the node's (guard 2).
- An origin is a public IPv4 address, an IPv6 /64, which one machine has whole, a private address, or a relay. Public
  origins are counted together in their prefix (/24, /48) and in the block around it (/16, /32); loopback and private
  ones are one house, which leaves a quarter of all places to the rest of the world. Each has a bound.
- At a bound, whoever comes from where fewer are displaces a stranger from where most are, of which the oldest on which
  nothing goes on goes first. On the same origin only that makes room on which nothing has gone on for a while. So a
  flood from one network, or from the house, keeps out nobody else, and who is in stays in as long as it is not one of
  too many. Whom this node wants, or uses, makes room for nobody (:class:`Worth`).
- Room is made when the handshake is done, not before: to displace somebody takes as much as to be somebody.
- Handshakes have places of their own. Who finds them taken is let in nevertheless: the oldest handshake of the origin
  that has most of them under way is given up for it. So who connects and does not go on keeps nobody out: a true
  handshake takes some milliseconds, and would have to see all places filled anew within them.
- Who is cut off and comes again, under whatever PeerID, waits, as does for some seconds who connects from there: its
  handshakes, and what is allowed to a newcomer, would be most of what a flood costs.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import trio

from p2pchat.base import limits
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net.addresses import Scope, scope_of

_ORIGINS = 4_096  # that were cut off, before those are forgotten who need not wait any more
_UNBOUNDED = 1 << 30
_LOOKS = 64  # so often it is believed that nobody makes room: to see that takes longer than all else at the door


class Worth(IntEnum):
    """What a connection is worth here; whose is worth least goes first."""

    FORGOTTEN = 0
    """A stranger's, without a stream for ``limits.YIELDS_S``."""
    IDLE = 1
    """A stranger's, without a stream."""
    BUSY = 2
    """A stranger's, which uses it."""
    WANTED = 3
    """Of a contact's node, or one on which this node has a stream of its own: a storer that it asks, a holder."""


Group = tuple[bytes, int]
"""What is counted together, and how many may be in it."""


@dataclass(eq=False, slots=True)
class InboundSlot:
    """One stranger's place. Its handshake runs in ``scope``, and then its life: it is cancelled to make room.

    ``groups``: from the origin to all; ``worth``: of the connection, once there is one.
    """

    groups: tuple[Group, ...] = field(repr=False)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    worth: Callable[[], Worth] = field(default=lambda: Worth.WANTED, repr=False)

    @property
    def origin(self) -> bytes:
        """Where it comes from."""
        return self.groups[0][0]

    def names_below(self, group: bytes) -> list[bytes] | None:
        """The groups inside of ``group`` that it is in, the widest first; None: it is not in that."""
        names = [name for name, _ in self.groups]
        return names[: names.index(group)][::-1] if group in names else None


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
        refusals: where it is counted who was not let in, or had to make room.
    """

    def __init__(self, total: int, per_origin: int, handshakes: int, refusals: Refusals | None = None) -> None:
        self._all: Group = (b"all", total)
        self._per_origin = per_origin
        self._places = handshakes
        self._refusals = refusals or Refusals()
        self._held = 0  # those who have to make room are there until they leave
        self._origins: Counter[bytes] = Counter()  # of these
        self._counts: Counter[bytes] = Counter()  # of every group, those alone who have been admitted
        self._handshakes: dict[InboundSlot, None] = {}  # oldest first
        self._admitted: dict[InboundSlot, None] = {}
        self._hopeless: dict[tuple[bytes, int], int] = {}

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._handshakes)

    def enter(self, host: str) -> InboundSlot | None:
        """Take a slot for a connection from the IP literal ``host`` that has yet to authenticate itself; None: none."""
        return self._enter(_groups_of(host, self._per_origin))

    def enter_through(self, relay: PeerId) -> InboundSlot | None:
        """As :meth:`enter`, for one that comes through ``relay``, which is an origin and bounded wherever it is."""
        return self._enter(((bytes(relay), self._per_origin),))

    def _enter(self, groups: tuple[Group, ...]) -> InboundSlot | None:
        slot = InboundSlot((*groups, self._all))
        (origin, most), *wider = slot.groups
        full = [name for name, bound in wider if self._counts[name] >= bound]
        if self._origins[origin] >= most:
            full.append(origin)
        if any(self._is_hopeless(slot, name) for name in full):
            self._refusals.note(Refusal.CONNECTION_CROWDED)
            return None
        if len(self._handshakes) >= self._places:
            self._make_room()
        self._handshakes[slot] = None
        self._held += 1
        self._origins[origin] += 1
        return slot

    def admit(self, slot: InboundSlot, worth: Callable[[], Worth] = lambda: Worth.WANTED) -> bool:
        """The handshake is done: this slot makes room for another handshake no more, and others make room for it.

        Args:
            worth: what its connection is worth, from now on.

        Returns:
            whether it may stay.
        """
        self._handshakes.pop(slot, None)
        victims: list[InboundSlot] = []
        for name, bound in slot.groups:
            if self._counts[name] - sum(each.names_below(name) is not None for each in victims) >= bound:
                victim = self._victim(slot, name)
                if victim is None:
                    self._refusals.note(Refusal.CONNECTION_CROWDED)
                    return False
                victims.append(victim)
        for victim in victims:
            self._refusals.note(Refusal.CONNECTION_DISPLACED)
            self._forget(victim)
            victim.scope.cancel()
        slot.worth = worth
        self._admitted[slot] = None
        self._counts.update(name for name, _ in slot.groups)
        self._hopeless.clear()
        return True

    def leave(self, slot: InboundSlot) -> None:
        """Give the slot back."""
        self._handshakes.pop(slot, None)
        self._forget(slot)
        self._held -= 1
        self._origins[slot.origin] -= 1
        if not self._origins[slot.origin]:
            del self._origins[slot.origin]

    def _forget(self, slot: InboundSlot) -> None:
        """It is counted among those who are in no more."""
        if slot not in self._admitted:
            return
        del self._admitted[slot]
        for name, _ in slot.groups:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
        self._hopeless.clear()

    def _victim(self, slot: InboundSlot, group: bytes) -> InboundSlot | None:
        """Who of the full ``group`` makes room for ``slot``, which is of it; None: nobody."""
        own = self._own(slot, group)
        found: tuple[list[int], int] | None = None
        victim: InboundSlot | None = None
        for each in self._admitted:
            below = each.names_below(group)
            if below is None or (worth := each.worth()) is Worth.WANTED:
                continue
            counts = [self._counts[name] for name in below]
            more = counts[0] - own if counts else 1
            if more < (1 if worth is Worth.FORGOTTEN else 2):
                continue
            if not counts and worth is not Worth.FORGOTTEN:
                continue
            rank = counts, -worth
            if found is None or rank > found:  # of equal ones the oldest
                found, victim = rank, each
        return victim

    def _own(self, slot: InboundSlot, group: bytes) -> int:
        """How many there are where ``slot`` comes from, as that is counted within ``group``."""
        below = slot.names_below(group)
        return self._counts[below[0]] if below else 0

    def _is_hopeless(self, slot: InboundSlot, group: bytes) -> bool:
        asked = group, self._own(slot, group)
        left = self._hopeless.get(asked, 0)
        if left:
            self._hopeless[asked] = left - 1
            return True
        if self._victim(slot, group) is not None:
            return False
        self._hopeless[asked] = _LOOKS
        return True

    def _make_room(self) -> None:
        counts = Counter(slot.origin for slot in self._handshakes)
        most = max(counts.values())
        oldest = next(slot for slot in self._handshakes if counts[slot.origin] == most)
        del self._handshakes[oldest]
        self._refusals.note(Refusal.HANDSHAKE_DISPLACED)
        oldest.scope.cancel()


def _groups_of(host: str, per_origin: int) -> tuple[Group, ...]:
    """What one at ``host`` is counted in, from its origin on."""
    literal = ipaddress.ip_address(host.partition("%")[0])
    ip = (literal.ipv4_mapped or literal) if isinstance(literal, ipaddress.IPv6Address) else literal
    is_4 = isinstance(ip, ipaddress.IPv4Address)
    origin, prefix, block = (ip.packed[:length] for length in ((4, 3, 2) if is_4 else (8, 6, 4)))
    if scope_of(host) is not Scope.GLOBAL:
        return (b"%d/" % ip.version + origin, _UNBOUNDED), (b"house", limits.INBOUND_HOUSE)
    return (
        (b"%d/" % ip.version + origin, per_origin),
        (b"%d/" % ip.version + prefix, limits.INBOUND_PER_PREFIX),
        (b"%d/" % ip.version + block, limits.INBOUND_PER_BLOCK),
    )
