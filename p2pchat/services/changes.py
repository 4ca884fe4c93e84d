"""News that the network around this machine has changed (PROTOCOL.md 7.7), and who wants to hear it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened: ``moved``: addresses or ways out are others; ``slept``: this machine was not awake."""

    moved: bool = False
    slept: bool = False

    def and_then(self, other: Change) -> Change:
        """Both."""
        return Change(self.moved or other.moved, self.slept or other.slept)


Hook = Callable[[Change], None]


class Changes:
    """Who wants to hear it. Told by :mod:`surroundings` alone, when connections that are dead were closed."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._hooks: list[Hook] = []

    @contextmanager
    def hooked(self, hook: Hook) -> Iterator[None]:
        """For the block: call ``hook`` on the trio thread after every change; it must not block or raise."""
        self._hooks.append(hook)
        try:
            yield
        finally:
            self._hooks.remove(hook)

    def edge(self) -> Callable[[], Awaitable[None]]:
        """A wait that ends at the next change after this call."""
        return self._event.wait

    def tell(self, change: Change) -> None:
        """There was one."""
        for hook in tuple(self._hooks):
            hook(change)
        event, self._event = self._event, trio.Event()
        event.set()
