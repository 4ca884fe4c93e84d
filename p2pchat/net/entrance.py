"""Where others come in: from the listening sockets to the end of the handshake, and out again.

Rules:

- Whoever comes passes the rules (:mod:`~.doorkeeper`), finds a place (:mod:`~.admission`), waits its turn
  (:mod:`~.turns`), and shakes hands, in that order: each costs more than the one before.
- Whatever a stranger's handshake provokes ends its own connection and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.ids import Address
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net import tcp
from p2pchat.net.addresses import endpoint
from p2pchat.net.admission import Delays, InboundGate, InboundSlot
from p2pchat.net.connections import worth_of
from p2pchat.net.doorkeeper import Doorkeeper
from p2pchat.net.guard import GuardedYamux
from p2pchat.net.localonly import keep_local
from p2pchat.net.outgoing import Outgoing
from p2pchat.net.turns import FairTurns

log = structlog.get_logger()


class Entrance:
    """That of one host.

    Args:
        outgoing: shakes hands; who is awaited to punch is led.
        door: who may come.
        refusals: where it is counted who was not let in.

    ``delays``: who has to wait.
    """

    def __init__(self, outgoing: Outgoing, door: Doorkeeper, refusals: Refusals) -> None:
        self.delays = Delays(limits.CUT_OFF_S, limits.CUT_OFF_MOST_S)
        self._outgoing = outgoing
        self._door = door
        self._refusals = refusals
        self._gate = InboundGate(limits.INBOUND_CONNECTIONS, limits.INBOUND_PER_HOST, limits.HANDSHAKES, refusals)
        self._turns = FairTurns(
            limits.HANDSHAKES_BURST_US, limits.HANDSHAKES_US_PER_S, refusals, Refusal.HANDSHAKE_PACED, newest_first=True
        )
        self._accepting = trio.CancelScope()
        self._doors: tuple[tuple[trio.SocketListener, Address], ...] = ()

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return self._gate.handshakes

    def open_at(self, listeners: Sequence[trio.SocketListener], asked: Sequence[Address]) -> None:
        """From :meth:`run` on these are served; ``asked``: for which addresses each was opened."""
        self._doors = tuple(zip(listeners, asked, strict=True))
        self.filter()

    def filter(self) -> None:
        """Who may come near has changed: the kernel keeps the others away where it can."""
        for listener, _ in self._doors:
            keep_local(listener, is_on=self._door.access.is_all_local)

    def close(self) -> None:
        """Let nobody in any more; whoever is connected stays."""
        self._accepting.cancel()

    async def run(self) -> None:
        """Until cancelled, or :meth:`close`."""
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for listener, address in self._doors:
                    make = self._websocket() if endpoint(address).ws else tcp.TcpStream
                    nursery.start_soon(trio.serve_listeners, partial(self._accept, make), [listener])

    def _websocket(self) -> Callable[[trio.SocketStream], tcp.TcpStream]:
        from p2pchat.net.websocket import WsStream  # 20 ms and two libraries, for those who listen there

        return partial(WsStream, refusals=self._refusals, is_client=False)

    async def _accept(self, make: Callable[[trio.SocketStream], tcp.TcpStream], stream: trio.SocketStream) -> None:
        """Admit a stranger, or not; the slot is given back when the connection ends (guard 2)."""
        async with stream:
            try:
                link = make(stream)
            except OSError:
                return  # gone before it was looked at
            slot = self._gate.enter(link.remote_host) if self._door.lets_in(link.remote_host) else None
            if slot is None:
                return
            try:
                with slot.scope:
                    mux = await self._shake_hands(link, slot)
                    if self._gate.admit(slot, partial(worth_of, mux)):
                        await mux.event_closed.wait()
                    link.cut_off = link.cut_off or mux.cut_off
            except Exception as error:  # whatever a stranger's handshake provokes ends its connection only
                log.debug("inbound.refused", error=type(error).__name__)
            finally:
                if link.cut_off:
                    self.delays.cut_off(slot.origin, trio.current_time())
                self._gate.leave(slot)

    async def _shake_hands(self, link: tcp.TcpStream, slot: InboundSlot) -> GuardedYamux:
        now, until = trio.current_time(), self.delays.until(slot.origin)
        if until > now:
            self._refusals.note(Refusal.HANDSHAKE_PACED)
            await trio.sleep_until(until)
        began = trio.current_time()
        try:
            with trio.fail_after(limits.HANDSHAKE_S):
                await self._turns.wait([name for name, _ in slot.groups[:-1]], limits.HANDSHAKE_US)
                return await self._outgoing.admit(link)
            raise trio.TooSlowError  # never: fail_after has raised it
        except Exception:  # the library has deadlines of its own, and other names for what they end
            is_late = trio.current_time() >= began + limits.HANDSHAKE_S
            self._refusals.note(Refusal.HANDSHAKE_LATE if is_late else Refusal.HANDSHAKE_FAILED)
            raise
