"""The database as the node uses it: jobs in, one transaction for all that wait, results and events out after COMMIT.

Rules:

- One dedicated thread owns the connection. It drains the queue of jobs into one transaction (group commit): a lone job
  waits for nobody, a thousand share one fsync.
- A job is a function of :class:`Tx`. Its exception undoes it alone and reaches its caller; the others go on: each has
  a savepoint of its own, but for a lone one.
- Nobody learns a result, and no subscriber an event, before the COMMIT that holds it. If COMMIT fails, every caller of
  that transaction gets the StoreError and nothing has happened.
- A caller that is cancelled loses the answer, never the effect.
- What was deleted is in the write-ahead log until that is emptied: 5 s after the last job, and every minute under load.
- While the disk refuses (:mod:`p2pchat.store.disk`) each job has a transaction of its own: who only reads is not failed
  by who writes. It is tried again from time to time, and whoever listens is told of every change.
- Nothing more is done with a database that was found damaged: it is not even closed, for that would write.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import outcome
import trio

from p2pchat.base.errors import Corrupt, StoreError
from p2pchat.core.events import DomainEvent
from p2pchat.store.disk import DAMAGED, Disk, DiskState
from p2pchat.store.log_ends import ends
from p2pchat.store.migrate import migrate
from p2pchat.store.reopening import Reopening
from p2pchat.store.snapshots import Snapshots
from p2pchat.store.sqlite import Connection, checkpoint, connect, driver_error, is_damage, store_errors
from p2pchat.store.timings import Timings
from p2pchat.store.tx import Row, Tx

__all__ = ["AfterCommit", "Database", "Finisher", "Job", "Row", "Tx"]

T = TypeVar("T")

_JOBS_PER_COMMIT: Final = 1024
_IDLE_CHECKPOINT_S: Final = 5.0
_BUSY_CHECKPOINT_S: Final = 60.0  # there may be no idle moment for days

# Connections of damaged databases: the last one that is closed writes its log into the file.
_LEFT_OPEN: Final[list[Connection]] = []

Job = Callable[[Tx], T]
AfterCommit = Callable[[], None]
Finisher = Callable[[Tx, list[object]], AfterCommit | None]

_Told = tuple[list[DomainEvent], int | None, AfterCommit | None]
"""Events, the oldest that is kept where some were dropped, and what comes before they are told."""


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
        path: its file; None for one in memory.

    ``log``: which event log it has, and from where to where; for the trio thread.

    Resource handling: :meth:`close` must be called; it commits what is queued and empties the write-ahead log.
    """

    def __init__(
        self,
        connection: Connection,
        now_ms: Callable[[], int],
        *,
        threaded: bool = True,
        again: Callable[[], Connection] | None = None,
        path: Path | None = None,
    ) -> None:
        self._connection = connection
        with store_errors():
            self.log = ends(Tx(connection, now_ms()))
        self._disk = Disk(path, time.monotonic if threaded else lambda: now_ms() / 1000)
        self._disk.open()
        self._disk_told: DiskState = "ok"
        self._disk_listeners: list[Callable[[DiskState], None]] = []
        self._now_ms = now_ms
        self._queue: queue.SimpleQueue[_Pending[Any] | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[list[DomainEvent]], None]] = []
        self._finisher: Finisher | None = None
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._closed = False
        self.commits = Timings()
        self._snapshots = Snapshots(again)
        self._reopening = Reopening(again)
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
            again = None if path is None else partial(connect, path, key)
            return cls(connection, now_ms, threaded=threaded, again=again, path=path)
        except Corrupt:
            _LEFT_OPEN.append(connection)
            raise
        except BaseException:
            connection.close()
            raise

    @property
    def disk(self) -> DiskState:
        """What the store has met, and whether it waits for the disk now."""
        return self._disk.shown()

    def watch_disk(self, listener: Callable[[DiskState], None]) -> Callable[[], None]:
        """Call ``listener`` on the trio thread with each state of the disk that is another than the one before.

        Returns:
            what ends that.
        """
        self._disk_listeners.append(listener)
        return lambda: self._disk_listeners.remove(listener)

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
            self._tell(self._commit([pending]))
            self._tell_disk()
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
        try:
            with self._snapshots.one(self._now_ms()) as tx:
                yield tx
        except Corrupt as error:
            self._disk.refused(error)
            self._post(self._tell_disk)
            raise

    async def close(self) -> None:
        """Finish what is queued, empty the write-ahead log and close the file; a damaged one is left as it is.

        Raises:
            StoreError: the log could not be emptied, of a disk that had not refused before.

        Concurrency: it waits for snapshots, which hold the key too; whoever reads one is to be stopped before.
        """
        if self._closed:
            return
        self._closed = True
        if self._snapshots.refuse():
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._snapshots.wait)
        self._snapshots.forget()
        if self._thread is not None:
            self._queue.put(None)
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._thread.join)
        if self._disk.state == "damaged":
            _LEFT_OPEN.append(self._connection)
            return
        try:
            checkpoint(self._connection)
        except StoreError:
            if self._disk.is_writable:
                raise
        finally:
            self._connection.close()

    def _work(self) -> None:
        empty_by: float | None = None  # when the log is to be emptied at the latest; None: it is empty
        while True:
            idle_s = _IDLE_CHECKPOINT_S if empty_by is not None else None
            try:
                first = self._queue.get(timeout=_sooner(idle_s, self._disk.next_probe_s()))
            except queue.Empty:
                if empty_by is not None:
                    empty_by = self._empty_log()
                self._disk.probe(self._sound)
                self._post(self._tell_disk)
                continue
            batch, most = [first], _JOBS_PER_COMMIT if self._disk.is_writable else 1
            while len(batch) < most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            jobs = [pending for pending in batch if pending is not None]
            if jobs:
                self._post(partial(self._answer, jobs, self._commit(jobs)))
                now = time.monotonic()
                if empty_by is None:
                    empty_by = now + _BUSY_CHECKPOINT_S
                elif now >= empty_by:
                    empty_by = self._empty_log()
            if len(jobs) < len(batch):
                return

    def _empty_log(self) -> float | None:
        """Empty the log; when to try again at the latest, if the disk refused or somebody reads."""
        if self._disk.state == "damaged":
            return None
        try:
            with self._timed():
                is_empty = checkpoint(self._connection)
        except StoreError as error:
            self._disk.refused(error)
        else:
            if is_empty:
                return None
        return time.monotonic() + _BUSY_CHECKPOINT_S

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._disk.began()
        try:
            yield
        finally:
            self._disk.ended()

    def _commit(self, jobs: Sequence[_Pending[Any]]) -> _Told:
        """Run the jobs in one transaction, fill their results, and return what to tell."""
        events: list[DomainEvent] = []
        oldest: int | None = None
        left: list[object] = []
        after: AfterCommit | None = None
        try:
            self._disk.probe(self._sound)
            if self._disk.state == "damaged":
                raise Corrupt(DAMAGED)
            self._sound()
            with store_errors():
                began = time.perf_counter()
                self._connection.execute("BEGIN IMMEDIATE")
                for pending in jobs:
                    pending.result, tx = self._one(pending.job, is_alone=len(jobs) == 1)
                    events += tx.events
                    left += tx.left
                    oldest = oldest if tx.oldest is None else tx.oldest
                if (finisher := self._finisher) is not None and left:
                    finished, tx = self._one(lambda tx: finisher(tx, left))
                    after = finished.value if isinstance(finished, outcome.Value) else None
                    events += tx.events
                with self._timed():
                    self._connection.execute("COMMIT")
                self.commits.note(time.perf_counter() - began)
        except Exception as error:
            self.commits.note_failed()
            for pending in jobs:  # the whole transaction is void: every caller hears it, and no event is told
                pending.result = outcome.Error(error)
            with suppress(driver_error):  # SQLite may have done it itself; if not, the next BEGIN fails, and says so
                self._connection.execute("ROLLBACK")
            events, oldest, after = [], None, None
            self._disk.refused(error)
            self._disk.undo_for_good(self._connection)
            self._disk.make_room(self._connection)
            self._reopening.failed(self._connection, error)
        for pending in jobs:
            if isinstance(pending.result, outcome.Error):
                self._disk.refused(pending.result.error)
        return events, oldest, after

    def _sound(self) -> Connection:
        self._connection = self._reopening.sound(self._connection)
        return self._connection

    def _one(self, job: Job[T], *, is_alone: bool = False) -> tuple[outcome.Outcome[T], Tx]:
        """The result of a job, and what it tells and leaves: nothing if it was undone."""
        tx = Tx(self._connection, self._now_ms(), self._disk.refusal())
        if not is_alone:  # else the transaction is undone: most have one job, and a savepoint is half of their cost
            self._connection.execute("SAVEPOINT job")
        try:
            with store_errors():
                value = job(tx)
        except Exception as error:
            if not self._connection.in_transaction or is_damage(error):
                raise  # SQLite itself rolled everything back (disk full, I/O): not this job's failure alone
            self._connection.execute("ROLLBACK" if is_alone else "ROLLBACK TO job")
            self._connection.execute("BEGIN IMMEDIATE" if is_alone else "RELEASE job")
            return outcome.Error(error), Tx(self._connection, tx.now_ms)
        if not is_alone:
            self._connection.execute("RELEASE job")
        return outcome.Value(value), tx

    def _answer(self, jobs: Sequence[_Pending[Any]], told: _Told) -> None:
        for pending in jobs:
            assert pending.result is not None  # noqa: S101  _commit fills every result
            pending.done(pending.result)
        self._tell(told)
        self._tell_disk()

    def _post(self, telling: Callable[[], None]) -> None:
        if self._token is None:
            telling()
            return
        try:
            self._token.run_sync_soon(telling)
        except trio.RunFinishedError:
            return  # the loop ended while the last transaction committed: there is nobody left to tell

    def _tell(self, told: _Told) -> None:
        events, oldest, after = told
        self.log.committed(events, oldest)
        if after is not None:
            after()
        if events:
            for listener in self._listeners:
                listener(events)

    def _tell_disk(self) -> None:
        state = self._disk.state
        if state != self._disk_told:
            self._disk_told = state
            for listener in self._disk_listeners:
                listener(state)


def _sooner(one_s: float | None, other_s: float | None) -> float | None:
    """The lesser; None is never."""
    return min((each for each in (one_s, other_s) if each is not None), default=None)
