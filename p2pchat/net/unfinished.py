"""What has come of frames that are not complete, on all streams of one protocol: bounded in bytes and in time.

Whoever may open a stream may begin a frame on it and leave it at that. Rules:

- Beyond the bound in all, the stream that has most of a frame is reset; of several, the one that began first.
- One peer has more than 64 KiB of a frame on 2 streams at a time; of another one no more is read until there is room.
- A frame that has begun is complete after 30 s of waiting for it, or its stream is reset.

Source: PROTOCOL.md 6.2.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from weakref import WeakValueDictionary

import trio

from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import UNFINISHED_LARGE, UNFINISHED_LARGE_BYTES, UNFINISHED_S


class FrameUnfinished(NetError):
    """A frame was not complete in time, or there were too many of them."""


class Unfinished:
    """Of all streams of one protocol.

    Args:
        most_bytes: of all of them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._total = 0
        self._shares: dict[Share, None] = {}  # those that hold something, in the order in which they began
        self._large: WeakValueDictionary[PeerId, trio.CapacityLimiter] = WeakValueDictionary()

    @property
    def total(self) -> int:
        """Bytes that are held."""
        return self._total

    @contextmanager
    def share(self, peer: PeerId) -> Generator[Share]:
        """That of one stream of ``peer``, which is read inside."""
        large = self._large.get(peer)
        if large is None:
            large = self._large[peer] = trio.CapacityLimiter(UNFINISHED_LARGE)
        share = Share(self, large)
        try:
            yield share
        finally:
            share.note(0)

    def changed(self, share: Share, before: int) -> None:
        """``share`` has another size than ``before``; whoever has to go for it goes."""
        self._total += share.size - before
        if share.size:
            self._shares.setdefault(share)
        else:
            self._shares.pop(share, None)
        while self._total > self._most_bytes:
            max(self._shares, key=lambda each: each.size).give_up()  # of several the first


class Share:
    """What one stream holds of a frame. Made by :meth:`Unfinished.share`.

    Attributes:
        size: bytes.
    """

    def __init__(self, pool: Unfinished, large: trio.CapacityLimiter) -> None:
        self.size = 0
        self._pool = pool
        self._large = large
        self._is_large = False
        self._is_over = False
        self._scope = trio.CancelScope()

    @contextmanager
    def waiting(self) -> Generator[trio.CancelScope]:
        """Around what may take long and can be given up at any moment.

        Raises:
            FrameUnfinished: others need the room; the stream is to be reset.
        """
        with trio.CancelScope() as self._scope:
            if self._is_over:
                self._scope.cancel()
            yield self._scope
        if self._is_over:
            raise FrameUnfinished("others needed the room of a frame")

    @contextmanager
    def reading(self, idle_s: float) -> Generator[None]:
        """Around the reading of a frame; it ends, too, where for ``idle_s`` seconds none has begun.

        Raises:
            FrameUnfinished: as :meth:`waiting`, or one has begun and was not complete in time.
        """
        with self.waiting() as scope:
            scope.deadline = trio.current_time() + (UNFINISHED_S if self.size else idle_s)
            yield
        if scope.cancelled_caught and self.size:
            raise FrameUnfinished("a frame was not complete in time")

    async def hold(self, size: int) -> None:
        """So much of a frame has come; returns when more is to be read. Concurrency: cancelling it loses nothing."""
        if size and not self.size:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + UNFINISHED_S)
        self.note(size)
        if self.size > UNFINISHED_LARGE_BYTES and not self._is_large:
            await self._large.acquire_on_behalf_of(self)
            self._is_large = True

    def note(self, size: int) -> None:
        """So much of a frame is there."""
        before, self.size = self.size, 0 if self._is_over else size
        if self._is_large and self.size <= UNFINISHED_LARGE_BYTES:
            self._is_large = False
            self._large.release_on_behalf_of(self)
        self._pool.changed(self, before)

    def give_up(self) -> None:
        """Others need the room."""
        self._is_over = True
        self._scope.cancel()
        self.note(0)
