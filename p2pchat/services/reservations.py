"""Two relays, of different networks, through which others reach a node that they cannot reach itself (PROTOCOL.md 7.2).

Rules:

- They are wanted while nobody has said that this node is reached: at once where no address of its own is global, since
  a node at home would be out of reach until somebody has tried; otherwise, as with an IPv6 address that may stand
  behind a firewall, when nobody has said so for a while. On a network without internet there are no relays.
- Those of before are asked first, so that what contacts know of this node holds when it starts anew.
- A relay is asked every 15 s whether it is there. One that is not, or refuses to go on, is replaced.
- A relay through which nobody has come for a while is doubted: it stays, and is told of, until there is another in its
  place. One that grants reservations and drops circuits keeps a node out of reach no longer. The while doubles.
- So is one whose circuits carry a moment's talk only: better than none.
- Whoever said that it is no relay, or refused, is asked again after a while only, which doubles. One that was lost
  after it has served is asked again soon, and at once when it is connected: a relay that starts anew takes seconds.
- The connection to a relay that answers no ping is closed: what has been cut for a minute carries nothing for most of
  another one after it has healed, and whoever dials takes a connection that is there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, StoreError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net import circuits, hearsay
from p2pchat.net.addresses import encode_endpoint, endpoint, is_global
from p2pchat.net.circuits import HOP, STOP, Granted
from p2pchat.net.transport import Stream
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import meta

log = structlog.get_logger()


class Reservations:
    """Those of one node key's life.

    Args:
        changed: called when this node is reached through others than before.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, changed: Callable[[], None]) -> None:
        self._context = context
        self._network = context.network
        self._changed = changed
        self._held: dict[PeerId, Granted] = {}
        self._doubted: set[PeerId] = set()
        self._proven: set[PeerId] = set()
        self._patience_s = limits.RELAY_PATIENCE_S
        self._tried: OrderedDict[PeerId, tuple[float, float]] = OrderedDict()  # until when not, and how long that was
        self._asking: set[PeerId] = set()
        self._wake = trio.Event()
        self._hoped_until = trio.current_time() + limits.RELAY_HOPE_S
        self._missed: set[PeerId] = set()  # relays that have served and were lost
        self._missed_until = 0.0
        self._gone: dict[PeerId, trio.CancelScope] = {}
        self._before: dict[PeerId, tuple[Address, ...]] = {}  # those that this node had when it ended
        self._network.watch(self._peer_changed)

    def hurry(self) -> None:
        """The network has changed: who could not be asked may be there now."""
        self._tried.clear()
        self._hoped_until = trio.current_time() + limits.RELAY_HOPE_S
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled, or at once where there are to be no relays."""
        if not self._context.reach.relays:
            return
        self._network.handle(STOP, self._stop)
        self._before = await self._load()
        async with trio.open_nursery() as nursery:
            while True:
                self._wake = trio.Event()
                if not self._is_wanted():
                    for scope in tuple(self._gone.values()):
                        scope.cancel()
                elif not self._is_enough():
                    for peer, addresses in self._candidates()[: limits.RELAYS_TRIED - len(self._asking)]:
                        self._asking.add(peer)
                        nursery.start_soon(self._ask, peer, addresses, nursery)
                with trio.move_on_after(self._pause_s()):
                    await self._wake.wait()
                    if not self._is_wanted() or self._is_enough():
                        await trio.sleep(limits.RELAY_TOGETHER_S)

    def look(self) -> None:
        """Others have said, or say no longer, that they reach this node."""
        self._wake.set()

    def _pause_s(self) -> float:
        """How long there is nothing to do, unless somebody comes or goes, of which this is told."""
        now = trio.current_time()
        if not self._is_wanted():
            return max(self._hoped_until - now, 0.0) if now < self._hoped_until else limits.RELAY_LOOK_S
        # without internet there is nobody to ask, and whoever comes is told of
        is_on_internet = any(link.path == "direct" for link in self._network.links()) or now < self._missed_until
        if self._is_enough() or not is_on_internet:
            return limits.RELAY_LOOK_S
        again = (until for until, _ in self._tried.values() if until > now)
        return min(max(min(again, default=float("inf")) - now, limits.RELAY_CHECK_S), limits.RELAY_RETRY_S)

    def _is_wanted(self) -> bool:
        if self._network.standing == "unknown" and trio.current_time() < self._hoped_until:
            return not any(map(is_global, self._network.addresses()))
        return self._network.standing != "public"

    def _peer_changed(self, peer: PeerId, connected: bool) -> None:
        if not connected and peer in self._gone:
            self._gone[peer].cancel()
        if connected and peer in self._missed:
            self._missed.discard(peer)
            self._tried.pop(peer, None)
        self._wake.set()

    async def _stop(self, stream: Stream) -> None:
        relay = stream.peer
        peer = await circuits.accept(self._network, stream, self._held.__contains__)
        if peer not in (None, relay) and relay in self._held:
            self._proven.add(relay)
            if not self._held[relay].is_scant:
                self._doubted.discard(relay)
            self._patience_s = limits.RELAY_PATIENCE_S

    # finding relays

    def _candidates(self) -> Sequence[tuple[PeerId, tuple[Address, ...]]]:
        now = trio.current_time()
        links = {link.peer: link.path for link in self._network.links()}
        connected = [(peer, ()) for peer, path in links.items() if path == "direct"]
        known = [(peer, addresses) for peer, addresses in self._context.dht.known_peers() if peer not in links]
        others = [(peer, far) for peer, addresses in known if (far := tuple(filter(is_global, addresses)))]
        rows = dict([*self._before.items(), *connected, *others])  # each once, where it stands first
        return [
            (peer, addresses)
            for peer, addresses in rows.items()
            if peer not in self._held
            and peer not in self._asking
            and self._tried.get(peer, (now, 0.0))[0] <= now
            and not (addresses and self._is_near_another(hearsay.network_to_dial(addresses)))
        ]

    async def _ask(self, peer: PeerId, addresses: Sequence[Address], nursery: trio.Nursery) -> None:
        pause_s = min(2 * self._tried.get(peer, (0.0, limits.RELAY_RETRY_S / 2))[1], limits.RELAY_RETRY_MAX_S)
        try:
            await self._network.dial(peer, addresses, from_port=True)  # it sees where others could come to
            _, protocols = await self._network.learn(peer)
            if HOP in protocols and not self._is_enough():
                granted = await circuits.reserve(self._network, peer, self._context.now())
                if self._is_gain(granted):
                    self._held[peer] = granted
                    if granted.is_scant:
                        self._doubted.add(peer)
                    nursery.start_soon(self._keep, granted)
                    self._drop_surplus()
                    self._tell()
                    await self._remember()
            if HOP in protocols and peer not in self._held and self._is_enough():
                pause_s = 0.0  # it is asked, perhaps again, as soon as one of the others is lost
        except NetError as error:
            log.debug("relay.refused", error=error.error_name)
        finally:
            self._asking.discard(peer)
            self._not_before(peer, pause_s)
            self._wake.set()

    def _not_before(self, peer: PeerId, pause_s: float) -> None:
        self._tried[peer] = trio.current_time() + pause_s, max(pause_s, limits.RELAY_RETRY_S / 2)
        self._tried.move_to_end(peer)
        if len(self._tried) > limits.RELAYS_REMEMBERED:
            self._tried.popitem(last=False)

    def _is_near_another(self, network: bytes | None) -> bool:
        trusted = [granted.host for relay, granted in self._held.items() if relay not in self._doubted]
        return network in map(hearsay.network_of, trusted)

    def _is_enough(self) -> bool:
        return len(self._held.keys() - self._doubted) >= limits.OWN_RELAYS

    def _is_gain(self, granted: Granted) -> bool:
        if self._is_enough() or self._is_near_another(hearsay.network_of(granted.host)):
            return False
        return not granted.is_scant or len(self._held) < limits.OWN_RELAYS

    def _drop_surplus(self) -> None:
        surplus = max(len(self._held) - limits.OWN_RELAYS, 0)
        for relay in [each for each in self._gone if each in self._doubted][:surplus]:
            self._gone[relay].cancel()

    async def _load(self) -> dict[PeerId, tuple[Address, ...]]:
        found: dict[PeerId, tuple[Address, ...]] = {}
        try:
            known = await self._context.db.run(meta.load_relays)
        except StoreError as error:  # a full disk voids reads, too: others are found
            log.warning("relay.store_failed", error=cause(error))
            return found
        for end in map(endpoint, known):
            if end.relay is not None:
                found[end.relay] = (*found.get(end.relay, ()), encode_endpoint(replace(end, relay=None)))
        return found

    async def _remember(self) -> None:
        told = self._network.circuits()
        try:
            await self._context.db.run(lambda tx: meta.save_relays(tx, told))
        except StoreError as error:  # the next start finds others
            log.warning("relay.store_failed", error=cause(error))

    # keeping them

    async def _keep(self, granted: Granted) -> None:
        """Until the relay is gone or refuses, or is not wanted any more."""
        relay, since = granted.relay, trio.current_time()
        with trio.CancelScope() as scope:
            self._gone[relay] = scope
            try:
                while circuits.is_reached_directly(self._network, relay):
                    renew_at = trio.current_time() + granted.life_s / 2
                    while trio.current_time() < renew_at:
                        await trio.sleep(limits.HEARTBEAT_S)
                        await self._ping(relay)
                        if relay not in self._proven | self._doubted and trio.current_time() - since > self._patience_s:
                            self._doubted.add(relay)
                            self._patience_s = min(2 * self._patience_s, limits.RELAY_PATIENCE_MAX_S)
                            self._wake.set()
                    granted = self._held[relay] = await circuits.reserve(self._network, relay, self._context.now())
                    self._tell()
            except NetError as error:
                log.info("relay.lost", error=error.error_name)
            finally:
                del self._held[relay], self._gone[relay]
                self._doubted.discard(relay)
                self._proven.discard(relay)
                has_served = trio.current_time() - since > limits.RELAY_RETRY_S
                self._not_before(relay, limits.RELAY_LOST_S if has_served else limits.RELAY_RETRY_S)
                if has_served and len(self._missed) < limits.RELAYS_REMEMBERED:
                    self._missed.add(relay)
                self._missed_until = trio.current_time() + limits.RELAY_HOPE_S
                self._tell()
                self._wake.set()

    async def _ping(self, relay: PeerId) -> None:
        try:
            await self._network.probe(relay)
        except NetError:
            await self._network.disconnect(relay)
            raise

    def _tell(self) -> None:
        """The first of each, then the second of each: who takes two takes both relays."""
        rows = zip_longest(*(granted.circuits for granted in self._held.values()))
        told = tuple(each for each in chain.from_iterable(rows) if each is not None)
        if told != self._network.circuits():
            self._network.tell("relayed", told)
            self._changed()
