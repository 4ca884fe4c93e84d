"""Rules as they are kept, and whose node is whose."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2pchat.base.ids import ContactId, PeerId
from p2pchat.services import access
from p2pchat.services.context import Reach
from p2pchat.store import contact_peers, contacts, rules
from p2pchat.store.db import Database, Tx
from p2pchat.store.rules import Subject

NOW_MS = 1_800_000_000_000
NODE, OTHER = PeerId(b"node"), PeerId(b"other")


@pytest.fixture
async def store() -> AsyncIterator[Database]:
    database = Database.open(None, bytes(32), lambda: NOW_MS, threaded=False)
    yield database
    await database.close()


def contact(tx: Tx, number: int) -> int:
    return contacts.add(tx, ContactId(bytes([number]) * 8), f"Contact {number}", None, None).id


async def test_whoever_names_anothers_node_has_it_only_until_that_one_has_proven_it(store: Database) -> None:
    """Anybody can publish anybody's PeerID: a denied contact must not take others with it."""

    def names(tx: Tx) -> None:
        liar, honest = contact(tx, 1), contact(tx, 2)
        rules.put(tx, Subject(contact=liar), allow=False)
        for each, peer in ((liar, NODE), (honest, NODE), (liar, OTHER)):
            contact_peers.save(tx, each, peer, (), bytes(32), 1)
        assert contact_peers.owners(tx) == {NODE: liar, OTHER: liar}
        contact_peers.prove(tx, honest, NODE)
        assert contact_peers.owners(tx) == {NODE: honest, OTHER: liar}

    await store.run(names)
    allowed = await store.run(lambda tx: access.load(tx, Reach()))
    assert (allowed.may_meet(NODE, "192.0.2.1"), allowed.may_meet(OTHER, "192.0.2.1")) == (True, False)


async def test_there_is_one_rule_about_each_and_the_last_word_counts(store: Database) -> None:
    def said(tx: Tx) -> list[tuple[str, bool]]:
        for about in (Subject(contact=contact(tx, 1)), Subject(peer=NODE), Subject(network="192.0.2.0/24")):
            first = rules.put(tx, about, allow=False)
            assert rules.put(tx, about, allow=False) == first
            assert rules.put(tx, about, allow=True).allow
            assert rules.get(tx, about) == rules.put(tx, about, allow=True)
        assert rules.count(tx) == 3
        return [(row.about.kind, row.allow) for row in rules.everyone(tx)]

    assert await store.run(said) == [("contact", True), ("peer", True), ("network", True)]


async def test_a_rule_that_is_forgotten_is_gone(store: Database) -> None:
    def forgotten(tx: Tx) -> None:
        kept, gone = Subject(peer=NODE), Subject(peer=OTHER)
        rules.put(tx, kept, allow=True)
        rules.forget(tx, rules.put(tx, gone, allow=True).id)
        assert rules.get(tx, gone) is None
        assert [row.about for row in rules.everyone(tx)] == [kept]

    await store.run(forgotten)


async def test_a_rule_shows_no_address_and_no_full_id(store: Database) -> None:
    row = await store.run(lambda tx: rules.put(tx, Subject(network="192.0.2.0/24"), allow=True))
    assert "192" not in repr(row)


async def test_nodes_of_contacts_are_read_only_where_they_matter(store: Database) -> None:
    def named(tx: Tx) -> None:
        contact_peers.save(tx, contact(tx, 1), NODE, (), bytes(32), 1)

    await store.run(named)
    for reach, is_served in ((Reach(), True), (Reach(mode="contacts"), False)):
        allowed = await store.run(lambda tx, reach=reach: access.load(tx, reach))  # type: ignore[misc]
        assert allowed.serves(NODE, None, "/p2pchat/msg/1")
        assert allowed.serves(OTHER, None, "/p2pchat/msg/1") is is_served
