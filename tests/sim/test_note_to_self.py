"""Notes to oneself: a conversation like any other, of which nobody else ever hears."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.core.events import EventKind
from p2pchat.services import contacts as book
from p2pchat.store import contacts, messages, meta, notes, word_index
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.calling import call, explained, methods, refused, send, told
from tests.sim.people import ALICE, BOB, is_matched, meet

ALONE: list[tuple[str, dict[str, object]]] = [
    ("contacts.rename", {"name": "Me"}),
    ("contacts.claimants", {}),
    ("contacts.choose", {}),
    ("contacts.block", {}),
    ("contacts.unblock", {}),
    ("contacts.safety", {}),
    ("contacts.verify", {"safety_number": "0" * 60}),
    ("contacts.sms_proof", {}),
    ("contacts.sms_proof", {"code": "ABCDEFGHJKLMNPQR"}),
    ("contacts.receipts", {"on": True}),
    ("contacts.merge", {"other": "Bob"}),
]


async def own(node: Node) -> objects.Contact:
    found = await call(node, "contacts.get", to="self")
    assert isinstance(found, objects.Contact)
    return found


async def listed(node: Node, **params: object) -> list[objects.Contact]:
    found = await call(node, "contacts.list", **params)
    assert isinstance(found, objects.Contacts)
    return found.contacts


async def texts(node: Node, method: str = "message.list", **params: object) -> list[str]:
    found = await call(node, method, **params)
    assert isinstance(found, objects.Messages)
    return [message.text for message in found.messages]


@pytest.mark.parametrize("number", [ALICE, ""])
async def test_a_note_is_delivered_when_it_is_sent(number: str, autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", number)
        note = await send(alice, "self", "milk", wait="delivered", timeout_ms=0)
        assert (note.state, note.direction, note.read_ms, note.reason) == ("delivered", "out", None, None)
        assert note.delivered_ms == note.created_ms
        (conversation,) = await listed(alice)
        assert (conversation.name, conversation.self_, conversation.state) == ("Note to self", True, "matched")
        assert (conversation.id, conversation.number, conversation.online) == (note.contact_id, None, True)
        events = await told(alice, "*")
        assert [kind for kind, _ in events] == ["contact.added", "message.queued", "message.delivered"]
        assert [getattr(data, "self_", None) for _, data in events] == [True, None, None]
        assert [getattr(data, "state", None) for _, data in events] == ["matched", "queued", "delivered"]
        assert (await explained(alice, note.id)).text == "It is a note of yours, and leaves this node for nowhere."
        assert await alice.outbox() == 0


async def test_it_goes_by_several_names(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        conversation = await own(alice)
        for to in ("self", " SELF ", "note to self", ALICE, conversation.id, conversation.id[:6]):
            await send(alice, to, to)
        assert len(await texts(alice, to="self")) == 6
        assert len(await listed(alice)) == 1
        assert msgspec.json.decode(msgspec.json.encode(conversation))["self"] is True


async def test_nobody_is_sought_dialled_or_told(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        await send(alice, "self", "milk")
        await send(alice, "self", "bread", live_only=True, wait="delivered")
        row = await alice.database.run(notes.conversation)
        assert row is not None
        assert (row.root, row.number, row.searching) == (None, None, False)
        contact = row.id

        def traces(tx: Tx) -> list[int]:
            tables = (
                "session",
                "envelope",
                "notice",
                "contact_peer",
                "pair_root",
                "pair_slot",
                "published",
                "claimant",
            )
            found = [tx.all(f"SELECT 1 FROM {table} WHERE contact = ?", (contact,)) for table in tables]  # noqa: S608
            return [len(rows) for rows in (*found, tx.all("SELECT 1 FROM envelope WHERE n1 > 0"))]

        for _ in range(2):
            await trio.sleep(3600)
            assert alice.running is not None
            connector = alice.running.life.connector
            assert connector is not None
            assert contact not in {*connector._keepers, *connector._hurry, *connector._links}
            assert await alice.database.run(traces) == [0] * 9
            await cluster.crash(alice)
            await cluster.start(alice)
        assert await bob.conversation("Alice") == []
        assert (await own(alice)).last_seen_ms is None


async def test_it_is_no_contact_among_the_others(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        await send(alice, "Bob", "hello", wait="delivered")
        note = await send(alice, "self", "milk")
        assert [row.name for row in await listed(alice)] == ["Note to self", "Bob"]
        assert [row.name for row in await listed(alice, state="matched")] == ["Note to self", "Bob"]
        assert await listed(alice, state="pending") == []
        assert await alice.database.run(contacts.count_states) == {"matched": 1, "self": 1}
        assert [row.name for row in await alice.database.run(contacts.everyone)] == ["Bob"]
        for method, params in ALONE:
            refusal = await refused(alice, method, to="self", **params)
            assert (refusal.error_name, refusal.data["param"]) == ("INVALID_PARAMS", "to"), method
            assert refusal.message.startswith("to: is yourself; "), method
        found = await refused(alice, "contacts.merge", to="Bob", other="self")
        assert (found.error_name, found.data["param"]) == ("INVALID_PARAMS", "other")
        assert (await refused(alice, "contacts.find", to=["Bob", "self"])).error_name == "INVALID_PARAMS"
        for method in ("contacts.accept", "contacts.refuse"):
            assert (await refused(alice, method, id=note.contact_id)).message == "id: is not that of a request"
        assert (await refused(alice, "message.mark_read", id=note.id)).error_name == "INVALID_PARAMS"
        assert (await refused(alice, "message.cancel", id=note.id)).error_name == "INVALID_PARAMS"
        unread = await refused(alice, "message.send", to="self", text="eggs", wait="read")
        assert (unread.error_name, unread.data["param"]) == ("INVALID_PARAMS", "wait")
        assert await texts(alice, to="self") == ["milk"]
        assert (await own(alice)).state == "matched"


async def test_its_names_are_nobody_elses(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        refusal = await refused(alice, "contacts.add", number=ALICE)
        assert refusal.message == "That is this profile's own number: notes to yourself go to self."
        for name in ("self", " Self", "NOTE TO SELF"):
            assert (await refused(alice, "contacts.add", number=BOB, name=name)).data == {"param": "name"}
        bob = await alice.add(BOB, "Bob")
        assert (await refused(alice, "contacts.rename", to="Bob", name="self")).data == {"param": "name"}
        entries = [{"line": 1, "number": "+821011110000", "name": "Self"}, {"line": 2, "number": ALICE, "name": "Me"}]
        imported = await call(alice, "contacts.import", entries=entries)
        assert isinstance(imported, objects.Import)
        assert (imported.added, [each.line for each in imported.refused]) == (1, [2])
        assert [row.name for row in await listed(alice)] == ["Bob", "Self (2)"]
        # a profile of before may have one of that name
        await alice.database.run(lambda tx: contacts.set_name(tx, bob.id, "self"))
        await send(alice, "self", "for me")
        await send(alice, BOB, "for Bob")
        await send(alice, bob.uid.hex(), "for Bob, too")
        assert await texts(alice, to="self") == ["for me"]
        assert await texts(alice, to=BOB) == ["for Bob", "for Bob, too"]


async def test_notes_are_searched_deleted_and_removed_like_any_message(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        assert alice.running is not None
        seed = alice.running.context.profile.node_seed
        await send(alice, "Bob", "milk for Bob", wait="delivered")
        sent = await methods(alice).send_all(
            [{"to": to, "text": f"milk {n}"} for n, to in enumerate(("self", "Bob", "self", "self"))]
        )
        assert [each.state for each in sent if isinstance(each, objects.Message)] == [
            "delivered",
            "queued",
            "delivered",
            "delivered",
        ]
        await alice.database.run(word_index.add_batch)
        assert await texts(alice, to="self", search="milk") == ["milk 0", "milk 2", "milk 3"]
        assert await texts(alice, "message.search", text="milk", to="self") == ["milk 3", "milk 2", "milk 0"]
        assert len(await texts(alice, "message.search", text="milk")) == 5
        note = sent[2]
        assert isinstance(note, objects.Message)
        await call(alice, "message.delete", id=note.id)
        assert await texts(alice, to="self") == ["milk 0", "milk 3"]
        assert await texts(alice, to="self", after=0) == ["milk 0", "milk 3"]
        removed = await call(alice, "contacts.remove", to="self")
        assert isinstance(removed, objects.Contact)
        assert (removed.self_, removed.id) == (True, note.contact_id)
        assert [row.name for row in await listed(alice)] == ["Bob"]
        assert (await alice.database.run(meta.load_profile)).node_seed == seed  # nobody left: nothing begins anew
        assert await texts(alice, to="self") == []
        assert EventKind.NODE_RENEWED not in [event.kind for event in alice.events]


async def test_a_repeated_key_keeps_one_note(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        first = await send(alice, "self", "milk", idempotency_key="key")
        again = await send(alice, "self", "milk", idempotency_key="key")
        assert (again.id, again.state, again.replayed) == (first.id, "delivered", True)
        assert await texts(alice, to="self") == ["milk"]


async def test_a_refused_note_is_nowhere(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        assert (await refused(alice, "message.send", to="self", text="x" * 65_537)).error_name == "TOO_LARGE"
        assert (await refused(alice, "message.send", to="self", text="x", wait="read")).error_name == "INVALID_PARAMS"
        assert await texts(alice, to="self") == []
        assert await told(alice, "message.*") == []


async def test_the_number_may_change_and_the_notes_stay(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await send(alice, ALICE, "milk")
        for number in ("+821077777777", ""):
            await cluster.crash(alice)
            changed = msgspec.structs.replace(alice.profile, number=number)
            await alice.database.run(lambda tx, changed=changed: meta.save_profile(tx, changed))  # type: ignore[misc]
            await cluster.start(alice)
            assert await texts(alice, to=number or "self") == ["milk"]
            assert (await refused(alice, "message.list", to=ALICE)).error_name == "CONTACT_NOT_FOUND"


async def test_notes_are_on_the_device_that_a_backup_makes(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        note = await send(alice, "self", "milk")
        await alice.send("Bob", "hello")
        saved = await alice.backup()
        await cluster.crash(alice)
        again = await cluster.restore(alice, saved)
        assert await texts(again, to="self") == ["milk"]
        assert (await own(again)).id == note.contact_id
        await send(again, "self", "bread")
        assert await texts(again, to=ALICE) == ["milk", "bread"]
        assert [row.name for row in await listed(again)] == ["Note to self", "Bob"]

        async def greeted() -> bool:
            return await bob.received("Alice") == ["hello"]

        await eventually(greeted, within_s=3600)
        assert await is_matched(again, "Bob")


async def test_two_first_uses_make_one_conversation(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        async with trio.open_nursery() as nursery:
            for n in range(5):
                nursery.start_soon(send, alice, "self", f"{n}")
        assert sorted(await texts(alice, to="self")) == ["0", "1", "2", "3", "4"]
        assert len(await listed(alice)) == 1
        assert alice.running is not None
        context = alice.running.context

        def rows(tx: Tx) -> list[int]:
            return [row.n for row in messages.page(tx, book.own(tx, context).id, None, 10)][::-1]

        assert await alice.database.run(rows) == [1, 2, 3, 4, 5]
