"""Holders that lie to the owner: nothing false is shown, nothing is lost that another still holds, and nobody spins."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.core import wire
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.mailbox import (
    LISTED,
    Ack,
    Acked,
    Answer,
    Boxed,
    Fetch,
    Fetched,
    List,
    Listed,
    Listing,
    Request,
    seal_box,
)
from p2pchat.core.wire import encode_frame
from p2pchat.store import own_mailbox
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.box_holder import BoxHolder, Kept
from tests.sim.leaving import leave_all, places, running, waiting
from tests.sim.people import meet
from tests.sim.test_collector import candidates_are, emptied, has, use, uses

HOUR_S = 3600
pytestmark = pytest.mark.usefixtures("rare_pings")


async def with_one_text(cluster: Cluster, holder: BoxHolder, text: str = "one") -> tuple[Node, Node]:
    """Alice, who is down and has left a text for Bob at ``holder``, and Bob, who is down."""
    alice, bob = await meet(cluster)
    await cluster.add("Dave")
    await use(bob, holder)
    await cluster.crash(bob)
    await alice.send("Bob", text)
    await leave_all(alice, "Bob", await waiting(alice, "Bob"))
    await cluster.crash(alice)
    holder.asked.clear()
    return alice, bob


class Undead(BoxHolder):
    """Says that it has deleted, keeps everything, and ends the stream so that it can list it again."""

    def acked(self, kept: Kept, request: Ack) -> Answer:
        return Acked(len(request.numbers))

    async def listed(self, kept: Kept, request: List) -> Answer:
        if request.after:
            raise NetError("begin anew")
        return await super().listed(kept, request)


async def test_what_is_listed_again_is_only_acked_again_and_ever_more_rarely(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder = Undead(cluster, 1)
        _, bob = await with_one_text(cluster, holder)
        await cluster.start(bob)
        await trio.sleep(HOUR_S)
        first_hour = holder.asked_for(List)
        assert holder.asked_for(Fetch) == 1
        assert holder.asked_for(Ack) <= 25
        await trio.sleep(3 * HOUR_S)
        assert holder.asked_for(Fetch) == 1
        assert holder.asked_for(List) - first_hour <= 3 * 2 * 8  # the longest pause is 10 minutes
        assert await bob.received("Alice") == ["one"]


class Replaying(BoxHolder):
    """Gives the first box for ever, under ever new numbers, at once."""

    async def listed(self, kept: Kept, request: List) -> Answer:
        return Listed((Listing(request.after + 1, 1024, 1),)) if kept.boxes else await super().listed(kept, request)

    def fetched(self, kept: Kept, request: Fetch) -> Answer:
        return Fetched(tuple(Boxed(number, kept.boxes[1][0]) for number in request.numbers))

    def acked(self, kept: Kept, request: Ack) -> Answer:
        return Acked(1)


@pytest.mark.slow
async def test_a_holder_that_replays_fills_no_mailbox_of_the_sender_with_acks(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder, mine = Replaying(cluster, 1), BoxHolder(cluster, 2)
        alice, bob = await with_one_text(cluster, holder)
        await cluster.start(alice)
        await use(alice, mine)
        await cluster.crash(alice)
        await cluster.start(bob)
        await trio.sleep(HOUR_S)
        first_day = len(mine.only().boxes)
        assert first_day == 1
        await trio.sleep(25 * HOUR_S)
        assert len(mine.only().boxes) == 2  # once a day


class Inventing(BoxHolder):
    """Lists as many as there can be, of which there is none."""

    async def listed(self, kept: Kept, request: List) -> Answer:
        return Listed(tuple(Listing(request.after + n, 1024, 1) for n in range(1, 1025)))

    def fetched(self, kept: Kept, request: Fetch) -> Answer:
        return Fetched(())


class Hasty(BoxHolder):
    """Does not wait."""

    async def listed(self, kept: Kept, request: List) -> Answer:
        return Listed(())


@pytest.mark.parametrize(("kind", "shown"), [(Replaying, ["one"]), (Inventing, []), (Hasty, [])])
async def test_a_holder_that_always_has_something_does_not_keep_the_owner_busy(
    kind: type[BoxHolder], shown: list[str], autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        holder = kind(cluster, 1)
        _, bob = await with_one_text(cluster, holder)
        await cluster.start(bob)
        await trio.sleep(HOUR_S)
        assert holder.asked_for(List) <= HOUR_S / 30 + 20
        assert await bob.received("Alice") == shown


class Flooding(BoxHolder):
    """Has junk without end, as large as it can be, under ever new numbers; counts what is taken of it."""

    given = 0
    junk = bytes(512 * 1024)

    async def listed(self, kept: Kept, request: List) -> Answer:
        return Listed(tuple(Listing(request.after + n, len(self.junk), 1) for n in range(1, LISTED + 1)))

    def fetched(self, kept: Kept, request: Fetch) -> Answer:
        count = min(len(request.numbers), 1)
        self.given += count * len(self.junk)
        return Fetched(tuple(Boxed(number, self.junk) for number in request.numbers[:count]))

    def acked(self, kept: Kept, request: Ack) -> Answer:
        return Acked(len(request.numbers))


async def test_a_holder_makes_the_owner_fetch_so_much_of_no_use_in_a_day_and_little_at_once(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        holder = Flooding(cluster, 1)
        _, bob = await with_one_text(cluster, holder)
        holder.given = 0  # what was fetched before this start is not counted: it is in memory alone
        await cluster.start(bob)
        await trio.sleep(600)
        assert holder.given <= 40 * len(holder.junk)  # every pause is longer than the one before, up to 30 s
        tracemalloc.start()
        await trio.sleep(HOUR_S)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 8 * 1024 * 1024  # the holder's share, and what is on the wire, included
        await trio.sleep(22 * HOUR_S)
        assert 60 << 20 < holder.given <= 64 << 20
        (mailbox,) = await bob.database.run(own_mailbox.in_use)
        assert mailbox.failed_s >= 12 * HOUR_S  # as if it were gone
        await trio.sleep(24 * HOUR_S)
        assert holder.given <= 128 << 20


async def test_with_auto_a_holder_of_junk_is_replaced(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder, other = Flooding(cluster, 1), BoxHolder(cluster, 2)
        _, bob = await with_one_text(cluster, holder)
        await cluster.start(bob)
        candidates_are(running(bob), holder, other)
        await bob.database.run(lambda tx: own_mailbox.set_auto(tx, on=True))
        third = BoxHolder(cluster, 3)
        await running(bob).tell_mailboxes()
        await eventually(lambda: uses(bob, holder, other), within_s=2 * HOUR_S, step_s=60)
        candidates_are(running(bob), holder, other, third)
        await eventually(lambda: uses(bob, other, third), within_s=6 * HOUR_S, step_s=60)


class Unordered(BoxHolder):
    async def listed(self, kept: Kept, request: List) -> Answer:
        return Listed((Listing(7, 1024, 1), Listing(7, 1024, 1)))


class Below(BoxHolder):
    async def listed(self, kept: Kept, request: List) -> Answer:
        return Listed((Listing(request.after, 1024, 1),))


class Unasked(BoxHolder):
    def fetched(self, kept: Kept, request: Fetch) -> Answer:
        return Fetched(tuple(Boxed(number + 1, kept.boxes[1][0]) for number in request.numbers))


class Altering(BoxHolder):
    def fetched(self, kept: Kept, request: Fetch) -> Answer:
        box = bytearray(kept.boxes[1][0])
        box[100] ^= 1
        return Fetched(tuple(Boxed(number, bytes(box)) for number in request.numbers))


class Dropping(BoxHolder):
    async def listed(self, kept: Kept, request: List) -> Answer:
        kept.boxes.clear()
        return await super().listed(kept, request)


class Mistaken(BoxHolder):
    async def listed(self, kept: Kept, request: List) -> Answer:
        return Acked(3)


@pytest.mark.parametrize("kind", [Unordered, Below, Unasked, Altering, Dropping, Mistaken])
async def test_a_lie_shows_nothing_and_what_the_other_holder_has_arrives(
    kind: type[BoxHolder], autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        liar, honest = kind(cluster, 1), BoxHolder(cluster, 2)
        alice, bob = await meet(cluster)
        await cluster.add("Dave")
        await use(bob, liar, honest)
        await cluster.crash(bob)
        await alice.send("Bob", "one")
        where, frames = await places(alice, "Bob"), await waiting(alice, "Bob")
        assert where is not None
        await leave_all(alice, "Bob", frames, where.mailboxes[0])
        await cluster.crash(alice)
        await cluster.start(bob)
        await trio.sleep(HOUR_S)
        assert await bob.received("Alice") == []
        assert len(liar.asked) <= 60
        await cluster.start(alice)
        cluster.network.cut(alice.network, bob.network)
        assert await alice.outbox() == 1  # what the liar has lost shows as not delivered
        await leave_all(alice, "Bob", frames, where.mailboxes[1])
        await eventually(lambda: has(bob, "Alice", ["one"]), within_s=60)


async def test_junk_in_boxes_is_of_no_use_and_goes_and_settles_nothing(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        holder, mine = BoxHolder(cluster, 1), BoxHolder(cluster, 2)
        alice, _ = await with_one_text(cluster, holder)
        await cluster.start(alice)
        await use(alice, mine)
        eids = [wire.eid(frame.envelope) for frame in await waiting(alice, "Bob") if isinstance(frame, wire.Flight)]
        eids += [
            wire.eid(each)
            for frame in await waiting(alice, "Bob")
            if isinstance(frame, wire.Batch)
            for each in frame.envelopes
        ]
        key = (await alice.database.run(own_mailbox.kept_keys))[0].public
        other, entropy = x25519_pair(bytes(32)).public, alice.entropy
        for frame in (
            wire.Ack(tuple((each, bytes(16)) for each in eids)),
            wire.Nack(eids[0]),
            wire.Ping(1),
            wire.Batch((bytes(400),)),
            wire.Bye(),
        ):
            mine.put(seal_box(encode_frame(frame), key, entropy))
            mine.put(seal_box(encode_frame(frame), other, entropy))
        mine.put(seal_box(b"no frame", key, entropy))
        mine.put(bytes(1024))
        await eventually(lambda: emptied(mine), within_s=600)
        assert await alice.outbox() == 1
        assert await alice.received("Bob") == []


class Watched(BoxHolder):
    """Calls ``before`` or ``after`` at the first request of a kind."""

    kind: type[Request] = List
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None

    async def answer(self, request: Request) -> Answer:
        if not isinstance(request, self.kind):
            return await super().answer(request)
        before, self.before = self.before, None
        if before is not None:
            await before()
        answer = await super().answer(request)
        after, self.after = self.after, None
        if after is not None:
            await after()
        return answer


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", [List, Fetch, Ack])
async def test_a_node_that_is_killed_anywhere_on_the_way_loses_nothing_and_shows_nothing_twice(
    kind: type[Request], moment: str, autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        holder = Watched(cluster, 1)
        _, bob = await with_one_text(cluster, holder)
        holder.kind = kind
        killed = trio.Event()

        async def kill() -> None:
            await cluster.crash(bob)
            killed.set()

        setattr(holder, moment, kill)
        await cluster.start(bob)
        with trio.fail_after(60):
            await killed.wait()
        await cluster.start(bob)
        await eventually(lambda: has(bob, "Alice", ["one"]), within_s=60)
        await eventually(lambda: emptied(holder), within_s=60)
        assert await bob.received("Alice") == ["one"]


async def test_a_stream_that_breaks_at_any_write_costs_only_time(autojump_clock: MockClock) -> None:
    async with Cluster.running(seed=5) as cluster:
        holder = BoxHolder(cluster, 1)
        alice, bob = await meet(cluster)
        await cluster.add("Dave")
        await use(bob, holder)
        await cluster.crash(bob)
        texts = [f"text {n}" for n in range(30)]
        for text in texts:
            await alice.send("Bob", text)
            await waiting(alice, "Bob")
        await leave_all(alice, "Bob", await waiting(alice, "Bob"))
        await cluster.crash(alice)
        cluster.network.drop_rate = 0.2
        await cluster.start(bob)
        await eventually(lambda: emptied(holder), within_s=6 * HOUR_S, step_s=1)
        assert await bob.received("Alice") == texts
