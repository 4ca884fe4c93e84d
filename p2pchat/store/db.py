"""The database as the node uses it: jobs in, one transaction for all that wait, results and events out after COMMIT.

Rules:

- One dedicated thread owns the connection. It drains the queue of jobs into one transaction (group commit): a lone job
  waits for nobody, a thousand share one fsync.
- A job is a function of :class:`Tx`. It runs in a savepoint of its own: its exception undoes it alone and reaches its
  caller; the others go on.
- Nobody learns a result, and no subscriber an event, before the COMMIT that holds it. If COMMIT fails, every caller of
  that transaction gets the StoreError and nothing has happened.
- A caller that is cancelled loses the answer, never the effect.
- What was deleted is in the write-ahead log until that is emptied: 5 s after the last job, and every minute under load.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import outcome
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.events import DomainEvent
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, Cursor, checkpoint, connect, driver_error, store_errors
from p2pchat.store.timings import Timings

T = TypeVar("T")
Row = tuple[Any, ...]

_JOBS_PER_COMMIT: Final = 1024
_IDLE_CHECKPOINT_S: Final = 5.0
_ROWS_A_STATEMENT: Final = (64, 8, 1)
_BUSY_CHECKPOINT_S: Final = 60.0  # there may be no idle moment for days


class Tx:
    """What a job sees: SQL, and the events that are to be told after the commit.

    Args:
        connection: inside an open transaction.
        now_ms: unix ms, the same for everything in this job.
    """

    __slots__ = ("_connection", "events", "left", "now_ms")

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection = connection
        self.now_ms = now_ms
        self.events: list[DomainEvent] = []
        self.left: list[object] = []

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.now_ms // 1000

    def execute(self, sql: str, values: Sequence[object] = ()) -> Cursor:
        return self._connection.execute(sql, values)

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self._connection.executemany(sql, rows)

    def insert_many(self, sql: str, values: str, rows: Sequence[Sequence[object]], end: str = "") -> None:
        """Insert ``rows`` by statements of many each: one of a row each takes twice as long, and gives up the
        interpreter's lock at every row.

        Args:
            sql: as far as VALUES.
            values: what follows for one row, such as ``(?, ?)``.
            end: what follows them all.
        """
        done = 0
        for size in _ROWS_A_STATEMENT:
            while len(rows) - done >= size:
                flat = list(chain.from_iterable(rows[done : done + size]))
                self._connection.execute(f"{sql} VALUES {', '.join([values] * size)} {end}", flat)
                done += size

    def leave(self, thing: object) -> None:
        """Leave ``thing`` for the finisher of this transaction (:meth:`Database.finish_with`)."""
        self.left.append(thing)

    def one(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        row: Row | None = self.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        return self.execute(sql, values).fetchall()

    def insert(self, sql: str, values: Sequence[object]) -> int:
        """The row id of what was inserted."""
        row_id = self.execute(sql, values).lastrowid
        assert row_id is not None  # noqa: S101  an INSERT always has one
        return row_id

    def emit(self, event: DomainEvent) -> None:
        """Write ``event`` with this transaction; subscribers learn of it after the commit."""
        self.execute(
            "INSERT INTO event (ts_ms, kind, subject, detail, more) VALUES (?, ?, ?, ?, ?)",
            (self.now_ms, event.kind.value, event.subject, event.detail or None, event.more),
        )
        if event.more:  # each of them has a seq of its own
            self.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'", (event.more,))
        self.events.append(event)


Job = Callable[[Tx], T]
AfterCommit = Callable[[], None]
Finisher = Callable[[Tx, list[object]], AfterCommit | None]


@dataclass(slots=True)
class _Pending(Generic[T]):
    job: Job[T]
    done: Callable[[outcome.Outcome[T]], None]
    result: outcome.Outcome[T] | None = field(default=None)


class Database:
    """The node's store.

    Args:
        connection: opened and migrated.
        now_ms: unix ms.
        threaded: False runs every job at once in the caller's thread: for virtual clocks, which would run on while
            a thread works.

        again: opens the same database once more, for :meth:`snapshot`.

    Resource handling: :meth:`close` must be called; it commits what is queued and empties the write-ahead log.
    """

    def __init__(
        self,
        connection: Connection,
        now_ms: Callable[[], int],
        *,
        threaded: bool = True,
        again: Callable[[], Connection] | None = None,
    ) -> None:
        self._connection = connection
        self._again = again
        self._now_ms = now_ms
        self._queue: queue.SimpleQueue[_Pending[Any] | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[list[DomainEvent]], None]] = []
        self._finisher: Finisher | None = None
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._closed = False
        self.commits = Timings()
        self._reading = threading.Condition()  # over the next one, and that the store is closed
        self._snapshots = 0
        if threaded:
            self._token = trio.lowlevel.current_trio_token()
            self._thread = threading.Thread(target=self._work, name="p2pchat-store", daemon=True)
            self._thread.start()

    @classmethod
    def open(cls, path: Path | None, key: bytes, now_ms: Callable[[], int], *, threaded: bool = True) -> Database:
        """Open, migrate and start. Blocking for some milliseconds.

        Raises:
            StoreError: it cannot be opened, is damaged, or newer than this code.
        """
        connection = connect(path, key)
        try:
            with store_errors():
                migrate(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection, now_ms, threaded=threaded, again=lambda: connect(path, key))

    def listen(self, listener: Callable[[list[DomainEvent]], None]) -> Callable[[], None]:
        """Call ``listener`` on the trio thread with the events of every transaction that was committed.

        Returns:
            what ends that.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def finish_with(self, finisher: Finisher | None) -> None:
        """Let ``finisher`` add to every transaction whose jobs have left something for it, after them; None ends that.

        It is given what they have left, and what it returns is called on the trio thread after the commit, before the
        listeners. What it raises undoes its own part alone, and is not told: whatever it does must be done again by
        somebody who finds it undone.

        Concurrency: it runs where the jobs run, on the store's thread.
        """
        self._finisher = finisher

    async def run(self, job: Job[T]) -> T:
        """Run ``job`` in the next transaction and return its result after the commit.

        Raises:
            StoreError: the disk refused; nothing of the job has happened.
            P2PChatError: what the job raised; it was undone.
        """
        if self._closed:
            raise StoreError("The store is closed.")
        if self._thread is None:
            await trio.lowlevel.checkpoint()
            pending: _Pending[T] = _Pending(job, lambda _: None)
            self._tell(*self._commit([pending]))
            assert pending.result is not None  # noqa: S101  _commit fills every result
            return pending.result.unwrap()
        task = trio.lowlevel.current_task()
        waiting = True

        def done(result: outcome.Outcome[T]) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                trio.lowlevel.reschedule(task, result)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal waiting
            waiting = False
            return trio.lowlevel.Abort.SUCCEEDED

        self._queue.put(_Pending(job, done))
        answer: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return answer

    @contextmanager
    def snapshot(self) -> Iterator[Tx]:
        """What is committed now, to be read at leisure while the node goes on; what is written meanwhile is not in it.

        Concurrency: blocking, for a worker thread. Until it ends the write-ahead log grows and is not emptied, so that
        what is deleted meanwhile is not gone from the disk yet.

        Raises:
            StoreError: the disk refused.
        """
        with self._counted():
            assert self._again is not None  # noqa: S101  a database in memory has no second reader
            connection = self._again()
            try:
                with store_errors():
                    connection.execute("PRAGMA query_only = ON")
                    connection.execute("BEGIN")
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # begins with the first reading
                    yield Tx(connection, self._now_ms())
            finally:
                connection.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._reading:
            if self._closed:
                raise StoreError("The store is closed.")
            self._snapshots += 1
        try:
            yield
        finally:
            with self._reading:
                self._snapshots -= 1
                self._reading.notify_all()

    async def close(self) -> None:
        """Finish what is queued, empty the write-ahead log and close the file.

        Concurrency: it waits for snapshots, which hold the key too; whoever reads one is to be stopped before.
        """
        if self._closed:
            return
        with self._reading:
            self._closed = True
        if self._snapshots:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._wait_for_snapshots)
        self._again = None  # it holds the key
        if self._thread is not None:
            self._queue.put(None)
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._thread.join)
        try:
            checkpoint(self._connection)
        finally:
            self._connection.close()

    def _wait_for_snapshots(self) -> None:
        with self._reading:
            self._reading.wait_for(lambda: not self._snapshots)

    def _work(self) -> None:
        empty_by: float | None = None  # when the log is to be emptied at the latest; None: it is empty
        while True:
            try:
                first = self._queue.get(timeout=_IDLE_CHECKPOINT_S if empty_by is not None else None)
            except queue.Empty:
                empty_by = self._empty_log()
                continue
            batch = [first]
            while len(batch) < _JOBS_PER_COMMIT and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            jobs = [pending for pending in batch if pending is not None]
            if jobs:
                self._post(jobs, *self._commit(jobs))
                now = time.monotonic()
                if empty_by is None:
                    empty_by = now + _BUSY_CHECKPOINT_S
                elif now >= empty_by:
                    empty_by = self._empty_log()
            if len(jobs) < len(batch):
                return

    def _empty_log(self) -> float | None:
        """Empty the log; when to try again at the latest, if the disk refused or somebody reads."""
        try:
            if checkpoint(self._connection):
                return None
        except StoreError:  # a full disk; whoever writes next is told
            pass
        return time.monotonic() + _BUSY_CHECKPOINT_S

    def _commit(self, jobs: Sequence[_Pending[Any]]) -> tuple[list[DomainEvent], AfterCommit | None]:
        """Run the jobs in one transaction, fill their results, return the events to tell and what comes before them."""
        events: list[DomainEvent] = []
        left: list[object] = []
        after: AfterCommit | None = None
        finisher = self._finisher
        try:
            with store_errors():
                began = time.perf_counter()
                self._connection.execute("BEGIN IMMEDIATE")
                for pending in jobs:
                    pending.result, tx = self._one(pending.job)
                    events += tx.events
                    left += tx.left
                if finisher is not None and left:
                    finished, tx = self._one(lambda tx: finisher(tx, left))
                    after = finished.value if isinstance(finished, outcome.Value) else None
                    events += tx.events
                self._connection.execute("COMMIT")
                self.commits.note(time.perf_counter() - began)
        except Exception as error:
            self.commits.note_failed()
            # the whole transaction is void: every caller hears it, and no event is told
            for pending in jobs:
                pending.result = outcome.Error(error)
            with suppress(
                driver_error
            ):  # SQLite may have rolled back itself; if not, the next BEGIN fails, and says so
                self._connection.execute("ROLLBACK")
            return [], None
        return events, after

    def _one(self, job: Job[T]) -> tuple[outcome.Outcome[T], Tx]:
        """The result of a job, and what it tells and leaves: nothing if it was undone."""
        tx = Tx(self._connection, self._now_ms())
        self._connection.execute("SAVEPOINT job")
        try:
            with store_errors():
                value = job(tx)
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # SQLite itself rolled everything back (disk full, I/O): not this job's failure alone
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
            return outcome.Error(error), Tx(self._connection, tx.now_ms)
        self._connection.execute("RELEASE job")
        return outcome.Value(value), tx

    def _post(self, jobs: Sequence[_Pending[Any]], events: list[DomainEvent], after: AfterCommit | None) -> None:
        def answer() -> None:
            for pending in jobs:
                assert pending.result is not None  # noqa: S101  _commit fills every result
                pending.done(pending.result)
            self._tell(events, after)

        assert self._token is not None  # noqa: S101  set with the thread
        try:
            self._token.run_sync_soon(answer)
        except trio.RunFinishedError:
            return  # the loop ended while the last transaction committed: there is nobody left to tell

    def _tell(self, events: list[DomainEvent], after: AfterCommit | None) -> None:
        if after is not None:
            after()
        if events:
            for listener in self._listeners:
                listener(events)
