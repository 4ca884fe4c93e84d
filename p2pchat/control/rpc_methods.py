"""``rpc.*``: what this API is."""

from __future__ import annotations

from p2pchat.api import calls
from p2pchat.api.openrpc_objects import OpenRpc
from p2pchat.control.server import Connection


class RpcMethods:
    """One method of the API each."""

    async def discover(self, _params: calls.NoParams, _: Connection) -> OpenRpc:
        from p2pchat.api.openrpc import document  # no start pays for it

        return document()
