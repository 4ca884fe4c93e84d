"""A node that holds for others: what it grants, keeps, gives and lets go of, and what nobody gets it to do."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal
from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.events import EventKind
from p2pchat.core.framing import with_length
from p2pchat.core.mailbox import (
    Ack,
    Acked,
    Answer,
    Bundle,
    BundleIs,
    Custody,
    Deposit,
    End,
    Ended,
    Fetch,
    Fetched,
    Grant,
    Granted,
    List,
    Listed,
    Reason,
    Refused,
    Request,
    is_custody,
    token_hash,
)
from p2pchat.core.params import Params
from p2pchat.net.mailbox import MAILBOX
from p2pchat.services import block, depositors, desk, holding
from p2pchat.services import contacts as book
from p2pchat.services.holding import opaque_id, open_told
from p2pchat.store import mailbox
from p2pchat.store.db import Job, Tx
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnode import MemoryNode
from tests.sim.mailboxes import NO_SIGNATURE, Box, Talk, context_of, offering, talk
from tests.sim.people import meet

HOUR_S, DAY_S = 3_600, 86_400
TTL_S = 3 * DAY_S
ANYONE = Offer("anyone")
BRIEF = dataclasses.replace(CHEAP, mailbox_ttl_max_s=4 * HOUR_S, mailbox_forgotten_s=8 * HOUR_S)  # days take long here
REFUSED = Refused(Reason.REFUSED, 0)


@dataclass
class Scene:
    """A holder for anyone; an owner who has a mailbox there, and a depositor."""

    cluster: Cluster
    holder: Node
    owner: MemoryNode
    depositor: MemoryNode
    box: Box
    entropy: SeededEntropy

    def payload(self, size: int = 1_024) -> bytes:
        return self.entropy.bytes(size)

    def deposit(self, size: int = 1_024, ttl_s: int = TTL_S) -> Deposit:
        return Deposit(self.box.token, ttl_s, self.payload(size))

    def refusals(self, kind: Refusal) -> int:
        return context_of(self.holder).charges.refusals[kind]

    async def stock(self) -> mailbox.Stock:
        return (await self.holder.database.run(mailbox.stock))[0]

    async def total(self) -> tuple[int, int]:
        return await self.holder.database.run(mailbox.total)


@asynccontextmanager
async def scene(params: Params = CHEAP) -> AsyncGenerator[Scene]:
    async with Cluster.running(params=params) as cluster:
        holder = await cluster.add("Holder")
        await offering(holder, ANYONE)
        network, entropy = cluster.network, SeededEntropy(5)
        made = Scene(cluster, holder, network.node(), network.node(), Box(entropy), entropy)
        async with talk(made.owner, holder) as owner:
            granted = await owner.ask_as(made.box.owner, made.box.grant(b"sealed bundle"))
            assert isinstance(granted, Granted)
            assert granted.ttl_max_s == params.mailbox_ttl_max_s
            assert granted.quota_bytes in (limits.MAILBOX_OWNER_BYTES, 4_096)
        yield made


def listing(after: int = 0, wait_s: int = 0, *, of: Box) -> List:
    return List(of.owner.public, after, wait_s, NO_SIGNATURE)


async def listed(at: Talk, of: Box, after: int = 0) -> list[int]:
    answer = await at.ask_as(of.owner, listing(after, of=of))
    assert isinstance(answer, Listed)
    return [each.number for each in answer.boxes]


async def test_a_box_is_kept_given_and_deleted(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box, now_s = scenery.box, int(scenery.cluster.now())
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            assert await depositor.ask(Bundle(box.token)) == [BundleIs(b"sealed bundle")]
            deposits = [scenery.deposit(1_024 << n) for n in range(3)]
            answers = await depositor.ask(*deposits)
            for deposit, answer in zip(deposits, answers, strict=True):
                assert isinstance(answer, Custody)
                assert is_custody(answer, deposit.box, depositor.holder)
                assert 0 <= answer.until - TTL_S - now_s <= 2
            there = await owner.ask_as(box.owner, listing(of=box))
            assert isinstance(there, Listed)
            assert [(each.number, each.size) for each in there.boxes] == [(1, 1_024), (2, 2_048), (3, 4_096)]
            fetched = await owner.ask_as(box.owner, Fetch(box.owner.public, (3, 9, 1, 2**64 - 1), NO_SIGNATURE))
            assert isinstance(fetched, Fetched)
            assert [(each.number, each.box) for each in fetched.boxes] == [(3, deposits[2].box), (1, deposits[0].box)]
            acked = await owner.ask_as(box.owner, Ack(box.owner.public, (1, 3, 3, 77), NO_SIGNATURE))
            assert acked == Acked(2)
            assert await listed(owner, box) == [2]
            assert await listed(owner, box, after=2) == []
            assert await listed(owner, box, after=2**64 - 1) == []
            await depositor.ask(scenery.deposit())
            assert await listed(owner, box) == [2, 4]  # numbers are never used twice
            assert await scenery.total() == (2, 3_072)


async def test_boxes_that_come_together_are_written_together(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene() as scenery, talk(scenery.depositor, scenery.holder) as depositor:
        database = scenery.holder.database
        run, jobs = database.run, [0]

        async def counted(job: Job[object]) -> object:
            jobs[0] += 1
            return await run(job)

        monkeypatch.setattr(database, "run", counted)
        answers = await depositor.ask(*[scenery.deposit() for _ in range(50)], Bundle(scenery.box.token))
        assert [type(each) for each in answers] == [Custody] * 50 + [BundleIs]
        assert jobs[0] <= 5  # one for each piece in which the stream has brought them
        assert (await scenery.stock()).boxes == 50


async def test_fetch_answers_with_what_fits_and_at_least_one(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box = scenery.box
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            for size in (524_288, 524_288, 262_144, 131_072):
                await depositor.ask(scenery.deposit(size))

            async def fetch(*numbers: int) -> list[int]:
                answer = await owner.ask_as(box.owner, Fetch(box.owner.public, numbers, NO_SIGNATURE))
                assert isinstance(answer, Fetched)
                return [each.number for each in answer.boxes]

            assert await fetch(1, 2, 3) == [1]
            assert await fetch(2, 3, 4) == [2, 3, 4]
            assert await fetch(5, 6) == []


async def test_a_waiting_list_is_answered_when_a_box_comes_or_the_time_is_over(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box = scenery.box
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            started = trio.current_time()
            assert await owner.ask_as(box.owner, listing(wait_s=300, of=box)) == Listed(())
            assert 300 <= trio.current_time() - started < 301
            async with trio.open_nursery() as nursery:

                async def come() -> None:
                    await trio.sleep(100)
                    await depositor.ask(scenery.deposit())

                nursery.start_soon(come)
                started = trio.current_time()
                answer = await owner.ask_as(box.owner, listing(wait_s=300, of=box))
                assert isinstance(answer, Listed)
                assert [each.number for each in answer.boxes] == [1]
                assert 100 <= trio.current_time() - started < 101


async def test_a_stream_on_which_nothing_is_asked_ends(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.depositor, scenery.holder) as depositor:
        started = trio.current_time()
        assert await depositor.stream.read(1) == b""
        assert limits.MAILBOX_IDLE_S - 1 <= trio.current_time() - started < limits.MAILBOX_IDLE_S + 1


# -- who may -----------------------------------------------------------------------------------------------------------


async def test_whoever_has_no_token_or_another_key_gets_one_refusal_for_all(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box, thief = scenery.box, ed25519_pair(scenery.entropy.bytes(32))
        key = box.owner.public
        async with talk(scenery.depositor, scenery.holder) as depositor:
            await depositor.ask(scenery.deposit())
            unsigned: tuple[Request, ...] = (
                List(key, 0, 0, NO_SIGNATURE),
                Fetch(key, (1,), NO_SIGNATURE),
                Ack(key, (1,), NO_SIGNATURE),
                End(key, NO_SIGNATURE),
                Grant(key, (bytes(32),), b"", NO_SIGNATURE),
            )
            assert await depositor.ask(*unsigned) == [REFUSED] * 5
            by_another: tuple[Request, ...] = (
                depositor.sign(thief, List(key, 0, 0, NO_SIGNATURE)),
                depositor.sign(thief, Fetch(key, (1,), NO_SIGNATURE)),
                depositor.sign(thief, Ack(key, (1,), NO_SIGNATURE)),
                depositor.sign(thief, End(key, NO_SIGNATURE)),
                depositor.sign(thief, Grant(key, (bytes(32),), b"", NO_SIGNATURE)),
            )
            assert await depositor.ask(*by_another) == [REFUSED] * 5
            assert await depositor.ask_as(thief, List(thief.public, 0, 0, NO_SIGNATURE)) == REFUSED  # has none
            assert await depositor.ask(Bundle(bytes(32)), Deposit(bytes(32), TTL_S, bytes(1_024))) == [REFUSED] * 2
            assert await depositor.ask(Deposit(box.token, TTL_S, bytes(1_025))) == [REFUSED]
            assert scenery.refusals(Refusal.MAILBOX_REFUSED) == 14
        assert (await scenery.stock()).boxes == 1


async def test_a_signed_request_is_of_no_use_on_another_stream_or_at_another_holder(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box = scenery.box
        other = await scenery.cluster.add("Other")
        await offering(other, ANYONE)
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            await depositor.ask(scenery.deposit(), scenery.deposit())
            requests: list[Request] = [
                owner.sign(box.owner, Ack(box.owner.public, (1,), NO_SIGNATURE)),
                owner.sign(box.owner, End(box.owner.public, NO_SIGNATURE)),
            ]
            assert await depositor.ask(*requests) == [REFUSED, REFUSED]
            async with talk(scenery.owner, other) as elsewhere:
                owner.challenge = elsewhere.challenge
                grant = owner.sign(box.owner, box.grant())  # for the holder, over the other's challenge
                assert await elsewhere.ask(grant) == [REFUSED]
        assert (await scenery.stock()).boxes == 2


async def test_a_box_for_no_time_is_refused(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.depositor, scenery.holder) as depositor:
        assert await depositor.ask(scenery.deposit(ttl_s=0)) == [REFUSED]
        assert isinstance((await depositor.ask(scenery.deposit(ttl_s=1)))[0], Custody)


async def test_what_stands_twice_in_a_request_counts_once(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.owner, scenery.holder) as owner:
        box, deposits = scenery.box, [scenery.deposit(), scenery.deposit()]
        hashes = (token_hash(box.token), token_hash(box.token))
        assert isinstance(await owner.ask_as(box.owner, Grant(box.owner.public, hashes, b"", NO_SIGNATURE)), Granted)
        async with talk(scenery.depositor, scenery.holder) as depositor:
            await depositor.ask(*deposits)
        fetched = await owner.ask_as(box.owner, Fetch(box.owner.public, (2, 1, 2, 1), NO_SIGNATURE))
        assert isinstance(fetched, Fetched)
        assert [(each.number, each.box) for each in fetched.boxes] == [(2, deposits[1].box), (1, deposits[0].box)]
        assert await owner.ask_as(box.owner, Ack(box.owner.public, (1, 1, 1), NO_SIGNATURE)) == Acked(1)


async def test_what_is_asked_behind_a_waiting_list_waits_with_it(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.owner, scenery.holder) as owner:
        began, box = trio.current_time(), scenery.box
        answers = await owner.ask(owner.sign(box.owner, listing(wait_s=100, of=box)), Bundle(box.token))
        assert answers == [Listed(()), BundleIs(b"sealed bundle")]
        assert trio.current_time() - began >= 100


async def test_tokens_and_bundle_are_those_of_the_last_grant(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box, old = scenery.box, scenery.box.token
        async with talk(scenery.depositor, scenery.holder) as anywhere:
            box.token = scenery.entropy.bytes(32)
            renewed = Grant(box.owner.public, (token_hash(old), token_hash(box.token)), b"", NO_SIGNATURE)
            assert isinstance(await anywhere.ask_as(box.owner, renewed), Granted)  # from whatever PeerID
            assert await anywhere.ask(Bundle(old), Bundle(box.token)) == [BundleIs(b""), BundleIs(b"")]
            assert isinstance(await anywhere.ask_as(box.owner, box.grant(b"new")), Granted)
            assert await anywhere.ask(Bundle(old), Bundle(box.token)) == [REFUSED, BundleIs(b"new")]


async def test_nobody_takes_over_a_token_that_admits_to_anothers_mailbox(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        thief = Box(SeededEntropy(9))
        thief.token = scenery.box.token
        async with talk(scenery.depositor, scenery.holder) as depositor:
            assert await depositor.ask_as(thief.owner, thief.grant()) == REFUSED
            assert isinstance((await depositor.ask(scenery.deposit()))[0], Custody)
        assert [each.boxes for each in await scenery.holder.database.run(mailbox.stock)] == [1]


async def test_a_mailbox_for_contacts_is_for_whoever_something_of_a_contact_has_come_from(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        stranger, box = cluster.network.node(), Box(SeededEntropy(3))
        with pytest.raises(UnsupportedProtocol):
            async with talk(bob.network, alice):
                pass
        assert MAILBOX not in (await bob.network.learn(alice.network.peer_id))[1]
        await offering(alice, Offer("contacts"))
        assert MAILBOX in (await bob.network.learn(alice.network.peer_id))[1]
        async with talk(stranger, alice) as from_stranger, talk(bob.network, alice) as from_bob:
            assert await from_stranger.ask_as(box.owner, box.grant()) == REFUSED
            assert isinstance(await from_bob.ask_as(box.owner, box.grant()), Granted)
            assert isinstance(await from_stranger.ask_as(box.owner, box.grant()), Granted)  # it has the key
            await alice.database.run(lambda tx: tx.execute("UPDATE contact SET state = 'blocked'"))
            another = Box(SeededEntropy(4))
            assert await from_bob.ask_as(another.owner, another.grant()) == REFUSED


async def test_what_is_offered_to_nobody_any_more_is_served_until_it_is_empty(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box = scenery.box
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            await depositor.ask(scenery.deposit())
            await offering(scenery.holder, Offer("nobody"))
            assert await depositor.ask(scenery.deposit()) == [REFUSED]
            assert await owner.ask_as(box.owner, box.grant()) == REFUSED
        async with talk(scenery.owner, scenery.holder) as owner:
            assert await listed(owner, box) == [1]
            assert await owner.ask_as(box.owner, Ack(box.owner.public, (1,), NO_SIGNATURE)) == Acked(1)
        await trio.sleep(1)
        with pytest.raises(UnsupportedProtocol):
            async with talk(scenery.owner, scenery.holder):
                pass
        assert MAILBOX not in (await scenery.owner.learn(scenery.holder.network.peer_id))[1]
        await offering(scenery.holder, ANYONE)
        async with talk(scenery.owner, scenery.holder) as owner:
            assert await listed(owner, box) == []


async def test_end_deletes_it_all(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        box = scenery.box
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            for _ in range(12):
                await depositor.ask(scenery.deposit(524_288))  # more than is deleted at once
            assert await owner.ask_as(box.owner, End(box.owner.public, NO_SIGNATURE)) == Ended()
            assert await depositor.ask(scenery.deposit()) == [REFUSED]
            assert await owner.ask_as(box.owner, listing(of=box)) == REFUSED
        assert await scenery.total() == (0, 0)
        assert await scenery.holder.database.run(mailbox.stock) == []
        (past,) = await scenery.holder.database.run(mailbox.past)
        assert (past.why, past.boxes, past.size) == ("ended", 12, 12 * 524_288)


async def test_a_mailbox_that_was_ended_twice_and_granted_anew_stays(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mailbox.end

    def overtaken(tx: Tx, of: int) -> list[mailbox.Gone]:
        monkeypatch.setattr(mailbox, "end", real)
        gone = real(tx, of)
        mailbox.make(tx, scenery.box.owner.public)
        return gone

    async with scene() as scenery, talk(scenery.owner, scenery.holder) as owner:
        monkeypatch.setattr(mailbox, "end", overtaken)
        with trio.fail_after(60):
            answer = await owner.ask_as(scenery.box.owner, End(scenery.box.owner.public, NO_SIGNATURE))
        assert answer == Ended()
        assert len(await scenery.holder.database.run(mailbox.stock)) == 1


async def test_one_peer_gets_only_so_many_mailboxes(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        async with talk(scenery.depositor, scenery.holder) as visitor:
            answers: list[Answer] = []
            for seed in range(6):
                box = Box(SeededEntropy(100 + seed))
                answers.append(await visitor.ask_as(box.owner, box.grant()))
            assert [isinstance(each, Granted) for each in answers] == [True] * 4 + [False] * 2
            refused = answers[-1]
            assert isinstance(refused, Refused)
            assert refused.reason == Reason.TOO_OFTEN
        await trio.sleep(refused.retry_s)
        async with talk(scenery.depositor, scenery.holder) as visitor:
            box = Box(SeededEntropy(999))
            assert isinstance(await visitor.ask_as(box.owner, box.grant()), Granted)


# -- how much ----------------------------------------------------------------------------------------------------------


async def kept(at: Talk, scenery: Scene, sizes: list[int]) -> list[bool]:
    answers = [(await at.ask(scenery.deposit(size)))[0] for size in sizes]
    assert all(isinstance(each, Custody) or each == Refused(Reason.NO_SPACE, 0) for each in answers)
    return [isinstance(each, Custody) for each in answers]


async def test_a_mailbox_takes_its_quota_to_the_byte_and_nothing_is_evicted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MAILBOX_OWNER_BYTES", 4_096)
    async with (
        scene() as scenery,
        talk(scenery.depositor, scenery.holder) as depositor,
        talk(scenery.owner, scenery.holder) as owner,
    ):
        assert await kept(depositor, scenery, [2_048, 4_096, 1_024, 1_024, 1_024]) == [1, 0, 1, 1, 0]
        assert await listed(owner, scenery.box) == [1, 2, 3]
        assert scenery.refusals(Refusal.MAILBOX_FULL) == 2
        await owner.ask_as(scenery.box.owner, Ack(scenery.box.owner.public, (2,), NO_SIGNATURE))
        assert await kept(depositor, scenery, [2_048, 1_024]) == [0, 1]


async def test_the_node_takes_what_its_user_offers(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.depositor, scenery.holder) as depositor:
        await offering(scenery.holder, Offer("anyone", 3_072))
        assert await kept(depositor, scenery, [1_024, 2_048, 1_024]) == [1, 1, 0]
        await offering(scenery.holder, Offer("anyone", 1_024))
        assert await scenery.total() == (2, 3_072)  # what is held stays
        assert await kept(depositor, scenery, [1_024]) == [0]
        await offering(scenery.holder, Offer("anyone", 4_096))
        assert await kept(depositor, scenery, [1_024]) == [1]


@pytest.mark.parametrize("public", [True, False])
async def test_a_prefix_takes_its_part_and_private_addresses_count_singly(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, public: bool
) -> None:
    monkeypatch.setattr(depositors, "MAILBOX_PREFIX_BYTES", 2_048)
    async with scene() as scenery:
        network, before = scenery.cluster.network, "203.1.113." if public else "192.168.0."
        near, neighbour, far = network.node(host=before + "1"), network.node(host=before + "2"), scenery.depositor
        async with (
            talk(near, scenery.holder) as one,
            talk(neighbour, scenery.holder) as two,
            talk(far, scenery.holder) as other,
            talk(scenery.owner, scenery.holder) as owner,
        ):
            assert await kept(one, scenery, [1_024, 1_024, 1_024]) == [1, 1, 0]
            assert await kept(two, scenery, [1_024]) == [not public]
            assert await kept(other, scenery, [1_024]) == [1]
            await owner.ask_as(scenery.box.owner, Ack(scenery.box.owner.public, (1,), NO_SIGNATURE))
            assert await kept(one, scenery, [1_024, 1_024]) == [1, 0]  # there is room where something went


@pytest.mark.parametrize("host", ["192.168.0.", "10.7.0.", "127.0.0."])
async def test_who_has_many_private_addresses_does_not_get_all(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(depositors, "MAILBOX_PREFIX_BYTES", 2_048)
    monkeypatch.setattr(depositors, "MAILBOX_SINGLE_BYTES", 3_072)
    async with scene() as scenery:
        taken = 0
        for number in range(1, 9):
            async with talk(scenery.cluster.network.node(host=f"{host}{number}"), scenery.holder) as one:
                taken += sum(await kept(one, scenery, [1_024, 1_024]))
        assert taken == 3
        async with talk(scenery.cluster.network.node(host="203.1.113.1"), scenery.holder) as other:
            assert await kept(other, scenery, [1_024, 1_024]) == [1, 1]


async def test_a_prefix_takes_its_part_of_all_mailboxes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depositors, "MAILBOX_PREFIX_TOTAL_BYTES", 3_072)
    async with scene() as scenery:
        async with talk(scenery.depositor, scenery.holder) as depositor:
            assert await kept(depositor, scenery, [1_024, 1_024]) == [1, 1]
            scenery.box = Box(SeededEntropy(8))
            async with talk(scenery.owner, scenery.holder) as owner:
                await owner.ask_as(scenery.box.owner, scenery.box.grant())
            assert await kept(depositor, scenery, [1_024, 1_024]) == [1, 0]
        await trio.sleep(TTL_S + 2)
        async with talk(scenery.depositor, scenery.holder) as depositor:
            assert await kept(depositor, scenery, [1_024, 2_048]) == [1, 1]  # what expired counts no more


# -- how often ---------------------------------------------------------------------------------------------------------


async def until_cut_off(at: Talk, request: Request, at_most: int) -> int:
    """How often ``request`` was answered before the stream ended."""
    for asked in range(0, at_most, 20):
        try:
            await at.ask(*[request] * 20)
        except NetError:
            return asked
    return at_most


async def test_the_hasty_are_told_when_to_ask_again_and_who_goes_on_is_cut_off(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        async with talk(scenery.depositor, scenery.holder) as depositor:
            refused: Answer = BundleIs(b"")
            asked = 0
            while isinstance(refused, BundleIs):
                refused = (await depositor.ask(*[Bundle(scenery.box.token)] * 50))[-1]
                asked += 50
            assert asked > 5_000
            assert isinstance(refused, Refused)
            assert (refused.reason, refused.retry_s) == (Reason.TOO_OFTEN, 1)
            await trio.sleep(refused.retry_s)
            assert await depositor.ask(Bundle(scenery.box.token)) == [BundleIs(b"sealed bundle")]
            assert await until_cut_off(depositor, Bundle(scenery.box.token), 10_000) < 1_000
        assert scenery.refusals(Refusal.MAILBOX_EXCESSIVE) == 1
        assert scenery.refusals(Refusal.MAILBOX_TOO_OFTEN) >= limits.MAILBOX_PATIENCE
        async with talk(scenery.owner, scenery.holder) as owner:  # nobody else is
            assert await listed(owner, scenery.box) == []


async def test_guessing_tokens_is_dear(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.depositor, scenery.holder) as depositor:
        assert await until_cut_off(depositor, Bundle(bytes(32)), 10_000) < 2_000
        assert scenery.refusals(Refusal.MAILBOX_REFUSED) < 2_000


async def test_what_is_malformed_resets_the_stream_and_in_the_end_the_connection(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        for junk in (b"\x90", b"\xff" * 100, b"\x94\x03", bytes(2_000)):
            async with talk(scenery.depositor, scenery.holder) as depositor:
                await depositor.stream.write(with_length(junk))
                with pytest.raises(NetError):
                    await depositor.answer()
        async with talk(scenery.depositor, scenery.holder) as depositor:
            await depositor.stream.write((1 << 20).to_bytes(4, "big"))
            with pytest.raises(NetError):
                await depositor.answer()
        assert scenery.refusals(Refusal.MAILBOX_MALFORMED) == 5
        assert scenery.depositor.links()
        for _ in range(200):
            async with talk(scenery.depositor, scenery.holder) as depositor:
                await depositor.stream.write(with_length(b"\x90"))
                with pytest.raises(NetError):
                    await depositor.answer()
                await trio.sleep(0.1)  # the connection goes after the stream
            if not scenery.depositor.links():
                break
        assert not scenery.depositor.links()


# -- what is not finished ----------------------------------------------------------------------------------------------

LARGEST = with_length(bytes(limits.MAILBOX_UNFINISHED_BYTES // 128))[: 4 + 400_000]  # 400,000 bytes of 524,288


async def is_over(at: Talk) -> bool:
    """Whether the stream has ended; it is looked after for a moment."""
    try:
        with trio.move_on_after(1):
            await at.answer()
    except NetError:
        return True
    return False


async def test_a_request_that_has_begun_is_complete_in_time(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        async with talk(scenery.depositor, scenery.holder) as depositor:
            await trio.sleep(300)  # nothing has begun
            await depositor.stream.write(LARGEST[:100])
            for _ in range(28):
                await trio.sleep(1)
                await depositor.stream.write(b"x")
            assert not await is_over(depositor)
            await trio.sleep(2)
            assert await is_over(depositor)
        assert scenery.refusals(Refusal.MAILBOX_UNFINISHED) == 1
        assert scenery.refusals(Refusal.MAILBOX_MALFORMED) == 0
        async with talk(scenery.depositor, scenery.holder) as depositor:
            frame = with_length(encode(scenery.deposit(1 << 19)))
            for start in range(0, len(frame), 30_000):
                await depositor.stream.write(frame[start : start + 30_000])
                await trio.sleep(1)
            assert isinstance(await depositor.answer(), Custody)
            await trio.sleep(300)
            assert not await is_over(depositor)


async def test_what_follows_a_waiting_list_has_its_time_when_it_is_read(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.owner, scenery.holder) as owner:
        box = scenery.box
        frame = with_length(encode(Bundle(box.token)))
        waits = with_length(encode(owner.sign(box.owner, listing(wait_s=100, of=box))))
        await owner.stream.write(waits + frame[:9])
        assert await owner.answer() == Listed(())
        await trio.sleep(20)
        await owner.stream.write(frame[9:])
        assert await owner.answer() == BundleIs(b"sealed bundle")


async def test_strangers_who_finish_nothing_have_one_bound_together(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MAILBOX_UNFINISHED_BYTES", 2_000_000)
    async with scene() as scenery, AsyncExitStack() as stack:
        small = await stack.enter_async_context(talk(scenery.depositor, scenery.holder))
        await small.stream.write(LARGEST[:50_000])
        strangers: list[Talk] = []
        for _ in range(8):
            at = await stack.enter_async_context(talk(scenery.cluster.network.node(), scenery.holder))
            await at.stream.write(LARGEST)
            strangers.append(at)
        await trio.sleep(1)
        assert [await is_over(each) for each in strangers] == [True] * 4 + [False] * 4  # the oldest went
        assert not await is_over(small)
        assert scenery.refusals(Refusal.MAILBOX_UNFINISHED) == 4
        async with talk(scenery.owner, scenery.holder) as owner:  # who finishes is served meanwhile
            assert await listed(owner, scenery.box) == []


async def test_one_peer_has_two_large_requests_unfinished(autojump_clock: MockClock) -> None:
    async with scene() as scenery, AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talk(scenery.depositor, scenery.holder)) for _ in range(3)]
        frames = [with_length(encode(scenery.deposit(1 << 19))) for _ in talks]
        async with trio.open_nursery() as nursery:
            for at, frame in zip(talks, frames, strict=True):
                nursery.start_soon(at.stream.write, frame[:-1])
                await trio.sleep(2)  # the last one finds no room
            await talks[0].stream.write(frames[0][-1:])
            assert isinstance(await talks[0].answer(), Custody)
        for at, frame in zip(talks[1:], frames[1:], strict=True):
            await at.stream.write(frame[-1:])
            assert isinstance(await at.answer(), Custody)


# -- the disk, the clock, the end of the process -----------------------------------------------------------------------


async def test_a_full_disk_refuses_and_the_node_goes_on(autojump_clock: MockClock) -> None:
    async with scene() as scenery, talk(scenery.depositor, scenery.holder) as depositor:
        (pages,) = await scenery.holder.database.run(lambda tx: tx.one("PRAGMA page_count")) or (0,)
        await scenery.holder.database.run(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages + 20}").fetchall())
        answers = [(await depositor.ask(scenery.deposit(32_768)))[0] for _ in range(6)]
        assert isinstance(answers[0], Custody)
        assert answers[-1] == Refused(Reason.NO_SPACE, 0)
        boxes = sum(isinstance(each, Custody) for each in answers)
        assert (await scenery.stock()).boxes == boxes
        await scenery.holder.database.run(lambda tx: tx.execute("PRAGMA max_page_count = 100000").fetchall())
        await trio.sleep(10)  # it looks every 5 s whether there is room again
        assert isinstance((await depositor.ask(scenery.deposit(32_768)))[0], Custody)


async def test_what_has_expired_is_gone_and_counted(autojump_clock: MockClock) -> None:
    async with scene(BRIEF) as scenery:
        async with talk(scenery.depositor, scenery.holder) as depositor:
            await depositor.ask(scenery.deposit(ttl_s=HOUR_S), scenery.deposit(ttl_s=10**9), scenery.deposit(2_048, 1))
        await trio.sleep(2)
        async with talk(scenery.owner, scenery.holder) as owner:
            assert await listed(owner, scenery.box) == [1, 2]  # the third is over already
        await trio.sleep(HOUR_S - 60)
        async with talk(scenery.owner, scenery.holder) as owner:
            assert await listed(owner, scenery.box) == [1, 2]
            await trio.sleep(62)
            assert (await scenery.stock()).boxes == 1
            assert await listed(owner, scenery.box) == [2]
        await trio.sleep(BRIEF.mailbox_ttl_max_s)
        assert (await scenery.stock()).boxes == 0
        past = await scenery.holder.database.run(mailbox.past)
        assert {each.why for each in past} == {"expired"}
        assert (sum(each.boxes for each in past), sum(each.size for each in past)) == (3, 4_096)


async def test_what_has_expired_is_not_given_before_it_is_deleted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "expire", lambda _: [])
    async with scene(BRIEF) as scenery:
        box = scenery.box
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            await depositor.ask(scenery.deposit(ttl_s=60))
            assert await listed(owner, box) == [1]
            await trio.sleep(61)
            assert await listed(owner, box) == []
            assert await owner.ask_as(box.owner, Fetch(box.owner.public, (1,), NO_SIGNATURE)) == Fetched(())
            assert await owner.ask_as(box.owner, Ack(box.owner.public, (1,), NO_SIGNATURE)) == Acked(0)
        assert (await scenery.stock()).boxes == 1


async def test_a_mailbox_whose_owner_does_not_come_is_forgotten(autojump_clock: MockClock) -> None:
    async with scene(BRIEF) as scenery:
        await trio.sleep(7 * HOUR_S)
        async with talk(scenery.owner, scenery.holder) as owner:
            assert await listed(owner, scenery.box) == []
        await trio.sleep(7 * HOUR_S)
        async with talk(scenery.depositor, scenery.holder) as depositor:
            assert isinstance((await depositor.ask(scenery.deposit()))[0], Custody)
        await trio.sleep(2 * HOUR_S)
        assert await scenery.holder.database.run(mailbox.stock) == []
        assert await scenery.total() == (0, 0)


async def test_what_a_clock_that_was_ahead_has_dated_does_not_stay_for_ever(autojump_clock: MockClock) -> None:
    async with scene(BRIEF) as scenery:
        scenery.holder.now.skew_s = 7 * HOUR_S
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            await depositor.ask(scenery.deposit())
            assert await listed(owner, scenery.box) == [1]
        scenery.holder.now.skew_s = 0
        await trio.sleep(HOUR_S)
        stock, now_s = await scenery.stock(), scenery.cluster.now()
        assert stock.until_s is not None
        assert stock.until_s <= now_s + BRIEF.mailbox_ttl_max_s
        assert stock.seen_s <= now_s
        await trio.sleep(BRIEF.mailbox_ttl_max_s)
        assert (await scenery.stock()).boxes == 0


async def test_custody_that_was_said_is_kept_over_a_kill(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        said: list[bytes] = []

        async def leave() -> None:
            with suppress(NetError):
                async with talk(scenery.depositor, scenery.holder) as depositor:
                    while True:
                        deposit = scenery.deposit()
                        answers = await depositor.ask(deposit)
                        if isinstance(answers[0], Custody):
                            said.append(deposit.box)

        for pause_s in (0.03, 0.5, 1.7):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leave)
                await trio.sleep(pause_s)
                await scenery.cluster.crash(scenery.holder)
            await scenery.cluster.start(scenery.holder)
        assert len(said) > 10
        async with talk(scenery.owner, scenery.holder) as owner:
            there: list[bytes] = []
            for number in await listed(owner, scenery.box):
                answer = await owner.ask_as(scenery.box.owner, Fetch(scenery.box.owner.public, (number,), NO_SIGNATURE))
                assert isinstance(answer, Fetched)
                there += [each.box for each in answer.boxes]
        assert set(said) <= set(there)
        assert len(there) - len(said) <= 3  # at most one a kill was written and not said


async def test_under_another_node_key_nothing_is_kept(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        await offering(alice, ANYONE)
        box, before = Box(SeededEntropy(3)), alice.network.peer_id
        visitor = cluster.network.node()
        async with talk(visitor, alice) as at:
            await at.ask_as(box.owner, box.grant())
            await at.ask(Deposit(box.token, TTL_S, bytes(1_024)))
        context = context_of(alice)
        await alice.database.run(lambda tx: block.block(tx, context, book.resolve(tx, context, "Bob")))
        await eventually(lambda: renewed(alice, before))
        async with talk(visitor, alice) as at:  # the offer stands
            assert await at.ask_as(box.owner, listing(of=box)) == REFUSED
            assert await at.ask(Deposit(box.token, TTL_S, bytes(1_024))) == [REFUSED]
        assert await alice.database.run(mailbox.stock) == []
        assert await alice.database.run(mailbox.total) == (0, 0)


async def renewed(node: Node, before: PeerId) -> bool:
    return node.network.peer_id != before and node.network._handlers.get(MAILBOX) is not None


async def test_events_tell_of_a_mailbox_together_and_by_an_opaque_id(autojump_clock: MockClock) -> None:
    async with scene() as scenery:
        bus = context_of(scenery.holder).bus
        mark, _ = bus.transient_after(0)
        async with talk(scenery.depositor, scenery.holder) as depositor, talk(scenery.owner, scenery.holder) as owner:
            for _ in range(50):
                await depositor.ask(scenery.deposit())
            await owner.ask_as(scenery.box.owner, Fetch(scenery.box.owner.public, (1, 2), NO_SIGNATURE))
            await owner.ask_as(scenery.box.owner, Ack(scenery.box.owner.public, (1,), NO_SIGNATURE))
        await trio.sleep(3)
        _, told = bus.transient_after(mark)
        counts: dict[EventKind, list[int]] = {}
        for event in told:
            if not event.kind.startswith("mailbox."):
                continue
            name, boxes, size = open_told(event.detail)
            assert name == opaque_id(scenery.box.owner.public)
            assert size == boxes * 1_024
            counts.setdefault(event.kind, []).append(boxes)
        assert {kind: sum(boxes) for kind, boxes in counts.items()} == {
            EventKind.MAILBOX_DEPOSITED: 50,
            EventKind.MAILBOX_FETCHED: 2,
            EventKind.MAILBOX_DELETED: 1,
        }
        assert len(counts[EventKind.MAILBOX_DEPOSITED]) < 5
        kinds = {event.kind for event in scenery.holder.events}
        assert not kinds & counts.keys()  # none is stored
