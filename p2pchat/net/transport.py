"""What the node needs of a network, as Protocols: the guarded libp2p host and the memory network both fulfil them.

Rules, the same for every implementation and proven by one suite, tests/contract:

- A peer is named by its :class:`PeerId`; a connection to an address whose key is another's is refused.
- ``read`` returns ``b""`` once at the remote's clean end; a reset or lost connection raises :class:`NetError`.
- Only :class:`NetError` (and cancellation) ever leaves these calls, whatever the library below raises.
- A handler's exception ends its stream (reset), never the node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.access import Access

Path = Literal["lan", "direct", "relayed"]
PATH_RANK: Final[dict[Path, int]] = {"lan": 2, "direct": 1, "relayed": 0}

Standing = Literal["unknown", "public", "private"]
"""Whether strangers on the internet reach this node, as far as others have confirmed or denied it. PROTOCOL.md 7.3."""

Source = Literal["mapped", "observed", "relayed"]
"""Who found an address of this node that is on none of its interfaces: the router's mapping, peers, a relay."""


class Stream(Protocol):
    """An ordered, authenticated, encrypted byte stream to one peer."""

    is_adopted: bool = False
    """It belongs to somebody who outlives its handler, whose return neither closes nor drains it: see ``adopt``."""

    def adopt(self) -> None:
        """From now on it is so."""
        self.is_adopted = True

    is_kept: bool = False
    """Its connection leads to somebody whom this node wants, and makes room for no stranger: see ``keep``."""

    def keep(self) -> None:
        """From now on it is so, as long as the connection is."""
        self.is_kept = True

    @property
    def peer(self) -> PeerId:
        """Whom the connection's handshake has authenticated."""
        ...

    @property
    def remote_host(self) -> str | None:
        """The IP literal at the other end of the connection; None when it is relayed. For quotas, never for a log."""
        ...

    @property
    def relay(self) -> bytes | None:
        """The prefix of the relay that carries the connection; None: none does. For quotas, never for a log."""
        return None

    @property
    def is_lost(self) -> bool:
        """It was reset, or its connection is gone, as far as that is known: whatever is written reaches nobody."""
        return False

    async def read(self, max_bytes: int) -> bytes:
        """Up to ``max_bytes``, at least one; ``b""`` at the remote's clean end.

        Concurrency: one reader at a time; a cancelled read loses nothing.

        Raises:
            NetError: the stream was reset or the connection is gone.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Hand ``data`` to the connection, waiting while its window is closed.

        Concurrency: writers queue. A cancelled write may leave a part behind; then later writes fail: reset the stream.

        Raises:
            NetError: the stream was reset, the connection is gone, or it stalled for ``limits.WRITE_STALL_S``.
        """
        ...

    async def close(self) -> None:
        """End the sending side cleanly; never raises NetError."""
        ...

    async def reset(self) -> None:
        """Abandon both directions; never raises NetError, never blocks for long."""
        ...


Told = Callable[[Address, str], None]
StreamHandler = Callable[[Stream], Awaitable[None]]
PeerWatcher = Callable[[PeerId, bool], None]
PathWatcher = Callable[[PeerId], None]


@dataclass(frozen=True, slots=True)
class Link:
    """One live connection, as ``net.peers`` shows it.

    ``since_s`` is on the node's clock (unix seconds); ``inbound``: the peer has begun it.
    """

    peer: PeerId
    path: Path
    since_s: float
    inbound: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """How much is under way, as ``stats.get`` shows it.

    ``inbound``, ``outbound``: direct connections, by who has made them; ``relayed``: those through relays;
    ``handshakes``: inbound, under way; ``streams``: that others have opened, by protocol.
    """

    inbound: int = 0
    outbound: int = 0
    relayed: int = 0
    handshakes: int = 0
    streams: Mapping[str, int] = field(default_factory=dict[str, int], repr=False)


class Network(Protocol):
    """A node's end of the network."""

    @property
    def peer_id(self) -> PeerId: ...

    @property
    def standing(self) -> Standing:
        """Whether others on the internet can reach this node; set by whoever has asked them."""
        ...

    @standing.setter
    def standing(self, standing: Standing) -> None: ...

    async def restrict(self, access: Access) -> None:
        """From now on ``access`` says who may come near: whom this end accepts, dials and serves, and where it tells
        others that it is. Returns when the connections that it forbids are closed, ``limits.CLOSE_S`` at most.
        """
        ...

    def addresses(self) -> tuple[Address, ...]:
        """Where others can reach this node by itself: concrete interface addresses, never 0.0.0.0 or ::, and those
        that it was told are its own; most local last.
        """
        ...

    def circuits(self) -> tuple[Address, ...]:
        """Where others can reach it through relays: addresses with a relay in them."""
        ...

    def tell(self, source: Source, addresses: Sequence[Address]) -> None:
        """From now on ``source`` knows ``addresses`` of this node, and no others."""
        ...

    def handle(self, protocol: str, handler: StreamHandler, *, public_only: bool = False) -> None:
        """Serve ``protocol``: each inbound stream runs ``handler`` in a task of its own.

        When the handler returns the stream is closed, unless it was adopted; when it raises, reset.

        Args:
            public_only: toward the internet only while others can reach this node there (PROTOCOL.md 7.3); identify
                says so too.
        """
        ...

    def unhandle(self, protocol: str) -> None:
        """Serve ``protocol`` no longer, if it was served; streams that run go on."""
        ...

    def watch(self, watcher: PeerWatcher) -> None:
        """Call ``watcher(peer, True)`` when a peer's first connection appears, ``(peer, False)`` when its last is gone.

        Concurrency: called synchronously from the node's tasks, in order; it must neither block nor raise.
        """
        ...

    def on_better_path(self, watcher: PathWatcher) -> None:
        """Call ``watcher(peer)`` when a connected peer gets a connection on a better path; as :meth:`watch`."""
        ...

    async def dial(
        self, peer: PeerId, addresses: Sequence[Address], told: Told | None = None, *, from_port: bool = False
    ) -> None:
        """Make sure that a connection to ``peer`` exists, trying all ``addresses`` staggered and in parallel.

        Args:
            told: called with every address that did not answer as the peer, and a sentence why, which holds no address.
            from_port: leave from the port on which this node listens, where it can be had: for relays, which then see
                where others could come to.

        Concurrency: several callers for one peer share one attempt, which ends when the last of them is cancelled.

        Raises:
            NetError: none of the addresses answered as ``peer`` within ``limits.DIAL_TOTAL_S``.
        """
        ...

    async def dial_unknown(self, addresses: Sequence[Address]) -> PeerId:
        """Connect to whoever answers at the first of ``addresses`` that does, all of one peer; who that is.

        Raises:
            NetError: nobody did within ``limits.DIAL_TOTAL_S``.
        """
        ...

    async def adopt(self, stream: Stream, peer: PeerId | None) -> PeerId:
        """Make a relayed connection of a stream that leads to ``peer`` through a relay, and return when it is there.

        Args:
            stream: nothing of the connection was read or written; it belongs to the connection from now on, and is
                counted no more among those of its protocol once its handler returns.
            peer: whom this node connects to; None: somebody connects to this node.

        Returns:
            Whom the handshake has authenticated.

        Raises:
            NetError: it was somebody else, or nobody; the stream is reset.
        """
        ...

    async def punch(
        self, peer: PeerId, addresses: Sequence[Address], *, leads: bool, within_s: float | None = None
    ) -> Address | None:
        """Connect to ``peer`` from the port on which this node listens, at all ``addresses`` at once, whatever
        connection there is: the other end does the same at the same moment.

        Args:
            addresses: IP addresses, which the caller has bounded in number and reach.
            leads: this node begins the handshake; the other end must not.
            within_s: ``limits.PUNCH_S`` where it is None.

        Returns:
            The address of the other end; None: a connection is there by another way.

        Raises:
            NetError: no connection has come about within ``within_s``.

        Concurrency: whoever dials ``peer`` at the same time need not wait any longer.
        """
        ...

    async def confirm(self, peer: PeerId, address: Address) -> None:
        """Make sure that ``peer`` answers at ``address``, by a connection of its own that serves for nothing else.

        Raises:
            NetError: it does not.
        """
        ...

    async def seen_by(self, peer: PeerId) -> Address | None:
        """Where others could come to, if ``peer`` tells the truth about where it sees this node; None: it tells of none
        such, or is connected through a relay.

        Raises:
            NetError: it said nothing within ``limits.STREAM_OPEN_S``, or is not connected.
        """
        ...

    def has_opened(self, host: str) -> bool:
        """Whether this node has connected to the IP literal ``host`` from the port on which it listens, since its
        network has changed: a NAT may let in whoever is there, and nobody else.
        """
        ...

    async def probe(self, peer: PeerId) -> float:
        """A round trip to ``peer`` on its best connection, in seconds.

        Raises:
            NetError: not connected, or no answer within ``limits.STREAM_OPEN_S``.
        """
        ...

    async def check(self, within_s: float) -> None:
        """The network has changed: close every connection on which nothing comes back within ``within_s``."""
        ...

    async def open(self, peer: PeerId, protocol: str) -> Stream:
        """Open a stream on an existing connection.

        Raises:
            UnsupportedProtocol: the peer is alive and does not speak ``protocol``.
            NetError: no connection, or it failed.
        """
        ...

    async def disconnect(self, peer: PeerId) -> None:
        """Close every connection to ``peer``; never raises NetError."""
        ...

    def links(self) -> tuple[Link, ...]:
        """The live connections, one row a peer."""
        ...

    def load(self) -> Load:
        """How much is under way."""
        ...

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:
        """What a connected peer says of itself: its listening addresses and the protocols it serves (identify).

        Raises:
            NetError: it said nothing within ``limits.STREAM_OPEN_S``, or is not connected.
        """
        ...
