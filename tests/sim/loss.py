"""Frames that are lost although their stream lives, as if the other end had forgotten them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from p2pchat.core.wire import Batch, Flight, Frame
from p2pchat.services.link import Link


class Loss:
    """Frames that are lost although their stream lives: those of which ``drops`` is true.

    Attributes:
        in_order: a stream that has lost an envelope carries none after it; a real one would not go on.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drops: Callable[[Link, Frame], bool] = lambda _link, _frame: False
        self.in_order = False
        self.count = 0
        broken: set[Link] = set()
        send = Link.send

        async def lossy(link: Link, frames: Sequence[Frame]) -> None:
            kept: list[Frame] = []
            for frame in frames:
                carries = isinstance(frame, Flight | Batch)
                if self.drops(link, frame) or (carries and link in broken):
                    if carries and self.in_order:
                        broken.add(link)
                else:
                    kept.append(frame)
            self.count += len(frames) - len(kept)
            if kept:
                await send(link, kept)

        monkeypatch.setattr(Link, "send", lossy)

    def first(self, number: int, kind: type[Frame]) -> None:
        """Lose the next ``number`` frames of that kind in each direction."""
        left: dict[bytes, int] = {}

        def drops(link: Link, frame: Frame) -> bool:
            to = bytes(link.stream.peer)
            if not isinstance(frame, kind) or left.setdefault(to, number) == 0:
                return False
            left[to] -= 1
            return True

        self.drops = drops

    def all(self, *kinds: type[Frame]) -> None:
        """Lose every frame of those kinds."""
        self.drops = lambda _link, frame: isinstance(frame, kinds)

    def nothing(self) -> None:
        """Lose nothing more."""
        self.drops = lambda _link, _frame: False
