"""What is under way when a node is locked: calls that end, that wait, that do not end."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from p2pchat.api import calls, objects
from p2pchat.base.errors import P2PChatError, StoreError, UsageError
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import GRACE_S, Handler, Methods
from p2pchat.testing.cluster import Cluster, Node

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


def methods_of(node: Node) -> Methods:
    assert node.running is not None
    return Methods(node.running.context, node.running.life.online, "default", 0.0)


async def name_of(call: Awaitable[object]) -> str:
    """The name of the error that a call has; empty where it succeeds."""
    try:
        await call
    except P2PChatError as error:
        return error.error_name
    return ""


def sleeping(seconds: float, error: Exception | None = None) -> Handler:
    async def handler(_params: calls.Params, _: Connection) -> objects.Empty:
        await trio.sleep(seconds)
        if error is not None:
            raise error
        return objects.Empty()

    return handler


@pytest.mark.parametrize(
    ("handler", "told", "after_s"),
    [
        (sleeping(GRACE_S / 2), "", GRACE_S / 2),
        (sleeping(GRACE_S / 2, StoreError("No.")), "STORE", GRACE_S / 2),
        (sleeping(GRACE_S * 1.5), "", GRACE_S * 1.5),  # it does not say that it may wait, so it is not cut off
        (sleeping(60, StoreError("The store is closed.")), "LOCKED", GRACE_S * 2),
    ],
    ids=["ends", "fails", "is late", "does not end"],
)
async def test_a_call_that_works_is_waited_for(
    autojump_clock: MockClock, handler: Handler, told: str, after_s: float
) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        methods = methods_of(await cluster.add("Alice"))
        methods._handlers["contacts.list"] = handler
        names: list[str] = []

        async def call() -> None:
            names.append(await name_of(methods("contacts.list", {}, CONNECTION)))

        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await methods.finish()
        assert trio.current_time() - began == pytest.approx(after_s)
        await trio.sleep(60)
        assert names == [told]


async def test_texts_that_are_sent_together_are_locked_as_one_alone_is(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        methods = methods_of(await cluster.add("Alice"))

        async def never(sent: object) -> Sequence[objects.Message | UsageError]:
            await trio.sleep(60)
            raise StoreError("The store is closed.")

        methods._messages.send_all = never  # type: ignore[method-assign]
        names: list[str] = []

        async def send() -> None:
            names.append(await name_of(methods.send_all([{"to": "Bob", "text": text} for text in ("one", "two")])))

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        await methods.finish()
        await trio.sleep(60)
        assert names == ["LOCKED"]


async def test_a_call_that_waits_is_cut_off_and_what_it_committed_stays(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        alice = await cluster.add("Alice", "+821012345678")
        await alice.add("+821098765432", "Bob")
        methods = methods_of(alice)
        names: list[str] = []

        async def send() -> None:
            params: dict[str, object] = {"to": "Bob", "text": "hello", "wait": "delivered", "timeout_ms": 86_400_000}
            names.append(await name_of(methods("message.send", params, CONNECTION)))

        nursery.start_soon(send)
        await trio.sleep(1)
        began = trio.current_time()
        await methods.finish()
        assert trio.current_time() - began == pytest.approx(GRACE_S)
        assert names == ["LOCKED"]
        assert await alice.outbox() == 1
