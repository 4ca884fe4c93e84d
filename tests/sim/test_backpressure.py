"""Whoever sends faster than the contact takes is answered more slowly; whoever writes to one who is away is not."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.base.limits import UNACKED_BYTES
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.wire import Ack
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.loss import Loss
from tests.sim.people import meet

TEXT = "x" * 4096
MANY = 2 * UNACKED_BYTES // len(TEXT)
PATIENCE_S = 5.0


async def seconds(node: Node, count: int) -> float:
    """How long ``count`` texts to Bob take to be answered."""
    assert node.running is not None
    methods = Methods(node.running.context, node.running.life.online, "default", 0.0)
    began = trio.current_time()
    texts: list[dict[str, object]] = [{"to": "Bob", "text": TEXT} for _ in range(count)]
    await methods.send_all(texts)
    return trio.current_time() - began


async def outbox(node: Node) -> int:
    assert node.running is not None
    return await node.database.run(
        lambda tx: int((tx.one("SELECT count(*) FROM message WHERE state = 'queued'") or (0,))[0])
    )


async def test_a_pile_waits_for_room_and_not_longer(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = Loss(monkeypatch)
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        assert await seconds(alice, MANY) < 1.0
        assert not await outbox(alice)  # it was answered when all of it was on its way
        await eventually(lambda: arrived(bob, MANY))
        loss.all(Ack)
        few = MANY // 4
        assert await seconds(alice, few) < 1.0
        assert await seconds(alice, MANY) == pytest.approx(PATIENCE_S)
        assert await outbox(alice)
        assert await seconds(alice, 1) == pytest.approx(PATIENCE_S)  # nobody overtakes the pile


async def test_who_waits_for_its_text_waits_no_longer_than_it_says(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Loss(monkeypatch)
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        loss.all(Ack)
        await seconds(alice, MANY)
        assert alice.running is not None
        methods = Methods(alice.running.context, alice.running.life.online, "default", 0.0)
        params: dict[str, object] = {"to": "Bob", "text": "soon", "wait": "sent", "timeout_ms": 2_000}
        connection = Connection(Channel.__new__(Channel))  # nothing is done with it
        began = trio.current_time()
        with pytest.raises(UsageError, match="not sent yet"):
            await methods("message.send", params, connection)
        assert trio.current_time() - began == pytest.approx(2.0)


async def arrived(node: Node, count: int) -> bool:
    row = await node.database.run(lambda tx: tx.one("SELECT count(*) FROM message WHERE incoming = 1"))
    return row == (count,)


async def test_a_pile_does_not_wait_for_a_stream_that_ends(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Loss(monkeypatch)
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        loss.all(Ack)
        taken: list[float] = []

        async def send() -> None:
            taken.append(await seconds(alice, MANY))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(1.0)
            cluster.network.cut(alice.network, bob.network)
        assert taken[0] < 2.0
        assert await seconds(alice, MANY) < 1.0  # nobody is there to wait for
