"""What ``rpc.discover`` replies. Source: docs/CONTROL-API.md, "Objects"."""

from __future__ import annotations

from msgspec import Struct, field

from p2pchat.base.silent import Silent


class OpenRpc(Silent, Struct, kw_only=True):
    """An OpenRPC document. ``x-notifications`` and ``x-events`` are of this API: what a subscriber is sent, and what
    each type of event carries."""

    openrpc: str
    info: dict[str, object]
    methods: list[dict[str, object]]
    components: dict[str, object]
    notifications: list[dict[str, object]] = field(name="x-notifications")
    events: dict[str, dict[str, object]] = field(name="x-events")
