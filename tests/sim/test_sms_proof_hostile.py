"""The proof of a number by SMS (PROTOCOL.md 3.6) against whoever cheats, and what each of the users then sees."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.events import EventKind
from p2pchat.core.proof import Proof, ProofResult, decode_ask, decode_proof, encode_proof, parse_code, proof_mac
from p2pchat.core.wire import PROOF, PROOF_ASK, PROOF_RESULT, Item
from p2pchat.services import prove, upkeep
from p2pchat.services.context import Context
from p2pchat.store import contacts, meta
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, BOB, is_matched, meet
from tests.sim.verifying import Person, code_in, people, refused, wrong

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


async def test_against_another_number(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        alice.context.profile = msgspec.structs.replace(alice.context.profile, number=CAROL)
        await alice.prove("Bob", code)
        await alice.until(RESULT, 1)
        assert await alice.results() == await bob.results() == [False]
        assert await bob.trust("Alice") == "claimed"


async def test_against_a_proof_after_ten_minutes(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        await trio.sleep(601)
        assert "its time is over" in await refused(alice, "Bob", code)
        # one whose own clock says otherwise
        await alice.change(lambda tx: tx.execute("UPDATE proof SET until_s = until_s + 300"))
        await alice.prove("Bob", code)
        await alice.until(RESULT, 1)
        assert await bob.results() == [False]
        await trio.sleep(60)
        question = await bob.question("Alice", own=True)
        assert (question.closed, question.key) == (True, None)
        assert await bob.trust("Alice") == "claimed"


async def test_against_a_clock_that_was_ahead_when_the_question_was_put(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        await bob.change(lambda tx: tx.execute("UPDATE proof SET until_s = until_s + 86400"))
        await alice.prove("Bob", code)
        await alice.until(RESULT, 1)
        assert await bob.results() == [False]
        await bob.ask("Alice")
        await bob.change(lambda tx: tx.execute("UPDATE proof SET until_s = until_s + 200000"))
        await bob.change(lambda tx: upkeep.upkeep(tx, bob.context))
        with pytest.raises(AssertionError):
            await bob.question("Alice", own=True)


async def test_against_a_fourth_try(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        question = await bob.question("Alice", own=True)
        for count in range(1, 4):
            await alice.prove("Bob", wrong(code, count))
            await alice.until(RESULT, count)
        assert await alice.results() == await bob.results() == [False] * 3
        assert "has not asked" in await refused(alice, "Bob", code)
        # one who does not count
        roots = bob.root, alice.root
        right = Proof(question.vid, proof_mac(parse_code(code).key, question.vid, *roots, ALICE))
        await alice.inject("Bob", PROOF, encode_proof(right))
        await trio.sleep(60)
        assert await bob.results() == [False] * 3
        assert await bob.trust("Alice") == "claimed"


async def test_against_a_proof_that_is_given_again(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        given = overheard(monkeypatch)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        await alice.prove("Bob", code)
        await bob.until(VERIFIED, 1)
        proof = decode_proof(given[PROOF][-1])
        await alice.inject("Bob", PROOF, given[PROOF][-1])
        await trio.sleep(60)
        assert await bob.results() == [True]
        # the same for the next question, once as it was and once under its name
        await bob.change(lambda tx: contacts.set_trust(tx, 1, "claimed"))
        await bob.ask("Alice")
        await alice.until(ASKED, 2)
        vid = (await bob.question("Alice", own=True)).vid
        for body in (given[PROOF][-1], encode_proof(Proof(vid, proof.mac))):
            await alice.inject("Bob", PROOF, body)
            await trio.sleep(60)
        assert await bob.results() == [True, False]
        assert await bob.trust("Alice") == "claimed"


async def test_against_another_contact_who_answers_or_judges(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        carol = Person(await cluster.add("Carol", CAROL))
        for person, number in ((alice, ALICE), (bob, BOB)):
            await person.node.add(CAROL, "Carol")
            await carol.node.add(number, person.node.name)
            await eventually(partial(is_matched, person.node, "Carol"), within_s=60)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        question = await bob.question("Alice", own=True)
        # Carol has come to know the code and the question: her proof is of her root, and nobody asked her
        key = parse_code(code).key
        for prover, number in ((carol, CAROL), (carol, ALICE), (alice, ALICE)):
            mac = proof_mac(key, question.vid, bob.root, prover.root, number)
            await carol.inject("Bob", PROOF, encode_proof(Proof(question.vid, mac)))
            await trio.sleep(30)
        assert await bob.question("Alice", own=True) == question
        assert await bob.results() == []
        # and to Alice she says that her proof was right, before there is one and after
        forged = encode_proof(ProofResult(question.vid, True))
        await carol.inject("Alice", PROOF_RESULT, forged)
        await trio.sleep(30)
        await alice.prove("Bob", wrong(code))
        await alice.until(RESULT, 1)
        await carol.inject("Alice", PROOF_RESULT, forged)
        await trio.sleep(30)
        assert await alice.results() == [False]


async def test_against_a_result_of_a_proof_that_was_not_given(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await people(cluster)
        code = code_in(await bob.ask("Alice"))
        await alice.until(ASKED, 1)
        vid = (await bob.question("Alice", own=True)).vid
        await bob.inject("Alice", PROOF_RESULT, encode_proof(ProofResult(vid, True)))
        await trio.sleep(30)
        assert await alice.results() == []
        await alice.prove("Bob", wrong(code))
        await alice.until(RESULT, 1)
        for _ in range(3):  # and of one proof there is one result
            await bob.inject("Alice", PROOF_RESULT, encode_proof(ProofResult(vid, False)))
            await trio.sleep(30)
        assert await alice.results() == [False]


def overheard(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[bytes]]:
    """The bodies of all proof items that anybody receives, by their kind."""
    bodies: dict[int, list[bytes]] = {PROOF_ASK: [], PROOF: [], PROOF_RESULT: []}
    take = prove.take

    def listen(tx: Tx, context: Context, contact: int, item: Item) -> bool:
        bodies[item.kind].append(item.body)
        return take(tx, context, contact, item)

    monkeypatch.setattr(prove, "take", listen)
    return bodies


async def become(cluster: Cluster, node: Node, other: Node) -> None:
    """Let ``node`` have the identity of ``other``."""
    await cluster.crash(node)
    node.profile = msgspec.structs.replace(node.profile, identity=other.profile.identity)
    await node.database.run(lambda tx: meta.save_profile(tx, node.profile))
    await cluster.start(node)


@pytest.mark.parametrize("lies", [False, True], ids=["silent", "lying"])
async def test_against_a_relay_in_the_middle(
    lies: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mallory is matched with Alice as Bob, and with Bob as Alice, and passes on whatever the two say.

    Each of the two is in a network of its own, which is what Mallory has made of the world.
    """
    given = overheard(monkeypatch)
    async with Cluster.running(seed=1) as alices, Cluster.running(seed=2) as bobs:
        alice, false_bob = (Person(node) for node in await meet(alices))
        false_alice_node = await bobs.add("Mallory", ALICE)
        await become(bobs, false_alice_node, false_bob.node)
        bob, false_alice = Person(await bobs.add("Bob", BOB)), Person(false_alice_node)
        await bob.node.add(ALICE, "Alice")
        await false_alice.node.add(BOB, "Bob")
        await eventually(lambda: is_matched(bob.node, "Alice"), within_s=60)
        await eventually(lambda: is_matched(false_alice.node, "Bob"), within_s=60)
        assert false_alice.root == false_bob.root
        await alice.node.send("Bob", "to Mallory, unknowingly")

        sms = await bob.ask("Alice")  # which the network of phones brings to the real Alice
        await false_alice.until(ASKED, 1)
        await false_bob.inject("Alice", PROOF_ASK, given[PROOF_ASK][-1])
        await alice.until(ASKED, 1)
        await alice.prove("Bob", code_in(sms))
        await eventually(lambda: has(given[PROOF]), within_s=60)
        await false_alice.inject("Bob", PROOF, given[PROOF][-1])
        await bob.until(RESULT, 1)
        # Bob sees that the proof is wrong, and goes on seeing a contact whose number is not verified
        assert await bob.results() == [False]
        assert (await bob.trust("Alice"), await bob.told(VERIFIED)) == ("claimed", [])
        vid = decode_ask(given[PROOF_ASK][-1]).vid
        await false_bob.inject("Alice", PROOF_RESULT, encode_proof(ProofResult(vid, lies)))
        await alice.until(RESULT, 1)
        # Alice sees what Mallory says, which verifies nothing of hers
        assert await alice.results() == [lies]
        assert (await alice.trust("Bob"), await alice.told(VERIFIED)) == ("claimed", [])

        # the other way round: Alice asks, Bob types what came by SMS
        sms = await alice.ask("Bob")
        await false_bob.until(ASKED, 1)
        await false_alice.inject("Bob", PROOF_ASK, given[PROOF_ASK][-1])
        await bob.until(ASKED, 1)
        given[PROOF].clear()
        await bob.prove("Alice", code_in(sms))
        await eventually(lambda: has(given[PROOF]), within_s=60)
        await false_bob.inject("Alice", PROOF, given[PROOF][-1])
        await alice.until(RESULT, 2)
        assert (await alice.results())[-1] is False
        assert await alice.trust("Bob") == await bob.trust("Alice") == "claimed"
        # and their safety numbers differ, which they see as soon as they compare them
        assert (await alice.safety("Bob")).safety_number != (await bob.safety("Alice")).safety_number


async def has(found: list[bytes]) -> bool:
    return bool(found)
