"""One row for every table of the newest schema, with a value for every column; an older schema has some of them.

The values are what the store's own functions would have written, so that they can read them after the migrations.
"""

from __future__ import annotations

from typing import Final

import msgspec

from p2pchat.base.ids import Address
from p2pchat.core.discovery import encode_hello
from p2pchat.core.keys import create_identity, dump_identity
from p2pchat.core.pair import PairState, dump_pair
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import dump_prekey, make_bundle, make_signed_prekey
from p2pchat.core.ratchet import hints
from p2pchat.core.session import dump_session, dump_skipped, open_envelope, seal
from p2pchat.core.wire import TEXT, Item, Text, encode_content, encode_text
from p2pchat.store import migrate
from p2pchat.store.meta import Profile, encode_addresses
from p2pchat.store.sqlite import Connection
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, session_pair

Row = dict[str, object]

NOW_MS: Final = NOW_S * 1000
ENTROPY: Final = SeededEntropy(7)
IDENTITY: Final = create_identity(ENTROPY, NOW_MS)
PROFILE: Final = Profile(
    name="Alice",
    number="+821012345678",
    region="KR",
    identity=dump_identity(IDENTITY),
    node_seed=ENTROPY.bytes(32),
    ask=ENTROPY.bytes(32),
    store_id=ENTROPY.bytes(8),
)
_own, _theirs = session_pair(ENTROPY)
# one message is overtaken, and one waits for its ack
_theirs, _overtaken = seal(_theirs, HELLO, ENTROPY, PRODUCTION)
THEIRS, _sealed = seal(_theirs, HELLO, ENTROPY, PRODUCTION)
_own, _, _ack = open_envelope(_own, _sealed.envelope, NOW_S, ENTROPY, PRODUCTION)
_wire_id = ENTROPY.bytes(16)
_text = Item(_wire_id, TEXT, encode_text(Text(1, NOW_MS, "How are you?")))
SESSION, WAITING = seal(_own, encode_content([_text]), ENTROPY, PRODUCTION)
SPK: Final = make_signed_prekey(ENTROPY, NOW_S)
PREKEY: Final = make_bundle(IDENTITY, SPK, ENTROPY, NOW_S, PRODUCTION)
_idsec, _root = ENTROPY.bytes(32), ENTROPY.bytes(32)
_peer = b"\0\x24\x08\1\x12\x20" + ENTROPY.bytes(32)
_holder = b"\0\x24\x08\1\x12\x20" + ENTROPY.bytes(32)
_addresses = encode_addresses((Address(b"\4\x0a\0\0\1\6\x0f\xa1"),))
_met = b"\4\xcb\0\x71\1\6\x0f\xa1"
PAIR: Final = PairState(0, _root, 229, 2976, _idsec)

ROWS: Final[dict[str, Row]] = {
    "meta": {"key": "profile", "value": msgspec.msgpack.encode(PROFILE)},
    "idsec": {"era": 229, "secret": _idsec},
    "invite": {
        "id": 3,
        "uid": b"invite03",
        "secret": ENTROPY.bytes(32),
        "uses": 5,
        "used": 1,
        "ask": 1,
        "expires_s": NOW_S + 1,
        "closed": 0,
    },
    "contact": {
        "id": 9,
        "uid": b"contact9",
        "name": "Bob",
        "number": "+821098765432",
        "state": "matched",
        "trust": "verified",
        "root": bytes(SESSION.peer_root),
        "epoch_ms": SESSION.peer_epoch_ms,
        "highest_ms": SESSION.ms,
        "next_n": 2,
        "claimants": 1,
        "last_seen_ms": NOW_MS - 1,
        "pending_until_s": None,
        "flight_after_s": 5,
        "matched_s": NOW_S - 2,
        "heard_ms": NOW_MS - 3,
        "acked_n": 1,
        "invite": 3,
        "invite_secret": ENTROPY.bytes(32),
        "cert": b"cert",
        "receipts": 0,
        "read_position": 1,
        "read_n": 1,
        "order_ms": SESSION.peer_epoch_ms,
        "order_n": 4,
    },
    "claimant": {"contact": 9, "root": bytes(SESSION.peer_root), "cert": b"cert", "first_seen_ms": 77},
    "contact_peer": {
        "contact": 9,
        "peer": _peer,
        "addresses": _addresses,
        "ask": ENTROPY.bytes(32),
        "published": 1,
        "proven": 1,
        "met": _met,
        "seq": NOW_S,
    },
    "pair_root": {"contact": 9, "own": PROFILE.number, "number": "+821098765432", "era": 229, "root": _root},
    "pair_slot": {
        "contact": 9,
        "own": PROFILE.number,
        "number": "+821098765432",
        "era": 229,
        "epoch": 2976,
        "state": dump_pair(PAIR),
    },
    "published": {
        "loc": ENTROPY.bytes(32),
        "contact": 9,
        "data": encode_hello(0, bytes(32)),
        "seq": NOW_S,
        "bits": 16,
        "record": bytes(969),
        "republish_s": NOW_S + 9,
    },
    "spk": {"made_s": SPK.made_s, "secret": SPK.pair.secret},
    "prekey": {
        "id": 4,
        "prekey_id": PREKEY.prekey_id,
        "requester": _peer,
        "secret": dump_prekey(PREKEY),
        "expires_s": PREKEY.expires_s,
        "reusable": 0,
    },
    "session": {
        "id": 6,
        "contact": 9,
        "ad": SESSION.ad,
        "core": dump_session(SESSION),
        "skipped": dump_skipped(SESSION),
        "sealed_n": 1,
        "used_s": NOW_S,
        "presence_n": 1,
        "kept_s": NOW_S,
    },
    "session_hint": {"hint": min(hints(SESSION.ratchet)), "session": 6},
    "replay_tag": {"tag": ENTROPY.bytes(16), "until_s": NOW_S + 5},
    "received": {"id": 8, "eid": ENTROPY.bytes(16), "ack": _ack, "until_s": NOW_S + 6, "contact": 9},
    "message": {
        "id": 11,
        "contact": 9,
        "incoming": 0,
        "n": 1,
        "wire_id": _wire_id,
        "kind": 1,
        "text": "How are you?",
        "body": None,
        "state": "sent",
        "reason": "a reason",
        "created_ms": NOW_MS,
        "sent_ms": NOW_MS + 1,
        "delivered_ms": NOW_MS + 2,
        "read_ms": NOW_MS + 3,
        "live": 0,
        "held_ms": NOW_MS,
    },
    "gap": {
        "above": 10,
        "contact": 9,
        "device_ms": SESSION.peer_epoch_ms,
        "n0": 2,
        "n1": 3,
        "told": 1,
        "noted_s": NOW_S,
    },
    "late": {"message": 11, "contact": 9},
    "envelope": {
        "id": 12,
        "session": 6,
        "contact": 9,
        "eid": WAITING.eid,
        "ack": WAITING.ack,
        "n0": 1,
        "n1": 1,
        "bytes": WAITING.envelope,
        "presence_n": 1,
        "live": None,
    },
    "event": {"seq": 21, "ts_ms": NOW_MS, "kind": "message.sent", "subject": 11, "detail": b"detail", "more": 0},
    "consumer": {"name": "bot", "seq": 20, "types": "message.*", "acked_ms": NOW_MS, "made_ms": NOW_MS - 1},
    "rule": {"id": 71, "contact": 9, "peer": None, "network": None, "allow": 0, "made_ms": NOW_MS},
    "idempotency": {"key": "a key", "digest": b"digest", "result": b"result", "at_s": NOW_S},
    "known_peer": {
        "peer": _peer,
        "addresses": _addresses,
        "seen_s": NOW_S,
        "since_s": NOW_S,
        "failed_s": NOW_S,
        "failures": 1,
    },
    "presence_own": {
        "n": 1,
        "seed": ENTROPY.bytes(32),
        "epoch": 2976,
        "key": ENTROPY.bytes(32),
        "ask": ENTROPY.bytes(32),
        "made_s": NOW_S,
        "ends_s": None,
    },
    "contact_presence": {
        "contact": 9,
        "device_ms": SESSION.peer_epoch_ms,
        "n": 2,
        "gate": ENTROPY.bytes(32),
        "epoch": 2976,
        "key": ENTROPY.bytes(32),
        "seq": NOW_S,
        "said_s": NOW_S,
        "mailbox_key": ENTROPY.bytes(32),
        "bundle_key": ENTROPY.bytes(32),
        "mailboxes": b"\x90",
    },
    "meeting": {"contact": 9, "device_ms": SESSION.peer_epoch_ms, "ms": NOW_MS, "rdv": ENTROPY.bytes(32)},
    "invite_slot": {"invite": 3, "era": 229, "epoch": 2976, "state": dump_pair(PAIR)},
    "invite_refused": {"invite": 3, "root": ENTROPY.bytes(32)},
    "notice": {
        "contact": 9,
        "kind": 3,
        "wire_id": ENTROPY.bytes(16),
        "body": b"\x91\xc4\0",
        "until_s": NOW_S + 60,
        "envelope": 12,
    },
    "proof": {
        "contact": 9,
        "own": 1,
        "vid": ENTROPY.bytes(16),
        "key": ENTROPY.bytes(32),
        "until_s": NOW_S + 60,
        "tries": 1,
        "heard": ENTROPY.bytes(16),
        "closed": 0,
    },
    "held": {
        "id": 2,
        "loc": ENTROPY.bytes(32),
        "writer": ENTROPY.bytes(32),
        "seq": NOW_S,
        "expiry": NOW_S + 1,
        "work": 17,
        "prefix": b"prefix",
        "record": bytes(969),
    },
    "mailbox": {
        "id": 4,
        "owner": ENTROPY.bytes(32),
        "next_n": 7,
        "boxes": 1,
        "bytes": 1024,
        "seen_s": NOW_S,
    },
    "mailbox_bundle": {"mailbox": 4, "bundle": ENTROPY.bytes(64)},
    "mailbox_token": {"hash": ENTROPY.bytes(32), "mailbox": 4},
    "deposit": {
        "id": 3,
        "mailbox": 4,
        "n": 6,
        "arrived_s": NOW_S,
        "until_s": NOW_S + 60,
        "bytes": 1024,
        "box": ENTROPY.bytes(1024),
    },
    "mailbox_total": {"id": 1, "boxes": 1, "bytes": 1024},
    "mailbox_past": {"day": NOW_S // 86_400, "why": "fetched", "boxes": 5, "bytes": 5120},
    "own_mailbox": {
        "id": 2,
        "peer": _holder,
        "addresses": b"\x91\xc4\x01\x04",
        "contact": 9,
        "chosen": 1,
        "seed": ENTROPY.bytes(32),
        "token": ENTROPY.bytes(32),
        "earlier_token": ENTROPY.bytes(32),
        "earlier_until_s": NOW_S + 60,
        "granted_s": NOW_S,
        "quota": 1 << 26,
        "heard_s": NOW_S,
        "failed_s": 5,
        "ends_s": NOW_S + 120,
    },
    "blocked_peer": {"peer": _holder, "contact": 9},
    "mailbox_key": {"made_s": NOW_S, "secret": ENTROPY.bytes(32)},
    "custody": {"envelope": 12, "holder": _holder, "until_s": NOW_S + 60, "receipt": ENTROPY.bytes(96)},
}
"""In an order in which no row refers to one that is not there yet."""


def columns(connection: Connection) -> dict[str, list[str]]:
    """The columns of every table that the connected schema has; an index of words has none, and tables of its own."""
    names = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for (name,) in names}


def build(connection: Connection, schema: int) -> None:
    """Make a database of that schema, with a row in each of its tables and a value in each column."""
    for number, sql in migrate.migrations():
        if number <= schema:
            for statement in migrate.statements(sql):
                connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {schema:d}")
    there = columns(connection)
    for table, values in ROWS.items():
        if table in there:
            names = ", ".join(there[table])
            marks = ", ".join("?" for _ in there[table])
            row = [values[column] for column in there[table]]
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)  # noqa: S608  names of ours
