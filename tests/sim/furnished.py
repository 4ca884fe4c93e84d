"""One person's store, in which there is something for every method to do.

It is made once, by people who meet in a simulation; whoever wants it has a copy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final

import msgspec
import trio
from trio.testing import MockClock

from p2pchat.base.ids import PeerId
from p2pchat.control.dispatch import Methods
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.keys import load_identity
from p2pchat.net.dht import Dht
from p2pchat.services.context import Bus, Context
from p2pchat.store import contacts, meta, own_mailbox
from p2pchat.store.db import Database, Tx
from p2pchat.store.sqlite import Connection
from p2pchat.testing.cluster import CHEAP, START_S, Cluster, InlineDeriver, InlineMiner, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.calling import CONNECTION, call
from tests.sim.people import meet
from tests.sim.test_invites import everyone, invite, redeem, root_of

CAROL, DAVE, EVE, ZOE = "+821022222222", "+821033333333", "+821044444444", "+821055555555"
NETWORK: Final = "192.0.2.0/24"
HOUR_S: Final = 3600
LATER_MS: Final = (START_S + 30 * 24 * HOUR_S) * 1000


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
