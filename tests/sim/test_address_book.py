"""An address book on whole nodes: an import is silent, a search is not, and roots are derived in the right order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.base.errors import InternalError, UsageError
from p2pchat.control import render
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.events import EventKind
from p2pchat.core.slots import era
from p2pchat.services import contacts as book
from p2pchat.services.roots import AHEAD_S, APART_S
from p2pchat.testing.cluster import CHEAP, Cluster, InlineDeriver, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB, CAROL = "+821012345678", "+821098765432", "+821011112222"
pytestmark = pytest.mark.usefixtures("rare_checks")

ROOT_S = 0.6
DAY_S = 86_400


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(17):
        yield


class SlowDeriver(InlineDeriver):
    """Takes as long as a real one, on the virtual clock; ``derived``: (number, era, when) in their order."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.derived: list[tuple[str, int, float]] = []

    async def derive(self, own: str, other: str, era: int) -> bytes:
        await trio.sleep(ROOT_S)
        self.derived.append((other, era, trio.current_time()))
        return await super().derive(own, other, era)

    def numbers(self) -> list[str]:
        return [number for number, _, _ in self.derived]


class Caller:
    """Calls the methods of a node."""

    def __init__(self, node: Node) -> None:
        assert node.running is not None
        self._dispatch = Methods(node.running.context, node.running.life.online, "default", 0.0)
        self._connection = Connection(Channel.__new__(Channel))  # these methods do nothing with it

    async def __call__(self, method: str, **params: object) -> msgspec.Struct:
        return await self._dispatch(method, params, self._connection)

    async def import_(self, *entries: tuple[str | None, str], **params: object) -> objects.Import:
        given = [{"line": line, "name": name, "number": number} for line, (name, number) in enumerate(entries, 1)]
        result = await self("contacts.import", entries=given, **params)
        assert isinstance(result, objects.Import)
        return result

    async def find(self, *to: str, **params: object) -> list[objects.Contact]:
        found = await self("contacts.find", **({"to": list(to)} if to else {}), **params)
        assert isinstance(found, objects.Contacts)
        return found.contacts

    async def names(self) -> list[str]:
        found = await self("contacts.list")
        assert isinstance(found, objects.Contacts)
        return [contact.name for contact in found.contacts]


def people(count: int) -> list[tuple[str | None, str]]:
    return [(f"Person {number}", f"+8210{20_000_000 + number}") for number in range(count)]


async def rows(node: Node, table: str) -> int:
    counted = await node.database.run(lambda tx: tx.one(f"SELECT count(*) FROM {table}"))  # noqa: S608  ours
    assert counted is not None
    return int(counted[0])


# -- what is in the book ------------------------------------------------------------------------------------------


async def test_entries_are_added_known_or_refused(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        call = Caller(alice)
        await alice.add(CAROL, "Carol")
        result = await call.import_(
            ("Bob", "+82 10-9876-5432"),
            ("Somebody", CAROL),
            ("Me", ALICE),
            ("Bad", "x"),
            ("Landline", "+82 2-312-3456"),
            ("a\x1b[2J", "+821033334444"),
            ("Bob again", BOB),
        )
        assert (result.added, result.known) == (1, 2)
        assert [each.line for each in result.refused] == [3, 4, 5, 6]
        for each in result.refused:
            assert not {"Bad", ALICE, "312"} & set(each.reason.split())
            assert each.reason.endswith((".", "character"))
        assert await call.names() == ["Carol", "Bob"]
        bob = await alice.contact("Bob")
        assert (bob.number, bob.state, bob.searching) == (BOB, "pending", False)
        assert (await alice.contact("Carol")).searching
        added = [event for event in alice.events if event.kind is EventKind.CONTACT_ADDED]
        assert [book.open_snapshot(event.detail).searching for event in added] == [True, False]


async def test_names_are_told_apart(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        call = Caller(await cluster.add("Alice", ALICE))
        long = "x" * 100
        await call.import_(
            *(
                (name, number)
                for (_, number), name in zip(
                    people(8), ["Kim", "kim", "Kim", "Kim (2)", long, long, BOB, None], strict=True
                )
            )
        )
        assert await call.names() == [
            *("Kim", "kim (2)", "Kim (3)", "Kim (2) (2)", long, "x" * 96 + " (2)"),
            *(number for _, number in people(8)[6:]),
        ]
        assert (await call.import_(("Bob", people(8)[7][1]))).known == 1
        assert (await call.names())[7] == "Bob", "the number was no name"


async def test_a_name_that_is_somebodys_number_is_not_taken_for_them(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        call = Caller(alice)
        await call.import_((BOB, "+821033334444"), ("Bob", BOB))
        assert (await alice.contact(BOB)).name == "Bob"


async def test_importing_twice_adds_nothing(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        call = Caller(await cluster.add("Alice", ALICE))
        first = await call.import_(*people(5), idempotency_key="k")
        assert (first.added, first.replayed) == (5, msgspec.UNSET)
        again = await call.import_(*people(5), idempotency_key="k")
        assert (again.added, again.replayed) == (5, True)
        names = await call.names()
        assert (await call.import_(*people(5))).known == 5
        assert await call.names() == names
        with pytest.raises(UsageError, match="other parameters"):
            await call.import_(*people(4), idempotency_key="k")


async def test_a_profile_without_a_number_fills_its_book_and_looks_for_nobody(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        call = Caller(await cluster.add("Alice"))
        assert (await call.import_(*people(3))).added == 3
        with pytest.raises(UsageError, match="no number"):
            await call.find()


async def test_find_names_those_it_begins_with(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        call = Caller(alice)
        await call.import_(*people(4))
        with pytest.raises(UsageError, match="No contact"):
            await call.find("Person 1", "Nobody")
        assert EventKind.CONTACT_SOUGHT not in {event.kind for event in alice.events}
        sought = await call.find("Person 1", "person 1", people(4)[2][1], idempotency_key="k")
        assert [(each.name, each.searching) for each in sought] == [("Person 1", True), ("Person 2", True)]
        assert [each.name for each in await call.find()] == ["Person 0", "Person 3"]
        assert await call.find() == []
        assert [each.name for each in await call.find("Person 1")] == ["Person 1"], "it goes on for another while"


# -- what is published --------------------------------------------------------------------------------------------


async def test_an_import_publishes_nothing_and_a_search_does(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, storer = await cluster.add("Alice", ALICE), await cluster.add("Storer")
        call = Caller(alice)
        await call.import_(("Bob", BOB), *people(5))
        await alice.send("Bob", "it waits")
        await trio.sleep(DAY_S)
        await cluster.crash(alice)
        await cluster.start(alice)
        await trio.sleep(3 * DAY_S)
        assert stored_at(storer) == 0
        assert await rows(alice, "pair_root") == await rows(alice, "published") == 0
        await Caller(alice).find("Bob")
        await trio.sleep(5)
        assert stored_at(storer) == 1
        assert await rows(alice, "pair_root") == await rows(alice, "published") == 1


async def test_who_was_imported_and_then_looked_for_is_found_and_gets_what_waited(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        call = Caller(alice)
        await call.import_(("Bob", BOB), *people(5))
        await alice.send("Bob", "it waits")
        await call.find()

        async def there() -> bool:
            return await bob.received("Alice") == ["it waits"]

        await eventually(there, within_s=60)
        assert not (await alice.contact("Bob")).searching
        assert (await alice.contact("Person 1")).searching


def stored_at(node: Node) -> int:
    assert node.running is not None
    return len(node.running.context.dht._keeper._storer)


# -- roots --------------------------------------------------------------------------------------------------------


async def test_one_person_overtakes_an_address_book(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = deriver = SlowDeriver()
        alice = await cluster.add("Alice", ALICE)
        call = Caller(alice)
        await call.import_(*people(60))
        await call.find()
        await trio.sleep(10.1 * ROOT_S)
        await alice.add(BOB, "Bob")
        await trio.sleep(2 * ROOT_S)
        assert deriver.numbers().index(BOB) in (10, 11)
        await call.find("Person 50", "Person 40")
        await trio.sleep(3 * ROOT_S)
        assert set(deriver.numbers()[-3:]) > {people(60)[40][1], people(60)[50][1]}
        await trio.sleep(60 * ROOT_S)
        assert sorted(deriver.numbers()) == sorted([BOB, *(number for _, number in people(60))]), "each one once"


async def test_whose_root_is_there_waits_for_nobody(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = SlowDeriver()
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        await alice.add(BOB, "Bob")
        call = Caller(alice)
        await call.import_(*people(500))
        await call.find()
        assert await eventually(lambda: _matched(alice), within_s=60) < 20


async def _matched(alice: Node) -> bool:
    return (await alice.contact("Bob")).state == "matched"


async def test_a_restart_goes_on_where_it_was(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = deriver = SlowDeriver()
        alice = await cluster.add("Alice", ALICE)
        call = Caller(alice)
        await call.import_(*people(20))
        await call.find()
        await trio.sleep(10.5 * ROOT_S)
        await cluster.crash(alice)
        assert len(deriver.derived) == await rows(alice, "pair_root") == 10
        await cluster.start(alice)
        await trio.sleep(11 * ROOT_S)
        assert len(set(deriver.numbers())) == len(deriver.derived) == await rows(alice, "pair_root") == 20


async def test_removing_a_contact_ends_the_wait_for_its_root(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = deriver = SlowDeriver()
        alice = await cluster.add("Alice", ALICE)
        call = Caller(alice)
        await call.import_(*people(3))
        await call.find()
        await trio.sleep(0.5 * ROOT_S)
        await call("contacts.remove", to="Person 0")
        await call("contacts.remove", to="Person 2")
        await trio.sleep(5 * ROOT_S)
        assert deriver.numbers() == [people(3)[0][1], people(3)[1][1]], "the one that was under way, and who is left"
        assert await rows(alice, "pair_root") == 1


async def test_a_root_that_cannot_be_derived_is_tried_again(autojump_clock: MockClock) -> None:
    class Failing(InlineDeriver):
        failures = 3

        async def derive(self, own: str, other: str, era: int) -> bytes:
            if self.failures:
                self.failures -= 1
                raise InternalError("There is not enough memory to derive the root of a contact.")
            return await super().derive(own, other, era)

    async with Cluster.running() as cluster:
        cluster.deriver = Failing(CHEAP)
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        await trio.sleep(170)
        assert await rows(alice, "pair_root") == 0
        await trio.sleep(20)
        assert await rows(alice, "published") == 1


@pytest.mark.slow
async def test_the_next_eras_roots_are_there_before_it_begins_and_the_old_ones_go(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = deriver = SlowDeriver()
        this_era = era(int(cluster.now()), CHEAP)
        boundary_s = (this_era + 1) * CHEAP.era_s
        needed_s = boundary_s - CHEAP.publish_next_s
        await trio.sleep(needed_s - AHEAD_S - cluster.now() - DAY_S)
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        await alice.add(BOB, "Bob")
        await eventually(lambda: _matched(alice))
        await cluster.crash(bob)  # two who are connected have a heartbeat, and these are weeks
        call = Caller(alice)
        await call.import_(*people(21))
        await call.find(*(f"Person {number}" for number in range(20)))
        await trio.sleep(needed_s - AHEAD_S - cluster.now() - 1)
        assert {of for _, of, _ in deriver.derived} == {this_era}
        began = trio.current_time()
        await trio.sleep(AHEAD_S)
        ahead = [(number, at) for number, of, at in deriver.derived if of == this_era + 1]
        assert {number for number, _ in ahead} == {BOB, *(number for _, number in people(20))}, (
            "who is matched, too; who is not sought is not"
        )
        times = sorted(at for _, at in ahead)
        assert all(later - earlier >= APART_S for earlier, later in pairwise(times))
        assert times[-1] - began < 21 * 3700
        so_far = len(deriver.derived)
        await trio.sleep(boundary_s - cluster.now() + 60)
        assert len(deriver.derived) == so_far, "nothing is left to derive at the boundary"
        published = await alice.database.run(lambda tx: tx.all("SELECT era FROM pair_slot WHERE era > ?", (this_era,)))
        assert len(published) >= 20
        await trio.sleep(CHEAP.idsec_kept_s + 3600)
        assert await alice.database.run(lambda tx: tx.all("SELECT DISTINCT era FROM pair_root")) == [(this_era + 1,)]


@pytest.mark.parametrize("before_s", [3600, 8 * 3600])
async def test_many_who_are_sought_late_in_an_era_are_looked_for_in_this_one_first(
    before_s: int, autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = deriver = SlowDeriver()
        alice = await cluster.add("Alice", ALICE)
        this_era = era(int(cluster.now()), CHEAP)
        await trio.sleep((this_era + 1) * CHEAP.era_s - cluster.now() - before_s)
        call = Caller(alice)
        await call.import_(*people(20))
        await call.find()
        await trio.sleep(20 * ROOT_S + 3)
        assert [of for _, of, _ in deriver.derived[:20]] == [this_era] * 20
        assert await rows(alice, "published") >= 20
        await trio.sleep(before_s)
        assert sorted(deriver.numbers()[20:]) == sorted(number for _, number in people(20))
        assert {of for _, of, _ in deriver.derived[20:]} == {this_era + 1}
        await trio.sleep(3 * 3600)
        slots = await alice.database.run(lambda tx: tx.all("SELECT contact FROM pair_slot WHERE era > ?", (this_era,)))
        assert len(slots) >= 20


# -- progress -----------------------------------------------------------------------------------------------------


async def test_progress_tells_the_step_and_how_many_roots_there_are(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        cluster.deriver = SlowDeriver()
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        call = Caller(alice)
        await call.import_(*people(3))
        await call.find()
        await alice.add(BOB, "Bob")
        await eventually(lambda: _matched(alice), within_s=60)
        assert alice.running is not None
        _, told = alice.running.context.bus.transient_after(0)
        steps = [each for each in told if each.kind is EventKind.DISCOVERY_PROGRESS]
        events = await alice.database.run(lambda tx: [render.transient(tx, each, lambda _: True) for each in steps])
        data = [event.data for event in events if isinstance(event.data, objects.Progress)]
        roots = [each for each in data if each.step == "root"]
        assert [each.roots_done for each in roots] == [1, 2, 3, 4]
        assert roots[0].roots_total in (3, 4)  # the first may have been begun before Bob was there
        assert [each.roots_total for each in roots[1:]] == [4, 4, 4]
        assert {"Person 0", "Person 1", "Person 2", "Bob"} == {each.name for each in roots}
        of_bob = [each.step for each in data if each.name == "Bob"]
        assert list(dict.fromkeys(of_bob)) == ["root", "candidate", "card", "reach"]
        shown = msgspec.to_builtins(data[0])
        assert set(shown) == {
            *msgspec.to_builtins(await call("contacts.get", to="Bob")),
            "step",
            "roots_done",
            "roots_total",
        }


def test_a_snapshot_of_before_there_was_a_search_by_name_is_read() -> None:
    then = msgspec.msgpack.encode((bytes(8), "Bob", BOB, "pending", "claimed", 0, None))
    assert book.open_snapshot(then).searching is None
    assert (book.open_snapshot(then).name, book.open_snapshot(then).number) == ("Bob", BOB)
