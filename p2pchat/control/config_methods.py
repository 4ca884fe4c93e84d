"""``config.get`` and ``config.set``: no key is needed for them, so that they work while the node is locked."""

from __future__ import annotations

import trio

from p2pchat.api import settings
from p2pchat.base.errors import UsageError
from p2pchat.control.once import once, repeated
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.control.server import Connection
from p2pchat.services.configure import Configuration
from p2pchat.services.context import Context


class ConfigMethods:
    """One method of the API each.

    Args:
        context: where idempotency keys are kept; None: the node is locked.
    """

    def __init__(self, configuration: Configuration, context: Context | None) -> None:
        self._configuration = configuration
        self._context = context

    async def get(self, params: settings.ConfigGet, _: Connection) -> settings.Config:
        return await trio.to_thread.run_sync(self._configuration.get, params.key)  # it reads a file

    async def set(self, params: settings.ConfigSet, _: Connection) -> settings.Setting:
        """The file is no part of the store's transaction: the idempotency key follows it. Where the daemon is killed in
        between, whoever asks again has the same value set again."""
        context = self._context
        if context is None and params.idempotency_key is not None:
            raise UsageError(
                "The node is locked, and idempotency keys are kept in its database: leave it out, or first: "
                "p2pchat unlock",
                name="LOCKED",
            )
        async with self._configuration.changing:
            if context is not None:
                refuse_if_replaced(context.replaced_ms)
                known = await repeated(context, "config.set", params, settings.Setting)
                if known is not None:
                    return known
            changed = await trio.to_thread.run_sync(self._configuration.set, params.key, params.value)
            self._configuration.take_effect()
            if context is not None and params.idempotency_key is not None:
                return await once(context, "config.set", params, settings.Setting, lambda _: changed)
        return changed
