"""What the user is told of texts that wait at mailboxes: state, holders, events, waits and explanations."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.base.errors import P2PChatError
from p2pchat.control import render
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.events import EventKind
from p2pchat.core.mailbox import Deposit, Reason, Refused
from p2pchat.core.params import DAY_S
from p2pchat.store import eventlog
from p2pchat.testing.cluster import eventually
from tests.sim.test_deposit import World, world

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


def methods_of(w: World) -> Methods:
    assert w.alice.running is not None
    return Methods(w.alice.running.context, w.alice.running.life.online, "default", 0.0)


async def newest(w: World, method: str) -> object:
    row = (await w.alice.conversation("Bob"))[-1]
    assert w.alice.running is not None
    message = render.message_id(w.alice.running.context.profile.store_id, row.id)
    return await methods_of(w)(method, {"id": message}, CONNECTION)


async def explained(w: World) -> objects.Explanation:
    found = await newest(w, "message.explain")
    assert isinstance(found, objects.Explanation)
    return found


async def test_state_and_holders_are_told_wherever_a_message_is(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        call: dict[str, object] = {"to": "Bob", "text": "hello", "wait": "held", "timeout_ms": 60_000}
        sent = await methods_of(w)("message.send", call, CONNECTION)
        assert isinstance(sent, objects.Message)
        assert sent.state == "held"
        assert len(sent.holders) >= 1
        await trio.sleep(60)
        until_ms = (int(w.cluster.now()) + 3 * DAY_S) * 1000
        found = await newest(w, "message.get")
        listed = await methods_of(w)("message.list", {"to": "Bob"}, CONNECTION)
        assert isinstance(found, objects.Message)
        assert isinstance(listed, objects.Messages)
        (in_list,) = [each for each in listed.messages if each.id == found.id]
        ids = sorted(holder.network.peer_id.hex() for holder in w.holders)
        shown: list[objects.Message | objects.Explanation] = [found, in_list, await explained(w)]
        for told in shown:
            assert told.state == "held"
            assert [holder.id for holder in told.holders] == ids
            assert all(until_ms - 200_000 < holder.until_ms <= until_ms for holder in told.holders)
        await w.cluster.start(w.bob)
        await w.until_all("delivered", 900)
        arrived = await newest(w, "message.get")
        assert isinstance(arrived, objects.Message)
        assert (arrived.state, arrived.holders) == ("delivered", [])


async def test_events_tell_who_holds_it_and_that_nobody_does_any_more(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        await w.alice.send("Bob", "hello")
        await w.until_all("held")

        async def told(kind: EventKind) -> list[objects.Message | objects.Contact | dict[str, object]]:
            assert w.alice.running is not None
            store_id = w.alice.running.context.profile.store_id
            rows = await w.alice.database.run(lambda tx: [r for r in eventlog.after(tx, 0, 999) if r.kind == kind])
            return await w.alice.database.run(
                lambda tx: [render.event(tx, row, lambda _: False, store_id).data for row in rows]
            )

        (held,) = await told(EventKind.MESSAGE_HELD)
        assert isinstance(held, objects.Message)
        assert held.state == "held"
        assert [each.id for each in held.holders] == [w.holders[0].network.peer_id.hex()]
        (sent,) = await told(EventKind.MESSAGE_SENT)
        assert isinstance(sent, objects.Message)
        assert (sent.state, sent.holders) == ("sent", [])
        w.cluster.network.down(w.holders[0].network)
        await trio.sleep(3 * DAY_S + 2000)
        (unheld,) = await told(EventKind.MESSAGE_UNHELD)
        assert isinstance(unheld, objects.Message)
        assert (unheld.state, unheld.holders) == ("held", [])
        found = await explained(w)
        assert (found.state, found.holders) == ("held", [])
        assert "It was held in a mailbox of Bob, and is there no more. It is left there again." in found.text
        assert "The last try to leave it in a mailbox, " in found.text


async def test_an_explanation_says_what_the_mailboxes_do(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        w.holders[0].answer = lambda request: Refused(Reason.NO_SPACE, 0) if isinstance(request, Deposit) else None
        await w.alice.send("Bob", "hello")
        await w.until_all("held")

        async def tried() -> bool:
            return "no space" in (await explained(w)).text

        await eventually(tried)
        found = await explained(w)
        assert "Bob cannot be reached now." in found.text
        held = "It is held, sealed, in a mailbox of Bob, for 3 days more: Bob gets it there even if your node is off."
        assert held in found.text
        assert "The last try to leave it in the other mailbox, " in found.text
        assert "failed: It has no space left." in found.text
        assert "The last try, " in found.text  # to reach Bob himself
        assert found.tries[-1].error == "It has no space left."
        assert found.tries[-1].path == "lan"
        w.holders[0].answer = lambda _: None
        await eventually(lambda: both(w), within_s=3600)
        assert "It is held, sealed, in 2 mailboxes of Bob, for " in (await explained(w)).text


async def both(w: World) -> bool:
    return len((await explained(w)).holders) == 2


async def test_an_explanation_says_that_no_mailbox_is_known(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=0) as w:
        await w.alice.send("Bob", "hello")
        await trio.sleep(60)
        assert "No mailbox of Bob is known, so it waits here: " in (await explained(w)).text


async def test_what_is_held_can_be_neither_cancelled_nor_deleted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.alice.send("Bob", "hello")
        await w.until_all("held")
        for method, why in (("message.cancel", "is held"), ("message.delete", "is on its way")):
            with pytest.raises(P2PChatError, match=why):
                await newest(w, method)
