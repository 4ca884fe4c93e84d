"""What a connection and those who carry out its requests know of each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from p2pchat.api.calls import Params
from p2pchat.control import jsonrpc


class Speaks(Protocol):
    """One client's connection: see :class:`p2pchat.control.channel.Channel`."""

    async def notify(self, method: str, params: object) -> None:
        """Send a notification."""
        ...

    def after_reply(self, follower: Callable[[], Awaitable[None]]) -> None:
        """Run ``follower`` once the reply to the request being handled has been written."""
        ...


class Connection:
    """What handlers may do with the connection that their requests come by; there is one for each client."""

    def __init__(self, channel: Speaks) -> None:
        self._channel = channel

    async def notify(self, method: str, params: object) -> None:
        """Send a notification, waiting while the client reads too slowly.

        Args:
            params: a struct of the schema or a dict.

        Concurrency: call it from a task begun with :meth:`after_reply`, which ends with the connection.
        """
        await self._channel.notify(method, params)

    def after_reply(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run ``task`` from when the reply to the request being handled has been written until the client leaves.

        It does not begin if the handler raises. If the task raises, the client gets an error with a null id.

        Concurrency: call it from the task that the handler was called in.
        """
        self._channel.after_reply(partial(task, *args))


Dispatch = Callable[[str, dict[str, object], Connection], Awaitable[object]]


class Joint(Protocol):
    """Calls that cost less together."""

    def ready(self, value: object) -> jsonrpc.Ready | None:
        """Such a call, made ready from what was decoded; None: it goes the way of all others."""
        ...

    def may_join(self, method: object, params: object) -> bool:
        """Whether this call may be carried out with those before and after it of which the same is true."""
        ...

    async def together(self, params: Sequence[dict[str, object] | Params]) -> Sequence[object | Exception]:
        """The result or the error of each of several such calls."""
        ...
