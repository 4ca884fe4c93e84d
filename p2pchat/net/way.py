"""The way out: the one place from which this node's connections leave, by itself or through a proxy.

Rules:

- Whoever opens a TCP connection does it here (:mod:`p2pchat.net.outgoing`), so that a proxy cannot be gone around.
- A name that ends in ``.onion`` is known to Tor alone: without a proxy no name server is asked for it (RFC 7686).
"""

from __future__ import annotations

from typing import Protocol

import trio

from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.net import tcp
from p2pchat.net.addresses import Endpoint


class Way(Protocol):
    """How connections leave. ``is_hidden``: nobody may learn where this node is."""

    is_hidden: bool

    def far_end(self, end: Endpoint) -> tcp.FarEnd | None:
        """Where a connection to ``end`` leads, if its socket does not know that."""
        ...

    async def connect(self, peer: PeerId | None, end: Endpoint) -> trio.SocketStream:
        """Connect to ``end``, where ``peer`` (None: somebody) is expected.

        Raises:
            NetError: why it did not work, in a sentence that names nothing.
        """
        ...

    async def connect_from(self, own: tcp.Own, end: Endpoint, *, must: bool) -> trio.SocketStream:
        """Connect from the port of a listening socket; see :func:`p2pchat.net.tcp.connect_from`.

        Raises:
            NetError: as :meth:`connect`; or nothing may leave from there.
        """
        ...


class Straight(Way):
    """By itself."""

    is_hidden = False

    def far_end(self, end: Endpoint) -> None:  # noqa: ARG002
        """The socket knows it."""
        return

    async def connect(self, peer: PeerId | None, end: Endpoint) -> trio.SocketStream:  # noqa: ARG002
        """From a port of the system's choice."""
        if is_onion(end):
            raise NetError("Such a name leads somewhere through Tor alone.")
        return await tcp.connect(end.host, end.port)

    async def connect_from(self, own: tcp.Own, end: Endpoint, *, must: bool) -> trio.SocketStream:
        """From that port, or where that may be, another."""
        return await tcp.connect_from(own, end.host, end.port, must=must)


def is_onion(end: Endpoint) -> bool:
    """Whether the host is a name of Tor's."""
    return end.host.rstrip(".").lower().endswith(".onion")
