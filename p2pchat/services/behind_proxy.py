"""What goes together with a proxy (``net.proxy``): for the daemon that starts, and the doctor who says if it would."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import Scope, endpoint, scope_of
from p2pchat.net.socks import Proxy, parse_proxy
from p2pchat.services.config import Config


def proxy_of(config: Config, listen: Iterable[Address]) -> Proxy | None:
    """The proxy that is configured; None: there is none.

    Args:
        listen: the addresses of the configuration, parsed.

    Raises:
        UsageError: it cannot be parsed, or does not go together with the rest.
    """
    if not config.proxy:
        return None
    proxy = parse_proxy(config.proxy)
    if config.mode == "lan":
        raise UsageError(
            "net.mode is lan, and net.proxy leads to the internet alone: take one of them away.",
            data={"param": "net.proxy"},
        )
    if any(scope_of(endpoint(address).host) is not Scope.LOOPBACK for address in listen):
        raise UsageError(
            "With net.proxy this node listens on 127.0.0.1 or ::1 alone, where an onion service may lead: whoever "
            "reached another address would know where it is.",
            data={"param": "listen"},
        )
    return proxy
