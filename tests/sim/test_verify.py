"""Verification in person, and what becomes of trust (PROTOCOL.md 3.6)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import calls
from p2pchat.base.errors import UsageError
from p2pchat.base.ids import RootKey
from p2pchat.control.identity_methods import IdentityMethods
from p2pchat.core.events import EventKind
from p2pchat.core.links import encode_link
from p2pchat.core.verify import Shown, read_verify_link, safety_number, verify_link
from p2pchat.services import contacts as book
from p2pchat.store import contacts
from p2pchat.testing.cluster import Cluster, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.verifying import NOBODY, Person, code_in, people

pytestmark = pytest.mark.usefixtures("rare_checks")

VERIFIED = EventKind.CONTACT_VERIFIED
STRANGER = RootKey(b"s" * 32)


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(13):
        yield


async def refusal(person: Person, to: str, **compared: str) -> UsageError:
    before = await person.trust(to)
    with pytest.raises(UsageError) as refused:
        await person.verify(to, **compared)
    assert await person.trust(to) == before
    assert await person.told(VERIFIED) == []
    return refused.value


async def qr(person: Person) -> str:
    return (await IdentityMethods(person.context, "default").qr(calls.NoParams(), NOBODY)).qr


async def test_both_have_one_number_and_it_verifies(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        alices, bobs = await alice.safety("Bob"), await bob.safety("Alice")
        assert alices.safety_number == bobs.safety_number == safety_number(alice.root, bob.root)
        assert (await alice.trust("Bob"), await alice.told(VERIFIED)) == ("claimed", [])  # showing it says nothing
        verified = await alice.verify("Bob", safety_number=bobs.safety_number.replace(" ", "-"))
        assert (verified.id, verified.trust) == (alices.id, "in_person")
        assert [data["trust"] for data in await alice.told(VERIFIED)] == ["in_person"]
        assert await bob.trust("Alice") == "claimed"


async def test_the_other_screen_is_scanned(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        shown = (await bob.safety("Alice")).qr
        assert read_verify_link(shown, "scanned") == Shown(bob.root, alice.root)
        assert read_verify_link(await qr(bob), "scanned") == Shown(bob.root, None)
        assert (await alice.verify("Bob", scanned=shown.upper())).trust == "in_person"
        assert (await bob.verify("Alice", scanned=await qr(alice))).trust == "in_person"


async def test_what_differs_is_untrusted_and_changes_nothing(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        number = (await alice.safety("Bob")).safety_number
        other = f"{(int(number[0]) + 1) % 10}{number[1:]}"
        for compared in (
            {"safety_number": other},
            {"safety_number": safety_number(alice.root, STRANGER)},
            {"scanned": verify_link(STRANGER, None)},
            {"scanned": verify_link(STRANGER, alice.root)},
            {"scanned": verify_link(bob.root, STRANGER)},  # Bob's node takes another for Alice
        ):
            error = await refusal(alice, "Bob", **compared)
            assert error.error_name == "UNTRUSTED_KEY"
            assert not any(part in error.message for part in (number[:5], other[:5], "p2pchat:"))


async def test_what_is_none_is_a_usage_error(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        for param, value in (
            ("safety_number", "12345"),
            ("safety_number", "x" * 60),
            ("scanned", "hello"),
            ("scanned", (await qr(bob))[:-1]),
            ("scanned", encode_link(b"\x91\x01")),  # an invite
            ("scanned", await qr(alice)),  # the own screen
        ):
            error = await refusal(alice, "Bob", **{param: value})
            assert (error.error_name, error.data) == ("INVALID_PARAMS", {"param": param})
            assert error.message.startswith(f"{param}: ")


async def test_who_is_not_settled_has_no_safety_number(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = Person(await cluster.add("Alice", ALICE))
        row = await alice.node.add(BOB, "Bob")
        with pytest.raises(UsageError) as nobody:
            await alice.safety("Bob")
        assert nobody.value.error_name == "CONTACT_NOT_FOUND"
        for n in (1, 2):
            claimant = partial(contacts.add_claimant, contact=row.id, root=RootKey(bytes([n]) * 32), cert=b"cert")
            await alice.change(claimant)
        with pytest.raises(UsageError, match="contacts choose") as several:
            await alice.safety("Bob")
        assert several.value.error_name == "AMBIGUOUS"
        assert (await refusal(alice, "Bob", safety_number="1" * 60)).error_name == "AMBIGUOUS"
        assert (await refusal(alice, "Bob", scanned=verify_link(STRANGER, None))).error_name == "AMBIGUOUS"


async def test_a_lesser_proof_lowers_nothing(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        await bob.verify("Alice", scanned=await qr(alice))
        code = code_in(await bob.ask("Alice"))
        await alice.until(EventKind.CONTACT_PROOF_ASKED, 1)
        await alice.prove("Bob", code)
        await bob.until(VERIFIED, 2)
        assert [data["trust"] for data in await bob.told(VERIFIED)] == ["in_person", "in_person"]
        assert await bob.trust("Alice") == "in_person"


async def test_it_ends_with_the_root_that_it_was_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        await alice.verify("Bob", scanned=await qr(bob))
        await bob.ask("Alice")
        await alice.until(EventKind.CONTACT_PROOF_ASKED, 1)
        await alice.change(
            lambda tx: book.choose(tx, alice.context, book.resolve(tx, alice.context, "Bob"), STRANGER.hex())
        )
        assert await alice.trust("Bob") == "claimed"
        with pytest.raises(AssertionError):  # what the other one had asked is forgotten, too
            await alice.question("Bob", own=False)
        await alice.change(lambda tx: book.remove(tx, alice.context, book.resolve(tx, alice.context, "Bob")))
        assert (await alice.node.add(BOB, "Bob")).trust == "claimed"


async def test_another_who_claims_to_be_a_verified_contact_is_told_of_and_gets_nothing(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        await alice.verify("Bob", scanned=await qr(bob))
        await cluster.crash(bob.node)
        mallory = Person(await cluster.add("Mallory", BOB))
        await mallory.node.add(ALICE, "Alice")

        async def claimed() -> bool:
            return len(await alice.told(EventKind.CONTACT_KEY_CHANGED)) == 1

        await eventually(claimed, within_s=9 * 86_400, step_s=600)
        (changed,) = await alice.told(EventKind.CONTACT_KEY_CHANGED)
        assert (changed["name"], changed["trust"], changed["claimants"]) == ("Bob", "in_person", 2)
        with pytest.raises(UsageError, match="contacts choose") as error:
            await alice.verify("Bob", scanned=await qr(mallory))
        assert error.value.error_name == "UNTRUSTED_KEY"
        # sending to the one who was verified goes on
        await alice.node.send("Bob", "to Bob alone")
        await cluster.start(bob.node)

        async def arrived() -> bool:
            return await bob.node.received("Alice") == ["to Bob alone"]

        await eventually(arrived, within_s=3600)
        assert await is_matched(alice.node, "Bob")
        assert await alice.trust("Bob") == "in_person"
        await trio.sleep(3600)
        assert await mallory.node.received("Alice") == []
        assert not await is_matched(mallory.node, "Alice")
