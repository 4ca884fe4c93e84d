"""What people do to verify each other, for simulations; and an attacker who puts items of his own into a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import trio

from p2pchat.api import calls, objects
from p2pchat.base.errors import UsageError
from p2pchat.base.ids import RootKey
from p2pchat.control import render
from p2pchat.control.verify_methods import VerifyMethods
from p2pchat.core.events import EventKind
from p2pchat.core.proof import parse_code
from p2pchat.services.context import Context
from p2pchat.store import eventlog, notices, proofs
from p2pchat.store.db import Tx
from p2pchat.store.notices import NoticeRow
from p2pchat.store.proofs import ProofRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.people import meet

NOBODY: Any = None
"""The connection that a method is called on; these do not use it."""


@dataclass
class Person:
    """A node, and its user at the control socket."""

    node: Node

    @property
    def context(self) -> Context:
        assert self.node.running is not None
        return self.node.running.context

    @property
    def root(self) -> RootKey:
        return RootKey(self.context.identity.root.public)

    def methods(self) -> VerifyMethods:
        return VerifyMethods(self.context, lambda contact: False)

    async def ask(self, to: str, key: str | None = None) -> str:
        """What is to be texted."""
        params = calls.ContactsSmsProof(to=to, idempotency_key=key)
        reply = await self.methods().sms_proof(params, NOBODY)
        assert isinstance(reply, objects.SmsProof)
        assert reply.text is not None
        return reply.text

    async def prove(self, to: str, code: str) -> None:
        reply = await self.methods().sms_proof(calls.ContactsSmsProof(to=to, code=code), NOBODY)
        assert isinstance(reply, objects.Contact)

    async def verify(self, to: str, **compared: str) -> objects.Contact:
        return await self.methods().verify(calls.ContactsVerify(to=to, **compared), NOBODY)

    async def safety(self, to: str) -> objects.Safety:
        return await self.methods().safety(calls.ContactsGet(to=to), NOBODY)

    async def trust(self, to: str) -> str:
        return (await self.node.contact(to)).trust

    async def told(self, kind: EventKind) -> list[dict[str, Any]]:
        """The data of all events of ``kind``, as the API shows them."""

        def read(tx: Tx) -> list[dict[str, Any]]:
            rows = [row for row in eventlog.after(tx, 0, 1_000_000) if row.kind == kind]
            return [
                msgspec.to_builtins(render.event(tx, row, lambda contact: False, bytes(8)).data)  # as JSON has it
                for row in rows
            ]

        return await self.node.database.run(read)

    async def results(self) -> list[bool]:
        """Whether the proofs were right, one after the other, as this user is told."""
        return [data["ok"] for data in await self.told(EventKind.CONTACT_PROOF_RESULT)]

    async def until(self, kind: EventKind, count: int, within_s: float = 900.0) -> None:
        """Until so many events of ``kind`` were told."""

        async def come() -> bool:
            return len(await self.told(kind)) == count

        await eventually(come, within_s=within_s)

    async def question(self, to: str, *, own: bool) -> ProofRow:
        contact = await self.node.contact(to)
        found = await self.node.database.run(lambda tx: proofs.get(tx, contact.id, own=own))
        assert found is not None
        return found

    async def inject(self, to: str, kind: int, body: bytes) -> None:
        """Send an item that an honest node would not."""
        contact, context = await self.node.contact(to), self.context
        notice = NoticeRow(kind, context.message_id(), body)
        await self.node.database.run(lambda tx: notices.put(tx, contact.id, notice, tx.now_s + 3600))
        context.bus.wake(contact.id)

    async def change(self, job: Callable[[Tx], object]) -> None:
        await self.node.database.run(job)

    async def stored(self) -> bytes:
        """Every value of every row of the store, one after the other."""

        def read(tx: Tx) -> bytes:
            names = [name for (name,) in tx.all("SELECT name FROM pragma_table_list WHERE type != 'virtual'")]
            rows = [row for name in names for row in tx.all(f"SELECT * FROM {name}")]  # noqa: S608
            values = [value for row in rows for value in row if value is not None]
            return b"\0".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in values)

        return await self.node.database.run(read)


async def refused(person: Person, to: str, code: str) -> str:
    """The sentence with which ``code`` is refused before anything is sent."""
    with pytest.raises(UsageError) as refusal:
        await person.prove(to, code)
    assert refusal.value.error_name == "INVALID_PARAMS"
    return refusal.value.message


async def people(cluster: Cluster) -> tuple[Person, Person]:
    """Alice and Bob, matched, some time ago."""
    alice, bob = await meet(cluster)
    await trio.sleep(30)
    return Person(alice), Person(bob)


def code_in(sms: str) -> str:
    """The code, as its reader sees it."""
    return sms.removeprefix("p2pchat ").partition(":")[0]


def wrong(code: str, by: int = 1) -> str:
    """Another code than ``code``."""
    secret = int.from_bytes(parse_code(code).secret, "big") ^ by
    return type(parse_code(code))(secret.to_bytes(10, "big")).shown()
