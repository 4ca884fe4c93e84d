"""Who is connected: accepts message streams, and keeps one open toward every contact that can be reached.

- A contact's first live link makes it online, the end of its last offline.
- Of two streams with one peer the one whose opener has the lower PeerID stays: the node with the higher one ends its
  own as soon as the other has shown life (PROTOCOL.md 5.1). Until then both serve, since a repeat costs nothing.
- A stream through a relay is opened anew where a better connection has come about, and ended when that has carried a
  heartbeat.
- A node of a contact that connects, and opens no stream, is taken up.
- A failed dial is repeated after 1 s · 2ⁿ up to 10 min; a message to send or a new address tries at once.
- A contact that cannot be dialled is looked up in its presence, at once and then ever more rarely; what waits for it is
  left at its mailboxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, StoreError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.limits import NODES_PER_CONTACT
from p2pchat.core.delivery import retry_after_s
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.wire import Ack
from p2pchat.net.transport import Stream
from p2pchat.services import paths
from p2pchat.services.attempts import Attempt
from p2pchat.services.context import Context, at_once
from p2pchat.services.defects import cause
from p2pchat.services.deliver import Outgoing
from p2pchat.services.deposit import NOTHING, Depositor
from p2pchat.services.disk import patiently
from p2pchat.services.link import MSG_PROTOCOL, Link
from p2pchat.services.readings import Reader, Readings
from p2pchat.services.send import Queued
from p2pchat.store import contact_peers, contacts
from p2pchat.store.contact_peers import ContactPeer
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow

_LIVED_S: Final = 20.0  # a stream that ends sooner counts as a failure: the next dial waits longer
_OWN_STREAM_S: Final = 2.0  # for whoever connects to open a stream
_HURRY_S: Final = 2.0  # not more often than this, however many messages are queued
_PARTING: Final = {EventKind.CONTACT_REMOVED, EventKind.CONTACT_BLOCKED, EventKind.CONTACT_CHOSEN}
_BEGINNING: Final = {EventKind.CONTACT_ADDED, EventKind.CONTACT_CHOSEN, EventKind.CONTACT_UNBLOCKED}
_WAKING: Final = {
    EventKind.MESSAGE_QUEUED,
    EventKind.MESSAGE_UNHELD,
    EventKind.CONTACT_MERGED,
    EventKind.CONTACT_MATCHED,
    EventKind.CONTACT_CLAIMED,
    EventKind.CONTACT_PROOF_RESULT,
}

log = structlog.get_logger()


class Connector:
    """All links of the node.

    Args:
        parted: called with a contact whose last link has ended.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, parted: Callable[[int], None]) -> None:
        self._context = context
        self._parted = parted
        self._links: dict[int, list[Link]] = {}
        self._keepers: dict[int, trio.CancelScope] = {}
        self._hurry: dict[int, trio.Event] = {}
        self._awaited: dict[PeerId, int] = {}  # the nodes of contacts who were away at some time, and whose they are
        self._ended: dict[int, trio.Event] = {}  # set with the end of a contact's last link
        self._nursery: trio.Nursery | None = None
        self._forgotten: Counter[int] = Counter()  # how often; a stream that is about to be admitted must notice
        self._reader = Reader(context)
        self._depositor = Depositor(context, self.online)
        self._carried: set[int] = set()  # messages that were sealed at once: nobody needs to look for them

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve ``/p2pchat/msg/1`` and keep the contacts connected, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            unhook = self._context.bus.hook(self._news)
            unwake = self._context.bus.on_wake(self.hurry)
            self._context.db.finish_with(self._seal_at_once)
            self._context.network.handle(MSG_PROTOCOL, self._inbound)
            self._context.network.watch(self._peer_came)
            self._context.network.on_better_path(self._path_came)
            self._context.has_room = self.has_room
            try:
                for row in await patiently(self._context, lambda tx: contacts.everyone(tx)):
                    if row.state != "blocked":
                        self._keep(row.id)
                task_status.started()
                await trio.sleep_forever()
            finally:
                unhook()
                unwake()
                self._nursery = None
                self._context.db.finish_with(None)
                self._context.has_room = at_once

    def online(self, contact: int) -> bool:
        """Whether a live stream to ``contact`` exists."""
        return bool(self._links.get(contact))

    async def has_room(self, contact: int) -> None:
        """Wait while ``contact`` takes less than is sent to it; not for one that is away."""
        for link in self._links.get(contact, ())[:1]:
            await link.room.wait()

    def hurry(self, contact: int) -> None:
        """There is a new reason to reach ``contact``: an address, or something to send."""
        self._hurry.setdefault(contact, trio.Event()).set()
        self._wake(contact)

    def hurry_all(self) -> None:
        """This node is in the network again: whoever was out of reach may not be any more."""
        self._depositor.hurry()
        for contact in [each for each in self._keepers if not self.online(each)]:
            self.hurry(contact)

    async def acknowledge(self, contact: int, ack: Ack) -> bool:
        """Send ``ack`` on a stream with ``contact``; whether one was open that took it."""
        for link in self._links.get(contact, ())[:1]:
            with suppress(NetError):  # the stream has ended: the contact repeats what it misses
                await link.send([ack])
                return True
        return False

    def _wake(self, contact: int) -> None:
        for link in self._links.get(contact, ()):
            link.wake()

    def wake_all(self) -> None:
        """Something may wait for everybody."""
        for contact in self._links:
            self._wake(contact)

    def _news(self, event: DomainEvent) -> None:
        if event.contact is None:
            return
        if event.kind in _PARTING:
            self._forget(event.contact)
        if event.kind is EventKind.CONTACT_KEY_CHANGED:
            for link in self._links.get(event.contact, ()):
                link.compare_device()
        if event.kind in _BEGINNING:
            self._keep(event.contact)
        elif event.kind in _WAKING and not (event.kind is EventKind.MESSAGE_QUEUED and event.subject in self._carried):
            self.hurry(event.contact)
        elif event.kind is EventKind.MESSAGE_READ:
            self._wake(event.contact)  # a receipt is no reason to dial

    def _seal_at_once(self, tx: Tx, left: list[object]) -> Callable[[], None] | None:
        """What was queued in this transaction is sealed in it, too, for a stream that is open.

        Concurrency: runs on the store's thread, and only reads what is here.
        """
        queued: dict[int, list[MessageRow]] = {}
        for each in left:
            if isinstance(each, Queued):
                queued.setdefault(each.contact, []).extend(each.rows)
        sealed: list[tuple[int, Link, Outgoing | None]] = []
        carried: set[int] = set()
        for contact, rows in queued.items():
            for link in self._links.get(contact, ())[:1]:
                outgoing = link.seal_queued(tx, contact, rows)
                sealed.append((contact, link, outgoing))
                carried.update(row.id for row in rows if outgoing is not None)

        def hand_over() -> None:
            self._carried = carried
            for contact, link, outgoing in sealed:
                if outgoing is None:
                    link.room.note(crowded=True)
                else:
                    link.hand(outgoing)
                    self._wake_other_nodes(contact, link)

        return hand_over

    def _wake_other_nodes(self, contact: int, carrier: Link) -> None:
        """What ``carrier`` is given goes on the streams of the contact's other nodes, too: one may be a device that was
        replaced, and opens nothing."""
        for link in self._links.get(contact, ()):
            if link.stream.peer != carrier.stream.peer:
                link.wake()

    def _keep(self, contact: int) -> None:
        if self._nursery is not None and contact not in self._keepers:
            scope = self._keepers[contact] = trio.CancelScope()
            self._nursery.start_soon(self._keeper, contact, scope)

    def _forget(self, contact: int) -> None:
        self._forgotten[contact] += 1
        self._hurry.pop(contact, None)
        self._ended.pop(contact, None)
        self._context.attempts.forget(contact)
        self._depositor.forget(contact)
        self._keepers.pop(contact, trio.CancelScope()).cancel()
        for link in self._links.pop(contact, []):
            if self._nursery is not None:
                self._nursery.start_soon(link.bye)
        self._parted(contact)

    async def _inbound(self, stream: Stream) -> None:
        await self._live(Link(self._context, stream, outbound=False))

    async def _keeper(self, contact: int, scope: trio.CancelScope) -> None:
        """One contact's outbound side: connect when there is no link, wait while there is one."""
        tries = 0
        readings = Readings()
        with scope:
            while True:
                hurry = self._hurry[contact] = trio.Event()
                if self.online(contact):
                    readings = Readings()  # whoever was here, wherever it came from, is looked for anew
                await self._until_offline(contact)
                started = trio.current_time()
                peers = await self._peers(contact)
                self._awaited.update((row.peer, contact) for row in peers)
                reachable = [row for row in peers if row.addresses]
                self._context.attempts.again(contact, None)
                lived_s = [await self._try(row) for row in reachable]
                tries = 0 if any(s is not None and s >= _LIVED_S for s in lived_s) else tries + 1
                left = NOTHING
                if any(s is not None for s in lived_s):
                    readings = Readings()
                elif readings.due and await self._reader.seek(contact, readings):
                    continue
                else:
                    left = await self._depositor.deposit(contact)
                if left.refused:
                    readings.hurry()  # the tokens may be others by now
                pause = retry_after_s(tries, self._context.jitter(), self._context.params) if peers else float("inf")
                pause = min(pause, readings.due_after(), left.again_s)
                if pause != float("inf"):
                    self._context.attempts.again(contact, self._now_ms() + int(pause * 1000))
                with trio.move_on_after(pause):
                    await hurry.wait()
                    readings.hurry()
                    if reachable:
                        await trio.sleep_until(started + _HURRY_S)

    async def _peers(self, contact: int) -> list[ContactPeer]:
        return await patiently(self._context, lambda tx: contact_peers.of_contact(tx, contact))

    async def _until_offline(self, contact: int) -> None:
        if not self.online(contact):
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reader.follow, contact)
            while self.online(contact):  # not by the bus: each of a hundred contacts would wake for the news of all
                await self._ended.setdefault(contact, trio.Event()).wait()
            nursery.cancel_scope.cancel()

    async def _try(self, row: ContactPeer) -> float | None:
        """Dial a contact's node and live the stream to its end: for how many seconds; None if it cannot be dialled."""
        try:
            await self._context.network.dial(row.peer, row.addresses, partial(self._note, row.contact))
        except NetError as error:
            log.debug("dial.failed", error=error.error_name)
            return None
        try:
            stream = await self._context.network.open(row.peer, MSG_PROTOCOL)
        except NetError as error:
            log.debug("dial.failed", error=error.error_name)
            self._note(row.contact, None, error.message)
            return None
        began = trio.current_time()
        await self._live(Link(self._context, stream, outbound=True))
        return trio.current_time() - began

    def _note(self, contact: int, address: Address | None, why: str) -> None:
        self._context.attempts.failed(contact, Attempt(self._now_ms(), address, why))

    def _now_ms(self) -> int:
        return int(self._context.now() * 1000)

    def _peer_came(self, peer: PeerId, connected: bool) -> None:
        contact = self._awaited.get(peer)
        if connected and contact is not None and self._nursery is not None:
            self._nursery.start_soon(self._take_up, contact)

    async def _take_up(self, contact: int) -> None:
        """A node of ``contact`` is connected, by whatever way: its keeper need not wait for its next dial."""
        await trio.sleep(_OWN_STREAM_S)
        if contact in self._keepers and not self.online(contact):
            self.hurry(contact)

    def _path_came(self, peer: PeerId) -> None:
        for link in [each for links in self._links.values() for each in links if each.stream.peer == peer]:
            self._move_if_better(link)

    def _move_if_better(self, link: Link) -> None:
        if paths.should_move(self._context.network, link):
            self.met(link.stream.peer)

    def met(self, peer: PeerId) -> None:
        """A contact's node is connected without a relay: what its keeper does meanwhile may take long."""
        if self._nursery is not None:
            self._nursery.start_soon(self._move, peer)

    async def _move(self, peer: PeerId) -> None:
        """Live a stream with ``peer`` on its best connection; one through a relay ends when it has proven itself."""
        try:
            stream = await self._context.network.open(peer, MSG_PROTOCOL)
        except NetError as error:
            log.debug("move.failed", error=error.error_name)
            return
        link = Link(self._context, stream, outbound=True)
        if link.is_relayed:
            await stream.reset()  # the better connection has gone again
            return
        await self._live(link, prove=True)

    async def _live(self, link: Link, *, prove: bool = False) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._admit, link, prove)
                await link.run()
                nursery.cancel_scope.cancel()
            await self._seen(link)
        finally:
            self._dismiss(link)

    async def _admit(self, link: Link, prove: bool) -> None:
        await link.ready.wait()
        await link.known.wait()  # a stranger becomes known by a first flight, or never
        assert link.contact is not None  # noqa: S101  that is what known means
        if not await self._is_theirs(link, link.contact):
            await link.bye()
            return
        links = self._links.setdefault(link.contact, [])
        if links:
            link.go_on_for(links[0])
        links.insert(0, link)
        link.wake()  # what was queued since its pump looked has found it in no table
        if len(links) == 1:
            self._context.bus.transient(DomainEvent(EventKind.PEER_ONLINE, link.contact, contact=link.contact))
        await self._end_superfluous(link.contact)
        await self._seen(link)
        self._move_if_better(link)
        if prove:
            with suppress(NetError):  # its end is noticed where it is read
                await link.prove()
        await link.proven.wait()
        await self._end_superfluous(link.contact)

    async def _end_superfluous(self, contact: int) -> None:
        for link in paths.superfluous(self._context.network.peer_id, self._links.get(contact, ())):
            await link.bye()

    async def _is_theirs(self, link: Link, contact: int) -> bool:
        """Whether the contact still has that node: it may have been removed, or another chosen, since it was found."""
        while True:
            count = self._forgotten[contact]
            rows = await self._peers(contact)
            if count == self._forgotten[contact]:
                # a node beyond the bound is not written down; whoever was forgotten has none left
                return len(rows) >= NODES_PER_CONTACT or any(row.peer == link.stream.peer for row in rows)

    async def _seen(self, link: Link) -> None:
        """Note when the contact was last heard."""
        contact = link.contact
        if contact is None:
            return
        ago_ms = int((trio.current_time() - link.heard) * 1000)
        try:
            await self._context.db.run(lambda tx: contacts.seen(tx, contact, tx.now_ms - ago_ms))
        except StoreError as error:  # a full disk: the connection is worth more than the time
            log.warning("connect.store_failed", error=cause(error))

    def _dismiss(self, link: Link) -> None:
        if link.contact is None:
            return
        links = self._links.get(link.contact, [])
        if link in links:
            links.remove(link)
            link.room.note(crowded=False)  # what was handed over since it ended waits for no room of its
            for other in links:
                other.wake()  # it repeats what the ended stream had not settled
            if not links:
                self._links.pop(link.contact, None)
                self._ended.pop(link.contact, trio.Event()).set()
                self._parted(link.contact)
                self._context.bus.transient(DomainEvent(EventKind.PEER_OFFLINE, link.contact, contact=link.contact))
