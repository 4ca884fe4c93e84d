"""The way to the daemon: a fake node, the questions, and what comes when the node goes away and comes back."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.cli.chat import link as link_module
from p2pchat.cli.chat.link import Link
from p2pchat.cli.chat.questions import Answer, Begin, Extend, Find, Question, Read, Send, Stretch, Who, ask
from p2pchat.cli.chat.rows import Row
from p2pchat.client.blocking import Client, Events
from p2pchat.client.following import Since
from tests.fake_api import FakeApi, Served, served

WAIT_S = 10.0


class Heard:
    """A conversation that writes down what it is told; its thread is the test's."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.told: list[tuple[str, object]] = []
        self.defects: list[BaseException] = []

    def up(self, *, anew: bool) -> None:
        self.told.append(("up", anew))

    def down(self, error: ApiError) -> None:
        self.told.append(("down", error.error_name))

    def event(self, event: Mapping[str, object]) -> None:
        self.told.append(("event", event["type"]))

    def answered(self, question: Question, answer: Answer) -> None:
        self.told.append((type(question).__name__, answer))

    def until(self, *wanted: tuple[str, object]) -> None:
        """Be told until all of ``wanted`` was, in this order; other things may come between."""
        for each in wanted:
            while each not in self.told:
                self.calls.get(timeout=WAIT_S)()
            del self.told[: self.told.index(each) + 1]

    def next_answer(self) -> object:
        while not (found := [what for kind, what in self.told if kind not in ("up", "down", "event")]):
            self.calls.get(timeout=WAIT_S)()
        self.told.clear()
        return found[0]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "FASTEST_S", 0.01)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@contextmanager
def linked(path: Path, heard: Heard, contact_id: str = f"{1:016x}") -> Iterator[Link]:
    link = Link(path, contact_id, heard.calls.put, heard.defects.append)
    link.start(heard)
    try:
        yield link
    finally:
        link.stop()
    assert heard.defects == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chat ")]


def bob(api: FakeApi, count: int) -> None:
    contact = api.contact("Bob")
    for number in range(count):
        api.message(contact, f"text {number + 1}", incoming=True)


def positions(answer: object) -> list[int]:
    assert isinstance(answer, Stretch)
    return [row.position for row in answer.rows]


# -- questions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(node: Served) -> Iterator[Client]:
    node.do(lambda: bob(node.api, 200))
    with Client(node.path) as opened:
        yield opened


def asked(client: Client, question: Question) -> Answer:
    return ask(client, f"{1:016x}", question)


def test_the_newest_page_and_those_beside_it(client: Client) -> None:
    newest = asked(client, Begin())
    assert isinstance(newest, Stretch)
    assert (positions(newest), newest.at_start, newest.at_end) == (list(range(141, 201)), False, True)
    older = asked(client, Extend("older", 41))
    assert isinstance(older, Stretch)
    assert (positions(older), older.at_start) == (list(range(1, 41)), True)
    newer = asked(client, Extend("newer", 100))
    assert isinstance(newer, Stretch)
    assert (positions(newer), newer.at_end) == (list(range(101, 161)), False)


def test_what_stands_around_a_message(client: Client) -> None:
    around = asked(client, Begin(100))
    assert isinstance(around, Stretch)
    assert (positions(around), around.at_start, around.at_end) == (list(range(40, 160)), False, False)


def test_a_search_finds_one_at_a_time(client: Client) -> None:
    found = asked(client, Find("text 1", "older", None))
    assert isinstance(found, Row)
    assert found.position == 199
    found = asked(client, Find("text 1", "older", 100))
    assert isinstance(found, Row)
    assert found.position == 19
    found = asked(client, Find("text 1", "newer", 19))
    assert isinstance(found, Row)
    assert found.position == 100
    assert asked(client, Find("nowhere", "older", None)) is None


def test_a_text_is_sent_with_its_key(client: Client, node: Served) -> None:
    sent = asked(client, Send("a key", "Hello"))
    assert isinstance(sent, Row)
    assert (sent.text, sent.state) == ("Hello", "queued")
    assert node.api.calls[-1] == (
        "message.send",
        {"to": f"{1:016x}", "text": "Hello", "idempotency_key": "a key"},
    )


def test_a_message_is_said_to_be_read(client: Client, node: Served) -> None:
    assert isinstance(asked(client, Read(f"{7:032x}")), Row)
    assert node.api.calls[-1] == ("message.mark_read", {"id": f"{7:032x}"})


def test_who_it_is(client: Client) -> None:
    found = asked(client, Who())
    assert isinstance(found, Mapping)
    assert found["name"] == "Bob"


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[object] = []
    call = Client.call

    def refuse_many(self: Client, method: str, /, **params: object) -> dict[str, object]:
        limits.append(params["limit"])
        if limits[-1] != 1:
            raise ApiError("TOO_LARGE", "ask for fewer")
        return call(self, method, **params)

    monkeypatch.setattr(Client, "call", refuse_many)
    assert positions(asked(client, Begin())) == [200]
    assert limits == [60, 15, 3, 1]


def test_a_refusal_is_the_answer(client: Client, node: Served) -> None:
    node.api.fail["message.list"] = UsageError("One sentence.", name="TOO_LARGE")
    with pytest.raises(ApiError, match="One sentence"):
        asked(client, Begin())


# -- the link ---------------------------------------------------------------------------------------------------------


def test_events_come_in_order_and_answers_to_their_questions(node: Served, heard: Heard) -> None:
    node.do(lambda: bob(node.api, 1))
    with linked(node.path, heard) as link:
        heard.until(("up", True))
        link.ask(Who())
        link.ask(Begin())
        assert isinstance(heard.next_answer(), Mapping)
        node.do(lambda: node.api.emit("contact.verified", node.api.contacts[0]))
        node.do(lambda: node.api.message(node.api.contacts[0], "x", incoming=True))
        heard.until(("event", "contact.verified"), ("event", "message.received"))


def test_an_error_is_an_answer(node: Served, heard: Heard) -> None:
    with linked(node.path, heard) as link:
        link.ask(Who())
        answer = heard.next_answer()
        assert isinstance(answer, ApiError)
        assert answer.error_name == "CONTACT_NOT_FOUND"


def test_a_daemon_that_comes_back_tells_what_was_missed(heard: Heard) -> None:
    path = ProfilePaths().socket
    kept: list[FakeApi] = []

    def remembering() -> FakeApi:
        api = FakeApi()
        if kept:
            api.contacts, api.messages, api.events = kept[0].contacts, kept[0].messages, kept[0].events
            api.message(api.contacts[0], "missed", incoming=True)
        else:
            bob(api, 3)
        kept.append(api)
        return api

    with linked(path, heard) as link:
        with served(remembering, path):
            heard.until(("up", True))
        heard.until(("down", "NO_DAEMON"))
        link.ask(Who())
        answer = heard.next_answer()
        assert isinstance(answer, ApiError)
        assert answer.error_name == "NO_DAEMON"
        with served(remembering, path):
            heard.until(("up", False), ("event", "message.received"))
            link.ask(Who())
            assert isinstance(heard.next_answer(), Mapping)
            assert ("event", "message.received") not in heard.told


def test_a_question_is_not_lost_on_a_connection_of_an_earlier_daemon(heard: Heard) -> None:
    path = ProfilePaths().socket

    def made() -> FakeApi:
        api = FakeApi()
        api.contact("Bob")
        return api

    with linked(path, heard) as link:
        with served(made, path):
            heard.until(("up", True))
            link.ask(Who())
            heard.next_answer()
        heard.until(("down", "NO_DAEMON"))
        with served(made, path):
            heard.until(("up", False))
            link.ask(Send("key", "Hello"))
            assert isinstance(heard.next_answer(), Row)


def test_events_that_are_gone_begin_it_anew(node: Served, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[object] = []
    events = Client.events

    def forgetful(self: Client, *, since: Since = "now", **rest: object) -> Events:
        refused.append(since)
        if len(refused) == 1:
            raise ApiError("CURSOR_EXPIRED", "gone")
        return events(self, since=since, reconnect=False)

    monkeypatch.setattr(Client, "events", forgetful)
    with linked(node.path, heard):
        heard.until(("up", True))
    assert refused == [0, 0]


def test_a_locked_node_is_told_until_it_is_unlocked(node: Served, heard: Heard) -> None:
    node.api.fail["events.subscribe"] = UsageError("locked", name="LOCKED")
    with linked(node.path, heard):
        heard.until(("down", "LOCKED"), ("down", "LOCKED"))
        node.do(node.api.fail.clear)
        heard.until(("up", True))


def test_a_conversation_that_does_not_listen_is_waited_for(node: Served, heard: Heard) -> None:
    node.do(lambda: node.api.contact("Bob"))
    with linked(node.path, heard):
        heard.until(("up", True))
        for _ in range(link_module.WAITING_EVENTS + 50):
            node.do(lambda: node.api.emit("contact.verified", node.api.contacts[0]))
        node.do(lambda: node.api.emit("contact.chosen", node.api.contacts[0]))
        assert heard.calls.qsize() <= link_module.WAITING_EVENTS
        heard.until(("event", "contact.chosen"))


def test_a_defect_of_a_thread_is_not_lost(node: Served, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(link_module, "ask", broken)
    link = Link(node.path, "0b", heard.calls.put, heard.defects.append)
    link.start(heard)
    link.ask(Who())
    while not heard.defects:
        heard.calls.get(timeout=WAIT_S)()
    link.stop()
    assert isinstance(heard.defects[0], ZeroDivisionError)


def test_stopping_does_not_wait_for_a_daemon_that_hangs(
    node: Served, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = threading.Event()

    def hang(client: Client, _: str, __: Question) -> Answer:
        reached.set()
        assert client.wait_closed(WAIT_S)
        return None

    monkeypatch.setattr(link_module, "ask", hang)
    with linked(node.path, heard) as link:
        link.ask(Who())
        assert reached.wait(WAIT_S)


def test_a_replaced_device_is_told_of_when_it_happens_and_after(node: Served, heard: Heard) -> None:
    node.do(lambda: bob(node.api, 1))
    with linked(node.path, heard):
        heard.until(("up", True))
        node.do(lambda: node.api.emit("node.warning", {"replaced_ms": 1}))
        heard.until(("event", "node.warning"))
    node.api.replaced_ms = 1
    with linked(node.path, heard):
        heard.until(("up", True), ("event", "node.warning"))
