"""Methods → services: one class for each family of methods, one method of it for each of theirs.

Rules:

- Parameters are checked here, results are rendered there; what a method does stands in its service. Whatever changes
  the store does so in one transaction, together with its idempotency key and the result to repeat.
- Most families need the database: they are there while the node is unlocked (:class:`Methods`). Otherwise a method is
  LOCKED, unless the table of :mod:`p2pchat.api.schema` says that it works.
- What is under way when the node is locked has ``GRACE_S`` to end. What waits longer is cut off and is LOCKED too; what
  it has committed stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import repeat
from keyword import iskeyword
from pathlib import Path
from typing import Final

import msgspec
import trio

from p2pchat.api import calls, objects, schema
from p2pchat.base.errors import P2PChatError, UsageError
from p2pchat.control import quick
from p2pchat.control.backup_methods import BackupMethods
from p2pchat.control.config_methods import ConfigMethods
from p2pchat.control.contact_methods import ContactMethods
from p2pchat.control.event_methods import EventMethods
from p2pchat.control.identity_methods import IdentityMethods
from p2pchat.control.jsonrpc import Ready
from p2pchat.control.keeping import Keeper, KeeperMethods, PassphraseMethods
from p2pchat.control.locked import locked
from p2pchat.control.mailbox_methods import MailboxMethods
from p2pchat.control.message_methods import MessageMethods
from p2pchat.control.net_methods import NetMethods
from p2pchat.control.node_methods import NodeMethods
from p2pchat.control.render import Online
from p2pchat.control.rpc_methods import RpcMethods
from p2pchat.control.server import Connection
from p2pchat.control.stats_methods import StatsMethods
from p2pchat.services.configure import Configuration
from p2pchat.services.context import Context
from p2pchat.services.examine import Files

GRACE_S: Final = 1.0

Given = dict[str, object] | calls.Params
"""Parameters as they came, or decoded already."""

Handler = Callable[[calls.Params, Connection], Awaitable[msgspec.Struct]]


class Methods:
    """What an unlocked node answers, and the calls that are under way.

    Args:
        online: whether a live stream to a contact exists.
        started: when the daemon did, on the monotonic clock.
        settings: the configuration file, of which a backup holds a copy.
        own: the profile's folder, in which no backup of it is written.
        configuration: as the profile has it; None: as delivered, and not to be changed, as in a simulation.
    """

    def __init__(
        self,
        context: Context,
        online: Online,
        profile: str,
        started: float,
        settings: Path | None = None,
        own: Path | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        self._events = EventMethods(context, online)
        self._messages = MessageMethods(context, online)
        self.families: dict[str, object] = {
            "node": NodeMethods(context, profile, started, Files(own, settings) if own and settings else None),
            "identity": IdentityMethods(context, profile),
            "contacts": ContactMethods(context, online),
            "message": self._messages,
            "events": self._events,
            "net": NetMethods(context),
            "mailbox": MailboxMethods(context, own),
            "backup": BackupMethods(context, settings, own),
            "stats": StatsMethods(context, started),
            "config": ConfigMethods(configuration or Configuration(None, {}, {}), context),
        }
        self._handlers = _handlers(self.families)
        self._under_way = 0
        self._waiting: set[trio.CancelScope] = set()
        self._finished = False
        self._last_ended = trio.Event()

    def have(self, method: str) -> bool:
        """Whether ``method`` is of one of these families."""
        return method in self._handlers

    async def __call__(self, method: str, params: dict[str, object], connection: Connection) -> msgspec.Struct:
        """The result of one call.

        Raises:
            P2PChatError: LOCKED, it took too long when the node was locked; or whose fault it is, as of the method.
        """
        checked = schema.parse(method, params)
        handler = self._handlers[method]
        self._under_way += 1
        try:
            if checked.may_wait():
                return await self._wait(handler, checked, connection)
            return await handler(checked, connection)
        except Exception:
            if self._finished:  # whatever it met where nothing is any more
                raise locked() from None
            raise
        finally:
            self._ended_one()

    async def send_all(self, params: Sequence[Given]) -> list[objects.Message | P2PChatError]:
        """What several calls of ``message.send`` come to, none of which waits."""
        checked = [_checked("message.send", each) for each in params]
        fit = [each for each in checked if isinstance(each, calls.MessageSend)]
        self._under_way += 1
        try:
            sent: Iterator[objects.Message | P2PChatError] = iter(await self._messages.send_all(fit))
        except Exception as error:
            if self._finished:  # as in __call__
                raise locked() from None
            if not isinstance(error, UsageError):
                raise
            sent = repeat(error)  # of all that were understood: what was not has its own
        finally:
            self._ended_one()
        return [each if isinstance(each, P2PChatError) else next(sent) for each in checked]

    async def _wait(self, handler: Handler, params: calls.Params, connection: Connection) -> msgspec.Struct:
        # not around every call: a scope takes longer than some of them
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                return await handler(params, connection)
            finally:
                self._waiting.discard(scope)
        raise locked()

    async def finish(self) -> None:
        """Wait until every call has ended; those that wait for something are cut off. None may begin any more."""
        with trio.move_on_after(GRACE_S):
            await self._ended()
        for scope in self._waiting:
            scope.cancel()
        with trio.move_on_after(GRACE_S):
            await self._ended()
        self._finished = True

    def _ended_one(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._last_ended.set()

    async def _ended(self) -> None:
        self._last_ended = trio.Event()
        if self._under_way:
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
        files: the profile's.
        configuration: as the profile has it.
    """

    def __init__(
        self,
        keeper: Keeper,
        unlocked: Callable[[], Methods | None],
        profile: str,
        started: float,
        stop: trio.Event,
        files: Files,
        configuration: Configuration | None = None,
    ) -> None:
        self._unlocked = unlocked
        node, passphrase = KeeperMethods(keeper, profile, started, stop, files), PassphraseMethods(keeper)
        config = ConfigMethods(configuration or Configuration(None, {}, {}), None)
        self._handlers = _handlers({"node": node, "passphrase": passphrase, "rpc": RpcMethods(), "config": config})

    def ready(self, value: object) -> Ready | None:
        """A call that may join, made ready from what was decoded; None: it goes the way of all others."""
        return quick.ready(value)

    def may_join(self, method: object, params: object) -> bool:
        """Whether such calls, one after the other, are better carried out together."""
        return method == "message.send" and isinstance(params, dict) and "wait" not in params

    async def together(self, params: Sequence[Given]) -> Sequence[msgspec.Struct | P2PChatError]:
        """What calls come to that may join; each has its own result or error.

        Raises:
            P2PChatError: the disk's fault; nothing of any was done.
        """
        unlocked = self._unlocked()
        return await unlocked.send_all(params) if unlocked is not None else [locked() for _ in params]

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
        return await self._handlers[method](checked, connection)


def _checked(method: str, params: Given) -> calls.Params | UsageError:
    try:
        if isinstance(params, dict):
            return schema.parse(method, params)
        params.check()
        return params
    except UsageError as error:
        return error


def _handlers(families: Mapping[str, object]) -> dict[str, Handler]:
    """Of the methods of the schema those that these families have."""
    found: dict[str, Handler] = {}
    for method in schema.METHODS:
        family, _, name = method.partition(".")
        handler: Handler | None = getattr(families.get(family), name + "_" if iskeyword(name) else name, None)
        if handler is not None:
            found[method] = handler
    return found
