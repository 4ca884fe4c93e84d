"""Methods → services: one class for each family of methods, one method of it for each of theirs.

Parameters are checked here, results are rendered there; what a method does stands in its service. Whatever changes the
store does so in one transaction, together with its idempotency key and the result to repeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from keyword import iskeyword
from pathlib import Path

import msgspec
import trio

from p2pchat.api import calls, schema
from p2pchat.control.backup_methods import BackupMethods
from p2pchat.control.contact_methods import ContactMethods
from p2pchat.control.event_methods import EventMethods
from p2pchat.control.identity_methods import IdentityMethods
from p2pchat.control.message_methods import MessageMethods
from p2pchat.control.net_methods import NetMethods
from p2pchat.control.node_methods import NodeMethods
from p2pchat.control.render import Online
from p2pchat.control.server import Connection
from p2pchat.services.context import Context

Handler = Callable[[calls.Params, Connection], Awaitable[msgspec.Struct]]


class Dispatch:
    """The node behind the socket.

    Args:
        online: whether a live stream to a contact exists.
        stop: set to end the daemon.
        settings: the configuration file, of which a backup holds a copy.
    """

    def __init__(
        self, context: Context, online: Online, profile: str, stop: trio.Event, settings: Path | None = None
    ) -> None:
        self.families: dict[str, object] = {
            "node": NodeMethods(context, profile, stop),
            "identity": IdentityMethods(context, profile),
            "contacts": ContactMethods(context, online),
            "message": MessageMethods(context),
            "events": EventMethods(context, online),
            "net": NetMethods(context),
            "backup": BackupMethods(context, settings),
        }

    async def __call__(self, method: str, params: dict[str, object], connection: Connection) -> msgspec.Struct:
        """The result of one call.

        Raises:
            P2PChatError: the caller's, the disk's or nobody's fault; the server makes the error reply.
        """
        checked = schema.parse(method, params)
        family, _, name = method.partition(".")
        handler: Handler = getattr(self.families[family], name + "_" if iskeyword(name) else name)
        return await handler(checked, connection)
