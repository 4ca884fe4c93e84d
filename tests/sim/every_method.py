"""One call of every method that succeeds, and one for every error that it lists: what tests/sim/test_every_method runs.

A step says what a call comes to. Steps are made before anything runs, so that what no step calls can be told at once:
whoever adds a method, or an error to one, adds a step. Values that are known only when it runs are functions of the
world.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, cast

import msgspec
import trio
import trio.testing

from p2pchat.api.errors import reply_name
from p2pchat.api.methods import METHODS
from p2pchat.base.errors import P2PChatError
from p2pchat.base.ids import Address, PeerId
from p2pchat.control.channel import Connection
from p2pchat.control.dispatch import Dispatch
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.keys import create_identity, dump_identity
from p2pchat.core.nodes_link import NamedNode, encode_nodes
from p2pchat.services.context import Bus, Context
from p2pchat.store import meta
from p2pchat.store.db import Database
from p2pchat.testing.cluster import CHEAP, START_S, InlineDeriver, InlineMiner
from p2pchat.testing.entropy import SeededEntropy
from tests.openrpc import METHODS as SAID
from tests.openrpc import fits

NOBODY: Final = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
_LINKS: Final = encode_nodes([NamedNode(PeerId(PEER_ID_PREFIX + bytes(32)), (Address(b"x"),))])


class Listener(Connection):
    """A connection of which nothing leaves: what follows a reply runs in ``nursery``."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.told: list[object] = []

    async def notify(self, method: str, params: object) -> None:
        self.told.append(params)

    def after_reply(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        self._nursery.start_soon(partial(task, *args))


@dataclass
class World:
    """Where steps run: what is called, and what was found on the way."""

    dispatch: Dispatch
    connection: Connection
    values: dict[str, object] = field(default_factory=dict[str, object])

    async def call(self, method: str, params: dict[str, object]) -> object:
        """The result as the schema has it.

        Raises:
            P2PChatError: as of the method.
        """
        result = await self.dispatch(method, params, self.connection)
        found: object = msgspec.to_builtins(result)
        return found


Value = object


class Step(NamedTuple):
    """A call and what it comes to: ``error``, or a result, which is kept as ``keep``."""

    method: str
    error: str
    params: dict[str, Value]
    keep: str = ""

    async def run(self, world: World) -> None:
        given = {name: value(world) if callable(value) else value for name, value in self.params.items()}
        came_to, result = "", None
        try:
            result = await world.call(self.method, given)
        except P2PChatError as error:
            came_to = f"{reply_name(error)}: {error.message}"
        assert came_to.partition(":")[0] == self.error, f"{self.method} {given}: {came_to or 'a result'}"
        if not self.error:
            assert fits(SAID[self.method]["result"]["schema"], result), f"{self.method}: {result}"
            world.values[self.keep] = result
            await trio.testing.wait_all_tasks_blocked()  # what follows the reply has begun


def works(method: str, keep: str = "", /, **params: Value) -> Step:
    return Step(method, "", params, keep)


def refused(error: str, method: str, /, **params: Value) -> Step:
    return Step(method, error, params)


def of(keep: str, *path: str | int) -> Callable[[World], object]:
    """What stands there in a result that was kept."""

    def found(world: World) -> object:
        value = world.values[keep]
        for each in path:
            value = cast("dict[str | int, object]", value)[each]
        return value

    return found


async def lone(database: Database) -> Context:
    """A node without a network, and without a life of its own."""
    entropy = SeededEntropy(1)
    identity = create_identity(entropy, START_S * 1000)
    stored = dump_identity(identity), entropy.bytes(32), entropy.bytes(32), entropy.bytes(8)
    await database.run(lambda tx: meta.save_profile(tx, meta.Profile("Alice", "", "", *stored)))
    context = Context(
        db=database,
        miner=InlineMiner(),
        deriver=InlineDeriver(CHEAP),
        entropy=entropy,
        params=CHEAP,
        now=lambda: START_S,
        identity=identity,
        bus=Bus(),
        message_prefix=bytes(8),
    )
    context.profile = await database.run(meta.load_profile)
    return context


VALID: Final[dict[str, dict[str, Value]]] = {
    "identity.set": {"receipts": True},
    "identity.invite": {},
    "identity.revoke": {"id": "00"},
    "contacts.add": {"number": "+821077777777"},
    "contacts.accept": {"id": "0000ffff"},
    "contacts.refuse": {"id": "0000ffff"},
    "contacts.import": {"entries": [{"line": 1, "number": "+821077777777"}]},
    "contacts.find": {"to": ["Bob"]},
    "contacts.get": {"to": "Bob"},
    "contacts.rename": {"to": "Bob", "name": "Bob"},
    "contacts.claimants": {"to": "Bob"},
    "contacts.choose": {"to": "Bob"},
    "contacts.merge": {"to": "Ira", "other": "Ira's phone"},
    "contacts.block": {"to": "Bob"},
    "contacts.unblock": {"to": "Bob"},
    "contacts.safety": {"to": "Bob"},
    "contacts.verify": {"to": "Bob", "safety_number": "1" * 60},
    "contacts.sms_proof": {"to": "Bob"},
    "contacts.receipts": {"to": "Bob", "on": None},
    "contacts.remove": {"to": "Bob"},
    "message.send": {"to": "Bob", "text": "hello"},
    "message.list": {"to": "Bob"},
    "message.search": {"text": "hello", "to": "Bob"},
    "message.mark_read": {"id": "00"},
    "message.get": {"id": "00"},
    "message.explain": {"id": "00"},
    "message.cancel": {"id": "00"},
    "message.delete": {"id": "00"},
    "mailbox.use": {"with": ["Bob"]},
    "mailbox.offer": {"for": "anyone"},
    "net.import": {"links": _LINKS},
    "config.set": {"key": "log.level", "value": "info"},
    "net.allow": {"what": "Bob"},
    "net.deny": {"what": "Bob"},
    "net.forget": {"what": "Bob"},
}
"""Parameters of every method that changes the store, or names a contact or a message: the schema has nothing against
them."""

_LISTS: Final = ("contacts.find", "mailbox.use")
_BY_ID: Final = ("contacts.accept", "contacts.refuse")


def naming(method: str, name: str) -> dict[str, Value]:
    """Its parameters where it names another contact than :data:`VALID`; ``name``: beginnings of ids, too."""
    params = VALID[method]
    where = next(each for each in ("id" if method in _BY_ID else "to", "what", "with") if each in params)
    return params | {where: [name] if method in _LISTS else name}


def which(error: str) -> list[str]:
    """The methods that list ``error``."""
    return [method for method, spec in METHODS.items() if error in spec.answers]


def conflicts() -> list[Step]:
    """Every method that changes the store, with a key that was used for another."""
    used = works("message.send", to="self", text="a note", idempotency_key="used")
    return [
        used,
        *(
            refused("IDEMPOTENCY_CONFLICT", each, **VALID[each], idempotency_key="used")
            for each in which("IDEMPOTENCY_CONFLICT")
        ),
    ]


def unnamed() -> list[Step]:
    """Every method that names a contact, with a name that nobody has, and with one that two have.

    The world has two contacts that are called Twin, and two whose ids begin with 7777.
    """
    nobody = {each: "0000ffff" if each in _BY_ID else "Zoe" for each in which("CONTACT_NOT_FOUND")}
    twins = {each: "7777" if each in _BY_ID else "Twin" for each in which("AMBIGUOUS")}
    return [
        *(refused("CONTACT_NOT_FOUND", method, **naming(method, name)) for method, name in nobody.items()),
        *(refused("AMBIGUOUS", method, **naming(method, name)) for method, name in twins.items()),
    ]


def of_no_message() -> list[Step]:
    """Every method that names a message, with an id that none has."""
    return [
        refused("MESSAGE_NOT_FOUND", each, **VALID[each])
        for each in which("MESSAGE_NOT_FOUND")
        if each != "message.send"
    ]


def of_a_replaced_device() -> list[Step]:
    """Every method that changes the store or dials."""
    changing = [each for each, spec in METHODS.items() if spec.mutating]
    return [
        *(refused("FORBIDDEN", each, **VALID[each]) for each in changing),
        *(refused("FORBIDDEN", each, address=NOBODY) for each in ("net.dial", "net.bootstrap")),
    ]
