"""Migrations: numbered without gaps, whole or not at all, and a newer schema is refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from p2pchat.base.errors import SchemaTooNew
from p2pchat.base.ids import PeerId
from p2pchat.core.storer import Held
from p2pchat.store import contact_peers, contacts, held, migrate
from p2pchat.store.db import Tx
from p2pchat.store.sqlite import Connection, connect

KEY = bytes(32)


def tables(connection: Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_numbers_have_no_gap() -> None:
    assert [number for number, _ in migrate.migrations()] == list(range(1, len(migrate.migrations()) + 1))


def test_every_table_of_the_sql_is_made_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.db", KEY)
    migrate.migrate(connection)
    wanted = {name for _, sql in migrate.migrations() for name in re.findall(r"CREATE TABLE (\w+)", sql)}
    assert wanted <= tables(connection)
    before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    migrate.migrate(connection)
    assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.db", KEY)
    migrate.migrate(connection)
    connection.execute("PRAGMA user_version = 9999")
    with pytest.raises(SchemaTooNew, match="9999"):
        migrate.migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (9999,)
    connection.close()


def test_a_failure_in_the_middle_leaves_the_schema_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*migrate.migrations(), (len(migrate.migrations()) + 1, "CREATE TABLE half (x); CREATE TABLE meta (y);")]
    connection = connect(tmp_path / "x.db", KEY)
    migrate.migrate(connection)
    before = tables(connection)
    monkeypatch.setattr(migrate, "migrations", lambda: broken)
    with pytest.raises(Exception, match="already exists"):
        migrate.migrate(connection)
    assert tables(connection) == before
    assert connection.execute("PRAGMA user_version").fetchone() == (len(broken) - 1,)
    connection.close()


def test_what_the_first_schema_held_is_there_after_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrate.migrations()
    connection = connect(tmp_path / "x.db", KEY)
    monkeypatch.setattr(migrate, "migrations", lambda: known[:1])
    migrate.migrate(connection)
    connection.execute(
        "INSERT INTO contact (uid, name, number, state, trust) VALUES (x'0102030405060708', 'Bob', '+1', 'matched', '')"
    )
    connection.execute("INSERT INTO contact_peer (contact, peer, addresses, published) VALUES (1, x'00', x'90', 1)")
    connection.execute("INSERT INTO claimant VALUES (1, zeroblob(32), x'00')")
    monkeypatch.setattr(migrate, "migrations", lambda: known)
    migrate.migrate(connection)
    tx = Tx(connection, 0)
    (row,) = contacts.everyone(tx)
    assert (row.name, row.state, row.heard_ms) == ("Bob", "matched", 0)
    assert [peer.published for peer in contact_peers.of_contact(tx, row.id)] == [True]
    assert [claimant.first_seen_ms for claimant in contacts.claimants(tx, row.id)] == [0]
    connection.close()


def test_what_is_held_for_others_has_room_from_the_third_schema_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrate.migrations()
    connection = connect(tmp_path / "x.db", KEY)
    monkeypatch.setattr(migrate, "migrations", lambda: known[:2])
    migrate.migrate(connection)
    connection.execute("INSERT INTO known_peer VALUES (x'01', x'90', 7)")
    monkeypatch.setattr(migrate, "migrations", lambda: known)
    migrate.migrate(connection)
    tx = Tx(connection, 0)
    assert tx.all("SELECT peer, addresses, seen_s, since_s FROM known_peer") == [(b"\x01", b"\x90", 7, 7)]
    held.begin(tx, PeerId(b"own"))
    entry = Held(bytes(32), bytes(969), b"prefix", bytes(32), 1, 2, 3)
    for newest in (entry, entry._replace(seq=5)):
        held.save(tx, [newest], [])
        assert held.page(tx, 0, 10)[1] == [newest]
    held.begin(tx, PeerId(b"own"))
    assert len(held.page(tx, 0, 10)[1]) == 1
    held.begin(tx, PeerId(b"other"))
    assert held.page(tx, 0, 10) == (0, [])
    connection.close()


@pytest.mark.parametrize(("with_session", "kept"), [(None, 1), (1, 1), (2, 2)])
def test_of_two_contacts_with_one_root_the_one_that_is_written_to_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_session: int | None, kept: int
) -> None:
    known = migrate.migrations()
    connection = connect(tmp_path / "x.db", KEY)
    monkeypatch.setattr(migrate, "migrations", lambda: known[:3])
    migrate.migrate(connection)
    for uid in (b"first...", b"second.."):
        connection.execute(
            "INSERT INTO contact (uid, name, state, trust, root) VALUES (?, 'Bob', 'matched', '', zeroblob(32))", (uid,)
        )
    connection.execute("INSERT INTO contact (uid, name, state, trust) VALUES (x'00', 'Carol', 'pending', '')")
    if with_session is not None:
        connection.execute(
            "INSERT INTO session (contact, ad, core, skipped, used_s) VALUES (?, x'00', x'00', x'00', 0)",
            (with_session,),
        )
    monkeypatch.setattr(migrate, "migrations", lambda: known)
    migrate.migrate(connection)
    rows = contacts.everyone(Tx(connection, 0))
    assert [(row.id, row.state) for row in rows if row.root is not None] == [(kept, "matched")]
    assert [row.state for row in rows if row.root is None] == ["pending", "pending"]
    connection.close()


def test_nothing_that_was_agreed_with_the_root_holds_for_a_contact_that_loses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever claims the number next inherits the trust, and the node of the one that keeps it is the other's."""
    known = migrate.migrations()
    connection = connect(tmp_path / "x.db", KEY)
    monkeypatch.setattr(migrate, "migrations", lambda: known[:3])
    migrate.migrate(connection)
    for uid, state, number in (
        (b"first...", "matched", "+1"),
        (b"second..", "blocked", "+2"),
        (b"third...", "matched", None),
    ):
        connection.execute(
            "INSERT INTO contact (uid, name, state, trust, root, number, invite_secret) "
            "VALUES (?, 'Bob', ?, 'in_person', zeroblob(32), ?, zeroblob(32))",
            (uid, state, number),
        )
    for contact in (1, 3):
        connection.execute(
            "INSERT INTO session (contact, ad, core, skipped, used_s) VALUES (?, ?, x'00', x'00', 0)",
            (contact, contact),
        )
        connection.execute(
            "INSERT INTO contact_peer (contact, peer, addresses, published) VALUES (?, x'01', x'90', 1)", (contact,)
        )
        connection.execute("INSERT INTO pair_slot VALUES (?, '', '', 0, 0, x'00')", (contact,))
    connection.execute("INSERT INTO pair_slot VALUES (2, '+0', '+2', 0, 0, x'00')")
    monkeypatch.setattr(migrate, "migrations", lambda: known)
    migrate.migrate(connection)
    tx = Tx(connection, 0)
    kept, blocked, lost = contacts.everyone(tx)
    assert [(row.state, row.trust, row.root is None) for row in (kept, blocked, lost)] == [
        ("matched", "in_person", False),
        ("blocked", "claimed", True),
        ("pending", "claimed", True),
    ]
    assert [row.invite_secret is None for row in (kept, blocked, lost)] == [False, True, True]
    assert [peer.contact for peer in contact_peers.of_node(tx, PeerId(b"\x01"))] == [kept.id]
    assert tx.all("SELECT contact FROM session") == [(kept.id,)]
    assert tx.all("SELECT contact FROM pair_slot ORDER BY contact") == [(kept.id,), (blocked.id,)]
    connection.close()
