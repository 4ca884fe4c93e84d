"""A database of every schema, with something in each of its tables and columns, is migrated and then used.

A migration that adds a table or column needs a value in ``fixtures.ROWS``; one that was applied anywhere never changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from p2pchat.base.ids import ContactId, PeerId
from p2pchat.core.pair import load_pair
from p2pchat.core.params import PRODUCTION
from p2pchat.core.session import open_envelope, seal
from p2pchat.store import (
    contact_peers,
    contacts,
    eventlog,
    held,
    idempotency,
    invites,
    known_peers,
    messages,
    meta,
    migrate,
    notices,
    pairs,
    prekeys,
    presence,
    proofs,
    sessions,
)
from p2pchat.store.db import Tx
from p2pchat.store.sqlite import connect
from p2pchat.testing.sessions import HELLO, NOW_S, session_pair
from tests.migrations.fixtures import ENTROPY, NOW_MS, PAIR, PREKEY, PROFILE, ROWS, SESSION, SPK, THEIRS, build, columns

KEY = bytes(32)
ROOT = SESSION.peer_root
SCHEMAS = range(1, len(migrate.migrations()) + 1)
WITH_MAILBOXES = 8  # from that schema on a message may have been at one
DIGESTS = {
    1: "2e33ee9e5812a6f7",
    2: "59508faaca1b16bb",
    3: "4208efa1bf000a41",
    4: "7b66daf5e73901e5",
    5: "54403fcde5c15dca",
    6: "562b814ff91a7278",
    7: "5780fbab2f329081",
    8: "a6132b12710b3edd",
    9: "35872ac7d1c3c587",
    10: "3dc624e0b60d9af9",
}
"""BLAKE2b-8 of the statements of each migration."""


def migrated(path: Path, schema: int) -> Tx:
    connection = connect(path, KEY)
    build(connection, schema)
    connection.close()
    connection = connect(path, KEY)
    migrate.migrate(connection)
    return Tx(connection, NOW_MS)


def test_every_table_and_column_has_a_fixture(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.db", KEY)
    migrate.migrate(connection)
    assert {table: set(names) for table, names in columns(connection).items()} == {
        table: set(row) for table, row in ROWS.items()
    }
    connection.close()


def test_what_was_applied_somewhere_never_changes() -> None:
    found = {
        number: hashlib.blake2b(repr(migrate.statements(sql)).encode(), digest_size=8).hexdigest()
        for number, sql in migrate.migrations()
    }
    assert found | DIGESTS == found
    assert set(found) - set(DIGESTS) <= {max(found)}  # the newest may still be written


@pytest.mark.parametrize("schema", SCHEMAS)
def test_nothing_is_lost(tmp_path: Path, schema: int) -> None:
    connection = connect(tmp_path / "x.db", KEY)
    build(connection, schema)
    before = {
        table: (names, connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall())  # noqa: S608  ours
        for table, names in columns(connection).items()
    }
    migrate.migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMAS[-1],)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for table, (names, rows) in before.items():
        (row,) = rows
        after = connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # noqa: S608  ours
        assert row in after
        assert len(after) == (2 if table == "meta" and schema < SCHEMAS[-1] else 1)  # who migrated is noted there
    connection.close()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_people_and_messages_are_there(tmp_path: Path, schema: int) -> None:
    tx = migrated(tmp_path / "x.db", schema)
    assert meta.load_profile(tx) == PROFILE
    (bob,) = contacts.everyone(tx)
    row = ROWS["contact"]
    assert (bob.uid, bob.name, bob.number) == (ContactId(b"contact9"), "Bob", row["number"])
    assert (bob.state, bob.trust, bob.root) == ("matched", "verified", ROOT)
    assert (bob.epoch_ms, bob.highest_ms) == (row["epoch_ms"], row["highest_ms"])
    assert contacts.by_root(tx, ROOT) == bob
    assert [claimant.root for claimant in contacts.claimants(tx, 9)] == [bob.root]
    assert [peer.published for peer in contact_peers.of_contact(tx, 9)] == [True]
    (message,) = messages.page(tx, 9, None, 10)
    state = "held" if schema >= WITH_MAILBOXES else "sent"
    assert (message.text, message.state, message.created_ms) == ("How are you?", state, NOW_MS)
    assert [row.id for row in messages.unsealed(tx, 9, 0, 10, 1_000)] == [11]
    assert contacts.take_n(tx, 9) == 2
    assert messages.highest(tx) == 11
    assert [event.subject for event in eventlog.after(tx, 0, 10)] == [11]
    assert idempotency.recall(tx, "a key", b"digest") == b"result"
    assert len(known_peers.load(tx)) == 1
    tx.execute("DELETE FROM idempotency")
    contacts.remove(tx, 9)
    assert tx.all("SELECT * FROM session") == tx.all("SELECT * FROM message") == tx.all("SELECT * FROM envelope") == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_sessions_go_on_and_prekeys_are_found(tmp_path: Path, schema: int) -> None:
    tx = migrated(tmp_path / "x.db", schema)
    (row,) = sessions.of_contact(tx, 9)
    (waiting,) = sessions.unacknowledged(tx, row.id, 0, 10)
    theirs, _, ack = open_envelope(THEIRS, waiting.envelope, NOW_S, ENTROPY, PRODUCTION)
    sent = sessions.sent(tx, waiting.eid)
    assert sent is not None
    assert sent.ack == ack
    sessions.settle(tx, sent.id)
    _, sealed = seal(theirs, HELLO, ENTROPY, PRODUCTION)
    ours, content, _ = open_envelope(row.session, sealed.envelope, NOW_S, ENTROPY, PRODUCTION)
    assert content == HELLO
    row = sessions.save(tx, row, ours, 2)
    assert sessions.get(tx, row.id) == row
    assert sessions.add(tx, 9, session_pair(ENTROPY)[0]).id == 7
    assert sessions.received_ack(tx, bytes(ROWS["received"]["eid"])) is not None  # type: ignore[call-overload]
    assert prekeys.newest_spk(tx, NOW_S) == SPK
    assert prekeys.take(tx, PREKEY.prekey_id, NOW_S) == PREKEY
    prekeys.accepted(tx, PREKEY, bytes(16), PRODUCTION)
    assert prekeys.take(tx, PREKEY.prekey_id, NOW_S) is None
    assert prekeys.is_replayed(tx, bytes(16))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_discovery_goes_on(tmp_path: Path, schema: int) -> None:
    tx = migrated(tmp_path / "x.db", schema)
    newest = pairs.newest_idsec(tx)
    assert newest == (229, PAIR.idsec)
    assert pairs.root(tx, 9, PROFILE.number, "+821098765432", 229) == PAIR.root
    assert [load_pair(raw, PAIR.idsec) for raw in pairs.slots(tx, 9)] == [PAIR]
    published = pairs.published(tx, bytes(ROWS["published"]["loc"]))  # type: ignore[call-overload]
    assert published is not None
    pairs.save_published(tx, 9, published)
    if schema >= 2:
        own = presence.own(tx)
        assert own is not None
        assert own.ask == (ROWS["presence_own"]["ask"] if schema >= 3 else PROFILE.ask)
        presence.add_own(tx, own.__class__(2, own.seed, own.epoch, own.key, own.ask, NOW_S))
        presence.end_own(tx, 2, NOW_S)
        assert [ended.n for ended in presence.ended_own(tx)] == [1]
        given = presence.held(tx, 9)
        assert given is not None
        assert given.key.n == 2
    if schema >= 3:
        (invite,) = invites.everyone(tx)
        assert (invite.id, invite.uses, invite.used) == (3, 5, 1)
        assert invites.slot(tx, 3, 229, 2976) is not None
        assert [notice.kind for notice in notices.unsealed(tx, 9, 99)] == [3]
        proof = proofs.get(tx, 9, own=True)
        assert proof is not None
        assert proof.lives(NOW_S, 600)
        assert held.page(tx, 0, 10)[0] == 2
    held.begin(tx, PeerId(b"own"))
