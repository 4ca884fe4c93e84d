"""Methods → services: one class for each family of methods, one method of it for each of theirs.

Rules:

- Parameters are checked here, results are rendered there; what a method does stands in its service. Whatever changes
  the store does so in one transaction, together with its idempotency key and the result to repeat.
- Most families need the database: they are there while the node is unlocked (:class:`Methods`). Otherwise a method is
  LOCKED, unless the table of :mod:`p2pchat.api.schema` says that it works.
- What is under way when the node is locked has ``GRACE_S`` to end; then it is cut off and is LOCKED too. What it has
  committed stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from keyword import iskeyword
from typing import Final

import msgspec
import trio

from p2pchat.api import calls, schema
from p2pchat.control.contact_methods import ContactMethods
from p2pchat.control.event_methods import EventMethods
from p2pchat.control.identity_methods import IdentityMethods
from p2pchat.control.keeping import Keeper, KeeperMethods, PassphraseMethods
from p2pchat.control.locked import locked
from p2pchat.control.message_methods import MessageMethods
from p2pchat.control.net_methods import NetMethods
from p2pchat.control.node_methods import NodeMethods
from p2pchat.control.render import Online
from p2pchat.control.server import Connection
from p2pchat.services.context import Context

GRACE_S: Final = 1.0

Handler = Callable[[calls.Params, Connection], Awaitable[msgspec.Struct]]


class Methods:
    """What an unlocked node answers, and the calls that are under way.

    Args:
        online: whether a live stream to a contact exists.
        started: when the daemon did, on the monotonic clock.
    """

    def __init__(self, context: Context, online: Online, profile: str, started: float) -> None:
        self._events = EventMethods(context, online)
        self.families: dict[str, object] = {
            "node": NodeMethods(context, profile, started),
            "identity": IdentityMethods(context, profile),
            "contacts": ContactMethods(context, online),
            "message": MessageMethods(context),
            "events": self._events,
            "net": NetMethods(context),
        }
        self._calls: set[trio.CancelScope] = set()
        self._last_ended = trio.Event()

    def have(self, method: str) -> bool:
        """Whether ``method`` is of one of these families."""
        return _handler(self.families, method) is not None

    async def __call__(self, method: str, params: dict[str, object], connection: Connection) -> msgspec.Struct:
        """The result of one call.

        Raises:
            P2PChatError: LOCKED, it took too long when the node was locked; or whose fault it is, as of the method.
        """
        checked = schema.parse(method, params)
        handler = _handler(self.families, method)
        assert handler is not None  # noqa: S101  the caller has looked
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                return await handler(checked, connection)
            finally:
                self._calls.discard(scope)
                if not self._calls:
                    self._last_ended.set()
        raise locked()

    async def finish(self) -> None:
        """Wait until every call has ended, or cut it off. None may begin any more."""
        with trio.move_on_after(GRACE_S):
            await self._ended()
        for scope in self._calls:
            scope.cancel()
        await self._ended()

    async def _ended(self) -> None:
        self._last_ended = trio.Event()
        if self._calls:
            await self._last_ended.wait()

    async def end_subscriptions(self) -> None:
        """Let every subscription tell what there is, or cut it off. The log must have ``node.locked`` at its end."""
        await self._events.end(GRACE_S)


class Dispatch:
    """The node behind the socket.

    Args:
        keeper: locks and unlocks it.
        unlocked: its methods now; None while it is locked.
        started: when the daemon did, on the monotonic clock.
        stop: set to end the daemon.
    """

    def __init__(
        self,
        keeper: Keeper,
        unlocked: Callable[[], Methods | None],
        profile: str,
        started: float,
        stop: trio.Event,
    ) -> None:
        self._unlocked = unlocked
        self._families: dict[str, object] = {
            "node": KeeperMethods(keeper, profile, started, stop),
            "passphrase": PassphraseMethods(keeper),
        }

    async def __call__(self, method: str, params: dict[str, object], connection: Connection) -> msgspec.Struct:
        """The result of one call.

        Raises:
            P2PChatError: the caller's, the disk's or nobody's fault; the server makes the error reply.
        """
        unlocked = self._unlocked()
        spec = schema.METHODS.get(method)
        if unlocked is None and spec is not None and not spec.while_locked:
            raise locked()
        if unlocked is not None and unlocked.have(method):
            return await unlocked(method, params, connection)
        checked = schema.parse(method, params)
        handler = _handler(self._families, method)
        assert handler is not None  # noqa: S101  the schema has no method that nobody carries out
        return await handler(checked, connection)


def _handler(families: Mapping[str, object], method: str) -> Handler | None:
    family, _, name = method.partition(".")
    found: Handler | None = getattr(families.get(family), name + "_" if iskeyword(name) else name, None)
    return found
