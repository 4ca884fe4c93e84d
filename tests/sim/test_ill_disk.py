"""A disk that takes nothing for an hour: the node says so, keeps what it has, and goes on by itself afterwards."""

from __future__ import annotations

import pytest
import structlog
import trio
from trio.testing import MockClock

from p2pchat.api.objects import Status
from p2pchat.base.errors import DiskFull, StoreError
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.faulty import FaultyConnection, Ill
from tests.sim.mailboxes import context_of
from tests.sim.people import meet

HOUR_S = 3600.0


def warnings(node: Node) -> list[str]:
    """What was said of the disk, that anybody could have subscribed to."""
    _, told = context_of(node).bus.transient_after(0)
    return [event.detail.decode() for event in told if event.kind is EventKind.NODE_WARNING]


@pytest.mark.parametrize("ill", ["full", "failing"])
async def test_an_hour_without_a_disk(ill: Ill, autojump_clock: MockClock) -> None:
    with structlog.testing.capture_logs() as logs:
        async with Cluster.running() as cluster:
            await cluster.add("Carol")
            alice, bob = await meet(cluster)
            disk = FaultyConnection.under(bob.database)
            await bob.send("Alice", "before")
            await eventually(lambda: settled(bob))
            disk.ill = ill
            sent = [(await alice.send("Bob", f"text {number}")).text for number in range(5)]
            began = trio.current_time()
            while trio.current_time() < began + HOUR_S:
                await trio.sleep(HOUR_S / 12)
                with pytest.raises(DiskFull if ill == "full" else StoreError):
                    await bob.send("Alice", "not kept")
                assert await bob.texts_sent("Alice") == ["before"]  # what was there is read as ever
                assert await bob.received("Alice") == []
                assert await alice.outbox() == 5  # nothing was acknowledged
            assert disk.refused < HOUR_S / 2
            disk.ill = None
            assert await eventually(lambda: arrived(bob, sent)) < 30
            await eventually(lambda: settled(alice))
            assert warnings(bob) == [ill, "ok"]
            await bob.send("Alice", "after")
            await eventually(lambda: settled(bob))
            assert await alice.received("Bob") == ["before", "after"]
    assert [each for each in logs if each["event"] == "defect"] == []
    assert len([each for each in logs if each["event"] == "disk.trouble"]) == 1


async def settled(node: Node) -> bool:
    return await node.outbox() == 0


async def arrived(node: Node, texts: list[str | None]) -> bool:
    return await node.received("Alice") == texts


@pytest.mark.parametrize("ill", ["full", "failing"])
async def test_a_node_that_starts_and_is_renewed_without_a_disk_finds_its_way(
    ill: Ill, autojump_clock: MockClock
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with Cluster.running() as cluster:
            await cluster.add("Carol")
            alice, bob = await meet(cluster)
            disk = FaultyConnection.under(bob.database)
            await cluster.crash(bob)
            disk.ill = ill
            await cluster.start(bob)
            await trio.sleep(HOUR_S)
            text = (await alice.send("Bob", "hello")).text
            disk.ill = None
            await bob.database.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_RENEWED)))
            disk.ill = ill  # and again, just when its other half begins anew
            await trio.sleep(HOUR_S / 4)
            disk.ill = None
            assert await eventually(lambda: arrived(bob, [text]), within_s=HOUR_S) < 900
    assert [each for each in logs if each["event"] == "defect"] == []


async def test_status_is_answered_while_the_disk_keeps_everybody_waiting(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: object) -> None:
        await trio.sleep_forever()

    async with Cluster.running() as cluster:
        _, bob = await meet(cluster)
        methods = Methods(context_of(bob), lambda _: False, "default", 0.0)
        connection = Connection(Channel.__new__(Channel))  # this method does nothing with it
        first = await methods("node.status", {}, connection)
        with monkeypatch.context() as patch:
            patch.setattr(bob.database, "run", hang)
            patch.setattr(bob.database._disk, "shown", lambda: "slow")
            with trio.fail_after(3):
                second = await methods("node.status", {}, connection)
    assert isinstance(first, Status)
    assert isinstance(second, Status)
    assert (first.disk, second.disk) == ("ok", "slow")
    assert second.contacts == first.contacts
