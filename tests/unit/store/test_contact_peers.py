"""The nodes of a contact: which are kept of those that its records name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2pchat.base.ids import ContactId, PeerId
from p2pchat.base.limits import NODES_PER_CONTACT
from p2pchat.net.addresses import from_socket
from p2pchat.store import contact_peers, contacts
from p2pchat.store.db import Database, Tx

NODES = [PeerId(bytes([number]) * 4) for number in range(NODES_PER_CONTACT)]
NEW = PeerId(b"new")
MOVED = (from_socket("8.8.8.8", 4001),)


@pytest.fixture
async def store() -> AsyncIterator[Database]:
    database = Database.open(None, bytes(32), lambda: 1_800_000_000_000, threaded=False)
    yield database
    await database.close()


def contact(tx: Tx, proven: int) -> int:
    """One with as many nodes as there may be, the first of them proven."""
    row = contacts.add(tx, ContactId(bytes(8)), "Bob", None, None).id
    for node in NODES:
        contact_peers.save(tx, row, node, (), bytes(32), 1)
    for node in NODES[:proven]:
        contact_peers.prove(tx, row, node)
    return row


def nodes(tx: Tx, row: int) -> set[PeerId]:
    return {each.peer for each in contact_peers.of_contact(tx, row)}


async def test_one_too_many_takes_the_place_of_those_that_have_proven_nothing(store: Database) -> None:
    def name(tx: Tx) -> None:
        row = contact(tx, proven=2)
        assert contact_peers.save(tx, row, NEW, (), bytes(32), 2)
        assert nodes(tx, row) == {*NODES[:2], NEW}

    await store.run(name)


async def test_where_all_have_proven_it_they_make_room_too(store: Database) -> None:
    """The contact names the node that it has now; without it nothing would reach it any more."""

    def name(tx: Tx) -> None:
        row = contact(tx, proven=NODES_PER_CONTACT)
        assert contact_peers.save(tx, row, NEW, (), bytes(32), 2)
        assert nodes(tx, row) == {NEW}

    await store.run(name)


@pytest.mark.parametrize("proven", [0, 2, NODES_PER_CONTACT])
async def test_a_node_that_moves_takes_no_place_and_drives_out_nobody(store: Database, proven: int) -> None:
    def move(tx: Tx) -> None:
        row = contact(tx, proven)
        assert contact_peers.save(tx, row, NODES[0], MOVED, bytes(32), 2)
        assert nodes(tx, row) == set(NODES)
        (moved,) = (each for each in contact_peers.of_contact(tx, row) if each.addresses)
        assert (moved.peer, moved.addresses) == (NODES[0], MOVED)

    await store.run(move)


async def test_who_stands_among_as_many_as_there_may_be_can_prove_it(store: Database) -> None:
    def prove(tx: Tx) -> None:
        row, other = contact(tx, proven=1), contacts.add(tx, ContactId(b"impostor"), "Mallory", None, None).id
        contact_peers.save(tx, other, NODES[0], (), bytes(32), 9)
        contact_peers.prove(tx, other, NEW)
        assert contact_peers.owners(tx)[NODES[0]] == row
        contact_peers.prove(tx, row, PeerId(b"unheard of"))
        assert nodes(tx, row) == set(NODES)  # there is no place for one more

    await store.run(prove)


async def test_an_older_record_moves_nobody_back(store: Database) -> None:
    def move(tx: Tx) -> None:
        row = contact(tx, proven=0)
        contact_peers.save(tx, row, NODES[0], MOVED, bytes(32), 5)
        assert not contact_peers.save(tx, row, NODES[0], (), bytes(32), 4)
        assert [each.addresses for each in contact_peers.of_contact(tx, row) if each.peer == NODES[0]] == [MOVED]

    await store.run(move)
