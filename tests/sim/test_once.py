"""Every method that changes the store takes an idempotency key, and keeps it in the transaction of what it does.

Each has a copy of one store, and a node around it that does nothing by itself: what changes was changed by the call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.calls import Mutation
from p2pchat.api.schema import METHODS
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.nodes_link import NamedNode, encode_nodes
from p2pchat.store.db import Database, Job, Tx
from p2pchat.store.sqlite import Connection, connect
from tests.sim.calling import CONNECTION
from tests.sim.furnished import EVE, LATER_MS, NETWORK, plain, quiet, world

MUTATING: Final = sorted(method for method, spec in METHODS.items() if spec.mutating and method != "config.set")
"""What changes the store; ``config.set`` changes a file, and keeps its key in a transaction behind that."""
KEY: Final = bytes(32)

Params = dict[str, object]
T = TypeVar("T")


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
    another: tuple[str, Params] = (
        ("identity.set", {"receipts": True}) if method != "identity.set" else ("identity.invite", {})
    )
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
