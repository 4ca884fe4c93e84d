"""The way to the daemon: two connections, each in a thread that blocks on it.

Rules:

- One thread carries questions, one after the other, the other one hears events, in their order. Both only ever post to
  the thread of the conversation.
- A daemon that went away is looked for again, at intervals that grow to ``SLOWEST_S``. Events go on after the last one
  that was heard; where those are gone the conversation begins anew.
- A connection that turns out to be of an earlier daemon is replaced once for a question before it counts as
  unanswered: no question does anything twice.
- So many events may wait for the conversation; then the socket waits, and the daemon's log keeps the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol

from p2pchat.api.errors import ApiError
from p2pchat.cli.chat.questions import Answer, Question, ask
from p2pchat.cli.reading import number
from p2pchat.client.blocking import Client

FASTEST_S: Final = 0.2
SLOWEST_S: Final = 2.0
WAITING_EVENTS: Final = 512

_TYPES: Final = ("message.*", "contact.*", "peer.*", "node.warning")


class Conversation(Protocol):
    """Who is told."""

    def up(self, *, anew: bool) -> None: ...
    def down(self, error: ApiError) -> None: ...
    def event(self, event: Mapping[str, object]) -> None: ...
    def answered(self, question: Question, answer: Answer) -> None: ...


class Link:
    """See the rules above.

    Args:
        socket_path: the daemon's.
        contact_id: of whom the conversation is with.
        post: calls a function in the thread of the conversation, soon.
        failed: called there with the defect that has ended a thread of this.
    """

    def __init__(
        self,
        socket_path: Path,
        contact_id: str,
        post: Callable[[Callable[[], None]], object],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._path = socket_path
        self._contact_id = contact_id
        self._post = post
        self._failed = failed
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._room = threading.Semaphore(WAITING_EVENTS)
        self._ending = threading.Event()
        self._clients: set[Client] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, conversation: Conversation) -> None:
        """Begin to tell ``conversation``, first that the daemon answers, or does not."""
        for work in (self._carry, self._hear):
            thread = threading.Thread(
                target=self._guarded, args=(work, conversation), name=f"chat {work.__name__}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def ask(self, question: Question) -> None:
        """Carry a question to the daemon."""
        self._questions.put(question)

    def stop(self) -> None:
        """End both threads; what was not carried yet stays here."""
        self._ending.set()
        self._questions.put(None)
        self._room.release()
        with self._lock:
            for client in self._clients:
                client.interrupt()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[Conversation], None], conversation: Conversation) -> None:
        try:
            work(conversation)
        except BaseException as defect:  # of ours, or an interrupt: it must not end in a thread that nobody looks at
            self._post(partial(self._failed, defect))

    # -- questions -------------------------------------------------------------------------------------------------

    def _carry(self, conversation: Conversation) -> None:
        with ExitStack() as connection:
            client: Client | None = None
            while (question := self._questions.get()) is not None and not self._ending.is_set():
                answer: Answer = None
                for _ in range(1 if client is None else 2):
                    try:
                        if client is None:
                            client = connection.enter_context(self._connected())
                        answer = ask(client, self._contact_id, question)
                        break
                    except ApiError as error:
                        answer = error
                        if error.error_name not in ("NO_DAEMON", "TIMEOUT"):
                            break
                        connection.close()
                        client = None
                self._post(partial(conversation.answered, question, answer))

    # -- events ----------------------------------------------------------------------------------------------------

    def _hear(self, conversation: Conversation) -> None:
        cursor: int | None = None
        pause_s = FASTEST_S
        while not self._ending.is_set():
            try:
                with self._connected() as client:
                    anew = cursor is None
                    since = number(client.call("node.hello"), "head") if cursor is None else cursor
                    events = client.events(since=since, types=_TYPES, reconnect=False)
                    cursor, pause_s = since, FASTEST_S
                    self._post(partial(conversation.up, anew=anew))
                    status = client.call("node.status")
                    if status["replaced_ms"] is not None:  # as it was told when it happened
                        self._post(partial(conversation.event, {"type": "node.warning", "data": status}))
                    for event in events:
                        cursor = max(cursor, number(event, "seq"))  # what is not stored has none
                        self._room.acquire()
                        if self._ending.is_set():
                            return
                        self._post(partial(self._told, conversation, event))
            except ApiError as error:
                if error.error_name == "CURSOR_EXPIRED":
                    cursor = None
                    continue
                self._post(partial(conversation.down, error))
                self._ending.wait(pause_s)
                pause_s = min(pause_s * 2, SLOWEST_S)

    def _told(self, conversation: Conversation, event: Mapping[str, object]) -> None:
        self._room.release()
        conversation.event(event)

    # -- connections -----------------------------------------------------------------------------------------------

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        with Client(self._path) as client:
            with self._lock:
                self._clients.add(client)
                if self._ending.is_set():
                    client.interrupt()
            try:
                yield client
            finally:
                with self._lock:
                    self._clients.discard(client)
