"""libp2p says nothing: guard 15 of :mod:`p2pchat.net.guard`."""

from __future__ import annotations

import logging

import libp2p.network.connection.swarm_connection as swarm_connection


def quiet_library_logs() -> None:
    """Silence libp2p: its lines hold PeerIDs, addresses and values, and what matters is raised to us (guard 15).

    A level would not do. Some of its loggers set their own; without a handler Python writes warnings to stderr; with
    LIBP2P_DEBUG set they write to a file; and swarm_connection uses the root logger, which installs a handler first.
    """
    tree = logging.getLogger("libp2p")
    tree.propagate = False
    tree.handlers = [logging.NullHandler()]
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("libp2p."):
            logging.getLogger(name).handlers.clear()
    swarm_connection.logging = logging.getLogger("libp2p.network.swarm_connection")  # type: ignore[attr-defined,assignment]
