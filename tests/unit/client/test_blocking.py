"""The blocking client against a fake node and against things that are no daemon."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from p2pchat import client as package
from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.client.blocking import Client
from p2pchat.client.on_asyncio import AsyncioClient
from tests.event_daemon import running
from tests.fake_api import FakeApi, Served, served

IN_TIME_S = 1.0
"""So long may what comes in time take where much else runs."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    with served(FakeApi, tmp_path / "run" / "node.sock") as running:
        yield running


@pytest.fixture
def other_end(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """A server that reads one line and sends what it was made with, then closes."""
    threads: list[threading.Thread] = []

    def serve(reply: bytes) -> Path:
        listener = socket.socket(socket.AF_UNIX)
        path = tmp_path / "other.sock"
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with listener, connection, connection.makefile("rb") as lines:
                lines.readline()
                connection.sendall(reply)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return path

    yield serve
    for thread in threads:
        thread.join(10)


def test_a_call_returns_the_result_as_it_came(node: Served) -> None:
    with Client(node.path) as client:
        bob = client.call("contacts.add", number="+821098765432", name="밥 🙂")
        assert bob == msgspec.to_builtins(node.api.contacts[0])
        assert client.call("contacts.list") == {"contacts": [bob]}


def test_every_code_point_arrives(node: Served) -> None:
    node.api.contact("Bob")
    text = "\0\x1b\x7f\x9f\u2028\u202e\ufeff\uffff한🙂"
    with Client(node.path) as client:
        assert client.call("message.send", to="Bob", text=text)["text"] == text
    assert node.api.messages[0].text == text


def test_an_error_reply_is_raised_with_its_data(node: Served) -> None:
    node.api.fail["node.status"] = UsageError("Slow down.", name="RATE_LIMITED", data={"retry_after_ms": 5})
    with Client(node.path) as client:
        with pytest.raises(ApiError) as caught:
            client.call("node.status")
        error = caught.value
        assert (error.error_name, error.message, error.data) == ("RATE_LIMITED", "Slow down.", {"retry_after_ms": 5})
        with pytest.raises(ApiError, match="text: holds half"):
            client.call("message.send", to="Bob", text="\ud800")
        assert client.call("net.addrs")["addresses"]


def test_events_follow_and_calls_between_them_lose_none(node: Served) -> None:
    bob = node.api.contact("Bob")
    with Client(node.path) as client:
        events = client.events(types=["message.*"])
        for n in range(5):
            node.do(partial(node.api.message, bob, f"{n}", incoming=True))
            client.call("node.status")
        node.do(lambda: node.api.emit("contact.matched", bob))
        node.do(lambda: node.api.message(bob, "last", incoming=True))
        told = [next(events) for _ in range(6)]
    assert told == [msgspec.to_builtins(event) for event in node.api.events if event.type == "message.received"]


def test_events_from_a_cursor(node: Served) -> None:
    bob = node.api.contact("Bob")
    for n in range(4):
        node.do(partial(node.api.message, bob, f"{n}", incoming=True))
    with Client(node.path) as client:
        events = client.events(since=2)
        assert [next(events)["seq"] for _ in range(2)] == [3, 4]


def test_an_expired_cursor_is_raised_at_once(node: Served) -> None:
    node.api.fail["events.subscribe"] = UsageError("Gone.", name="CURSOR_EXPIRED", data={"oldest": 7})
    with Client(node.path) as client, pytest.raises(ApiError) as caught:
        client.events(since=1)
    assert caught.value.data == {"oldest": 7}


def test_the_end_of_the_daemon_is_no_daemon(node: Served) -> None:
    with Client(node.path) as client:
        events = client.events(reconnect=False)
        with Client(node.path) as other:
            other.call("node.shutdown")
            assert other.wait_closed(10)
        with pytest.raises(NoDaemon):
            next(events)
    with pytest.raises(NoDaemon):
        Client(node.path)


def test_nobody_and_no_socket_are_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match="p2pchat daemon"):
        Client(tmp_path / "none.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(NoDaemon):
        Client(tmp_path / "dead.sock")


@pytest.mark.parametrize("reply", [b"", b'{"jsonrpc":', b"220 smtp.example.org ESMTP\r\n", b"5\n\n"])
def test_what_is_no_daemon_is_told_apart(other_end: Callable[[bytes], Path], reply: bytes) -> None:
    with Client(other_end(reply)) as client, pytest.raises(NoDaemon):
        client.call("node.hello")


def test_a_daemon_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        with Client(tmp_path / "silent.sock", timeout_s=0.01) as client:
            with pytest.raises(ApiError) as caught:
                client.call("node.hello")
            assert caught.value.error_name == "TIMEOUT"
            with pytest.raises(ApiError) as caught:
                client.call("message.send", to="Bob", text="x" * 10_000_000)
            assert caught.value.error_name == "TIMEOUT"


@pytest.fixture
def talker(tmp_path: Path) -> Iterator[Path]:
    """A server that answers nothing, and tells what nobody has asked: 100,000 times, unless its client leaves."""
    path = tmp_path / "talker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def talk() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(1)
                for _ in range(1000):
                    connection.sendall(b'{"jsonrpc":"2.0","method":"news","params":{}}\n{"id":99,"result":{}}\n' * 50)

        talking = threading.Thread(target=talk)
        talking.start()
        yield path
        talking.join()


def test_a_daemon_that_says_anything_but_the_answer_is_a_timeout(talker: Path) -> None:
    with Client(talker, timeout_s=0.01) as client, pytest.raises(ApiError) as caught:
        client.call("node.hello")
    assert caught.value.error_name == "TIMEOUT"


def test_a_daemon_that_talks_without_end_keeps_no_other_task_waiting(talker: Path) -> None:
    async def main() -> None:
        async with AsyncioClient(talker) as client, asyncio.timeout(0.01):
            await client.call("node.hello")

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_subscription_that_ends_during_a_call_is_told_to_its_reader(tmp_path: Path) -> None:
    with running(tmp_path / "daemon.sock") as daemon, Client(daemon.path) as client:
        events = client.events(reconnect=False)
        daemon.before = lambda request: daemon.lock()
        with pytest.raises(ApiError, match="LOCKED"):
            client.call("any")
        with pytest.raises(ApiError, match="LOCKED"):
            next(events)


def test_what_is_waited_for_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "daemon.sock") as daemon, Client(daemon.path) as client:
        daemon.receive("one")
        lost: list[ApiError] = []
        events = client.events(since=0, until=time.monotonic() + IN_TIME_S, on_lost=lost.append)
        assert next(events)["seq"] == 1
        for _ in range(2):
            with pytest.raises(ApiError, match="in the time given"):
                next(events)
        assert lost == []
        away = client.events(until=time.monotonic() + IN_TIME_S, on_lost=lost.append)
        daemon.stop()
        with pytest.raises(ApiError, match="in the time given"):
            next(away)
        assert len(lost) == 1


def test_a_context_ends_the_events(tmp_path: Path) -> None:
    with running(tmp_path / "daemon.sock") as daemon, Client(daemon.path) as client:
        daemon.receive("one")
        with client.events(since=0) as events:
            assert [event["seq"] for event in itertools.islice(events, 1)] == [1]
        assert list(events) == []
        assert client.call("any") == {"echo": {}}


def test_a_client_that_was_closed_is_over(tmp_path: Path) -> None:
    with running(tmp_path / "daemon.sock") as daemon:
        with Client(daemon.path) as client:
            events = client.events()
        for ended in (partial(client.call, "any"), partial(client.insist, "any"), partial(next, events)):
            with pytest.raises(NoDaemon):
                ended()


def test_a_client_of_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path))
    ProfilePaths("work").socket.parent.mkdir()
    with running(ProfilePaths("work").socket) as daemon, package.Client(profile="work") as client:
        assert client.call("any") == {"echo": {}}
        assert daemon.asked == ["any"]
    with pytest.raises(NoDaemon):
        package.Client()


def test_that_a_request_could_not_be_read_is_told_to_its_caller(other_end: Callable[[bytes], Path]) -> None:
    parse = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"No.","data":{"name":"PARSE"}}}\n'
    with Client(other_end(parse)) as client, pytest.raises(ApiError, match=r"No\."):
        client.call("node.status")


def test_another_thread_can_end_the_wait_for_a_daemon(tmp_path: Path) -> None:
    waiting = threading.Event()
    with running(tmp_path / "daemon.sock") as daemon, Client(daemon.path) as client:
        events = client.events(on_lost=lambda _: waiting.set())
        daemon.stop()
        ended: list[NoDaemon] = []

        def wait() -> None:
            try:
                for _ in range(2):
                    next(events)
            except NoDaemon as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(10)
        client.interrupt()
        thread.join(10)
        assert len(ended) == 1


def test_another_thread_can_end_a_wait(node: Served) -> None:
    with Client(node.path) as client:
        events = client.events()
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                next(events)
            except NoDaemon as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        client.interrupt()
        thread.join(10)
        assert len(ended) == 1
        client.interrupt()
