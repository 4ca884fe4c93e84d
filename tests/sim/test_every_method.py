"""Every method of the table through the real dispatch: a call that succeeds, and every error that it lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from p2pchat.api.methods import METHODS
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import NetError
from p2pchat.base.ids import ContactId, RootKey
from p2pchat.control.dispatch import Dispatch, Methods
from p2pchat.core.backup_file import Cost
from p2pchat.core.mailbox import Answer, Request
from p2pchat.core.mailbox_link import Holder, encode_mailbox_link
from p2pchat.daemon import node as daemon
from p2pchat.daemon.profile import Handover
from p2pchat.daemon.unlocked import Settings, Unlocked
from p2pchat.net.addresses import format_address
from p2pchat.services import backup
from p2pchat.services.configure import Configuration
from p2pchat.services.context import Reach
from p2pchat.services.examine import Files
from p2pchat.store import contacts, keyfile, meta
from p2pchat.store.db import Database, Tx
from p2pchat.testing.cluster import START_S, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.box_holder import BoxHolder
from tests.sim.every_method import (
    NOBODY,
    VALID,
    Listener,
    Step,
    World,
    conflicts,
    lone,
    of,
    of_a_replaced_device,
    of_no_message,
    refused,
    unnamed,
    works,
)
from tests.sim.mailboxes import context_of
from tests.sim.people import meet
from tests.unit.control.test_locked import FakeKeeper

CAROL, IRA, MALLORY = "+821055555555", "+821066666666", "+821044444444"
TWINS = ("+821033333333", "+821033333334")


class SilentHolder(BoxHolder):
    """It takes requests and answers none."""

    async def answer(self, request: Request) -> Answer:
        await trio.sleep_forever()
        raise AssertionError(request)


def link(holder: BoxHolder) -> list[str]:
    return [encode_mailbox_link(Holder(holder.node.peer_id, holder.node.addresses()))]


# -- a node among others -----------------------------------------------------------------------------------------------

AT_A_GLANCE = [
    works("node.hello"),
    works("node.status"),
    works("node.doctor", send=False),
    works("rpc.discover"),
    works("stats.get"),
    works("identity.show"),
    works("identity.set", receipts=True),
    works("identity.qr"),
    works("identity.invite", "invite"),
    works("identity.invites"),
    works("identity.revoke", id=of("invite", "id")),
    *(works("identity.invite") for _ in range(100)),
    refused("RATE_LIMITED", "identity.invite"),
]
CONTACTS = [
    works("contacts.add", number=CAROL, name="Carol"),
    works("contacts.import", entries=[{"line": 1, "number": IRA, "name": "Ira's book"}]),
    works("contacts.find", to=["Carol"]),
    works("contacts.list", state="pending"),
    works("contacts.get", to="Bob"),
    works("contacts.rename", to="Carol", name="Carol"),
    works("contacts.claimants", to="Bob"),
    works("contacts.choose", to="Bob"),
    works("contacts.merge", to="Ira", other="Ira's phone"),
    works("contacts.safety", to="Bob"),
    works("contacts.sms_proof", to="Bob"),
    works("contacts.sms_proof", to="Bob", code=lambda world: world.values["code"]),
    works("contacts.receipts", to="Bob", on=False),
    works("contacts.verify", "safety", to="Bob", scanned=of("bob's", "qr")),
    refused("UNTRUSTED_KEY", "contacts.verify", to="Bob", safety_number="1" * 60),
    works("contacts.accept", id="aaaa"),
    works("contacts.refuse", id="bbbb"),
    works("contacts.add", number=MALLORY, name="Mallory"),
    works("contacts.block", to="Mallory"),
    refused("BLOCKED", "contacts.add", number=MALLORY),
    refused("BLOCKED", "contacts.choose", to="Mallory"),
    refused("BLOCKED", "contacts.merge", to="Bob", other="Mallory"),
    refused("BLOCKED", "contacts.sms_proof", to="Mallory"),
    refused("BLOCKED", "message.send", to="Mallory", text="hello"),
    refused("BLOCKED", "mailbox.use", **{"with": ["Mallory"]}),
    works("contacts.unblock", to="Mallory"),
    works("contacts.remove", to="Mallory"),
]
MESSAGES = [
    works("message.send", "to Bob", to="Bob", text="hello Bob", wait="delivered"),
    works("message.send", "to Carol", to="Carol", text="hello Carol"),
    works("message.list", to="Bob"),
    works("message.search", text="hello"),
    works("message.get", id=of("to Bob", "id")),
    works("message.explain", id=of("to Carol", "id")),
    works("message.mark_read", id=of("from Bob", "messages", 0, "id")),
    works("message.cancel", id=of("to Carol", "id")),
    works("message.delete", id=of("to Carol", "id")),
    refused("PEER_OFFLINE", "message.send", to="Carol", text="hello", live_only=True),
    refused("TIMEOUT", "message.send", to="Carol", text="hello", wait="delivered", timeout_ms=0),
    refused("TOO_LARGE", "message.send", to="Bob", text="x" * 65_537),
]
DELETED_MEANWHILE = refused("MESSAGE_NOT_FOUND", "message.send", to="Carol", text="wait", wait="delivered")
EVENTS = [
    works("events.fetch", since=0),
    works("events.fetch", since={"consumer": "bot", "start": 0}),
    works("events.ack", consumer="bot", seq=1),
    works("events.consumers"),
    works("events.forget", consumer="bot"),
    works("events.subscribe", "subscription", since="now"),
    works("events.unsubscribe", subscription=of("subscription", "subscription")),
    *(works("events.subscribe") for _ in range(64)),
    refused("RATE_LIMITED", "events.subscribe"),
]
EXPIRED = [refused("CURSOR_EXPIRED", "events.fetch", since=0), refused("CURSOR_EXPIRED", "events.subscribe", since=0)]
NETWORK = [
    works("net.peers"),
    works("net.addrs"),
    works("net.dial", address=lambda world: world.values["bob's address"]),
    works("net.bootstrap", address=lambda world: world.values["bob's address"]),
    refused("PEER_OFFLINE", "net.dial", address=NOBODY),
    refused("PEER_OFFLINE", "net.bootstrap", address=NOBODY),
    works("net.export", lan=True),
    works("net.import", **VALID["net.import"]),
    works("net.allow", what="Bob"),
    works("net.deny", what="192.0.2.0/24"),
    works("net.rules"),
    works("net.forget", what="Bob"),
    works("mailbox.offer", **{"for": "contacts"}),
    works("mailbox.transparency"),
    works("mailbox.use", **{"with": lambda world: world.values["willing"]}),
    works("mailbox.list"),
    refused("PEER_OFFLINE", "mailbox.use", **{"with": lambda world: world.values["unwilling"]}),
    refused("TIMEOUT", "mailbox.use", **{"with": lambda world: world.values["silent"]}),
]
AMONG_OTHERS = (AT_A_GLANCE, CONTACTS, MESSAGES, EVENTS, NETWORK, unnamed(), of_no_message(), conflicts(), EXPIRED)

# -- the daemon and its files ------------------------------------------------------------------------------------------

KEPT = [
    refused("FORBIDDEN", "node.lock"),  # there is no passphrase yet
    works("passphrase.change", new="right"),
    refused("FORBIDDEN", "passphrase.change", old="wrong", new="other"),
    works("node.lock"),
    refused("FORBIDDEN", "node.unlock", passphrase="wrong"),
]
BUSY = refused("ADDRESS_IN_USE", "node.unlock", passphrase="right")
FILES = [
    works("node.unlock", passphrase="right"),
    works("config.get"),
    works("config.set", key="log.level", value="debug"),
    works("backup.create", path=lambda world: f"{world.values['folder']}/backup", passphrase="sealed"),
    refused("ALREADY_EXISTS", "backup.create", path=lambda world: f"{world.values['folder']}/backup", passphrase="x"),
    refused("STORE", "backup.create", path=lambda world: f"{world.values['folder']}/none/backup", passphrase="x"),
    works("backup.verify", path=lambda world: f"{world.values['folder']}/backup", passphrase="sealed"),
    refused("FORBIDDEN", "backup.verify", path=lambda world: f"{world.values['folder']}/backup", passphrase="wrong"),
    refused("CORRUPT", "backup.verify", path=lambda world: f"{world.values['folder']}/junk", passphrase="x"),
    refused("STORE", "backup.verify", path=lambda world: f"{world.values['folder']}/none", passphrase="x"),
    works("node.shutdown"),
]


def every_step() -> Iterator[Step]:
    for steps in (*AMONG_OTHERS, of_a_replaced_device(), KEPT, FILES):
        yield from steps
    yield from (DELETED_MEANWHILE, BUSY)


def test_every_method_succeeds_somewhere_and_fails_in_every_way_that_it_lists() -> None:
    wanted = {(method, error) for method, spec in METHODS.items() for error in ("", *spec.answers)}
    assert {(step.method, step.error) for step in every_step()} == wanted


def world_of(node: Node, nursery: trio.Nursery, folder: Path) -> World:
    assert node.running is not None
    methods = Methods(node.running.context, node.running.life.online, "default", 0.0)
    files = Files(folder, folder / "config.toml")
    dispatch = Dispatch(FakeKeeper(), lambda: methods, "default", 0.0, trio.Event(), files)
    return World(dispatch, Listener(nursery))


def book(tx: Tx) -> None:
    """Contacts that cannot be made by calls of one's own: who asked by an invite, who came by one and has a number, who
    are called the same."""
    for beginning in ("aaaa", "bbbb"):
        asked = contacts.add(tx, ContactId(bytes.fromhex(beginning) + bytes(6)), beginning, None, None)
        contacts.set_root(tx, asked.id, RootKey(bytes.fromhex(beginning) * 16), 0)
        contacts.set_request(tx, asked.id)
    for last, number in enumerate(TWINS):
        contacts.add(tx, ContactId(b"\x77\x77" + bytes([last]) * 6), "Twin", number, None)
    root = RootKey(b"r" * 32)
    by_invite = contacts.add(tx, ContactId(b"ira-----"), "Ira", None, None)
    contacts.set_root(tx, by_invite.id, root, 0)
    by_number = contacts.add(tx, ContactId(b"ira-2---"), "Ira's phone", "+821022222222", None)
    contacts.add_claimant(tx, by_number.id, root, b"cert")


async def test_calls_of_a_node_among_others(autojump_clock: MockClock, tmp_path: Path) -> None:
    with fixed_schedule(1):
        async with Cluster.running() as cluster, trio.open_nursery() as nursery:
            alice, bob = await meet(cluster)
            await alice.database.run(book)
            world, bobs = (world_of(node, nursery, tmp_path) for node in (alice, bob))
            await bob.send("Alice", "hello Alice")
            sms = await bobs.call("contacts.sms_proof", {"to": "Alice"})
            await eventually(partial(told_of, alice, "message.received", "contact.proof_asked"), within_s=60)
            unwilling = BoxHolder(cluster, 2)
            unwilling.offers = False
            world.values |= {
                "code": str(sms["text"]).removeprefix("p2pchat ").partition(":")[0],  # type: ignore[index]
                "from Bob": await world.call("message.list", {"to": "Bob"}),
                "bob's": await bobs.call("identity.qr", {}),
                "bob's address": format_address(bob.network.addresses()[0], bob.network.peer_id),
                "willing": link(BoxHolder(cluster, 1)),
                "unwilling": link(unwilling),
                "silent": link(SilentHolder(cluster, 3)),
            }
            for steps in AMONG_OTHERS:
                if steps is EXPIRED:
                    await alice.database.run(lambda tx: tx.execute("DELETE FROM event WHERE seq < 5"))
                for step in steps:
                    await step.run(world)
            await deleted_meanwhile(world)
            await alice.database.run(lambda tx: meta.save_replaced(tx, 1))
            context_of(alice).replaced_ms = 1
            for step in of_a_replaced_device():
                await step.run(world)
            nursery.cancel_scope.cancel()


async def told_of(node: Node, *kinds: str) -> bool:
    return {event.kind.value for event in node.events}.issuperset(kinds)


async def deleted_meanwhile(world: World) -> None:
    """The message is gone that a call waits for."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(DELETED_MEANWHILE.run, world)
        await trio.testing.wait_all_tasks_blocked()
        world.values["waited for"] = await world.call("message.list", {"to": "Carol", "limit": 1})
        await works("message.delete", id=of("waited for", "messages", 0, "id")).run(world)


# -- the daemon and its files: on the clock of the machine, for threads work ------------------------------------------


@dataclass
class Port:
    """The address that the daemon listens at; another program may have it."""

    is_taken: bool = False

    @asynccontextmanager
    async def unlocked(self, paths: ProfilePaths) -> AsyncIterator[Unlocked]:
        """What :func:`p2pchat.daemon.unlocked.unlocked` gives, without a network."""
        if self.is_taken:
            raise NetError("Port 4001 is in use by another program.", name="ADDRESS_IN_USE")
        database = Database.open(paths.data_dir / "p2pchat.db", bytes(32), lambda: START_S * 1000)
        context = await lone(database)
        methods = Methods(
            context,
            lambda _: False,
            "default",
            0.0,
            own=paths.data_dir,
            configuration=Configuration(paths.config_file, {}, {}),
        )
        try:
            yield Unlocked(context, methods)
        finally:
            await methods.finish()
            await database.close()


@pytest.fixture
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that are tried in no time."""
    monkeypatch.setattr(keyfile, "_OPS", 1)
    monkeypatch.setattr(keyfile, "_MEMORY", 8192)
    monkeypatch.setattr(backup, "create", partial(backup.create, cost=Cost(1, 8192)))


@pytest.mark.usefixtures("_cheap")
async def test_calls_of_the_daemon_and_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path / "home"))
    paths = ProfilePaths("default")
    paths.data_dir.mkdir(parents=True)
    keyfile.write_key(paths.key_file, bytes(32), None, bytes)
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    port, stop = Port(), trio.Event()
    async with trio.open_nursery() as nursery:
        monkeypatch.setattr(daemon, "unlocked", lambda *_: port.unlocked(paths))
        settings = Settings((), (), 3600, Reach())
        keeper = daemon.Node(daemon.Start(paths, tmp_path / "socket", settings), nursery)
        await keeper.open(Handover(bytes(32)))
        files = Files(paths.data_dir, paths.config_file)
        dispatch = Dispatch(keeper, keeper.methods, "default", 0.0, stop, files)
        world = World(dispatch, Listener(nursery), {"folder": tmp_path})
        for step in KEPT:
            await step.run(world)
        port.is_taken = True
        await BUSY.run(world)
        port.is_taken = False
        for step in FILES:
            await step.run(world)
        assert stop.is_set()
        await keeper.close()
        nursery.cancel_scope.cancel()
