"""Whether a stream takes what is sent to it: backpressure from the peer to whoever sends (docs/ARCHITECTURE.md)."""

from __future__ import annotations

import trio


class Room:
    """There is room until something waits that the stream cannot carry yet, and again once all of it is on its way."""

    def __init__(self) -> None:
        self._made: trio.Event | None = None  # None: there is room

    def note(self, *, crowded: bool) -> None:
        """Something waits for acks of the peer, or nothing does any more."""
        if crowded and self._made is None:
            self._made = trio.Event()
        elif not crowded and self._made is not None:
            self._made.set()
            self._made = None

    async def wait(self) -> None:
        """Until there is room."""
        if self._made is not None:
            await self._made.wait()
