"""What the streams of one holder share: who waits for a box, what is to be told, and who may do what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

import trio

from p2pchat.base.ids import PeerId
from p2pchat.base.limits import MAILBOX_UNFINISHED_BYTES
from p2pchat.core import codec
from p2pchat.core.crypto import KeyPair, blake2b_plain
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.net.unfinished import Unfinished
from p2pchat.services.context import Context
from p2pchat.services.depositors import Depositors
from p2pchat.services.mailbox_charges import MailboxCharges

_TOLD_AT_ONCE: Final = 64
_TELL_EVERY_S: Final = 1.0

_told: Final = codec.Decoder[tuple[str, int, int]](tuple[str, int, int], 256)


def opaque_id(owner: bytes) -> str:
    """By what this node's own user may tell a mailbox from others: 16 hex digits, of its owner's key (32 bytes)."""
    return blake2b_plain(owner, 8).hex()


def open_told(detail: bytes) -> tuple[str, int, int]:
    """Of an event about a mailbox: its opaque id, how many boxes, and their bytes."""
    return _told.decode(detail)


class Arrivals:
    """Waiting for a box, edge-triggered: take :meth:`edge` first, look, then wait on it."""

    def __init__(self) -> None:
        self._events: WeakValueDictionary[bytes, trio.Event] = WeakValueDictionary()

    def edge(self, owner: bytes) -> Callable[[], Awaitable[None]]:
        """A wait that ends at the next box in the mailbox of ``owner`` after this call."""
        event = self._events.get(owner)
        if event is None:
            event = self._events[owner] = trio.Event()
        return event.wait

    def ring(self, owner: bytes) -> None:
        """A box for ``owner`` is committed."""
        event = self._events.pop(owner, None)
        if event is not None:
            event.set()


class Tally:
    """What happened to each mailbox, told together once a second: it may be a thousand times a second."""

    def __init__(self, context: Context) -> None:
        self._bus = context.bus
        self._counts: dict[tuple[EventKind, bytes], tuple[int, int]] = {}
        self._some = trio.Event()

    def note(self, kind: EventKind, owner: bytes, boxes: int, size: int) -> None:
        """So many boxes with ``size`` bytes in all."""
        before = self._counts.get((kind, owner), (0, 0))
        self._counts[kind, owner] = before[0] + boxes, before[1] + size
        self._some.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._some.wait()
            self._tell()
            await trio.sleep(_TELL_EVERY_S)

    def _tell(self) -> None:
        for kind, owner in list(self._counts)[:_TOLD_AT_ONCE]:
            boxes, size = self._counts.pop((kind, owner))
            self._bus.transient(DomainEvent(kind, detail=codec.encode((opaque_id(owner), boxes, size))))
        if not self._counts:
            self._some = trio.Event()


def _unchanged(_: Iterable[int]) -> None:
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one life of the node.

    Attributes:
        own: its PeerID.
        pair: its node key, with which it signs custody.
        changed: called when boxes came, with the unix seconds at which they expire, or went, with none.
        unfinished: requests that are not complete.
    """

    context: Context
    own: PeerId
    pair: KeyPair = field(repr=False)
    charges: MailboxCharges = field(repr=False)
    tally: Tally = field(repr=False)
    arrivals: Arrivals = field(default_factory=Arrivals, repr=False)
    depositors: Depositors = field(default_factory=Depositors, repr=False)
    changed: Callable[[Iterable[int]], None] = _unchanged
    unfinished: Unfinished = field(default_factory=lambda: Unfinished(MAILBOX_UNFINISHED_BYTES), repr=False)
