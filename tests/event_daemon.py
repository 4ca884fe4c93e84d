"""A daemon's socket with a log of events, consumers and messages, and all that can go wrong with it, to test clients.

It is written with sockets and threads alone, so that it shares nothing with what it tests. Everything that it tells is
sent when the method returns that told it: nothing waits for a time.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from p2pchat.api.schema import type_matches


class EventDaemon:
    """Answers at ``path`` from :meth:`start` to :meth:`stop`; what it remembers outlives that.

    ``acks``: every ack, as (consumer, seq). ``asked``: the methods in the order in which they came. ``before``: called
    with each request before it is carried out, outside of the lock. ``refuse``: errors by method, as (name, data).
    ``held``: methods that are not answered until :meth:`release`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[dict[str, Any]] = []
        self.consumers: dict[str, int] = {}
        self.acks: list[tuple[str, int]] = []
        self.sent: dict[str, str] = {}
        self.asked: list[str] = []
        self.subscribed: list[object] = []
        self.before: Callable[[dict[str, Any]], None] = lambda request: None
        self.after: Callable[[dict[str, Any]], None] = lambda request: None
        self.refuse: dict[str, tuple[str, dict[str, Any]]] = {}
        self.held: set[str] = set()
        self.oldest = 1
        self.log: str | None = "00" * 8
        self.full = False
        self.locked = False
        self._held: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._listener: socket.socket | None = None
        self.connections: dict[socket.socket, list[tuple[str, list[str] | None]]] = {}
        self._threads: list[threading.Thread] = []

    # -- what happens to it ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._begin(self._accept, self._listener)

    def stop(self) -> None:
        """As the kernel ends a daemon that was killed: nothing more is said."""
        if self._listener is not None:
            self.path.unlink()
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def restart(self, *_: object) -> None:
        """Once more, where it is not running."""
        if self._listener is None:
            self.start()

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            for connection in list(self.connections):
                self._drop(connection)

    def wait_asked(self, count: int) -> None:
        """Until so many requests have come."""
        with self._lock:
            assert self._news.wait_for(lambda: len(self.asked) >= count, 10)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def lock(self) -> None:
        with self._lock:
            self.locked = True
            for connection, subscriptions in list(self.connections.items()):
                for _ in subscriptions:
                    self._send(connection, error(None, "LOCKED"))
                subscriptions.clear()

    def unlock(self, *_: object) -> None:
        self.locked = False

    def emit(self, kind: str, **data: object) -> int:
        """An event, told to all who subscribed; its seq."""
        with self._lock:
            event = {"seq": len(self.events) + 1, "ts": 1, "type": kind, "data": data}
            self.events.append(event)
            for connection, subscriptions in list(self.connections.items()):
                for name, types in subscriptions:
                    if type_matches(types, kind):
                        self._tell(connection, name, event)
            return len(self.events)

    def receive(self, text: str) -> int:
        """``message.received``."""
        seq = len(self.events) + 1
        return self.emit("message.received", id=f"{seq:032x}", contact_id="b0b", text=text)

    def release(self) -> None:
        """Answer what was held, the latest first."""
        with self._lock:
            held, self._held = self._held, []
            for answer in reversed(held):
                answer()

    # -- its connections -------------------------------------------------------------------------------------------

    def _begin(self, work: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was stopped
            while True:
                connection, _ = listener.accept()
                with self._lock:
                    self.connections[connection] = []
                    if self.full:
                        self._send(connection, error(None, "RATE_LIMITED"))
                        self._drop(connection)
                        continue
                self._begin(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.before(request)
                with self._lock:
                    if connection not in self.connections:
                        break  # it was cut before the request was carried out
                    self.asked.append(request["method"])
                    self._news.notify_all()
                    answer = partial(self._answer, connection, request)
                    if request["method"] in self.held:
                        self._held.append(answer)
                    else:
                        answer()
                self.after(request)
        with self._lock:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        if self.connections.pop(connection, None) is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        method, params = request["method"], {k: v for k, v in request["params"].items() if v is not None}
        refusal = self.refuse.get(method) or (("LOCKED", {}) if self.locked else None)
        if refusal is not None:
            self._send(connection, error(request["id"], *refusal))
            return
        if method == "events.subscribe":
            self._subscribe(connection, request["id"], params)
            return
        self._send(connection, {"jsonrpc": "2.0", "id": request["id"], "result": self._result(method, params)})

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "events.ack":
                name, seq = params["consumer"], params["seq"]
                self.acks.append((name, seq))
                self.consumers[name] = max(self.consumers[name], seq)
                return {"name": name, "seq": self.consumers[name]}
            case "message.send":
                key = params.get("idempotency_key", f"none {len(self.sent)}")
                self.sent.setdefault(key, params["text"])
                return {"id": key, "text": self.sent[key]}
            case "contacts.list":
                return {"contacts": [{"id": "b0b", "name": "Bob"}]}
            case _:
                return {"echo": params}

    def _subscribe(self, connection: socket.socket, number: int, params: dict[str, Any]) -> None:
        since = params["since"]
        self.subscribed.append(since)
        if "log" in params and params["log"] != self.log:
            name = "INVALID_PARAMS" if self.log is None else "CURSOR_EXPIRED"
            self._send(connection, error(number, name, {"oldest": self.oldest}))
            return
        if isinstance(since, dict):
            start = since.get("start", "now")
            begin = len(self.events) if start == "now" else start
            since = self.consumers.setdefault(since["consumer"], begin)
        cursor = len(self.events) if since == "now" else since
        if cursor + 1 < self.oldest:
            self._send(connection, error(number, "CURSOR_EXPIRED", {"oldest": self.oldest}))
            return
        name, types = f"s{number}", params.get("types")
        result = {"subscription": name, "cursor": cursor} | ({} if self.log is None else {"log": self.log})
        self._send(connection, {"jsonrpc": "2.0", "id": number, "result": result})
        for event in self.events[cursor:]:
            if type_matches(types, event["type"]):
                self._tell(connection, name, event)
        if connection in self.connections:
            self.connections[connection].append((name, types))

    def _tell(self, connection: socket.socket, name: str, event: dict[str, Any]) -> None:
        self._send(connection, {"jsonrpc": "2.0", "method": "event", "params": {"subscription": name, **event}})

    def _send(self, connection: socket.socket, value: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(value).encode() + b"\n")
        except OSError:  # the client has left
            self._drop(connection)


def error(number: int | None, name: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """An error reply."""
    refusal = {"code": 1, "message": f"{name} in words.", "data": {"name": name, **(data or {})}}
    return {"jsonrpc": "2.0", "id": number, "error": refusal}


@contextmanager
def running(path: Path) -> Iterator[EventDaemon]:
    """One that runs, and is gone at the end."""
    daemon = EventDaemon(path)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        daemon.join()
