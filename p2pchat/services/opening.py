"""The sessions that one stream opens: a bundle is asked for, and a first flight made of it (PROTOCOL.md 4.1, 4.2, 4.6).

A refused request is repeated after a while that grows. A bundle that comes unasked ends the stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from p2pchat.base.errors import DecodeError
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import STREAM_OPEN_S
from p2pchat.core.delivery import retry_after_s
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import BundleRequest, Frame
from p2pchat.services import greet
from p2pchat.services.context import Context


class Opening:
    """Those of the stream with ``peer``.

    Args:
        send: puts frames on the stream.

    ``condemned``: the session that the peer has lost, which the next one replaces.
    """

    def __init__(self, context: Context, peer: PeerId, send: Callable[[Sequence[Frame]], Awaitable[None]]) -> None:
        self.condemned: int | None = None
        self._context = context
        self._peer = peer
        self._send = send
        self._answer: trio.MemorySendChannel[bytes] | None = None
        self._refusals = 0
        self._ask_after = 0.0

    @property
    def again_s(self) -> float:
        """Seconds until a refused request is repeated; infinite where none was refused."""
        wait_s = self._ask_after - trio.current_time()
        return wait_s if wait_s > 0 else float("inf")

    def answered(self, raw: bytes) -> None:
        """The peer's answer to a request has come. Raises: DecodeError: there was none."""
        if self._answer is None:
            raise DecodeError("a bundle that nobody asked for")
        self._answer.send_nowait(raw)
        self._answer = None

    async def open(self, contact: int) -> bool:
        """Ask for a bundle and make a first flight; whether there is a session to send on now."""
        if trio.current_time() < self._ask_after:
            return False
        context, replace, self.condemned = self._context, self.condemned, None
        force = replace is not None
        ask = await context.db.run(lambda tx: greet.ask_of(tx, context, contact, self._peer, force=force))
        if ask is None:
            return False
        raw = await self._request(ask)
        if raw == greet.REFUSED:
            self._refusals += 1
            wait_s = retry_after_s(self._refusals + 3, context.jitter(), context.params)
            self._ask_after = trio.current_time() + wait_s
            self.condemned = replace
            return False
        self._refusals = 0
        return await context.db.run(lambda tx: greet.make_flight(tx, context, contact, raw, replace=replace))

    async def _request(self, ask: bytes) -> bytes:
        send, answers = trio.open_memory_channel[bytes](1)
        self._answer = send
        await self._send([BundleRequest(ask_proof(ask, self._peer, self._context.network.peer_id))])
        with trio.fail_after(STREAM_OPEN_S):
            return await answers.receive()
