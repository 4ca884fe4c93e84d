"""Get into the network, and back into it whenever this node stands alone (PROTOCOL.md 7.6).

Rules:

- Asked in this order, until somebody answers: the addresses that the user has named together with nodes known from
  before, or by an invite, a few at a time; nodes of which the user's names tell; and where nobody has answered for
  ``limits.ALONE_S``, the meeting point in the public DHT, ever more rarely. The local network looks for itself.
- One attempt asks ``limits.BOOTSTRAP_WAVES`` waves of the known nodes at most, the next one others.
- That nobody answers is told where there was somebody else to ask and nobody is connected, after 1, 2, 4, 8 … tries in
  a row: a node that waits for others, as the first one does, has nothing to complain of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, StoreError
from p2pchat.base.ids import PeerId
from p2pchat.core.delivery import retry_after_s
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.peer_cache import in_order
from p2pchat.net.dnsaddr import DnsName, Entry, NodeAddress, resolved
from p2pchat.services import meeting_point, peer_cache
from p2pchat.services.changes import Change
from p2pchat.services.context import Context, Met, Tried, nobody_looks
from p2pchat.services.defects import cause
from p2pchat.services.meeting_point import Backoff
from p2pchat.store import known_peers

ALONE_CHECK_S: Final = 30.0
_PLACES: Final = 4  # of the first wave for nodes known from before; the others wait behind those whom the user named

log = structlog.get_logger()


async def join(context: Context, configured: Sequence[Entry], joined: Callable[[], None]) -> None:
    """Bootstrap from the configured nodes and those known from before, until cancelled.

    Args:
        configured: what the user has named.
        joined: called whenever a node answered while this one stood alone.
    """
    bell = _Bell()
    context.nodes_named = bell.name
    unhook = context.bus.hook(bell.hear)
    try:
        with context.changes.hooked(bell.change):
            await _until_cancelled(context, configured, joined, bell)
    finally:
        context.nodes_named = nobody_looks
        unhook()


async def _until_cancelled(
    context: Context, configured: Sequence[Entry], joined: Callable[[], None], bell: _Bell
) -> None:
    loneliness = _Loneliness(context, configured)
    tries, is_remembered = 0, False
    while True:
        pause = ALONE_CHECK_S
        if bell.has_changed():
            loneliness, tries = _Loneliness(context, configured), 0
        loneliness.first = bell.named()
        if context.dht.peers() > 0:
            if not is_remembered:  # what has just begun may be killed before its next upkeep
                await peer_cache.remember(context)
            loneliness, tries, is_remembered = _Loneliness(context, configured), 0, True
        elif await loneliness.end():
            context.health.met = loneliness.met
            loneliness, tries, is_remembered = _Loneliness(context, configured), 0, False
            joined()
        else:
            tries += loneliness.has_asked
            if loneliness.has_asked and not tries & (tries - 1) and not context.network.links():
                log.warning("bootstrap.no_node_answered", count=tries, reason=loneliness.report())
            if tries:
                pause = retry_after_s(tries, context.jitter(), context.params)
            pause = min(pause, loneliness.due_in_s())
        context.health.alone = "" if context.network.links() else loneliness.report()
        context.health.tried = loneliness.tried()
        await bell.wait(pause)


class _Bell:
    """Rings when the user has added somebody, since an invite names a node, when nodes were handed over, and when the
    network has changed.
    """

    def __init__(self) -> None:
        self._rung = trio.Event()
        self._has_changed = False
        self._named: list[NodeAddress] = []

    def has_changed(self) -> bool:
        """Whether the network has changed since this was asked."""
        changed, self._has_changed = self._has_changed, False
        return changed

    def named(self) -> list[NodeAddress]:
        """The nodes that were handed over since this was asked."""
        named, self._named = self._named, []
        return named

    def name(self, nodes: Sequence[NodeAddress]) -> None:
        self._named = list(nodes)
        self._rung.set()

    def change(self, _: Change) -> None:
        self._has_changed = True
        self._rung.set()

    def hear(self, event: DomainEvent) -> None:
        if event.kind in (EventKind.CONTACT_ADDED, EventKind.CONTACT_SOUGHT):
            self._rung.set()

    async def wait(self, at_most_s: float) -> None:
        with trio.move_on_after(at_most_s):
            await self._rung.wait()
        self._rung = trio.Event()


class _Loneliness:
    """The attempts from when a node stands alone until it does not.

    ``has_asked``: whether there was somebody to ask in the last of them; ``met``: by which way somebody answered.
    ``first``: who is asked before all others in the next one.
    """

    def __init__(self, context: Context, configured: Sequence[Entry]) -> None:
        self.has_asked = False
        self.first: list[NodeAddress] = []
        self.met: Met = ""
        self._context = context
        own = context.network.peer_id
        self._nodes = [each for each in configured if not isinstance(each, DnsName) and each[0] != own]
        self._names = [each for each in configured if isinstance(each, DnsName)]
        self._began_at = trio.current_time()
        self._backoff = Backoff(due_at=self._began_at + limits.ALONE_S)
        self._asked: set[PeerId] = set()
        self._known = 0
        self._has_looked = False

    async def end(self) -> bool:
        """One attempt; whether somebody answered."""
        self.has_asked = False
        try:
            steps: tuple[tuple[Met, Callable[[], Awaitable[bool]]], ...] = (
                ("known", self._ask_known),
                ("names", self._ask_names),
                ("public_dht", self._ask_strangers),
            )
            for way, ask in steps:
                if await ask():
                    self.met = way
                    return True
                if self._context.dht.peers() > 0:  # that one has come by itself
                    return True
        except StoreError as error:
            log.warning("bootstrap.failed", error=cause(error))
            self.has_asked = True
        return False

    def due_in_s(self) -> float:
        """In how many seconds the meeting point may be looked at; infinite where it may not."""
        if not meeting_point.may_look(self._context):
            return float("inf")
        return max(self._backoff.due_at - trio.current_time(), 1.0)

    def tried(self) -> Tried:
        """Whom all of them have asked."""
        return Tried(self._known, len(self._nodes), len(self._names), self._has_looked)

    def report(self) -> str:
        """What was tried, and what the user can do; empty where nothing was."""
        if self._context.health.proxy:
            return self._context.health.proxy
        tried = [
            *([f"{_counted(self._known)} known from before or named by an invite"] if self._known else []),
            *([f"{_counted(len(self._nodes))} named by the user"] if self._nodes else []),
            *([f"those of {len(self._names)} DNS name{'s' * (len(self._names) > 1)}"] if self._names else []),
            *(["the public DHT"] if self._has_looked else []),
        ]
        if not tried:
            return ""
        advice = "name a node that runs (`p2pchat net bootstrap ADDRESS`, which its `p2pchat net addrs` prints)"
        how = " through the proxy" if self._context.reach.proxy else ""
        return f"no other node answers{how}; asked: {', '.join(tried)}; {advice}, or add a contact by an invite"

    async def _ask_known(self) -> bool:
        own = self._context.network.peer_id
        cached = in_order([each for each in await self._context.db.run(known_peers.load) if each.peer != own])
        self._known = len(cached)
        fresh = [each for each in cached if each.peer not in self._asked]
        if not fresh:  # all were asked: from the beginning
            self._asked.clear()
            fresh = cached
        named, places = self._nodes, max(limits.BOOTSTRAP_WAVE - len(self._nodes), _PLACES)
        first = dict(self.first)
        waiting = [*self.first, *((each.peer, each.addresses) for each in fresh if each.peer not in first)]
        for _ in range(limits.BOOTSTRAP_WAVES):
            wave, waiting = waiting[:places], waiting[places:]
            self._asked.update(peer for peer, _ in wave)
            if await self._ask([*named, *wave]) or self._context.dht.peers() > 0:
                return True
            named, places = [], limits.BOOTSTRAP_WAVE
        return False

    async def _ask_names(self) -> bool:
        if not self._names:
            return False
        self.has_asked = True
        return await self._ask(await resolved(self._names, self._context.texts))

    async def _ask_strangers(self) -> bool:
        now, stranger = trio.current_time(), self._context.stranger
        if stranger is None or not meeting_point.may_look(self._context) or now < self._backoff.due_at:
            return False
        self._backoff.on_look(now)
        self.has_asked = self._has_looked = True
        try:
            found = await meeting_point.look(self._context, stranger)
        except NetError as error:
            log.info("meeting_point.unreachable", reason=error.message)
            return False
        log.info("meeting_point.looked", count=len(found))
        return await self._ask(found)

    async def _ask(self, nodes: Sequence[NodeAddress]) -> bool:
        if not nodes:
            return False
        self.has_asked = True
        try:
            count = await self._context.dht.bootstrap(nodes)
        except NetError:
            return False
        log.info("bootstrap.done", count=count)
        await peer_cache.note_failures(self._context, [peer for peer, _ in nodes])
        return True


def _counted(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
