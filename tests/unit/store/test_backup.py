"""What leaves a database with a backup is what is declared, and comes back as it was."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from p2pchat.base.errors import Corrupt
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.backup import (
    Contact,
    Header,
    Invite,
    KnownPeer,
    Message,
    Owner,
    Receipts,
    Record,
    Settings,
    encode_record,
)
from p2pchat.core.keys import create_identity, dump_identity, load_identity
from p2pchat.core.session import dump_session, dump_skipped
from p2pchat.store import backup, contact_peers, contacts, known_peers, meetings, messages, meta, presence, receipts
from p2pchat.store.backup import KEPT, LEFT_OUT, PRESENCES_AHEAD
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming
from p2pchat.store.migrate import migrate
from p2pchat.store.restore import Restoration
from p2pchat.store.sqlite import Connection, connect
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import session_pair

NOW_MS = 1_800_000_000_000
EPOCH_MS = NOW_MS - 86_400_000
PEER = bytes.fromhex("002408011220") + bytes(range(32))
SIZES = {  # of what a form or the schema bounds
    "uid": 8,
    "wire_id": 16,
    "root": 32,
    "gate": 32,
    "key": 32,
    "rdv": 32,
    "secret": 32,
    "invite_secret": 32,
    "ask": 32,
}
IDENTITY = create_identity(SeededEntropy(5), EPOCH_MS)


@contextmanager
def database() -> Iterator[Connection]:
    connection = connect(None, bytes(32))
    try:
        migrate(connection)
        yield connection
    finally:
        connection.close()


def columns(connection: Connection) -> dict[str, dict[str, str]]:
    """Column → type, of every table but the index of words, which is made of the messages."""
    tables = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return {
        name: {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({name})")}
        for (name,) in tables.fetchall()
    }


def test_every_column_is_declared_as_kept_or_left_out_and_none_as_both() -> None:
    """Whoever adds a column says whether a backup holds it: here this fails, and docs/BACKUP.md tells the user."""
    declared = {table: sorted(KEPT.get(table, ()) + LEFT_OUT.get(table, ())) for table in KEPT.keys() | LEFT_OUT.keys()}
    with database() as connection:
        assert declared == {table: sorted(found) for table, found in columns(connection).items()}


@pytest.mark.parametrize(
    "secret",
    [
        *("session.core", "session.skipped", "spk.secret", "prekey.secret", "replay_tag.tag", "idsec.secret"),
        *("presence_own.seed", "presence_own.key", "presence_own.ask", "envelope.bytes", "envelope.ack", "meta.value"),
        *("pair_root.root", "pair_slot.state", "invite_slot.state", "proof.key", "received.ack", "published.record"),
    ],
)
def test_what_would_let_others_read_or_write_in_this_nodes_place_is_left_out(secret: str) -> None:
    table, _, column = secret.partition(".")
    assert column in LEFT_OUT[table]
    assert column not in KEPT.get(table, ())


def profile() -> meta.Profile:
    return meta.Profile("Alice", "+821012345678", "KR", dump_identity(IDENTITY), b"n" * 32, b"a" * 32, b"s" * 8)


def fill(tx: Tx) -> dict[str, bytes]:
    """One row in every table, a canary in every column that takes one: ``table.column`` → canary."""
    canaries: dict[str, bytes] = {}
    tables = columns(tx._connection)
    for table in tables:
        if table == "meta":
            continue
        values: dict[str, object] = {}
        for column, kind in tables[table].items():
            values[column], name = 1, f"{table}.{column}"
            if kind == "TEXT":
                values[column] = f"<{name}>"
                canaries[name] = f"<{name}>".encode()
            elif kind == "BLOB":
                canary = hashlib.blake2b(name.encode(), digest_size=SIZES.get(column, 40)).digest()
                values[column] = canaries[name] = canary
        # what has to have a form
        if "peer" in values and table not in ("own_mailbox", "blocked_peer", "rule"):
            values["peer"] = canaries[f"{table}.peer"] = PEER
        if "addresses" in values:
            address = canaries[f"{table}.addresses"]
            values["addresses"] = meta.encode_addresses((Address(address),))
        if table == "session":
            values["core"], values["skipped"] = _session()
            canaries.pop("session.core")
            canaries.pop("session.skipped")
        names = ", ".join(values)
        places = ", ".join("?" * len(values))
        tx.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values()))  # noqa: S608
    meta.save_profile(tx, profile())
    return canaries


def _session() -> tuple[bytes, bytes]:
    """One that nobody has answered yet."""
    session, _ = session_pair(SeededEntropy(9))
    return dump_session(session), dump_skipped(session)


def exported(tx: Tx) -> bytes:
    return b"".join(map(encode_record, backup.read(tx, b"")))


def test_only_what_is_declared_leaves_and_all_of_it() -> None:
    with database() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        tx = Tx(connection, NOW_MS)
        canaries = fill(tx)
        plain = exported(tx)
    kept = {f"{table}.{column}" for table, names in KEPT.items() for column in names}
    found = {name for name, canary in canaries.items() if canary in plain}
    references = {"message.contact", "contact.invite"}  # row ids here, uids there
    assert found == {name for name in canaries if name in kept} - references
    assert len(found) > 20
    assert len(canaries.keys() - found) > 30
    for secret in (profile().node_seed, profile().ask, profile().store_id, IDENTITY.device.secret, IDENTITY.ik.secret):
        assert secret not in plain
    assert IDENTITY.root.secret in plain


def peopled(tx: Tx) -> None:
    meta.save_profile(tx, profile())
    known_peers.add(tx, PeerId(PEER), (Address(b"\x04\x7f\x00\x00\x01\x06\x0f\xa1"),))
    tx.execute("INSERT INTO presence_own (n, seed, epoch, key) VALUES (4, zeroblob(32), 2, zeroblob(32))")
    tx.execute(
        "INSERT INTO invite (uid, secret, uses, used, ask, expires_s) VALUES (x'0102030405060708', zeroblob(32), 5, 2, "
        "1, 1900000000)"
    )
    tx.execute("INSERT INTO invite_refused VALUES (1, ?)", (b"r" * 32,))
    for number, name in enumerate(("Bob", "Carol", "Dave"), 1):
        tx.execute(
            "INSERT INTO contact (uid, name, number, state, trust, root, epoch_ms, highest_ms, next_n, invite, "
            "flight_after_s, acked_n, heard_ms) VALUES (?, ?, ?, 'matched', 'in_person', ?, 5, 6, 20, ?, 7, 8, 9)",
            (bytes((number,)) * 8, name, f"+82{number}", bytes((number,)) * 32, 1 if number == 3 else None),
        )
    tx.execute("INSERT INTO claimant VALUES (1, ?, x'01', 77)", (b"\1" * 32,))
    tx.execute(
        "INSERT INTO contact_presence (contact, device_ms, n, gate, epoch, key, seq) VALUES (1, 5, 2, ?, 30, ?, 99)",
        (b"g" * 32, b"k" * 32),
    )
    contact_peers.save(tx, 1, PeerId(PEER), (Address(b"\x04\x7f\x00\x00\x01\x06\x0f\xa1"),), b"q" * 32, 12)
    core, skipped = _session()
    tx.execute("INSERT INTO session (contact, ad, core, skipped, used_s) VALUES (1, x'00', ?, ?, 0)", (core, skipped))
    tx.execute("INSERT INTO meeting VALUES (2, 3, 4, ?)", (b"m" * 32,))
    for n, state in enumerate(("delivered", "sent", "queued", "failed"), 1):
        tx.execute(
            "INSERT INTO message (contact, incoming, n, wire_id, text, state, created_ms) VALUES (1, 0, ?, ?, ?, ?, 5)",
            (n, bytes((n,)) * 16, f"out {n}", state),
        )
    messages.receive(tx, 1, 1, [Incoming(9, b"\x21" * 16, 1, "in", None, 4)])
    messages.receive(tx, 2, 1, [Incoming(0, b"\x22" * 16, 99, None, b"later", tx.now_ms)])
    receipts.mark(tx, 1, 5)
    receipts.set_for_all(tx, on=False)
    receipts.set_for(tx, 1, True)
    receipts.set_for(tx, 3, False)


def restored(records: list[Record], tx: Tx, seed: int = 77) -> None:
    restoration = Restoration(tx, SeededEntropy(seed))
    for record in records:
        restoration.put(record)


def test_what_was_kept_comes_back_and_the_rest_is_new() -> None:
    with database() as old, database() as new:
        before, after = Tx(old, NOW_MS), Tx(new, NOW_MS + 1000)
        peopled(before)
        records = list(backup.read(before, b"[settings]"))
        assert [type(record) for record in records] == [
            *(Header, Owner, Settings, KnownPeer, Invite, Contact, Contact, Contact),
            *[Message] * 6,
            *[Receipts] * 3,
        ]
        restored(records, after)

        was, now = meta.load_profile(before), meta.load_profile(after)
        assert (now.name, now.number, now.region) == (was.name, was.number, was.region)
        assert not {now.node_seed, now.ask, now.store_id} & {was.node_seed, was.ask, was.store_id}
        device, earlier = load_identity(now.identity), load_identity(was.identity)
        assert device.root == earlier.root
        assert device.device != earlier.device
        assert device.ik != earlier.ik
        assert device.cert.epoch_ms == NOW_MS + 1000

        def conversation(tx: Tx) -> list[tuple[object, ...]]:
            return tx.all(
                "SELECT contact, incoming, n, wire_id, kind, text, body, state, created_ms, read_ms FROM message"
            )

        assert conversation(after) == conversation(before)
        assert known_peers.load(after) == known_peers.load(before)
        for table in ("claimant", "contact_presence", "contact_peer", "invite", "invite_refused"):
            rows = f"SELECT * FROM {table}"  # noqa: S608
            assert after.all(rows) == before.all(rows)
        for old_row, new_row in zip(contacts.everyone(before), contacts.everyone(after), strict=True):
            assert new_row.flight_after_s == 0
            for name in (
                "uid",
                "name",
                "number",
                "state",
                "trust",
                "root",
                "epoch_ms",
                "highest_ms",
                "next_n",
                "receipts",
            ):
                assert getattr(new_row, name) == getattr(old_row, name)
            assert new_row.invite == old_row.invite
            assert meetings.of_contact(after, new_row.id) == meetings.of_contact(before, old_row.id)
        assert [row.receipts for row in contacts.everyone(after)] == [True, None, False]
        assert receipts.for_all(after) is False
        assert len(meetings.of_contact(after, 1)) == len(meetings.of_contact(after, 2)) == 1
        assert presence.own(after) is None
        assert meta.load_before(after).presence_n == 4 + PRESENCES_AHEAD
        assert after.all("SELECT 1 FROM session UNION ALL SELECT 1 FROM event UNION ALL SELECT 1 FROM envelope") == []
        assert after.one("SELECT max(acked_n) FROM contact") == (0,)


def test_what_is_restored_from_a_device_that_was_replaced_is_newer_than_both() -> None:
    with database() as old, database() as new:
        before, after = Tx(old, NOW_MS), Tx(new, NOW_MS)
        peopled(before)
        newer_ms = NOW_MS + 500_000
        meta.save_replaced(before, newer_ms)
        records = list(backup.read(before, b""))
        (owner,) = [record for record in records if isinstance(record, Owner)]
        assert (owner.epoch_ms, owner.presence_n) == (newer_ms, 4 + PRESENCES_AHEAD)
        restored(records, after)
        assert load_identity(meta.load_profile(after).identity).cert.epoch_ms == newer_ms + 1
        assert meta.load_replaced(after) is None


def test_a_backup_of_what_was_restored_is_the_same_but_for_what_rises() -> None:
    with database() as old, database() as new:
        before, after = Tx(old, NOW_MS), Tx(new, NOW_MS)
        peopled(before)
        records = list(backup.read(before, b""))
        restored(records, after)
        again = list(backup.read(after, b""))
        assert [r for r in again if not isinstance(r, Owner)] == [r for r in records if not isinstance(r, Owner)]


@pytest.mark.parametrize(("behind_ms", "expected"), [(0, NOW_MS), (10 * 86_400_000, EPOCH_MS + 1)])
def test_the_new_device_is_dated_now_or_after_the_last(behind_ms: int, expected: int) -> None:
    with database() as old, database() as new:
        before, after = Tx(old, NOW_MS), Tx(new, NOW_MS - behind_ms)
        peopled(before)
        restored(list(backup.read(before, b"")), after)
        assert load_identity(meta.load_profile(after).identity).cert.epoch_ms == expected


@pytest.mark.parametrize(
    ("agreed", "acked", "expected"),
    [(False, 0, 0), (True, 0, NOW_MS + 365 * 86_400_000), (False, 8, NOW_MS + 365 * 86_400_000)],
)
def test_a_date_of_a_clock_that_was_ahead_counts_only_if_somebody_took_it(
    agreed: bool, acked: int, expected: int
) -> None:
    with database() as connection:
        tx = Tx(connection, NOW_MS)
        peopled(tx)
        ahead = create_identity(SeededEntropy(5), NOW_MS + 365 * 86_400_000)
        meta.save_profile(tx, msgspec.structs.replace(profile(), identity=dump_identity(ahead)))
        tx.execute("UPDATE contact SET acked_n = ?", (acked,))
        if agreed:
            _, session = session_pair(SeededEntropy(9))
            values = dump_session(session), dump_skipped(session)
            tx.execute("UPDATE session SET core = ?, skipped = ?", values)
        owner = list(backup.read(tx, b""))[1]
        assert isinstance(owner, Owner)
        assert owner.epoch_ms == expected


@pytest.mark.parametrize(("ahead_s", "counts"), [(600, True), (601, False)])
def test_a_date_within_the_skew_may_have_been_taken_without_an_answer(ahead_s: int, counts: bool) -> None:
    """A device that is restored within these minutes would else be older than the one that contacts know."""
    with database() as old, database() as new:
        before, after = Tx(old, NOW_MS), Tx(new, NOW_MS + 1000)
        peopled(before)
        ahead = create_identity(SeededEntropy(5), NOW_MS + ahead_s * 1000)
        before.execute("UPDATE contact SET acked_n = 0")
        meta.save_profile(before, msgspec.structs.replace(profile(), identity=dump_identity(ahead)))
        restored(list(backup.read(before, b"")), after)
        device = load_identity(meta.load_profile(after).identity)
        assert (device.cert.epoch_ms > ahead.cert.epoch_ms) is counts


def test_records_that_contradict_the_schema_are_corrupt() -> None:
    with database() as old, database() as new:
        before, after = Tx(old, NOW_MS), Tx(new, NOW_MS)
        peopled(before)
        records = list(backup.read(before, b""))
        with pytest.raises(Corrupt):
            restored([*records, records[-4]], after)


def test_a_long_history_is_not_read_at_once() -> None:
    with database() as connection:
        tx = Tx(connection, NOW_MS)
        peopled(tx)
        rows = [(n, os.urandom(16), "x" * 1000) for n in range(20_000)]
        tx.many(
            "INSERT INTO message (contact, incoming, n, wire_id, text, state, created_ms) "
            "VALUES (1, 1, ?, ?, ?, '', 1)",
            rows,
        )
        plan = tx.all(
            "EXPLAIN QUERY PLAN SELECT uid FROM message CROSS JOIN contact ON contact.id = message.contact "
            "ORDER BY message.id"
        )
        assert not any("TEMP B-TREE" in row[-1] for row in plan)
        tracemalloc.start()
        try:
            assert sum(1 for _ in backup.read(tx, b"")) == 20_000 + 16
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000
