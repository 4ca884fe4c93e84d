"""A node behind the control socket that only remembers: for tests of what stands in front of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import trio

from p2pchat.api import (
    calls,
    doctor_objects,
    event_calls,
    handover,
    mailbox_objects,
    net_calls,
    objects,
    schema,
    settings,
    stats_objects,
)
from p2pchat.base.errors import UsageError
from p2pchat.control.server import Connection, Server
from p2pchat.services.configure import Configuration

NOW_MS = 1_700_000_000_000
LOG = "00" * 8
SAFETY_NUMBER = " ".join(f"{n:05d}" for n in range(12))
QR = "p2pchat:" + "sm2a" * 28
SMS = "p2pchat ABCD-EFGH-JKLM-NPQR: type only into your p2pchat, tell nobody"


class FakeApi:
    """The methods of the API over lists in memory.

    ``sent``, ``added``, ``asked`` and ``told`` are called for a message that was sent, a contact that was added, a
    proof that was asked for or given, and when a subscriber has been told everything.
    """

    def __init__(self, name: str = "Alice", number: str | None = "+821012345678") -> None:
        self.name, self.number = name, number
        self.locked = False
        self.replaced_ms: int | None = None
        self.alone: str | None = None
        self.proxy = False
        self.rss_bytes: int | None = 61_000_000
        self.disk: objects.DiskState | None = "ok"
        self.contacts: list[objects.Contact] = []
        self.claimants: list[objects.Claimant] = []
        self.waiting = 0
        self.receipts = True
        self.offer = mailbox_objects.MailboxOffer(
            for_="nobody", quota=1 << 30, bytes=5120, boxes=5, owners=1, invite=None
        )
        self.passphrase = True
        self.messages: list[objects.Message] = []
        self.events: list[objects.Event] = []
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.fail: dict[str, UsageError] = {}
        self.sent: Callable[[objects.Message], None] = lambda message: None
        self.sms: str | None = SMS
        self.asked: Callable[[], None] = lambda: None
        self.told: Callable[[], None] = lambda: None
        self.added: Callable[[objects.Contact], None] = lambda contact: None
        self.addresses = ["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWFake"]
        self.links: list[str] = []
        self.checks: list[doctor_objects.Check] = []
        self.configuration = Configuration(None, {}, {})
        self.stop = trio.Event()
        self._news = trio.Event()

    async def serve(self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until ``node.shutdown``, or cancelled."""
        server = Server(self.dispatch, path=path)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            task_status.started()
            await self.stop.wait()
            await server.drain()
            nursery.cancel_scope.cancel()

    # -- what happens to the node ----------------------------------------------------------------------------------

    def contact(self, name: str, number: str | None = None, state: objects.ContactState = "matched") -> objects.Contact:
        added = objects.Contact(
            id=f"{len(self.contacts) + 1:016x}",
            name=name,
            number=number,
            state=state,
            trust="claimed",
            claimants=0,
            online=False,
            last_seen_ms=None,
        )
        self.contacts.append(added)
        return added

    def message(self, contact: objects.Contact, text: str, *, incoming: bool) -> objects.Message:
        position = len(self.messages) + 1
        added = objects.Message(
            id=f"{position:032x}",
            contact_id=contact.id,
            direction="in" if incoming else "out",
            text=text,
            state="received" if incoming else "queued",
            reason=None,
            holders=[],
            created_ms=NOW_MS + position * 1000,
            delivered_ms=None,
            read_ms=None,
            position=position,
        )
        self.messages.append(added)
        self.emit("message.received" if incoming else "message.queued", added)
        return added

    def emit(self, kind: str, data: objects.Message | objects.Contact | dict[str, object]) -> None:
        seq = len(self.events) + 1
        copy = data if isinstance(data, dict) else msgspec.convert(msgspec.to_builtins(data), type(data))
        self.events.append(objects.Event(seq=seq, ts=NOW_MS + seq, type=kind, data=copy))
        self._news.set()
        self._news = trio.Event()

    # -- the API ---------------------------------------------------------------------------------------------------

    async def dispatch(self, method: str, params: dict[str, object], connection: Connection) -> object:
        self.calls.append((method, dict(params)))
        checked = schema.parse(method, params)
        if method in self.fail:
            raise self.fail[method]
        await trio.lowlevel.checkpoint()
        match checked:
            case calls.NodeHello() | calls.NoParams() | calls.NodeUnlock() | calls.PassphraseChange():
                return self._about(method)
            case calls.NodeDoctor():
                return doctor_objects.Diagnosis(checks=self.checks)
            case calls.ContactsAdd():
                known = [each for each in self.contacts if each.number == checked.number]
                name = checked.name or checked.number or "Contact 01234567"
                contact = known[0] if known else self.contact(name, checked.number, "pending")
                self.emit("contact.added", contact)
                self.added(contact)
                return contact
            case handover.NetExport():
                return handover.NodeLinks(links=self.links)
            case handover.NetImport():
                return handover.NodesTaken(nodes=len(checked.links), new=1)
            case calls.ContactsList():
                state = checked.state
                return objects.Contacts(contacts=[each for each in self.contacts if state in (None, each.state)])
            case calls.ContactsGet() if method == "contacts.claimants":
                return objects.Claimants(claimants=self.claimants, waiting=self.waiting)
            case calls.ContactsGet() if method == "contacts.safety":
                return objects.Safety(id=self._find(checked.to).id, safety_number=SAFETY_NUMBER, qr=QR)
            case calls.ContactsGet():
                return self._find(checked.to)
            case calls.ContactsImport():
                return self._import(checked)
            case calls.ContactsFind():
                sought = self.contacts if checked.to is None else [self._find(to) for to in checked.to]
                for each in sought:
                    each.searching = each.state == "pending"
                return objects.Contacts(contacts=sought)
            case calls.ContactsVerify():
                found = self._find(checked.to)
                found.trust = "in_person"
                return found
            case calls.ContactsSmsProof():
                found = self._find(checked.to)
                self.asked()
                if checked.code is not None:
                    return found
                return objects.SmsProof(id=found.id, text=self.sms, expires_ms=NOW_MS + 600_000)
            case calls.ContactsRename():
                found = self._find(checked.to)
                found.name = checked.name
                return found
            case calls.ContactsChoose() | calls.ContactsMerge():
                return self._find(checked.to)
            case calls.ContactsRemove():
                found = self._find(checked.to)
                self.contacts.remove(found)
                return found
            case calls.ContactsReceipts():
                found = self._find(checked.to)
                found.receipts = checked.on
                return found
            case calls.IdentitySet():
                self.receipts = checked.receipts
                return self._about("identity.show")
            case calls.MessageMarkRead():
                return self._mark_read(checked.id)
            case calls.MessageSend():
                message = self.message(self._find(checked.to), checked.text, incoming=False)
                self.sent(message)
                return message
            case calls.MessageGet():
                return self._explained(checked.id)
            case calls.MessageChange() if method == "message.delete":
                self.messages.remove(self._message(checked.id))
                return objects.Deleted(id=checked.id)
            case calls.MessageChange():
                message = self._message(checked.id)
                message.state = "cancelled"
                return message
            case calls.MessageList():
                return self._page(checked)
            case calls.MessageSearch():
                return self._found(checked)
            case event_calls.EventsFetch():
                assert isinstance(checked.since, int)
                return objects.Events(events=self._after(checked.since, checked.types)[: checked.limit])
            case event_calls.EventsSubscribe():
                cursor = checked.since if isinstance(checked.since, int) else len(self.events)
                connection.after_reply(self._pump, connection, cursor, checked.types)
                return objects.Subscription(subscription="s1", cursor=cursor, log=LOG)
            case calls.BackupFile():
                return objects.Backup(path=checked.path, made_ms=NOW_MS, bytes=4, contacts=2, messages=3)
            case calls.MailboxOffer():
                self.offer.for_ = checked.for_ or self.offer.for_
                self.offer.quota = checked.quota or self.offer.quota
                self.offer.invite = QR if self.offer.for_ == "anyone" else None
                return self.offer
            case settings.ConfigGet():
                return self.configuration.get(checked.key)
            case settings.ConfigSet():
                return self.configuration.set(checked.key, checked.value)
            case net_calls.NetDial():
                return objects.Peer(peer_id="12D3KooWPeer", path="lan", rtt_ms=None, since_ms=NOW_MS)
            case _:
                raise UsageError("not faked", name="METHOD_NOT_FOUND")

    def _about(self, method: str) -> msgspec.Struct:
        match method:
            case "node.hello":
                api = objects.ApiVersion(major=1, minor=0)
                head = len(self.events)
                return objects.Hello(
                    api=api, node="fake/0", profile="default", head=head, oldest=1, features=[], log=LOG
                )
            case "node.status":
                return objects.Status(
                    profile="default",
                    number=self.number,
                    name=self.name,
                    locked=self.locked,
                    uptime_s=3725,
                    peer_id="12D3KooWFake",
                    addresses=self.addresses,
                    peers=2,
                    contacts=objects.ContactCounts(matched=1, pending=0, requests=0),
                    outbox=3,
                    held=2,
                    reachability="lan",
                    clock_ok=True,
                    version="0.0.0",
                    replaced_ms=self.replaced_ms,
                    alone=self.alone,
                    proxy=self.proxy,
                    disk=self.disk,
                )
            case "node.shutdown":
                self.stop.set()
                return objects.Empty()
            case "node.lock" | "node.unlock" | "passphrase.change":
                self.locked = method == "node.lock"
                return objects.Empty()
            case "identity.show":
                return objects.Identity(
                    profile="default",
                    name=self.name,
                    number=self.number,
                    root="ab" * 32,
                    peer_id="12D3KooWFake",
                    receipts=self.receipts,
                )
            case "identity.qr":
                return objects.Qr(qr=QR)
            case "mailbox.transparency":
                held = mailbox_objects.HeldMailbox(
                    id="5ab4f00d5ab4f00d", boxes=5, bytes=5120, oldest_ms=NOW_MS, until_ms=None, seen_ms=NOW_MS
                )
                return mailbox_objects.Transparency(
                    mailboxes=[held],
                    boxes=5,
                    bytes=5120,
                    records=mailbox_objects.HeldRecords(count=3, bytes=2907),
                    deleted=[mailbox_objects.DeletedBoxes(day="2026-11-22", why="fetched", boxes=1234, bytes=1 << 21)],
                    offer=self.offer,
                    passphrase=self.passphrase,
                    locked_reveals="Locked reveals little.",
                    unlocked_reveals="Unlocked reveals more.",
                )
            case "net.peers":
                peer = objects.Peer(peer_id="12D3KooWPeer", path="direct", rtt_ms=1.5, since_ms=NOW_MS)
                return objects.Peers(peers=[peer])
            case "stats.get":
                return stats_objects.Stats(
                    uptime_s=3_700,
                    peers=7,
                    connections=stats_objects.ConnectionCounts(inbound=4, outbound=3, relayed=1),
                    handshakes=2,
                    streams={"/p2pchat/msg/1": 5},
                    refusals={"connection.crowded": 0, "stream.excessive": 12},
                    outbox=9,
                    records=1_234,
                    mailbox_boxes=3,
                    mailbox_bytes=40_960,
                    unfinished_bytes=0,
                    tasks=61,
                    rss_bytes=self.rss_bytes,
                    db_bytes=5_000_000,
                    wal_bytes=32,
                    commits=77,
                    commits_failed=1,
                    commit_ms=stats_objects.Quantiles(p50=0.4, p99=2.5, max=31.0),
                )
            case _:
                return objects.Addresses(addresses=self.addresses)

    def _import(self, params: calls.ContactsImport) -> objects.Import:
        result = objects.Import(added=0, known=0, refused=[])
        for entry in params.entries:
            if not entry.number.lstrip("+").isdecimal():
                result.refused.append(objects.Refusal(line=entry.line, reason="This is not a phone number."))
            elif any(each.number == entry.number for each in self.contacts):
                result.known += 1
            else:
                self.contact(entry.name or entry.number, entry.number, "pending")
                result.added += 1
        return result

    def _message(self, message: str) -> objects.Message:
        found = [each for each in self.messages if each.id == message]
        if not found:
            raise UsageError("No message has that id.", name="MESSAGE_NOT_FOUND")
        return found[0]

    def _explained(self, message: str) -> objects.Explanation:
        refused = objects.Try(
            at_ms=NOW_MS, address="/ip4/10.0.0.9/tcp/4001", path="lan", error="Nothing listens there."
        )
        lost = objects.Try(at_ms=NOW_MS, address=None, path=None, error="The connection is lost.")
        return objects.Explanation(
            state=self._message(message).state,
            reason=None,
            tries=[refused, lost],
            holders=[],
            next_try_ms=NOW_MS + 60_000,
            expires_ms=NOW_MS + 86_400_000,
            text="Bob cannot be reached now.",
            sentences=[
                objects.Sentence(code="away", facts={"name": "Bob"}, text="Bob cannot be reached now."),
            ],
        )

    def _mark_read(self, message_id: str) -> objects.Message:
        for message in self.messages:
            if message.id == message_id:
                message.state, message.read_ms = "read", NOW_MS
                return message
        raise UsageError("No message has that id.", name="MESSAGE_NOT_FOUND")

    def _find(self, to: str) -> objects.Contact:
        for contact in self.contacts:
            if to in (contact.name, contact.number) or contact.id.startswith(to) or (to == "self" and contact.self_):
                return contact
        raise UsageError("No contact has that name, number or id.", name="CONTACT_NOT_FOUND")

    def _page(self, params: calls.MessageList) -> objects.Messages:
        contact = self._find(params.to)
        fitting = [
            each
            for each in self.messages
            if each.contact_id == contact.id
            and (params.before is None or each.position < params.before)
            and (params.after is None or each.position > params.after)
            and (params.search or "") in each.text
        ]
        if params.after is not None:
            page = fitting[: params.limit]
            return objects.Messages(messages=page, next=page[-1].position if len(page) < len(fitting) else None)
        page = fitting[-params.limit :]
        return objects.Messages(messages=page, next=page[0].position if len(page) < len(fitting) else None)

    def _found(self, params: calls.MessageSearch) -> objects.Messages:
        only = self._find(params.to).id if params.to is not None else None
        fitting = [
            each
            for each in reversed(self.messages)
            if only in (None, each.contact_id)
            and (params.before is None or each.position < params.before)
            and params.text in each.text
        ]
        page = fitting[: params.limit]
        return objects.Messages(messages=page, next=page[-1].position if len(page) < len(fitting) else None)

    def _after(self, seq: int, types: list[str] | None) -> list[objects.Event]:
        return [event for event in self.events[seq:] if schema.type_matches(types, event.type)]

    async def _pump(self, connection: Connection, cursor: int, types: list[str] | None) -> None:
        while True:
            news, head = self._news, len(self.events)
            for event in self._after(cursor, types):
                fields = msgspec.structs.asdict(event)
                await connection.notify("event", objects.EventNotification(subscription="s1", **fields))
            cursor = head
            self.told()
            await news.wait()


class Served:
    """A :class:`FakeApi` that a thread serves; ``do`` reaches into it."""

    def __init__(self, api: FakeApi, path: Path, token: trio.lowlevel.TrioToken) -> None:
        self.api, self.path, self._token = api, path, token

    def do(self, change: Callable[[], object]) -> None:
        trio.from_thread.run_sync(change, trio_token=self._token)


@contextmanager
def served(api_factory: Callable[[], FakeApi], path: Path) -> Iterator[Served]:
    """A node that answers at ``path``, in a thread of its own: its clients block."""
    found: list[Served] = []
    ready = threading.Event()

    async def main() -> None:
        api = api_factory()
        async with trio.open_nursery() as nursery:
            await nursery.start(api.serve, path)
            found.append(Served(api, path, trio.lowlevel.current_trio_token()))
            ready.set()

    thread = threading.Thread(target=trio.run, args=(main,), name="fake node")
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        with suppress(trio.RunFinishedError):  # it was stopped by the test
            found[0].do(found[0].api.stop.set)
        thread.join(10)
        assert not thread.is_alive()
