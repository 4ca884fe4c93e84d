"""A connection of the memory network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from p2pchat.base.ids import PeerId
from p2pchat.net.addresses import classify
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.transport import Path
from p2pchat.testing.mempipe import Far, MemoryStream

if TYPE_CHECKING:
    from p2pchat.testing.memnet import MemoryNetwork
    from p2pchat.testing.memnode import MemoryNode

LOST: Final = "The connection is lost."
_scope: Final = lru_cache(maxsize=4_096)(classify)  # of days a third goes into reading addresses otherwise


@dataclass(eq=False)
class Connection:
    """A connection of two nodes, and the :class:`~p2pchat.testing.mempipe.Wire` of its streams.

    ``carriers``: the two ends' streams to the relay that it leads through; empty where it leads through none.
    ``served``: how many streams each end serves, or lets run out.
    """

    net: MemoryNetwork
    ends: tuple[MemoryNode, MemoryNode]
    since_s: float
    carriers: list[MemoryStream] = field(default_factory=list[MemoryStream])
    streams: list[tuple[str, MemoryStream]] = field(default_factory=list[tuple[str, MemoryStream]])
    served: Counter[PeerId] = field(default_factory=Counter[PeerId])
    is_live: bool = True

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is delivered at present."""
        return any(c.wire.is_stalled for c in self.carriers) if self.carriers else self.net.is_stalled(*self.ends)

    def delay_s(self) -> float:
        """How long the next write is under way."""
        return sum(c.wire.delay_s() for c in self.carriers) if self.carriers else self.net.delay_s()

    def wrote(self) -> None:
        """Break the connection with the network's drop rate."""
        if self.net.drops():
            self.net.break_connection(self)

    def other(self, node: MemoryNode) -> MemoryNode:
        """The end that is not ``node``."""
        return self.ends[0] if self.ends[1] is node else self.ends[1]

    def path(self, node: MemoryNode) -> Path:
        """As ``node`` sees it."""
        return "relayed" if self.carriers else _scope(self.other(node).bound)

    def host_of(self, node: MemoryNode) -> str | None:
        """The IP literal at which the other end sees ``node``."""
        return None if self.carriers else node.host

    def far(self, node: MemoryNode) -> Far:
        """``node`` as the other end sees it; one relay carries both."""
        carrier = self.carriers[0] if self.carriers else None
        relay = None if carrier is None else prefix_of(carrier.remote_host, carrier.peer)
        return Far(node.peer_id, self.host_of(node), relay)
