"""A blocking client of the control socket: the standard library alone, so that a command starts fast.

    with Client() as client:
        client.call("message.send", to="Bob", text="Hello", idempotency_key="greeting-1")
        for event in client.events(consumer="bot", types=["message.received"]):
            print(event["data"])

Rules:

- An error reply is raised as :class:`ApiError`, a daemon that is not there or goes away as :class:`NoDaemon`.
- A call that was under way when the connection was lost raises; the next one makes a new connection.
- Events go on where they were after whatever passes by itself: a restart of the daemon, a cut, a lock.
- What a reply holds is passed on as it came; fields of newer daemons are kept.

Source: docs/CONTROL-API.md, "From Python".
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TypeVar

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client.caller import Caller, Stream, chance
from p2pchat.client.connecting import SocketPath, connected, is_over, path_of, send_now
from p2pchat.client.following import Following, Pauses, Since
from p2pchat.client.link import READ_BYTES
from p2pchat.client.protocol import LOST, Event

if TYPE_CHECKING:
    import threading

T = TypeVar("T")


class Client:
    """One client of a daemon. Not for several threads at once, but for :meth:`interrupt`.

    Args:
        socket_path: the daemon's socket; that of the profile where omitted.
        profile: as ``p2pchat --profile`` names it; the default one where omitted.
        timeout_s: how long a reply may take; None for as long as it takes.

    Raises:
        NoDaemon: nothing answers there.
        ApiError: FORBIDDEN, the socket is another user's.
    """

    def __init__(
        self,
        socket_path: SocketPath | None = None,
        *,
        profile: str | None = None,
        timeout_s: float | None = 30.0,
    ) -> None:
        self._sockets = _Sockets(path_of(socket_path, profile))
        self._runtime = _Blocking(self._sockets, timeout_s)
        self._caller = Caller(self._runtime)
        self._caller.exchange()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; what was asked and not answered is still carried out, and events are over."""
        self._sockets.end()
        self._caller.close()
        self._sockets.close()

    def interrupt(self) -> None:
        """End the client for the thread that waits on it: its call or its events end with NoDaemon. The one method that
        another thread may call."""
        self._sockets.end()

    def call(self, method: str, /, **params: object) -> dict[str, object]:
        """The result of one call. A parameter that is None is sent as null: not given.

        Raises:
            ApiError: the daemon's error reply; TIMEOUT where none came within ``timeout_s``.
            NoDaemon: the connection ended before the reply. Whether the call was carried out is then not known: with
                an ``idempotency_key`` it can be made again.
        """
        return _done(self._caller.call(method, params))

    def insist(self, method: str, /, **params: object) -> dict[str, object]:
        """As :meth:`call`, but made again until the daemon answers, however long it is away, locked, or has too many
        clients. Give an ``idempotency_key`` with what changes anything: then it is done once.

        Raises:
            ApiError: any other error reply; TIMEOUT as :meth:`call`.
        """
        return _done(self._caller.insist(method, params))

    def events(
        self,
        *,
        since: Since = "now",
        consumer: str | None = None,
        types: Sequence[str] | None = None,
        log: str | None = None,
        ack: Literal["auto", "manual"] = "auto",
        reconnect: bool = True,
        on_lost: Callable[[ApiError], object] | None = None,
        until: float | None = None,
    ) -> Events:
        """Events as they happen, without end; the subscription runs when this returns, which is when the daemon is
        unlocked.

        After a restart of the daemon, a cut or a lock they go on where they were.

        Args:
            since: ``now``, or the ``seq`` of the last event that is known (0: everything that is kept).
            consumer: a name, 1 to 64 of ``A-Z a-z 0-9 . _ -``, under which the daemon remembers what is done, also for
                the next process: events begin after that, and ``since`` is for a name that is not known yet.
            types: which, such as ``message.*``; None for all.
            log: what :attr:`Events.log` was where ``since`` was noted; None where that is not known.
            ack: with a consumer, ``auto`` has each event acknowledged when the next one is asked for: a process that
                ends before is told it again, so each is handled at least once. ``manual`` leaves it to
                :meth:`Events.ack`.
            reconnect: False raises what else would be waited for: NO_DAEMON, LOCKED, RATE_LIMITED.
            on_lost: called once for each loss that connecting anew at once does not mend, with its error.
            until: a time of ``time.monotonic`` at which the wait ends; None for never.

        Raises:
            ApiError: CURSOR_EXPIRED, or another error reply; TIMEOUT at ``until`` (from the iterator). CURSOR_EXPIRED
                may come from the iterator, too, if the daemon was away for long.
            NoDaemon: nothing answers.
        """
        following = Following(
            Pauses(chance), since=since, consumer=consumer, types=types, log=log, reconnect=reconnect, on_lost=on_lost
        )
        runtime = _Blocking(self._sockets, self._runtime.timeout_s, until)
        events = Events(Stream(runtime, self._caller, following), auto=ack == "auto")
        events.begin()
        return events

    def wait_closed(self, timeout_s: float) -> bool:
        """Whether the daemon closes the connection within ``timeout_s``."""
        before, self._runtime.timeout_s = self._runtime.timeout_s, timeout_s
        self._runtime.asked()
        try:
            _done(self._caller.wait_closed())
        except ApiError:
            return False
        finally:
            self._runtime.timeout_s = before
        return True


class Events:
    """Events of one subscription, as :meth:`Client.events` makes it: an iterator, and a context that ends it."""

    def __init__(self, stream: Stream, *, auto: bool) -> None:
        self._stream = stream
        self._auto = auto

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if self._stream.closed:
            raise StopIteration
        try:
            return _done(self._stream.next(done=self._auto))
        except _TimeIsUp:
            raise ApiError("TIMEOUT", "It has not happened in the time given.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> str | None:
        """Of which log the ``seq`` of these events are; None: the daemon does not say so."""
        return self._stream.log

    def begin(self) -> None:
        """Subscribe, where that was not done yet. :meth:`Client.events` has done it."""
        try:
            _done(self._stream.begin())
        except _TimeIsUp:
            raise ApiError("TIMEOUT", "It has not happened in the time given.") from None

    def ack(self, event: Event) -> None:
        """Have ``event``, and all before it, acknowledged for the consumer; returns when that is committed.

        Raises:
            ApiError: the daemon refuses; NO_DAEMON and LOCKED are waited for as long as it takes.
            ValueError: these events have no consumer.
        """
        _done(self._stream.ack(event))

    def close(self) -> None:
        """End it. An event that was told and not acknowledged is told again to the consumer's next reader."""
        self._stream.close()


class _Sockets:
    """The open connections of one client, which another thread may end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: set[socket.socket] = set()
        self._waking: threading.Event | None = None
        self.ended = False

    def connect(self) -> socket.socket:
        """Raises: NoDaemon, ApiError: as ``connected``."""
        made = connected(self._path)
        self._open.add(made)
        if self.ended:  # since it was asked for
            _shut(made)
        return made

    def drop(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        connection.close()

    def sleep(self, seconds: float) -> None:
        """Sleep, or until the end."""
        import threading  # loaded for those who wait

        self._waking = self._waking or threading.Event()
        if not self.ended:
            self._waking.wait(seconds)

    def end(self) -> None:
        """From any thread: nothing is waited for any more."""
        self.ended = True
        for connection in list(self._open):
            _shut(connection)
        if self._waking is not None:
            self._waking.set()

    def close(self) -> None:
        for connection in list(self._open):
            self.drop(connection)


class _Blocking:
    """The runtime that never suspends: it blocks. ``until``: see :meth:`Client.events`."""

    def __init__(self, sockets: _Sockets, timeout_s: float | None, until: float | None = None) -> None:
        self.timeout_s = timeout_s
        self._asked = time.monotonic()
        self._sockets = sockets
        self._until = until

    @property
    def ended(self) -> bool:
        return self._sockets.ended

    def connect(self) -> _Connection:
        return _Connection(self, self._sockets)

    def waker(self) -> NoReturn:
        raise RuntimeError("A Client is of one thread, and makes one call at a time.")

    async def sleep(self, seconds: float) -> None:
        left_s = self.left_s()
        self._sockets.sleep(seconds if left_s is None else min(seconds, left_s))

    def asked(self) -> None:
        """A reply is awaited from now on."""
        self._asked = time.monotonic()

    def due_s(self) -> float | None:
        """Seconds until the reply is overdue.

        Raises:
            TimeoutError: it is.
        """
        if self.timeout_s is None:
            return None
        due_s = self._asked + self.timeout_s - time.monotonic()
        if due_s <= 0:
            raise TimeoutError
        return due_s

    def left_s(self) -> float | None:
        """Seconds until ``until``.

        Raises:
            _TimeIsUp: there are none.
        """
        if self._until is None:
            return None
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise _TimeIsUp
        return left_s


class _Connection:
    """The stream that blocks."""

    def __init__(self, runtime: _Blocking, sockets: _Sockets) -> None:
        self._runtime = runtime
        self._sockets = sockets
        self._socket = sockets.connect()
        self._timeout_s: float | None = 0.0
        self._has_asked = False

    async def send(self, data: bytes) -> int:
        timeout_s = self._runtime.timeout_s
        try:
            self._set_timeout(timeout_s)
            sent = self._socket.send(data)
        except TimeoutError:
            raise ApiError("TIMEOUT", f"The daemon took nothing for {timeout_s:g} seconds.") from None
        except OSError:
            raise NoDaemon(LOST) from None
        self._runtime.asked()
        self._has_asked = True
        return sent

    def send_now(self, data: bytes) -> int:
        return send_now(self._socket, data)

    async def receive(self, *, due: bool) -> bytes:
        try:
            if due and self._has_asked:  # just now: there is all the time for it
                timeout_s, self._has_asked = self._runtime.timeout_s, False
            else:
                timeout_s = self._runtime.due_s() if due else self._runtime.left_s()
            self._set_timeout(timeout_s)
            return self._socket.recv(READ_BYTES)
        except TimeoutError:
            if not due:
                raise _TimeIsUp from None
            raise ApiError(
                "TIMEOUT", f"The daemon did not answer within {self._runtime.timeout_s:g} seconds."
            ) from None
        except OSError:
            raise NoDaemon(LOST) from None

    def is_over(self) -> bool:
        return is_over(self._socket)

    def interrupt(self) -> None:
        _shut(self._socket)

    def close(self) -> None:
        self._sockets.drop(self._socket)

    def _set_timeout(self, timeout_s: float | None) -> None:
        if timeout_s != self._timeout_s:  # a system call that most calls do not need
            self._socket.settimeout(timeout_s)
            self._timeout_s = timeout_s


class _TimeIsUp(Exception):
    """``until`` has come: no error of the daemon's, and nothing that passes by itself."""


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the daemon was the first to end it
        connection.shutdown(socket.SHUT_RDWR)


def _done(work: Coroutine[object, object, T]) -> T:
    """The outcome of what waits only by blocking, so that it never suspends."""
    try:
        work.send(None)
    except StopIteration as end:
        outcome: T = end.value
        return outcome
    finally:
        work.close()
    raise RuntimeError("what blocks was suspended")
