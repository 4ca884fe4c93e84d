"""Every method that changes the store takes an idempotency key, and keeps it in the transaction of what it does.

One store, in which there is something for every method to do, is made once; each method has a copy of it, and a
node around it that does nothing by itself: whatever changes there was changed by the call.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Final, TypeVar

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.calls import Mutation
from p2pchat.api.schema import METHODS
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.control.dispatch import Methods
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.keys import load_identity
from p2pchat.core.nodes_link import NamedNode, encode_nodes
from p2pchat.net.dht import Dht
from p2pchat.services.context import Bus, Context
from p2pchat.store import contacts, meta, own_mailbox
from p2pchat.store.db import Database, Job, Tx
from p2pchat.store.sqlite import Connection, connect
from p2pchat.testing.cluster import CHEAP, START_S, Cluster, InlineDeriver, InlineMiner, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.calling import CONNECTION, call
from tests.sim.people import meet
from tests.sim.test_invites import everyone, invite, redeem, root_of

CAROL, DAVE, EVE, ZOE = "+821022222222", "+821033333333", "+821044444444", "+821055555555"
NETWORK: Final = "192.0.2.0/24"
MUTATING: Final = sorted(method for method, spec in METHODS.items() if spec.mutating)
KEY: Final = bytes(32)
HOUR_S: Final = 3600
LATER_MS: Final = (START_S + 30 * 24 * HOUR_S) * 1000

Params = dict[str, object]
T = TypeVar("T")


# -- one person's store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A store, and what calls may name in it."""

    store: Connection
    ids: Mapping[str, str]


@cache
def world() -> World:
    """Bob is matched by number, Eve by an invite and claims to be a number, too; Frank asks; Dave is blocked; Carol is
    looked for, Zoe is not."""
    with fixed_schedule(71):
        return trio.run(_lived, clock=MockClock(autojump_threshold=0.0))


async def _lived() -> World:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        eve, frank = await cluster.add("Eve"), await cluster.add("Frank")
        await redeem(eve, await invite(alice), "Alice")
        await redeem(frank, await invite(alice, ask=True), "Alice")
        await bob.send("Alice", "came")
        await alice.send("Bob", "went")

        async def met() -> bool:
            known = [*await everyone(alice, "request"), *await everyone(alice, "matched")]
            return len(known) == 3 and await alice.outbox() == 0 and await alice.received("Bob") == ["came"]

        await eventually(met, within_s=24 * HOUR_S, step_s=5)
        await alice.add(EVE, "Eve mobile")
        await alice.add(CAROL, "Carol")
        await alice.add(DAVE, "Dave")
        await call(alice, "contacts.import", entries=[{"line": 1, "name": "Zoe", "number": ZOE}])
        root = root_of(eve)
        await cluster.crash(alice)

        def furnish(tx: Tx) -> Connection:
            (mobile,) = [row for row in contacts.everyone(tx) if row.number == EVE]
            contacts.expect_claimant(tx, mobile.id, root)
            own_mailbox.set_auto(tx, on=True)
            return tx._connection

        store = await alice.database.run(furnish)
        async with quiet(alice.database, 5) as methods:

            async def done(method: str, **params: object) -> dict[str, object]:
                return plain(await methods(method, params, CONNECTION))

            await done("contacts.block", to=DAVE)
            await done("net.allow", what=NETWORK)
            waits = await done("message.send", to=CAROL, text="waits")
            talked = {row["direction"]: row for row in await rows(done("message.list", to="Bob"), "messages")}
            (asks,) = await rows(done("contacts.list", state="request"), "contacts")
            matched = await rows(done("contacts.list", state="matched"), "contacts")
            (by_invite,) = [row for row in matched if row["number"] is None]
            ids = {
                "waits": waits["id"],
                "came": talked["in"]["id"],
                "went": talked["out"]["id"],
                "asks": asks["id"],
                "eve": by_invite["id"],
                "invite": (await done("identity.invite"))["id"],
                "safety": (await done("contacts.safety", to="Bob"))["safety_number"],
            }
        return World(store, {name: str(value) for name, value in ids.items()})


async def rows(asked: Awaitable[dict[str, object]], name: str) -> list[dict[str, object]]:
    found = (await asked)[name]
    assert isinstance(found, list)
    return found


def plain(result: msgspec.Struct) -> dict[str, object]:
    made = msgspec.to_builtins(result)
    assert isinstance(made, dict)
    return made


@asynccontextmanager
async def quiet(database: Database, seed: int) -> AsyncGenerator[Methods]:
    """The methods of a node on ``database`` that does nothing by itself."""
    async with MemoryNetwork.run() as network:
        profile = await database.run(meta.load_profile)
        entropy = SeededEntropy(seed)
        end = network.node(PeerId(PEER_ID_PREFIX + bytes(32)))
        context = Context(
            db=database,
            miner=InlineMiner(),
            deriver=InlineDeriver(CHEAP),
            entropy=entropy,
            params=CHEAP,
            now=lambda: LATER_MS / 1000,
            identity=load_identity(profile.identity),
            bus=Bus(),
            message_prefix=entropy.bytes(8),
            tell_mailboxes=told,
        )
        context.profile, context.network = profile, end
        context.dht = Dht(end, CHEAP, context.now)
        yield Methods(context, lambda _: False, "default", 0.0)


async def told() -> bool:
    """Whoever has to know of a mailbox does."""
    return True


# -- the calls ---------------------------------------------------------------------------------------------------------


def links(number: int) -> list[str]:
    peer = PeerId(PEER_ID_PREFIX + bytes([number]) * 32)
    return encode_nodes([NamedNode(peer, (Address(bytes.fromhex("04c000020106") + b"\x0f\xa1"),))])


GIVEN: Final[dict[str, tuple[Params, Params]]] = {
    "identity.set": ({"receipts": False}, {"receipts": True}),
    "identity.invite": ({}, {"uses": 2}),
    "identity.revoke": ({"id": "{invite}"}, {"id": "00"}),
    "contacts.add": ({"number": "+821066666666"}, {"number": "+821077777777"}),
    "contacts.accept": ({"id": "{asks}"}, {"id": "00"}),
    "contacts.refuse": ({"id": "{asks}"}, {"id": "00"}),
    "contacts.import": (
        {"entries": [{"line": 1, "number": "+821066666666"}]},
        {"entries": [{"line": 2, "number": "+821066666666"}]},
    ),
    "contacts.find": ({"to": ["Zoe"]}, {}),
    "contacts.rename": ({"to": "Bob", "name": "Robert"}, {"to": "Bob", "name": "Rob"}),
    "contacts.choose": ({"to": "Carol", "claimant": "ab" * 32}, {"to": "Carol"}),
    "contacts.merge": ({"to": "{eve}", "other": EVE}, {"to": "Bob", "other": EVE}),
    "contacts.block": ({"to": "Bob"}, {"to": "Carol"}),
    "contacts.unblock": ({"to": "Dave"}, {"to": "Bob"}),
    "contacts.verify": ({"to": "Bob", "safety_number": "{safety}"}, {"to": "Bob", "safety_number": "1"}),
    "contacts.sms_proof": ({"to": "Bob"}, {"to": "Carol"}),
    "contacts.receipts": ({"to": "Bob", "on": False}, {"to": "Bob", "on": None}),
    "contacts.remove": ({"to": "Zoe"}, {"to": "Carol"}),
    "message.send": ({"to": "Bob", "text": "once"}, {"to": "Bob", "text": "twice"}),
    "message.mark_read": ({"id": "{came}"}, {"id": "00"}),
    "message.cancel": ({"id": "{waits}"}, {"id": "00"}),
    "message.delete": ({"id": "{went}"}, {"id": "00"}),
    "mailbox.use": ({"with": []}, {"auto": False}),
    "mailbox.offer": ({"for": "anyone"}, {"quota": 1 << 20}),
    "net.import": ({"links": links(1)}, {"links": links(2)}),
    "net.allow": ({"what": "198.51.100.0/24"}, {"what": NETWORK}),
    "net.deny": ({"what": "198.51.100.0/24"}, {"what": NETWORK}),
    "net.forget": ({"what": NETWORK}, {"what": "198.51.100.0/24"}),
}
"""For each method what it can do in this store, and a call that is another."""

LEAVES_OUT: Final = {"contacts.sms_proof": "text"}
"""What no stored result holds: it is told once."""


def named(params: Params) -> Params:
    ids = world().ids
    return {name: value.format(**ids) if isinstance(value, str) else value for name, value in params.items()}


Tables = dict[str, list[object]]


def tables(tx: Tx) -> Tables:
    """All that is stored."""
    names = [row[0] for row in tx.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('word')")]
    return {name: [tuple(row) for row in tx.all(f"SELECT * FROM {name}")] for name in names}  # noqa: S608  names of our own


def copied(store: Connection) -> Database:
    copy = connect(None, KEY)
    store.backup(copy)
    return Database(copy, lambda: LATER_MS, threaded=False)


def test_what_changes_the_store_is_what_takes_a_key() -> None:
    assert [method for method, spec in METHODS.items() if issubclass(spec.params, Mutation)] == [
        method for method, spec in METHODS.items() if spec.mutating
    ]
    assert sorted(GIVEN) == MUTATING


@pytest.mark.parametrize("method", MUTATING)
def test_the_key_is_kept_with_the_effect(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world()
    trio.run(partial(_with_its_effect, method, monkeypatch), clock=MockClock(autojump_threshold=0.0))


async def _with_its_effect(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = (named(params) | {"idempotency_key": "key"} for params in GIVEN[method])
    another = ("identity.set", {"receipts": True}) if method != "identity.set" else ("identity.invite", {})
    database = copied(world().store)
    before = await database.run(tables)

    def changed(now: Tables) -> set[str]:
        return {name for name, found in now.items() if found != before[name]}

    async with quiet(database, 6) as methods:
        with monkeypatch.context() as failing:
            failing.setattr(database, "run", doomed := Doomed(database, changed))
            with pytest.raises(StoreError, match="the disk refuses"):
                await methods(method, given, CONNECTION)
        assert await database.run(tables) == before, "something was done in another transaction than that of the key"
        (in_the_transaction,) = doomed.seen
        assert in_the_transaction - {"idempotency"}, "nothing is done in the transaction of the key"

        first = plain(await methods(method, given, CONNECTION))
        after = await database.run(tables)
        assert changed(after) == in_the_transaction
        assert "replayed" not in first
        again = plain(await methods(method, given, CONNECTION))
        without = LEAVES_OUT.get(method)
        assert again == first | {"replayed": True} | ({without: None} if without is not None else {})
        for conflicting, params in ((method, other), another):
            with pytest.raises(UsageError) as refused:
                await methods(conflicting, params | {"idempotency_key": "key"}, CONNECTION)
            assert refused.value.error_name == "IDEMPOTENCY_CONFLICT"
        assert await database.run(tables) == after, "something was done again"


class Doomed:
    """``Database.run``, but the transaction that keeps a key fails at its end. ``seen``: what it had changed."""

    def __init__(self, database: Database, changed: Callable[[Tables], set[str]]) -> None:
        self._run = database.run
        self._changed = changed
        self.seen: list[set[str]] = []

    async def __call__(self, job: Job[T]) -> T:
        def doomed(tx: Tx) -> T:
            result = job(tx)
            if "idempotency" in (changed := self._changed(tables(tx))):
                self.seen.append(changed)
                raise StoreError("the disk refuses")
            return result

        return await self._run(doomed)
