"""What every service is given: the node's ports, its identity, and the news between services."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import trio

from p2pchat.base.errors import NetError
from p2pchat.core.access import Access, Mode
from p2pchat.core.crypto import Entropy
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.keys import Identity
from p2pchat.core.params import PRODUCTION, Params
from p2pchat.net.dht import Dht
from p2pchat.net.dnsaddr import Entry, NodeAddress, Texts
from p2pchat.net.transport import Network
from p2pchat.services.attempts import Attempts
from p2pchat.services.changes import Changes
from p2pchat.services.charges import Charges
from p2pchat.services.config import RelayOffer
from p2pchat.store.db import Database, Tx
from p2pchat.store.meta import Profile

_TRANSIENT_KEPT: Final = 256


class Miner(Protocol):
    """Proof of work, outside this process: it would hold the interpreter lock."""

    async def mine(self, digest: bytes, bits: int) -> bytes:
        """An 8-byte nonce with at least ``bits`` leading zero bits over ``digest``. Source: PROTOCOL.md 3.2."""
        ...


class Deriver(Protocol):
    """Roots of pairs, outside this process: half a second and 256 MiB each."""

    async def derive(self, own: str, other: str, era: int) -> bytes:
        """The 32-byte root R of two numbers in an era. Source: PROTOCOL.md 3.1.

        Raises:
            InternalError: not now.
        """
        ...


class Bus:
    """News within the process: what was committed, and what is not stored at all (presence, progress).

    Waiting is edge-triggered: take :meth:`edge` first, look at the state, then wait on it.
    """

    def __init__(self) -> None:
        self._event = trio.Event()
        self._hooks: list[Callable[[DomainEvent], None]] = []
        self._wakers: list[Callable[[int], None]] = []
        self._transient: deque[tuple[int, DomainEvent]] = deque(maxlen=_TRANSIENT_KEPT)
        self._count = 0

    def hook(self, hook: Callable[[DomainEvent], None]) -> Callable[[], None]:
        """Call ``hook`` on the trio thread for every committed event; it must not block or raise.

        Returns:
            What ends that.
        """
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def on_wake(self, waker: Callable[[int], None]) -> Callable[[], None]:
        """Call ``waker`` with each contact for which something waits that no event tells of; as :meth:`hook`."""
        self._wakers.append(waker)
        return lambda: self._wakers.remove(waker)

    def wake(self, contact: int) -> None:
        """A notice was committed for ``contact``."""
        for waker in tuple(self._wakers):
            waker(contact)

    def committed(self, events: list[DomainEvent]) -> None:
        """The database's listener."""
        for event in events:
            for hook in tuple(self._hooks):
                hook(event)
        self._ring()

    def transient(self, event: DomainEvent) -> None:
        """Tell of something that is not stored."""
        self._count += 1
        self._transient.append((self._count, event))
        self._ring()

    def transient_after(self, mark: int) -> tuple[int, list[DomainEvent]]:
        """(new mark, what was told after ``mark``); the oldest are lost to a reader that waits too long."""
        return self._count, [event for number, event in self._transient if number > mark]

    def edge(self) -> Callable[[], Awaitable[None]]:
        """A wait that ends at the next news after this call."""
        return self._event.wait

    def _ring(self) -> None:
        event, self._event = self._event, trio.Event()
        event.set()


@dataclass(frozen=True, slots=True)
class Reach:
    """What the user allows, as :class:`~p2pchat.services.config.Config` has it; here nothing that others notice.

    ``public_entry``: where the public DHT is entered; ``proxy``: whether connections leave through one, and nobody may
    learn where this node is.
    """

    lan: bool = False
    relay_offer: RelayOffer = "off"
    public_dht: bool = False
    announce: bool = False
    mapping: bool = False
    public_entry: tuple[Entry, ...] = field(default=(), repr=False)
    relay_use: bool = True
    mode: Mode = "open"
    proxy: bool = False

    @property
    def is_local(self) -> bool:
        """Whether nothing may leave the local network."""
        return self.mode == "lan"

    @property
    def relays(self) -> bool:
        """Whether this node is reached, and reaches others, through relays."""
        return self.relay_use and not self.is_local


@dataclass(frozen=True, slots=True)
class Tried:
    """Whom a node that stands alone has asked: so many known from before or named by an invite, so many that the user
    named, those of so many DNS names, and ``strangers``: those that the public DHT knows."""

    known: int = 0
    named: int = 0
    names: int = 0
    strangers: bool = False

    @property
    def anybody(self) -> bool:
        """Whether there was anybody to ask."""
        return bool(self.known or self.named or self.names or self.strangers)


Met = Literal["", "known", "names", "public_dht"]
PortMapping = Literal["off", "unneeded", "asking", "mapped", "refused"]


@dataclass(slots=True)
class Health:
    """What the node has noticed about itself.

    Attributes:
        clock_ok: other storers take our records (PROTOCOL.md 8).
        alone: in a sentence, what was tried to find other nodes, and what the user can do; empty where some are there.
        proxy: in a sentence, why the proxy cannot be used, and what the user can do; empty where it can be, or there is
            none.
        tried: the same in numbers; None until the first attempt has ended.
        met: by which way another node was found when this one last stood alone; empty: that one came by itself.
        mapping: what has become of the question for a port of the router's.
    """

    clock_ok: bool = True
    proxy: str = field(default="", repr=False)
    alone: str = field(default="", repr=False)
    tried: Tried | None = None
    met: Met = ""
    mapping: PortMapping = "off"


async def at_once(_: int) -> None:
    """There is room for a contact to whom nothing goes."""


def nobody_looks(_: Sequence[NodeAddress]) -> None:
    """No node runs that could ask anybody."""


async def nobody_holds() -> None:
    """No holder runs that would have to hear of an offer."""


async def no_names(_: str) -> list[str]:
    """No name server is asked.

    Raises:
        NetError: always.
    """
    raise NetError("No name server is asked here.")


class Stranger(Protocol):
    """Makes a node of the moment."""

    def __call__(self, *, listens: bool = False) -> AbstractAsyncContextManager[Network]:
        """A network end under a key of its own, made for the context, which listens nowhere.

        Args:
            listens: at a port of its own, after all, from which it can then leave.

        Raises:
            NetError: it cannot be had.
        """
        ...


async def keep_access() -> None:
    """No network runs in which anybody could come near."""


def forget_nodes() -> None:
    """As :func:`keep_access`."""


async def nothing_to_tell() -> bool:
    """There is no network in which anything could be told."""
    return False


@dataclass(slots=True)
class Context:
    """The node as its services see it.

    Attributes:
        profile, network, dht: of the life that the node leads now: replaced, with the node key, by :mod:`life` alone.
        identity: replaced, with the profile, by :mod:`device` alone, where it was dated by a clock that was ahead.
        replaced_ms: epoch_ms of the device that has replaced this one; from then on there is no network. Set by
            :mod:`life` alone.
        addressed: contacts for whom anything was sealed since the start.
        reach: how others are looked for, and how this node is reached.
        changes: tells when the network around this machine has changed.
        texts: the TXT records of a DNS name.
        stranger: as whom the public DHT is asked, and this node examined; None: neither is done, as in a simulation.
        box_ttl_s: for how long boxes are left at mailboxes (PROTOCOL.md 6.3).
        has_room: waits while a contact takes less than is sent to it. Set by :mod:`connect` alone.
        nodes_named: tells of nodes that were handed over: whoever stands alone asks them. Set by :mod:`join` alone.
        offered: has what the user has said of mailboxes for others, and committed, take effect. Set by :mod:`holder`
            alone.
        access: who may come near now. Set by :mod:`access` alone, as the next two.
        renew_access: the user's rules were changed; waits until they are in effect, and what they forbid is closed.
        nodes_changed: a contact may have other nodes than before; called after the commit.
        tell_mailboxes: the own mailboxes were changed; waits until the presence says so, and returns whether it does.
            Set by :mod:`collector` alone.
    """

    db: Database
    miner: Miner
    deriver: Deriver
    entropy: Entropy
    params: Params
    now: Callable[[], float]
    identity: Identity
    bus: Bus
    message_prefix: bytes
    profile: Profile = field(init=False, repr=False)
    network: Network = field(init=False, repr=False)
    dht: Dht = field(init=False, repr=False)
    health: Health = field(default_factory=Health)
    attempts: Attempts = field(default_factory=Attempts, repr=False)
    charges: Charges = field(default_factory=lambda: Charges(trio.current_time), repr=False)
    replaced_ms: int | None = None
    reach: Reach = field(default_factory=Reach)
    changes: Changes = field(default_factory=Changes, repr=False)
    texts: Texts = field(default=no_names, repr=False)
    stranger: Stranger | None = field(default=None, repr=False)
    box_ttl_s: int = PRODUCTION.mailbox_ttl_s
    addressed: set[int] = field(default_factory=set[int])
    has_room: Callable[[int], Awaitable[None]] = at_once
    nodes_named: Callable[[Sequence[NodeAddress]], None] = nobody_looks
    offered: Callable[[], Awaitable[None]] = nobody_holds
    access: Access = field(default_factory=Access, repr=False)
    renew_access: Callable[[], Awaitable[None]] = keep_access
    nodes_changed: Callable[[], None] = forget_nodes
    tell_mailboxes: Callable[[], Awaitable[bool]] = nothing_to_tell
    message_count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def message_id(self) -> bytes:
        """16 bytes, never used before: the prefix of this start ‖ u64 counter. Source: PROTOCOL.md 4.5."""
        return self.message_prefix + next(self.message_count).to_bytes(8, "big")

    def forget(self) -> None:
        """Let go of every secret: whoever still refers to this context, such as a client that reads nothing, refers to
        none of them. What it was for has ended; nothing can be done with it any more.
        """
        for name in ("db", "identity", "profile", "network", "dht"):
            if hasattr(self, name):  # the last three are there once the node lives
                delattr(self, name)

    def jitter(self) -> float:
        """A number from 0 up to 1."""
        return int.from_bytes(self.entropy.bytes(4), "big") / 2**32


def tell(tx: Tx, kind: EventKind, messages: Sequence[int], contact: int | None, *, live: bool = False) -> None:
    """Emit ``kind`` for each of a contact's messages, given by their row ids: one event for each rising run.

    Args:
        contact: None: no service has to do with them.
        live: see :class:`DomainEvent`.
    """
    if messages and messages == list(range(messages[0], messages[0] + len(messages))):  # as a rule it is one
        tx.emit(DomainEvent(kind, messages[0], contact=contact, more=len(messages) - 1, live=live))
        return
    first = 0
    for index in range(1, len(messages) + 1):
        if index == len(messages) or messages[index] != messages[index - 1] + 1:
            tx.emit(DomainEvent(kind, messages[first], contact=contact, more=index - 1 - first, live=live))
            first = index
