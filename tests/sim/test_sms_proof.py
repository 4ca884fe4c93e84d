"""The proof of a number by SMS (PROTOCOL.md 3.6): it holds, whatever breaks."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import calls, objects
from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.core.proof import Proof, ProofAsk, ProofResult, encode_proof, parse_code
from p2pchat.core.wire import PROOF, PROOF_ASK, PROOF_RESULT, Item
from p2pchat.services import contacts as book
from p2pchat.services import prove
from p2pchat.services.block import block
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import BOB, is_matched
from tests.sim.verifying import NOBODY, Person, code_in, people, refused, wrong

CAROL = "+821055556666"
ASKED, RESULT, VERIFIED = (
    EventKind.CONTACT_PROOF_ASKED,
    EventKind.CONTACT_PROOF_RESULT,
    EventKind.CONTACT_VERIFIED,
)


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(3):
        yield


async def test_a_number_is_proven_and_both_are_told(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        sms = await bob.ask("Alice")
        await alice.until(ASKED, 1, within_s=5)
        assert (await alice.told(ASKED))[0]["name"] == "Bob"
        await alice.prove("Bob", code_in(sms).lower().replace("-", " "))
        await alice.until(RESULT, 1, within_s=5)
        assert await alice.results() == await bob.results() == [True]
        (verified,) = await bob.told(VERIFIED)
        assert (verified["name"], verified["trust"]) == ("Alice", "number_verified")
        assert (await bob.told(RESULT))[0] == verified | {"ok": True}
        # what Alice is told is what Bob's node says: it proves nothing to her
        assert (await alice.trust("Bob"), await bob.trust("Alice")) == ("claimed", "number_verified")
        assert await alice.told(VERIFIED) == []
        assert "has not asked" in await refused(alice, "Bob", code_in(sms))
        # no item of it was shown as a message
        assert await alice.node.conversation("Bob") == await bob.node.conversation("Alice") == []


async def test_the_code_is_told_once_and_stored_nowhere(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice", "key"))
        again = await bob.methods().sms_proof(calls.ContactsSmsProof(to="Alice", idempotency_key="key"), NOBODY)
        assert isinstance(again, objects.SmsProof)
        assert (again.text, again.replayed) == (None, True)
        await alice.until(ASKED, 1)
        key = parse_code(code).key
        assert key in await bob.stored()  # while the question is open
        await alice.prove("Bob", code)
        await alice.until(RESULT, 1)
        for person in (alice, bob):
            stored = await person.stored()
            for secret in (code.encode(), code.replace("-", "").encode(), parse_code(code).secret, key):
                assert secret not in stored
        # of a question that nobody answers the key goes, too
        code = code_in(await bob.ask("Alice"))
        await trio.sleep(600 + 60 + 900)
        assert parse_code(code).key not in await bob.stored()


@pytest.mark.parametrize("sign", ["0", "1", "O", "I", "o", "i", ""])
async def test_a_mistyped_code_is_no_try(sign: str, autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        for _ in range(4):
            assert "code: has 16 characters" in await refused(alice, "Bob", sign + code[1:])
        await trio.sleep(60)
        assert (await alice.question("Bob", own=False)).tries == 0
        await alice.prove("Bob", code)
        await bob.until(VERIFIED, 1)


async def test_two_of_three_tries_may_be_wrong(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        for count, typed in enumerate((wrong(code), wrong(code, 1 << 79), code), 1):
            await alice.prove("Bob", typed)
            await alice.until(RESULT, count)
        assert await alice.results() == await bob.results() == [False, False, True]
        assert await bob.trust("Alice") == "number_verified"


async def test_a_new_question_voids_the_one_before(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        first = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        second = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 2)
        await alice.prove("Bob", first)
        await alice.until(RESULT, 1)
        await alice.prove("Bob", second)
        await alice.until(RESULT, 2)
        assert await bob.results() == [False, True]


async def test_both_may_ask_each_other_and_two_contacts_at_once(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        carol = Person(await cluster.add("Carol", CAROL))
        await bob.node.add(CAROL, "Carol")
        await carol.node.add(BOB, "Bob")
        await eventually(lambda: is_matched(bob.node, "Carol"), within_s=60)
        await eventually(lambda: is_matched(carol.node, "Bob"), within_s=60)
        to_alice, to_carol = code_in(await bob.ask("Alice")), code_in(await bob.ask("Carol"))
        to_bob = code_in(await alice.ask("Bob"))
        for person in (alice, bob, carol):
            await person.until(ASKED, 1)
        await alice.prove("Bob", to_carol)
        await carol.prove("Bob", to_alice)
        await bob.prove("Alice", to_bob)
        await bob.until(RESULT, 3)
        assert [await bob.trust("Alice"), await bob.trust("Carol"), await alice.trust("Bob")] == [
            *("claimed", "claimed", "number_verified")
        ]
        await alice.prove("Bob", to_alice)
        await carol.prove("Bob", to_carol)
        await bob.until(VERIFIED, 2)
        assert await bob.trust("Alice") == await bob.trust("Carol") == "number_verified"


async def test_who_cannot_be_asked_or_answered(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        await alice.node.add(CAROL, "Carol")
        for attempt in (alice.ask("Carol"), alice.prove("Carol", "ABCD-EFGH-JKLM-NPQR")):
            with pytest.raises(UsageError, match="to: is not matched"):
                await attempt
        assert "has not asked" in await refused(alice, "Bob", "ABCD-EFGH-JKLM-NPQR")
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        alice.context.profile = msgspec.structs.replace(alice.context.profile, number="")
        assert "no number" in await refused(alice, "Bob", code)
        alice_row = await bob.node.contact("Alice")
        await bob.change(lambda tx: tx.execute("UPDATE contact SET number = NULL WHERE id = ?", (alice_row.id,)))
        with pytest.raises(UsageError, match="to: has no number"):
            await bob.ask("Alice")


async def test_a_block_ends_what_was_asked(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        await alice.change(lambda tx: block(tx, alice.context, book.resolve(tx, alice.context, "Bob")))
        for attempt in (alice.ask("Bob"), alice.prove("Bob", code)):
            with pytest.raises(UsageError) as refusal:
                await attempt
            assert refusal.value.error_name == "BLOCKED"
        with pytest.raises(AssertionError):
            await alice.question("Bob", own=False)


@pytest.mark.parametrize("seed", range(4))
async def test_restarts_in_the_middle(seed: int, autojump_clock: MockClock) -> None:
    async with Cluster.running(seed=seed) as cluster:
        alice, bob = await people(cluster)

        async def restart(*people: Person) -> None:
            for person in people:
                await cluster.crash(person.node)
            for person in people:
                await cluster.start(person.node)

        both = (alice, bob)
        await cluster.crash(alice.node)
        code = code_in(await bob.ask("Alice"))
        await restart(bob if seed % 2 else alice, *both[: seed // 2])
        if alice.node.running is None:
            await cluster.start(alice.node)
        await alice.until(ASKED, 1, within_s=590)
        await cluster.crash(bob.node)
        await alice.prove("Bob", code)
        await restart(*both)
        await bob.until(RESULT, 1)
        await cluster.crash(alice.node)
        await restart(*both)
        await alice.until(RESULT, 1)
        assert await alice.results() == await bob.results() == [True]
        assert len(await bob.told(VERIFIED)) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_a_network_that_breaks_repeats_nothing(seed: int, autojump_clock: MockClock) -> None:
    async with Cluster.running(seed=seed, drop_rate=0.05) as cluster:
        alice, bob = await people(cluster)
        for round_ in range(1, 4):
            code = code_in(await bob.ask("Alice"))
            await alice.until(ASKED, round_, within_s=500)
            cluster.network.kill_streams(alice.node.network, bob.node.network)
            await alice.prove("Bob", wrong(code))
            await alice.until(RESULT, 2 * round_ - 1, within_s=2_000)
            await alice.prove("Bob", code)
            cluster.network.kill_streams(alice.node.network, bob.node.network)
            await alice.until(RESULT, 2 * round_, within_s=2_000)  # tries are up to 10 min apart
        await trio.sleep(3600)
        assert await alice.results() == await bob.results() == [False, True] * 3
        assert len(await alice.told(ASKED)) == len(await bob.told(VERIFIED)) == 3


async def test_an_item_that_comes_again_in_another_envelope_is_none(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        mine, theirs = await bob.question("Alice", own=True), await bob.node.contact("Alice")

        async def twice(item: Item) -> None:
            for _ in range(2):
                assert await bob.node.database.run(lambda tx: prove.take(tx, bob.context, theirs.id, item))

        await twice(Item(bytes(16), PROOF, encode_proof(Proof(mine.vid, bytes(32)))))
        assert (await bob.question("Alice", own=True)).tries == 1
        await alice.prove("Bob", wrong(code))
        await alice.until(RESULT, 1)
        question, contact = await alice.question("Bob", own=False), await alice.node.contact("Bob")
        ask = Item(bytes(16), PROOF_ASK, encode_proof(ProofAsk(question.vid)))
        result = Item(question.heard[0], PROOF_RESULT, encode_proof(ProofResult(question.vid, True)))

        def take(tx: Tx) -> list[bool]:
            return [prove.take(tx, alice.context, contact.id, item) for item in (ask, result)]

        assert await alice.node.database.run(take) == [True, True]
        assert await alice.question("Bob", own=False) == question
        assert (len(await alice.told(ASKED)), await alice.results()) == (1, [False])
