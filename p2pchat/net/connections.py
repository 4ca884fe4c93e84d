"""The live connections of a host: whom they lead to, which one is used, and who is told of it.

Rules:

- Several connections to one peer may exist (both dialled at once, or a new one while an old one is not known dead). The
  best path is used, among equals the newest; beyond ``limits.CONNECTIONS_PER_PEER`` the oldest is closed.
- Of those that this node has made, and that carry nothing, ``limits.OUTBOUND_IDLE`` are kept.
- A connection is closed by closing its socket: the muxer's read loop cleans up behind. Upstream's own close writes a
  frame first, so that a peer who takes nothing can hold it, and sleeps 0.2 s (guard 18).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import trio

from p2pchat.base import limits
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net.addresses import classify, from_socket
from p2pchat.net.admission import Worth
from p2pchat.net.guard import GuardedYamux
from p2pchat.net.transport import PATH_RANK, Link, Load, Path, PathWatcher, PeerWatcher


@dataclass(eq=False, slots=True)
class Connection:
    """One of them. ``order`` counts them up; ``inbound_streams`` are in negotiation or served."""

    mux: GuardedYamux
    peer: PeerId
    path: Path
    since_s: float
    order: int
    inbound_streams: int = 0


@dataclass(slots=True)
class PeerConnections:
    """All connections to one peer, oldest first, and how many streams of each protocol are served on them together."""

    connections: list[Connection] = field(default_factory=list[Connection])
    serving: Counter[str] = field(default_factory=Counter[str])

    def best_first(self) -> list[Connection]:
        """Those that are not known dead."""
        alive = [c for c in self.connections if not c.mux.lost]
        return sorted(alive, key=lambda c: (PATH_RANK[c.path], c.order), reverse=True)


class Connections:
    """The table.

    Args:
        nursery: where each connection is attended to.
        now: the node's clock in unix seconds.
        refusals: where it is counted what was closed.
    """

    def __init__(self, nursery: trio.Nursery, now: Callable[[], float], refusals: Refusals | None = None) -> None:
        self._nursery = nursery
        self._refusals = refusals or Refusals()
        self._now = now
        self._peers: dict[PeerId, PeerConnections] = {}
        self._count = 0
        self.watchers: list[PeerWatcher] = []
        self.path_watchers: list[PathWatcher] = []

    def register(self, mux: GuardedYamux) -> tuple[PeerConnections, Connection] | None:
        """Enter a connection, or find it; None if it has ended."""
        if mux.lost:
            return None
        peer = PeerId(mux.peer_id.to_bytes())
        entry = self._peers.setdefault(peer, PeerConnections())
        known = next((c for c in entry.connections if c.mux is mux), None)
        if known is not None:
            return entry, known
        self._count += 1
        connection = Connection(mux, peer, _path(mux), self._now(), self._count)
        best = max((PATH_RANK[c.path] for c in entry.connections), default=None)
        entry.connections.append(connection)
        self._nursery.start_soon(self._attend, entry, connection, name="connection")
        if best is None:
            self._tell(peer, True)
        elif PATH_RANK[connection.path] > best:
            for watcher in self.path_watchers:
                watcher(peer)
        return entry, connection

    def alive(self, peer: PeerId) -> list[Connection]:
        """The connections to ``peer``, best first."""
        entry = self._peers.get(peer)
        return [] if entry is None else entry.best_first()

    def has_opened_another(self, mux: GuardedYamux) -> bool:
        """Whether this node has opened another connection to the peer of ``mux``, and it is as good.

        Of connections that both have opened at once each node would count the other's, and both would go.
        """
        connections = self.alive(PeerId(mux.peer_id.to_bytes()))
        ranks = [PATH_RANK[c.path] for c in connections if c.mux is not mux and c.mux.is_initiator]
        return bool(ranks) and max(ranks) >= PATH_RANK[_path(mux)]

    def links(self) -> tuple[Link, ...]:
        """The best connection of each peer."""
        best = [entry.best_first()[:1] for entry in self._peers.values()]
        return tuple(Link(c.peer, c.path, c.since_s, not c.mux.is_initiator_value) for row in best for c in row)

    def load(self, handshakes: int) -> Load:
        """How much is under way, beside so many handshakes."""
        direct = Counter(c.mux.is_initiator_value for c in self.all() if c.path != "relayed")
        relayed = sum(c.path == "relayed" for c in self.all())
        streams = Counter[str]()
        for entry in self._peers.values():
            streams.update(entry.serving)
        return Load(direct[False], direct[True], relayed, handshakes, +streams)

    def all(self) -> list[Connection]:
        """Every connection, dying ones too."""
        return [c for entry in self._peers.values() for c in entry.connections]

    async def close_surplus(self, own: PeerId) -> None:
        """Close what is one too many, until cancelled; of each two nodes the one with the lower PeerID does.

        Source: PROTOCOL.md 7.1.
        """
        while True:
            await trio.sleep(limits.SURPLUS_CHECK_S)
            for connection in self.all():
                mux = connection.mux
                mux.idle_s = 0.0 if mux.streams else mux.idle_s + limits.SURPLUS_CHECK_S
            for peer, entry in tuple(self._peers.items()):
                for connection in entry.best_first()[1:] if own < peer else ():
                    if connection.mux.idle_s > limits.SURPLUS_S:
                        await connection.mux.abort()
            await self._close_unused()

    async def _close_unused(self) -> None:
        """Close the longest idle of those that this node has made, where there are too many."""
        muxes = [c.mux for c in self.all() if c.mux.is_initiator_value and not c.mux.lost]
        made = sorted(
            (mux for mux in muxes if worth_of(mux) is Worth.FORGOTTEN), key=lambda mux: mux.idle_s, reverse=True
        )
        for mux in made[: max(len(made) - limits.OUTBOUND_IDLE, 0)]:
            self._refusals.note(Refusal.CONNECTION_UNUSED)
            await mux.abort()

    async def _attend(self, entry: PeerConnections, connection: Connection) -> None:
        """Keep count of a connection until it ends; its arrival may push out the oldest."""
        for old in entry.connections[: -limits.CONNECTIONS_PER_PEER]:
            self._refusals.note(Refusal.CONNECTION_SURPLUS)
            await old.mux.abort()
        await connection.mux.event_closed.wait()
        entry.connections.remove(connection)
        if not entry.connections:
            del self._peers[connection.peer]
            self._tell(connection.peer, False)

    def _tell(self, peer: PeerId, connected: bool) -> None:
        for watcher in self.watchers:
            watcher(peer, connected)


async def abort(connections: Iterable[Connection]) -> None:
    """Close connections, all at once, and wait for their end, ``limits.CLOSE_S`` at most."""
    muxes = [c.mux for c in connections]
    with trio.move_on_after(limits.CLOSE_S) as scope:
        scope.shield = True
        for mux in muxes:
            await mux.abort()
        for mux in muxes:
            await mux.event_closed.wait()


def worth_of(mux: GuardedYamux) -> Worth:
    """What a connection is worth to this node now."""
    if mux.is_kept or mux.has_own_streams:
        return Worth.WANTED
    if mux.streams:
        return Worth.BUSY
    return Worth.FORGOTTEN if mux.idle_s >= limits.YIELDS_S else Worth.IDLE


def _path(mux: GuardedYamux) -> Path:
    remote = mux.get_remote_address()
    if remote is None:
        return "relayed"
    try:
        return classify(from_socket(*remote))
    except ValueError:
        return "direct"  # a name, which a proxy has resolved
