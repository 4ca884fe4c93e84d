"""Profiles that are made acquainted while their daemons do not run: no root is derived, and nobody searches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.daemons import Node
from bench.fleet_wire import Known
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.ids import Address
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.keys import load_identity
from p2pchat.core.session import Session
from p2pchat.daemon.system import SystemEntropy
from p2pchat.net.addresses import parse_address, peer_id_from_key
from p2pchat.store import meta
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import read_key
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import checkpoint, connect
from p2pchat.testing.light import befriend
from p2pchat.testing.sessions import fly, land


def known(address: str) -> Known:
    """A multiaddr with its PeerID, in binary."""
    parsed, peer = parse_address(address)
    assert peer is not None  # noqa: S101  a daemon tells it with every address
    return Known(bytes(peer), [bytes(parsed)])


class Acquainted:
    """The store of a daemon that is stopped."""

    def __init__(self, node: Node) -> None:
        self.name = node.name
        self.paths = ProfilePaths(environ=node.environment)
        with self.store() as tx:
            profile = meta.load_profile(tx)
        self.ask = profile.ask
        self.identity = load_identity(profile.identity)
        self.peer = peer_id_from_key(ed25519_pair(profile.node_seed).public)

    @contextmanager
    def store(self) -> Iterator[Tx]:
        """A transaction of it."""
        connection = connect(self.paths.database, read_key(self.paths.key_file, None))
        try:
            migrate(connection)
            connection.execute("BEGIN IMMEDIATE")
            yield Tx(connection, int(time.time() * 1000))
            connection.execute("COMMIT")
            checkpoint(connection)
        finally:
            connection.close()

    def meet(self, other: Acquainted) -> Session:
        """Know ``other``; the session that it has to know this one with (:meth:`know`)."""
        entropy = SystemEntropy()
        flown = fly(other.identity, self.identity, entropy, ms=int(time.time() * 1000))
        with self.store() as tx:
            befriend(tx, other.name, other.identity.cert, land(flown, entropy), other.peer)
        return flown.session.confirm()

    def know(self, other: Acquainted, session: Session, address: str) -> None:
        """Know ``other``, who has met this one, and where it is reached."""
        addresses = tuple(map(Address, known(address).addresses))
        with self.store() as tx:
            befriend(tx, other.name, other.identity.cert, session, other.peer, addresses)

    def received(self) -> tuple[int, int]:
        """How many texts have come, and how many different ones, by contact and number."""
        with self.store() as tx:
            row = tx.one("SELECT count(*), count(DISTINCT contact || ':' || n) FROM message WHERE incoming = 1")
        assert row is not None  # noqa: S101  an aggregate always has one
        return row[0], row[1]
