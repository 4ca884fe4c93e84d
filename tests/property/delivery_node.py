"""A node as far as delivery goes: a real store in a file whose transactions fail where a test wants them to."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar, cast

import outcome

from p2pchat.base.errors import StoreError
from p2pchat.base.ids import ContactId, PeerId
from p2pchat.core.events import DomainEvent
from p2pchat.core.keys import create_identity, dump_identity
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.net.transport import Network
from p2pchat.services.context import Bus, Context
from p2pchat.store import contact_peers, contacts, meta
from p2pchat.store import presence as presence_store
from p2pchat.store.db import Database, Tx, _Pending
from p2pchat.store.sqlite import Connection, Cursor, connect, driver_error
from p2pchat.testing.cluster import InlineDeriver, InlineMiner
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import NOW_S

T = TypeVar("T")

# bounds so low that they are met all the time; the wire's own stay as they are
PARAMS: Final = replace(PRODUCTION, batch_envelopes=3, content_items=3)
CONTACT: Final = 1  # each node has one: the other

_KEY: Final = bytes(32)
_BORN_MS: Final = (NOW_S - 200 * DAY_S) * 1000
_FRAMING: Final = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT")


class Void(Exception):
    """The store has not committed, or nobody is left to be told that it has."""


class Crash(BaseException):
    """The process ends here."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong next, after so many others: a statement is refused, perhaps with all that came before it; or a
    COMMIT is, or the process ends before it, or after it.
    """

    kind: str
    after: int = 0


IN_A_JOB: Final = ("statement", "transaction")
AT_COMMIT: Final = ("commit", "crash before", "crash after")


class Disk:
    """A connection that fails when it is told to; what it stands in for is p2pchat's own."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.fault: Fault | None = None

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def execute(self, sql: str, values: Sequence[object] = ()) -> Cursor:
        if sql == "COMMIT":
            return self._commit()
        if not sql.startswith(_FRAMING):
            self._statement()
        return self.connection.execute(sql, values)

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> Cursor:
        self._statement()
        return self.connection.executemany(sql, rows)

    def close(self) -> None:
        self.connection.close()

    def _statement(self) -> None:
        fault = self.fault
        if fault is None or fault.kind not in IN_A_JOB:
            return
        if fault.after:
            self.fault = replace(fault, after=fault.after - 1)
            return
        self.fault = None
        if fault.kind == "transaction" and self.connection.in_transaction:  # a probe of the disk is outside of one
            self.connection.execute("ROLLBACK")  # as SQLite does by itself where the disk is full
        raise driver_error("database or disk is full")

    def _commit(self) -> Cursor:
        fault = self.fault
        if fault is None or fault.kind in IN_A_JOB:
            return self.connection.execute("COMMIT")
        if fault.after:
            self.fault = replace(fault, after=fault.after - 1)
            return self.connection.execute("COMMIT")
        self.fault = None
        if fault.kind == "commit":
            raise driver_error("disk I/O error")
        if fault.kind == "crash after":
            self.connection.execute("COMMIT")
        raise Crash


@dataclass(frozen=True, slots=True)
class Place:
    """The node's end of a network that a test plays itself."""

    peer_id: PeerId


@functools.cache
def _empty_store() -> bytes:
    """A store without rows, as a file: migrations take longer than an example."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        Database.open(path, _KEY, lambda: 0, threaded=False)._connection.close()
        return path.read_bytes()


class Node:
    """One person's node, which crashes and comes back.

    Attributes:
        now_ms: what its clock says.
        after_commit: called after every transaction, whatever became of it.
        crashed: called when the node is back after a crash.
        told: events that subscribers were told of since the last look.
    """

    def __init__(self, name: str, path: Path, seed: int) -> None:
        self.name = name
        self.now_ms = NOW_S * 1000 + seed  # two flights are never of one millisecond: which one counts is then chance
        self.after_commit: Callable[[], None] = lambda: None
        self.crashed: Callable[[], None] = lambda: None
        self.told: list[DomainEvent] = []
        self._path = path
        self._entropy = SeededEntropy(seed)
        self._identity = create_identity(self._entropy, _BORN_MS)
        self.peer_id = PeerId(b"\x00\x24\x08\x01\x12\x20" + self._entropy.bytes(32))
        self._profile = meta.Profile(
            name=name,
            number="",
            region="",
            identity=dump_identity(self._identity),
            node_seed=self._entropy.bytes(32),
            ask=self._entropy.bytes(32),
            store_id=self._entropy.bytes(8),
        )
        path.write_bytes(_empty_store())
        self._open()
        self.commit(lambda tx: meta.save_profile(tx, self._profile))

    def _open(self) -> None:
        connection = connect(self._path, _KEY)
        connection.execute("PRAGMA synchronous = OFF")  # processes crash here, not machines
        self.disk = Disk(connection)
        self._db = Database(cast(Connection, self.disk), lambda: self.now_ms, threaded=False)
        self._db._disk._every_s = 0.0  # what it refused once it takes the next time
        self._db.listen(self.told.extend)
        self.context = Context(
            db=self._db,
            miner=InlineMiner(),
            deriver=InlineDeriver(PARAMS),
            entropy=self._entropy,
            params=PARAMS,
            now=lambda: self.now_ms / 1000,
            identity=self._identity,
            bus=Bus(),
            message_prefix=self._entropy.bytes(8),
        )
        self.context.profile = self._profile
        self.context.network = cast(Network, Place(self.peer_id))

    def commit(self, *jobs: Callable[[Tx], T]) -> T:
        """Run ``jobs`` in one transaction of the store, as it runs them by itself; the result of the first.

        Raises:
            Void: a fault came first, or took the process with it.
        """
        pending = [_Pending(job, lambda _: None) for job in jobs]
        armed = self.disk.fault is not None
        try:
            self._db._tell(self._db._commit(pending))
        except Crash:
            self.restart()
            raise Void from None
        self.after_commit()
        result = pending[0].result
        assert result is not None
        if isinstance(result, outcome.Error) and isinstance(result.error, StoreError) and armed:
            raise Void
        return result.unwrap()

    def restart(self) -> None:
        """What was committed is there again, and nothing else."""
        self.disk.close()
        self._open()
        self.crashed()
        self.after_commit()

    def look(self) -> Tx:
        """The committed rows."""
        assert not self.disk.in_transaction
        return Tx(self.disk.connection, self.now_ms)

    def meets(self, other: Node) -> None:
        """The other one becomes the contact, as after both have found each other's card."""

        def job(tx: Tx) -> None:
            row = contacts.add(tx, ContactId(bytes(8)), other.name, None, tx.now_s + 28 * DAY_S)
            assert row.id == CONTACT
            contacts.set_root(tx, CONTACT, other._identity.cert.root, 0)

        self.commit(job)

    def learns(self, other: Node, seq: int) -> None:
        """Where the other one is, and what it wants to be asked with, stands in a record of it: Reach or presence."""
        known = presence_store.own(other.look())
        ask = known.ask if known is not None else other._profile.ask

        def job(tx: Tx) -> None:
            row = contacts.get(tx, CONTACT)
            if row is not None and row.state != "blocked":
                contact_peers.save(tx, CONTACT, other.peer_id, (), ask, seq)

        self.commit(job)

    def close(self) -> None:
        self.disk.close()
