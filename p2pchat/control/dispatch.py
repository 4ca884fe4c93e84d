"""Methods → services. Parameters are checked here, results rendered here; what a method does stands in its service.

Whatever changes the store does so in one transaction, together with its idempotency key and the result to repeat.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
import trio

import p2pchat
from p2pchat.api import objects, schema
from p2pchat.base.errors import NetError, UsageError
from p2pchat.control import render
from p2pchat.control.progress import RANK, Progress
from p2pchat.control.server import Connection
from p2pchat.control.subscriptions import Subscriptions
from p2pchat.net.addresses import format_address, format_peer_id, parse_address
from p2pchat.services import contacts as book
from p2pchat.services.connect import Connector
from p2pchat.services.context import Context
from p2pchat.services.send import send
from p2pchat.store import contacts, eventlog, idempotency, messages
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow

_FEATURES: Final = ("events.replay", "idempotency")

R = TypeVar("R", objects.Contact, objects.Message)
Handler = Callable[[schema.Params, Connection], Awaitable[msgspec.Struct]]


class Dispatch:
    """The node behind the socket.

    Args:
        stop: set to end the daemon.
    """

    def __init__(self, context: Context, connector: Connector, profile: str, stop: trio.Event) -> None:
        self._context = context
        self._connector = connector
        self._profile = profile
        self._stop = stop
        self._started = time.monotonic()
        self._subscriptions = Subscriptions(context, connector.online)
        self._progress = Progress(context.bus)

    async def __call__(self, method: str, params: dict[str, object], connection: Connection) -> msgspec.Struct:
        """The result of one call.

        Raises:
            P2PChatError: the caller's, the disk's or nobody's fault; the server makes the error reply.
        """
        checked = schema.parse(method, params)
        handler: Handler = getattr(self, "_" + method.replace(".", "_"))
        return await handler(checked, connection)

    # -- node -------------------------------------------------------------------------------------------------------

    async def _node_hello(self, _params: schema.NodeHello, _: Connection) -> objects.Hello:
        head, oldest = await self._context.db.run(lambda tx: (eventlog.head(tx), eventlog.oldest(tx)))
        return objects.Hello(
            api=objects.ApiVersion(major=schema.API_MAJOR, minor=schema.API_MINOR),
            node=f"p2pchat/{p2pchat.__version__}",
            profile=self._profile,
            head=head,
            oldest=oldest,
            features=list(_FEATURES),
        )

    async def _node_status(self, _params: schema.NoParams, _: Connection) -> objects.Status:
        context = self._context
        everyone, outbox = await context.db.run(lambda tx: (contacts.everyone(tx), messages.outbox_size(tx)))
        states = [row.state for row in everyone]
        addresses = self._addresses()
        return objects.Status(
            profile=self._profile,
            number=context.profile.number or None,
            name=context.profile.name,
            locked=False,
            uptime_s=int(time.monotonic() - self._started),
            peer_id=format_peer_id(context.network.peer_id),
            addresses=addresses,
            peers=len(context.network.links()),
            contacts=objects.ContactCounts(
                matched=states.count("matched"), pending=states.count("pending"), requests=states.count("request")
            ),
            outbox=outbox,
            # nobody confirms reachability from the internet yet, so no more than this is known
            reachability="lan" if addresses else "none",
            clock_ok=context.health.clock_ok,
            version=p2pchat.__version__,
        )

    async def _node_shutdown(self, _params: schema.NoParams, _: Connection) -> objects.Empty:
        self._stop.set()
        return objects.Empty()

    async def _identity_show(self, _params: schema.NoParams, _: Connection) -> objects.Identity:
        context = self._context
        return objects.Identity(
            profile=self._profile,
            name=context.profile.name,
            number=context.profile.number or None,
            root=context.identity.root.public.hex(),
            peer_id=format_peer_id(context.network.peer_id),
        )

    # -- contacts ---------------------------------------------------------------------------------------------------

    async def _contacts_add(self, params: schema.ContactsAdd, _: Connection) -> objects.Contact:
        return await self._mutate(
            "contacts.add",
            params,
            objects.Contact,
            lambda tx: self._contact(book.add(tx, self._context, params.number, params.name)),
        )

    async def _contacts_list(self, params: schema.ContactsList, _: Connection) -> objects.Contacts:
        rows = await self._context.db.run(lambda tx: contacts.everyone(tx, params.state))
        return objects.Contacts(contacts=[self._contact(row) for row in rows])

    async def _contacts_get(self, params: schema.ContactsGet, _: Connection) -> objects.Contact:
        return self._contact(await self._context.db.run(lambda tx: book.resolve(tx, self._context, params.to)))

    async def _contacts_rename(self, params: schema.ContactsRename, _: Connection) -> objects.Contact:
        def rename(tx: Tx) -> objects.Contact:
            return self._contact(book.rename(tx, book.resolve(tx, self._context, params.to), params.name))

        return await self._mutate("contacts.rename", params, objects.Contact, rename)

    async def _contacts_claimants(self, params: schema.ContactsGet, _: Connection) -> objects.Claimants:
        def claimants(tx: Tx) -> objects.Claimants:
            row = book.resolve(tx, self._context, params.to)
            found = contacts.claimants(tx, row.id)
            return objects.Claimants(claimants=[render.claimant(known, row) for known in found])

        return await self._context.db.run(claimants)

    async def _contacts_choose(self, params: schema.ContactsChoose, _: Connection) -> objects.Contact:
        def choose(tx: Tx) -> objects.Contact:
            row = book.resolve(tx, self._context, params.to)
            return self._contact(book.choose(tx, self._context, row, params.claimant))

        return await self._mutate("contacts.choose", params, objects.Contact, choose)

    async def _contacts_remove(self, params: schema.ContactsRemove, _: Connection) -> objects.Contact:
        def remove(tx: Tx) -> objects.Contact:
            row = book.resolve(tx, self._context, params.to)
            book.remove(tx, row)
            return self._contact(row)

        return await self._mutate("contacts.remove", params, objects.Contact, remove)

    def _contact(self, row: contacts.ContactRow) -> objects.Contact:
        return render.contact(row, self._connector.online)

    # -- messages ---------------------------------------------------------------------------------------------------

    async def _message_send(self, params: schema.MessageSend, _: Connection) -> objects.Message:
        def queue(tx: Tx) -> objects.Message:
            to = book.resolve(tx, self._context, params.to)
            return self._message(send(tx, self._context, to, params.text), to.uid.hex())

        queued = await self._mutate("message.send", params, objects.Message, queue)
        if params.wait is None:
            return queued
        return await self._wait(queued, params.wait, params.timeout_ms)

    async def _message_list(self, params: schema.MessageList, _: Connection) -> objects.Messages:
        def page(tx: Tx) -> objects.Messages:
            to = book.resolve(tx, self._context, params.to)
            rows = messages.page(tx, to.id, params.before, params.limit + 1, params.search)
            shown: list[objects.Message] = []
            size = 0
            for row in rows[: params.limit]:
                message = self._message(row, to.uid.hex())
                size += render.size_of(message)
                if shown and size > render.PAGE_BYTES:
                    break
                shown.append(message)
            more = len(shown) < len(rows)
            return objects.Messages(messages=shown[::-1], next=shown[-1].position if more else None)

        return await self._context.db.run(page)

    async def _message_get(self, params: schema.MessageGet, _: Connection) -> objects.Message:
        return await self._context.db.run(lambda tx: self._found(tx, params.id))

    def _found(self, tx: Tx, text: str) -> objects.Message:
        row_id = render.message_row(self._context.profile.store_id, text)
        row = messages.get(tx, row_id) if row_id is not None else None
        owner = contacts.get(tx, row.contact) if row is not None else None
        if row is None or owner is None:
            raise UsageError("No message has that id.", name="MESSAGE_NOT_FOUND")
        return self._message(row, owner.uid.hex())

    def _message(self, row: MessageRow, contact_uid: str) -> objects.Message:
        return render.message(row, contact_uid, self._context.profile.store_id)

    async def _wait(self, queued: objects.Message, state: str, timeout_ms: int) -> objects.Message:
        """The message once it has come as far as ``state``.

        Raises:
            UsageError: TIMEOUT (it stays queued and goes on), or that it ended otherwise.
        """
        told = queued
        with trio.move_on_after(timeout_ms / 1000):
            while RANK.get(told.state, -1) < RANK[state]:
                if told.state not in RANK:
                    raise UsageError(f"The message is {told.state}.", name="PEER_OFFLINE", data={"id": queued.id})
                edge = self._progress.edge(queued.position, state)
                told = await self._context.db.run(lambda tx: self._found(tx, queued.id))
                if RANK.get(told.state, -1) < RANK[state] and told.state in RANK:
                    await edge.wait()
            told.replayed = queued.replayed
            return told
        raise UsageError(
            f"The message is not {state} yet; it stays in the outbox and goes on.",
            name="TIMEOUT",
            data={"id": queued.id, "state": told.state},
        )

    # -- events -----------------------------------------------------------------------------------------------------

    async def _events_subscribe(self, params: schema.EventsSubscribe, connection: Connection) -> objects.Subscription:
        return await self._subscriptions.subscribe(params.since, params.types, connection)

    async def _events_unsubscribe(self, params: schema.EventsUnsubscribe, connection: Connection) -> objects.Empty:
        self._subscriptions.unsubscribe(params.subscription, connection)
        return objects.Empty()

    async def _events_fetch(self, params: schema.EventsFetch, _: Connection) -> objects.Events:
        return await self._subscriptions.fetch(params.since, params.types, params.limit)

    # -- net --------------------------------------------------------------------------------------------------------

    async def _net_peers(self, _params: schema.NoParams, _: Connection) -> objects.Peers:
        links = self._context.network.links()
        return objects.Peers(
            peers=[
                objects.Peer(
                    peer_id=format_peer_id(link.peer), path=link.path, rtt_ms=None, since_ms=int(link.since_s * 1000)
                )
                for link in links
            ]
        )

    async def _net_addrs(self, _params: schema.NoParams, _: Connection) -> objects.Addresses:
        return objects.Addresses(addresses=self._addresses())

    def _addresses(self) -> list[str]:
        network = self._context.network
        return [format_address(address, network.peer_id) for address in network.addresses()]

    async def _net_dial(self, params: schema.NetDial, _: Connection) -> objects.Peer:
        address, peer = parse_address(params.address)
        if peer is None:
            raise UsageError("address: must end in /p2p/ and a peer id", data={"param": "address"})
        try:
            await self._context.network.dial(peer, [address])
        except NetError as error:
            raise UsageError(error.message, name="PEER_OFFLINE") from error
        link = next((link for link in self._context.network.links() if link.peer == peer), None)
        if link is None:
            raise UsageError("The node closed the connection at once.", name="PEER_OFFLINE")
        return objects.Peer(
            peer_id=format_peer_id(peer), path=link.path, rtt_ms=None, since_ms=int(link.since_s * 1000)
        )

    async def _net_bootstrap(self, params: schema.NetDial, connection: Connection) -> objects.Peer:
        shown = await self._net_dial(params, connection)
        address, peer = parse_address(params.address)
        assert peer is not None  # noqa: S101  dialled just now
        try:
            await self._context.dht.bootstrap([(peer, (address,))])
        except NetError as error:
            raise UsageError("The node answers, but takes no part in the DHT.", name="PEER_OFFLINE") from error
        return shown

    # -- shared -----------------------------------------------------------------------------------------------------

    async def _mutate(self, method: str, params: schema.Mutation, kind: type[R], effect: Callable[[Tx], R]) -> R:
        """Run ``effect`` once for its idempotency key, in one transaction with it."""
        key = params.idempotency_key
        if key is None:
            return await self._context.db.run(effect)
        fields = msgspec.structs.asdict(params) | {"idempotency_key": None, "wait": None, "timeout_ms": None}
        digest = hashlib.blake2b(msgspec.msgpack.encode((method, fields), order="sorted"), digest_size=32).digest()

        def once(tx: Tx) -> R:
            known = idempotency.recall(tx, key, digest)
            if known is not None:
                repeated = msgspec.json.decode(known, type=kind)
                repeated.replayed = True
                return repeated
            result = effect(tx)
            idempotency.remember(tx, key, digest, msgspec.json.encode(result))
            return result

        return await self._context.db.run(once)
