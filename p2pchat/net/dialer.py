"""Dialling: all addresses of a peer, staggered and in parallel ("happy eyeballs"); the first to answer wins.

Rules:

- One race a peer: who dials a peer that is being dialled joins the race and may bring further addresses.
- The next address starts after ``limits.DIAL_STAGGER_S`` or as soon as an attempt has failed; each is tried once, but
  for those through a relay. A relay refuses at once whom it does not know yet, and two who start at the same moment are
  both unknown to it for a second; an address of another network is silent for as long as the race lasts. While one is,
  what was refused through a relay is tried again after ``limits.DIAL_RELAYED_AGAIN_S``.
- The race ends with the first connection, ``limits.DIAL_TOTAL_S`` after its start, when every address has failed, or
  when nobody waits for it any more. Losers are cancelled, and one that came in at the same moment is discarded.
- Nothing is remembered of a failure: backing off is the caller's.

libp2p 0.8.1 has ``dial_peer``, which tries one address a transport, sleeps 250 ms even on success, retries three times
and refuses a peer for 60 s after a failure (guards 4, 18).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import dial_order, endpoint
from p2pchat.net.transport import Told

T = TypeVar("T")


_UNREACHABLE = "None of the peer's addresses answered."
_TOO_SLOW = "It did not answer in time."


class Dialer(Generic[T]):
    """Runs the races.

    Args:
        nursery: where they run, so that a caller's cancellation does not take a race from the others.
        attempt: connect to one address and authenticate the peer; raises NetError.
        discard: close a connection that came too late to be used.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        attempt: Callable[[PeerId, Address], Awaitable[T]],
        discard: Callable[[T], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._attempt = attempt
        self._discard = discard
        self._races: dict[PeerId, _Race[T]] = {}

    async def dial(self, peer: PeerId, addresses: Sequence[Address], told: Told | None = None) -> None:
        """Return when one of ``addresses``, or of another caller's, has answered as ``peer``.

        Args:
            told: of what fails from now on.

        Raises:
            NetError: none has.
        """
        race = self._races.get(peer)
        if race is None:
            race = self._races[peer] = _Race[T](peer, self._attempt, self._discard)
            self._nursery.start_soon(self._run, race, name="dial")
        race.add(addresses)
        race.callers += 1
        if told is not None:
            race.listeners.append(told)
        try:
            await race.over.wait()
        finally:
            race.callers -= 1
            if race.callers == 0:
                race.scope.cancel()
                self._forget(race)  # the next caller starts afresh instead of joining a cancelled race
        if not race.won:
            raise NetError(_UNREACHABLE)

    def settle(self, peer: PeerId) -> None:
        """``peer`` is connected by another way: who waits for a race to it waits no longer."""
        race = self._races.get(peer)
        if race is not None:
            race.won = True
            race.scope.cancel()

    async def _run(self, race: _Race[T]) -> None:
        try:
            await race.run()
        finally:
            self._forget(race)
            race.over.set()

    def _forget(self, race: _Race[T]) -> None:
        if self._races.get(race.peer) is race:
            del self._races[race.peer]


class _Race(Generic[T]):
    def __init__(
        self,
        peer: PeerId,
        attempt: Callable[[PeerId, Address], Awaitable[T]],
        discard: Callable[[T], Awaitable[None]],
    ) -> None:
        self.peer = peer
        self.callers = 0
        self.listeners: list[Told] = []
        self.won = False
        self.over = trio.Event()
        self.scope = trio.CancelScope()
        self._attempt = attempt
        self._discard = discard
        self._tried: set[Address] = set()
        self._waiting: list[Address] = []
        self._running: set[Address] = set()
        self._change = trio.Event()

    def add(self, addresses: Sequence[Address]) -> None:
        """Bring further addresses into the race; beyond ``limits.ADDRESSES_PER_PEER`` they are ignored."""
        for address in dial_order(addresses):
            if address not in self._tried and len(self._tried) < limits.ADDRESSES_PER_PEER:
                self._tried.add(address)
                self._waiting.append(address)
        self._change.set()

    async def run(self) -> None:
        with self.scope:
            self.scope.deadline = trio.current_time() + limits.DIAL_TOTAL_S
            async with trio.open_nursery() as nursery:
                while self._waiting or self._running:
                    self._change = trio.Event()
                    if self._waiting:
                        address = self._waiting.pop(0)
                        self._running.add(address)
                        nursery.start_soon(self._one, address, name="dial one")
                    with trio.move_on_after(limits.DIAL_STAGGER_S if self._waiting else float("inf")):
                        await self._change.wait()
                nursery.cancel_scope.cancel()  # only those are left that wait for another turn
        if not self.won and self.callers:
            for address in (*self._running, *self._waiting):
                self._tell(address, _TOO_SLOW)

    def _tell(self, address: Address, why: str) -> None:
        for listener in self.listeners:
            listener(address, why)

    async def _one(self, address: Address) -> None:
        pauses_s = iter(limits.DIAL_RELAYED_AGAIN_S if endpoint(address).relay is not None else ())
        while True:
            try:
                connection = await self._attempt(self.peer, address)
            except NetError as error:
                self._running.discard(address)
                self._tell(address, error.message)
                self._change.set()
            else:
                if self.won:
                    await self._discard(connection)
                self.won = True
                self.scope.cancel()
                return
            pause_s = next(pauses_s, None)
            if pause_s is None:
                return
            await trio.sleep(pause_s)
            self._running.add(address)
