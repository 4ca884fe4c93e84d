"""How soon a node answers while its disk is slow, beside one whose disk is not, in the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.measure import quantile
from chaos.node import Daemon

_MOST_S: Final = 2.0


@dataclass(slots=True)
class Hellos:
    """How long ``node.hello`` took, with the connection: where commits took longer, and elsewhere."""

    slow_s: list[float] = field(default_factory=list[float])
    usual_s: list[float] = field(default_factory=list[float])

    def ask(self, nodes: Sequence[Daemon]) -> None:
        """Ask those whose disks are slow, and one of the others, if there are both."""
        slow = [node for node in nodes if node.late_ms]
        others = [node for node in nodes if not node.late_ms]
        if slow and others:
            for node, found in [*((node, self.slow_s) for node in slow), (others[0], self.usual_s)]:
                if (took_s := node.hello_s(_MOST_S)) is not None:
                    found.append(took_s)

    @property
    def slow_ms(self) -> float:
        """The median; 0 where nobody was asked."""
        return quantile(self.slow_s, 0.5) * 1000 if self.slow_s else 0.0

    @property
    def usual_ms(self) -> float:
        """The median; 0 where nobody was asked."""
        return quantile(self.usual_s, 0.5) * 1000 if self.usual_s else 0.0

    def __str__(self) -> str:
        return f"node.hello takes {self.slow_ms:.0f} ms there, {self.usual_ms:.0f} ms elsewhere, at the median"
