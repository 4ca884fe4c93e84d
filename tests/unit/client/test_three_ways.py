"""What holds for the blocking client, for trio's and for asyncio's alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client import following
from p2pchat.client.following import Since
from p2pchat.client.protocol import Event
from tests.event_daemon import EventDaemon, running
from tests.unit.client.ways import WAYS, AnyClient, Scenario

Make = Callable[[], AnyClient]
Run = Callable[[Scenario], None]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventDaemon]:
    monkeypatch.setattr(following, "FIRST_S", 0.001)
    monkeypatch.setattr(following, "LONGEST_S", 0.002)
    with running(tmp_path / "daemon.sock") as daemon:
        yield daemon


@pytest.fixture(params=WAYS)
def run(request: pytest.FixtureRequest, daemon: EventDaemon) -> Run:
    way = WAYS[request.param]
    return lambda scenario: way(daemon.path, scenario)


def text(event: Event) -> object:
    return event["data"]["text"]


# -- calls ---------------------------------------------------------------------------------------------------------


def test_a_call_returns_the_result_or_raises_the_error(daemon: EventDaemon, run: Run) -> None:
    async def scenario(make: Make) -> None:
        async with make() as client:
            assert await client.call("any", a=1, b="밥\0🙂", c=None) == {"echo": {"a": 1, "b": "밥\0🙂"}}
            daemon.refuse["any"] = ("CONTACT_NOT_FOUND", {"near": ["Bob"]})
            with pytest.raises(ApiError) as caught:
                await client.call("any")
            error = caught.value
            assert (error.error_name, error.data) == ("CONTACT_NOT_FOUND", {"near": ["Bob"]})
            assert error.message == "CONTACT_NOT_FOUND in words."
            for value in (float("nan"), "x" * (1 << 24)):
                with pytest.raises(ApiError, match=r"params: hold|at most"):
                    await client.call("other", value=value)
            assert await client.call("other") == {"echo": {}}

    run(scenario)
    assert daemon.asked == ["any", "any", "other"]


def test_nobody_there_is_no_daemon(daemon: EventDaemon, run: Run) -> None:
    daemon.stop()

    async def scenario(make: Make) -> None:
        with pytest.raises(NoDaemon, match="p2pchat daemon"):
            async with make():
                pass

    run(scenario)


def test_a_lost_call_raises_and_the_next_one_connects(daemon: EventDaemon, run: Run) -> None:
    def cut(request: dict[str, Any]) -> None:
        if request["method"] == "lost":
            daemon.cut()

    daemon.before = cut

    async def scenario(make: Make) -> None:
        async with make() as client:
            with pytest.raises(NoDaemon):
                await client.call("lost")
            assert await client.call("any") == {"echo": {}}
            daemon.stop()
            daemon.start()
            assert await client.call("any") == {"echo": {}}  # the old connection was over before it was used
            daemon.stop()
            with pytest.raises(NoDaemon):
                await client.call("any")
            daemon.start()
            assert await client.call("any") == {"echo": {}}

    run(scenario)


def test_insisting_does_a_thing_once_whatever_happens_on_the_way(daemon: EventDaemon, run: Run) -> None:
    tries: list[str] = []

    def trouble(request: dict[str, Any]) -> None:
        """Lost before it is carried out; carried out and the reply is lost; locked; unlocked."""
        tries.append(request["method"])
        match len(tries):
            case 1:
                daemon.cut()
            case 2:
                daemon.held.add("message.send")
            case 3:
                daemon.held.clear()
                daemon.locked = True
            case _:
                daemon.unlock()

    def answered(request: dict[str, Any]) -> None:
        if len(tries) == 2:
            daemon.sent["k"] = request["params"]["text"]  # it was, but nobody heard of it
            daemon.cut()

    daemon.before, daemon.after = trouble, answered

    async def scenario(make: Make) -> None:
        async with make() as client:
            sent = await client.insist("message.send", to="b0b", text="hello", idempotency_key="k")
            assert sent["text"] == "hello"
            daemon.refuse["any"] = ("INVALID_PARAMS", {})
            with pytest.raises(ApiError, match="INVALID_PARAMS"):
                await client.insist("any")

    run(scenario)
    assert daemon.sent == {"k": "hello"}
    assert len(tries) == 5


def test_a_daemon_that_serves_too_many_says_so_and_is_waited_for(daemon: EventDaemon, run: Run) -> None:
    daemon.full = True
    refusals: list[str] = []

    def lost(error: ApiError) -> None:
        refusals.append(error.error_name)
        daemon.full = False
        daemon.restart()

    async def scenario(make: Make) -> None:
        async with make() as client:
            with pytest.raises(ApiError) as caught:
                await client.call("any")
            assert caught.value.error_name == "RATE_LIMITED"  # whether its line came before ours or after
            daemon.full = False
            async with client.events(since=0, on_lost=lost) as events:
                daemon.receive("one")
                assert text(await anext(events)) == "one"
                daemon.full = True
                daemon.cut()
                daemon.receive("two")
                assert text(await anext(events)) == "two"

    run(scenario)
    assert len(refusals) == 1


# -- events --------------------------------------------------------------------------------------------------------


def test_events_come_in_order_and_those_that_are_not_wanted_do_not(daemon: EventDaemon, run: Run) -> None:
    daemon.receive("old")

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(since=0, types=["message.*"]) as events:
            daemon.emit("peer.online")
            assert text(await anext(events)) == "old"
            daemon.receive("new")
            event = await anext(events)
            assert (event["seq"], event["type"], text(event)) == (3, "message.received", "new")
            with pytest.raises(ValueError, match="consumer"):
                await events.ack(event)
            events.close()
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    run(scenario)
    assert daemon.acks == []


def test_a_subscription_begins_with_the_first_event_that_is_asked_for(daemon: EventDaemon, run: Run) -> None:
    daemon.receive("old")

    async def scenario(make: Make) -> None:
        async with make() as client:
            async for event in client.events(since=0):
                assert text(event) == "old"
                break

    run(scenario)


def test_each_event_is_acknowledged_when_the_next_is_asked_for(daemon: EventDaemon, run: Run) -> None:
    for n in range(4):
        daemon.receive(f"{n}")

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot", since=0) as events:
            for n, expected in enumerate(([], [1], [1, 2])):
                assert text(await anext(events)) == f"{n}"
                assert [seq for _, seq in daemon.acks] == expected
        async with make() as client, client.events(consumer="bot", since=0) as events:  # it died with the third
            assert [text(await anext(events)), text(await anext(events))] == ["2", "3"]

    run(scenario)
    assert daemon.consumers == {"bot": 3}
    assert daemon.subscribed == [{"consumer": "bot", "start": 0}] * 2


def test_a_new_consumer_begins_now_where_nothing_else_is_said(daemon: EventDaemon, run: Run) -> None:
    daemon.receive("old")

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot") as events:
            daemon.receive("new")
            assert text(await anext(events)) == "new"

    run(scenario)
    assert daemon.subscribed == [{"consumer": "bot"}]


def test_acknowledging_by_hand(daemon: EventDaemon, run: Run) -> None:
    for n in range(4):
        daemon.receive(f"{n}")
    daemon.emit("peer.online")
    daemon.events[-1]["seq"] = None

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot", since=0, ack="manual") as events:
            told = [await anext(events) for _ in range(3)]
            assert daemon.acks == []
            await events.ack(told[1])
            await events.ack(told[0])  # the second one has done that
            assert daemon.acks == [("bot", 2)]
            daemon.cut()  # what was told and not acknowledged is not told again to the same reader
            assert text(await anext(events)) == "3"
            await events.ack(await anext(events))  # one that is not stored
            assert daemon.acks == [("bot", 2)]

    run(scenario)


@pytest.mark.parametrize("since", [0, "now"])
def test_events_go_on_after_a_restart(daemon: EventDaemon, run: Run, since: Since) -> None:
    lost: list[str] = []

    def restart(error: ApiError) -> None:
        lost.append(error.error_name)
        daemon.receive("while it was away")
        daemon.restart()

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(since=since, on_lost=restart) as events:
            daemon.receive("before")
            assert text(await anext(events)) == "before"
            daemon.stop()
            assert text(await anext(events)) == "while it was away"
            daemon.receive("after")
            assert text(await anext(events)) == "after"

    run(scenario)
    assert lost == ["NO_DAEMON"]


def test_a_loss_that_is_mended_at_once_is_none(daemon: EventDaemon, run: Run) -> None:
    """The daemon disconnects who reads nothing for long, as one does who is busy with an event."""
    lost: list[str] = []

    def note(error: ApiError) -> None:
        lost.append(error.error_name)

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot", on_lost=note) as events:
            for n in range(3):
                daemon.receive(f"{n}")
                assert text(await anext(events)) == f"{n}"
                daemon.cut()

    run(scenario)
    assert lost == []


def test_now_is_when_it_was_said_though_nothing_had_happened_since(daemon: EventDaemon, run: Run) -> None:
    daemon.receive("old")

    def restart(_: ApiError) -> None:
        daemon.receive("while it was away")
        daemon.restart()

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(on_lost=restart) as events:
            daemon.stop()
            assert text(await anext(events)) == "while it was away"

    run(scenario)
    assert daemon.subscribed == ["now", 1]


def test_events_go_on_after_a_lock(daemon: EventDaemon, run: Run) -> None:
    lost: list[str] = []

    def unlock(error: ApiError) -> None:
        lost.append(error.error_name)
        daemon.unlock()

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot", on_lost=unlock) as events:
            daemon.receive("before")
            assert text(await anext(events)) == "before"
            daemon.lock()
            daemon.receive("meanwhile")
            assert text(await anext(events)) == "meanwhile"
            daemon.lock()
            daemon.receive("again")
            assert text(await anext(events)) == "again"

    run(scenario)
    assert lost == ["LOCKED", "LOCKED"]
    assert [seq for _, seq in daemon.acks] == [1, 2]


def test_an_ack_whose_reply_was_lost_is_made_again_and_nothing_comes_twice(daemon: EventDaemon, run: Run) -> None:
    for n in range(3):
        daemon.receive(f"{n}")
    cuts = iter(("before", "after", "", "", "", ""))

    def before(request: dict[str, Any]) -> None:
        if request["method"] == "events.ack" and (when := next(cuts)):
            daemon.cut()
            if when == "after":
                daemon.acks.append(("bot", request["params"]["seq"]))
                daemon.consumers["bot"] = request["params"]["seq"]

    daemon.before = before

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot", since=0) as events:
            assert [text(await anext(events)) for _ in range(3)] == ["0", "1", "2"]

    run(scenario)
    assert daemon.consumers == {"bot": 2}
    assert daemon.subscribed == [{"consumer": "bot", "start": 0}] * 2  # the consumer's place is the reader's again


def test_an_expired_cursor_is_raised_at_the_beginning_and_after_a_loss(daemon: EventDaemon, run: Run) -> None:
    daemon.receive("first")

    def restart(_: ApiError) -> None:
        daemon.oldest = 9
        daemon.restart()

    async def scenario(make: Make) -> None:
        async with make() as client:
            async with client.events(since=0, on_lost=restart) as events:
                await anext(events)
                daemon.stop()
                with pytest.raises(ApiError) as caught:
                    await anext(events)
            assert (caught.value.error_name, caught.value.data) == ("CURSOR_EXPIRED", {"oldest": 9})
            with pytest.raises(ApiError) as caught:
                async with client.events(since=0):
                    pass
            assert caught.value.error_name == "CURSOR_EXPIRED"

    run(scenario)


def test_what_does_not_pass_by_itself_is_raised(daemon: EventDaemon, run: Run) -> None:
    for n in range(2):
        daemon.receive(f"{n}")

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(consumer="bot", since=0) as events:
            await anext(events)
            daemon.refuse["events.ack"] = ("NO_SPACE", {})
            with pytest.raises(ApiError, match="NO_SPACE"):
                await anext(events)
            daemon.refuse.clear()
            assert text(await anext(events)) == "1"  # and who asks again goes on

    run(scenario)
    assert daemon.acks == [("bot", 1)]


def test_who_does_not_want_to_wait_is_told(daemon: EventDaemon, run: Run) -> None:
    async def scenario(make: Make) -> None:
        async with make() as client:
            async with client.events(reconnect=False) as events:
                daemon.lock()
                with pytest.raises(ApiError, match="LOCKED"):
                    await anext(events)
            with pytest.raises(ApiError, match="LOCKED"):
                async with client.events(reconnect=False):
                    pass
            daemon.unlock()
            async with client.events(reconnect=False) as events:
                daemon.stop()
                with pytest.raises(NoDaemon):
                    await anext(events)

    run(scenario)


def test_two_readers_of_one_client(daemon: EventDaemon, run: Run) -> None:
    async def scenario(make: Make) -> None:
        async with make() as client, client.events(types=["a.*"]) as ours, client.events(types=["b.*"]) as theirs:
            for n in range(3):
                daemon.emit("a.a", text=f"a{n}")
                daemon.emit("b.b", text=f"b{n}")
            assert [text(await anext(theirs)) for _ in range(3)] == ["b0", "b1", "b2"]
            await client.call("any")
            assert [text(await anext(ours)) for _ in range(3)] == ["a0", "a1", "a2"]

    run(scenario)


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_cuts_and_nothing_is_left_out_or_comes_twice(daemon: EventDaemon, run: Run, seed: int) -> None:
    chance = random.Random(seed)
    total, made, cuts = 400, 0, 0
    told: list[object] = []

    def trouble(request: dict[str, Any]) -> None:
        nonlocal cuts
        before = len(daemon.connections)
        match chance.randrange(10):
            case 0:
                daemon.cut()
            case 1 if request["method"] == "events.ack":  # carried out, and nobody hears of it
                daemon.consumers["bot"] = request["params"]["seq"]
                daemon.cut()
            case _:
                pass
        cuts += before > len(daemon.connections)

    daemon.before = trouble

    async def scenario(make: Make) -> None:
        nonlocal made
        while len(told) < total:
            async with make() as client:
                try:
                    async with client.events(consumer="bot", since=0) as events:
                        for _ in range(chance.randint(1, 100)):
                            while made < min(total, len(told) + 3):
                                daemon.receive(f"{made}")
                                made += 1
                            event = await anext(events)
                            told.append(text(event))
                            await events.ack(event)
                            if len(told) == total:
                                return
                except NoDaemon:  # the first subscription was cut
                    continue

    run(scenario)
    assert told == [f"{n}" for n in range(total)]
    assert cuts >= 100
    acked = [seq for _, seq in daemon.acks]
    assert acked == sorted(acked)
    assert daemon.consumers["bot"] == total


def test_a_log_that_another_has_taken_the_place_of_is_noticed_at_the_same_seq(daemon: EventDaemon, run: Run) -> None:
    daemon.receive("first")

    def restored(_: ApiError) -> None:
        daemon.log, daemon.events = "11" * 8, []
        for text in ("another", "and another"):
            daemon.receive(text)
        daemon.restart()

    async def scenario(make: Make) -> None:
        async with make() as client:
            async with client.events(since=0, on_lost=restored) as events:
                event = await anext(events)
                assert events.log == "00" * 8
                daemon.stop()
                with pytest.raises(ApiError) as caught:
                    await anext(events)
            assert caught.value.error_name == "CURSOR_EXPIRED"
            seq = event["seq"]
            assert seq == 1
            with pytest.raises(ApiError) as caught:
                async with client.events(since=seq, log="00" * 8):
                    pass
            assert caught.value.error_name == "CURSOR_EXPIRED"
            async with client.events(since=seq, log="11" * 8) as events:
                assert (await anext(events))["seq"] == 2

    run(scenario)


def test_a_daemon_that_names_no_log_is_asked_for_none(daemon: EventDaemon, run: Run) -> None:
    daemon.log = None
    daemon.receive("first")

    def again(_: ApiError) -> None:
        daemon.restart()
        daemon.receive("second")

    async def scenario(make: Make) -> None:
        async with make() as client, client.events(since=0, on_lost=again) as events:
            await anext(events)
            daemon.stop()
            assert (await anext(events))["seq"] == 2
            assert events.log is None

    run(scenario)


def test_who_begins_while_it_is_locked_begins_when_it_is_unlocked(daemon: EventDaemon, run: Run) -> None:
    lost: list[str] = []

    def unlock(error: ApiError) -> None:
        lost.append(error.error_name)
        daemon.unlock()

    async def scenario(make: Make) -> None:
        daemon.lock()
        async with make() as client, client.events(on_lost=unlock) as events:
            daemon.receive("unlocked")
            assert text(await anext(events)) == "unlocked"
        assert lost == ["LOCKED"]

    run(scenario)
