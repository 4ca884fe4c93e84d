"""What only the awaited clients can do: several calls at once, and leaving one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from p2pchat.api.errors import NoDaemon
from p2pchat.client.on_asyncio import AsyncioClient
from p2pchat.client.on_trio import TrioClient
from tests.event_daemon import EventDaemon, running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EventDaemon]:
    with running(tmp_path / "daemon.sock") as daemon:
        yield daemon


def answer_all_after(daemon: EventDaemon, count: int) -> None:
    """The latest first, once ``count`` are asked."""
    daemon.held = {"any", "left"}

    def after(_: object) -> None:
        if len(daemon.asked) == count:
            daemon.release()

    daemon.after = after


# -- trio ----------------------------------------------------------------------------------------------------------


async def test_replies_find_their_calls_whatever_their_order(daemon: EventDaemon) -> None:
    answer_all_after(daemon, 50)
    replies: dict[int, object] = {}

    async def ask(client: TrioClient, n: int) -> None:
        replies[n] = await client.call("any", n=n)

    async with TrioClient(daemon.path) as client, trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(ask, client, n)
    assert replies == {n: {"echo": {"n": n}} for n in range(50)}


async def test_who_leaves_takes_nobody_along(daemon: EventDaemon) -> None:
    """Also not the one who reads for all."""
    daemon.held = {"left", "any"}
    async with TrioClient(daemon.path) as client, trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(3)]
        replies: list[object] = []

        async def leave(scope: trio.CancelScope) -> None:
            with scope:
                await client.call("left")
                raise AssertionError

        async def stay() -> None:
            replies.append(await client.call("any"))

        nursery.start_soon(leave, scopes[0])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(leave, scopes[1])
        nursery.start_soon(stay)
        nursery.start_soon(leave, scopes[2])
        await trio.testing.wait_all_tasks_blocked()
        for scope in scopes:
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
        assert await client.call("last") == {"echo": {}}
        assert replies == []
        daemon.release()
    assert replies == [{"echo": {}}]


async def test_a_call_in_a_scope_that_is_over_harms_no_other(daemon: EventDaemon) -> None:
    daemon.held = {"any"}
    async with TrioClient(daemon.path) as client, trio.open_nursery() as nursery:
        replies: list[object] = []

        async def ask() -> None:
            replies.append(await client.call("any"))

        nursery.start_soon(ask)
        await trio.to_thread.run_sync(daemon.wait_asked, 1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.call("never")
        assert await client.call("other") == {"echo": {}}
        daemon.release()
    assert replies == [{"echo": {}}]
    assert "never" not in daemon.asked


async def test_who_sends_for_all_and_leaves_takes_nobody_along(daemon: EventDaemon) -> None:
    async with TrioClient(daemon.path) as client, trio.open_nursery() as nursery:
        replies: list[object] = []

        async def ask() -> None:
            replies.append(await client.call("any"))

        with trio.CancelScope() as scope:
            for _ in range(3):
                nursery.start_soon(ask)
            scope.cancel()  # when it has asked, and before anything was sent
            await client.call("never")
    assert replies == [{"echo": {}}] * 3
    assert "never" not in daemon.asked


async def test_a_request_that_was_left_half_sent_ends_the_connection_alone(daemon: EventDaemon) -> None:
    blocked = trio.lowlevel.current_trio_token()
    sent = trio.Event()

    def hold(request: dict[str, object]) -> None:
        if request["method"] == "first":
            trio.from_thread.run(sent.wait, trio_token=blocked)  # nothing more is read meanwhile

    daemon.before = hold
    async with TrioClient(daemon.path) as client, trio.open_nursery() as nursery:

        async def lose() -> None:
            with pytest.raises(NoDaemon):
                await client.call("first")

        nursery.start_soon(lose)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            nursery.start_soon(scope_cancelled_when_blocked, scope)
            await client.call("large", text="x" * (1 << 23))
        sent.set()
        assert await client.call("any") == {"echo": {}}
    assert "large" not in daemon.asked


async def scope_cancelled_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def test_all_who_wait_hear_that_the_daemon_is_gone(daemon: EventDaemon) -> None:
    daemon.held = {"any"}

    async def ask(client: TrioClient) -> None:
        with pytest.raises(NoDaemon):
            await client.call("any")

    async def follow(client: TrioClient) -> None:
        with pytest.raises(NoDaemon):
            await anext(client.events())

    async with trio.open_nursery() as nursery:
        client = TrioClient(daemon.path)
        for _ in range(5):
            nursery.start_soon(ask, client)
        await trio.to_thread.run_sync(daemon.wait_asked, 5)
        daemon.cut()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, client)
        nursery.start_soon(follow, client)
        await trio.to_thread.run_sync(daemon.wait_asked, 11)
        await trio.testing.wait_all_tasks_blocked()
        client.close()
    with pytest.raises(NoDaemon):
        await client.insist("any")


async def test_an_event_that_was_not_waited_for_is_told_to_the_next_who_asks(daemon: EventDaemon) -> None:
    async with TrioClient(daemon.path) as client, client.events(consumer="bot") as events:
        for n in range(3):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(scope_cancelled_when_blocked, scope)
                    await anext(events)
            assert scope.cancelled_caught
            daemon.receive(f"{n}")
            assert (await anext(events))["seq"] == n + 1
    assert {seq for _, seq in daemon.acks} == {1, 2}  # one may have been left while it was acknowledged


# -- asyncio -------------------------------------------------------------------------------------------------------


def test_on_asyncio_replies_find_their_calls_and_who_leaves_takes_nobody_along(daemon: EventDaemon) -> None:
    answer_all_after(daemon, 51)

    async def main() -> None:
        async with AsyncioClient(daemon.path) as client:
            leaving = asyncio.create_task(client.call("left"))
            await asyncio.sleep(0)
            calls = [asyncio.create_task(client.call("any", n=n)) for n in range(49)]
            await asyncio.sleep(0)
            leaving.cancel()  # the one who reads for all
            calls.append(asyncio.create_task(client.call("any", n=49)))
            assert await asyncio.gather(*calls) == [{"echo": {"n": n}} for n in range(50)]
            with pytest.raises(asyncio.CancelledError):
                await leaving

    asyncio.run(main())


def test_on_asyncio_who_waits_hears_that_the_client_was_closed(daemon: EventDaemon) -> None:
    daemon.held = {"any"}

    async def main() -> None:
        async with AsyncioClient(daemon.path) as client:
            waiting = [asyncio.create_task(client.call("any")) for _ in range(3)]
            events = client.events(since=0)
            daemon.receive("one")
            await anext(events)
            waiting.append(asyncio.create_task(anext_of(events)))
            await asyncio.to_thread(daemon.wait_asked, 4)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NoDaemon] * 4

    async def anext_of(events: object) -> dict[str, object]:
        return await anext(events)  # type: ignore[call-overload, no-any-return]

    asyncio.run(main())


def test_on_asyncio_what_is_larger_than_the_socket_takes_arrives(daemon: EventDaemon) -> None:
    async def main() -> None:
        async with AsyncioClient(daemon.path) as client:
            text = "x" * (1 << 22)
            assert await client.call("any", text=text) == {"echo": {"text": text}}

    asyncio.run(main())
