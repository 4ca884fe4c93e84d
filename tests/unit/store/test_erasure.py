"""Deletion is deletion, on the bytes of the files: no row, no free page, no gap of a page, no log has what is gone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from p2pchat.base.ids import PeerId
from p2pchat.core.keys import create_identity
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.prekeys import PrekeySecret, SignedPrekey, make_bundle, make_signed_prekey
from p2pchat.core.session import Session, open_envelope, seal
from p2pchat.store import migrate, prekeys, sessions
from p2pchat.store.db import Tx
from p2pchat.store.sessions import SessionRow
from p2pchat.store.sqlite import Connection, checkpoint, connect
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, session_pair
from tests.unit.store.raw_pages import leaves, raw_pages

KEY = bytes(range(32))
ENTROPY = SeededEntropy(1)
ME = create_identity(ENTROPY, NOW_S * 1000)
OFTEN = replace(PRODUCTION, kem_every=4)  # states of many sizes


class File:
    """A store on disk, in which time stands still but for ``now_s``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_s = NOW_S
        self.connection: Connection = connect(path, KEY)
        migrate.migrate(self.connection)
        for number in range(20):
            values = (number.to_bytes(8, "big"), str(number))
            self.connection.execute(
                "INSERT INTO contact (uid, name, state, trust) VALUES (?, ?, 'matched', '')", values
            )

    @property
    def tx(self) -> Tx:
        return Tx(self.connection, self.now_s * 1000)

    def holds(self, secrets: set[bytes]) -> set[bytes]:
        """Which of them stand anywhere in the files."""
        raw = raw_pages(self.path, KEY)
        return {secret for secret in secrets if secret in raw}

    def settle(self) -> None:
        assert checkpoint(self.connection)
        log = self.path.with_name(self.path.name + "-wal")
        assert log.stat().st_size == 0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    opened = File(tmp_path / "x.db")
    yield opened
    opened.connection.close()


def give(file: File, spk: SignedPrekey, requester: bytes = b"somebody") -> PrekeySecret:
    secret = make_bundle(ME, spk, ENTROPY, file.now_s, PRODUCTION)
    prekeys.add(file.tx, secret, PeerId(requester))
    return secret


def one_time(secret: PrekeySecret) -> set[bytes]:
    assert secret.opk is not None
    return {secret.opk.secret, secret.kem_seed, secret.kem_seed[:32], secret.kem_seed[32:]}


def keys_of(session: Session) -> set[bytes]:
    """Every secret of the ratchet's state but the header keys."""
    state = session.ratchet
    keys = {state.rk, state.dhs.secret, *(skipped.key for skipped in state.skipped)}
    if state.sending is not None:
        keys.add(state.sending.key)
        if state.sending.kem_seed is not None:
            keys.add(state.sending.kem_seed)
    return keys if state.receiving is None else keys | {state.receiving.key}


def test_the_pairs_of_a_bundle_that_was_used_are_gone_and_the_signed_prekey_22_days_later(file: File) -> None:
    spk = make_signed_prekey(ENTROPY, NOW_S)
    prekeys.add_spk(file.tx, spk)
    secret = give(file, spk)
    assert file.holds(one_time(secret)) == one_time(secret)  # else the test would see nothing
    prekeys.accepted(file.tx, secret, bytes(16), PRODUCTION)
    file.settle()
    assert file.holds(one_time(secret)) == set()
    assert file.holds({spk.pair.secret})
    file.now_s = NOW_S + 22 * DAY_S
    prekeys.prune(file.tx, PRODUCTION)
    file.settle()
    assert file.holds({spk.pair.secret})
    assert prekeys.is_replayed(file.tx, bytes(16))
    file.now_s += 1
    prekeys.prune(file.tx, PRODUCTION)
    file.settle()
    assert not file.holds({spk.pair.secret})
    assert not prekeys.is_replayed(file.tx, bytes(16))


def test_the_pairs_of_a_bundle_that_nobody_used_are_gone_after_24_hours(file: File) -> None:
    spk = make_signed_prekey(ENTROPY, NOW_S)
    secret = give(file, spk)
    file.now_s += DAY_S - 1
    prekeys.prune(file.tx, PRODUCTION)
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) == secret
    file.now_s += 1
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) is None
    prekeys.prune(file.tx, PRODUCTION)
    file.settle()
    assert file.holds(one_time(secret) | {spk.pair.secret}) == set()


def test_what_a_clock_that_was_ahead_has_made_goes_and_is_given_to_nobody(file: File) -> None:
    file.now_s = NOW_S + 365 * DAY_S
    spk = make_signed_prekey(ENTROPY, file.now_s)
    prekeys.add_spk(file.tx, spk)
    used, unused = give(file, spk), give(file, spk)
    prekeys.accepted(file.tx, used, bytes(16), PRODUCTION)
    file.now_s = NOW_S
    assert prekeys.newest_spk(file.tx, NOW_S + PRODUCTION.skew_s) is None
    prekeys.prune(file.tx, PRODUCTION)
    file.settle()
    assert file.holds(one_time(unused) | {spk.pair.secret}) == set()
    assert not prekeys.is_replayed(file.tx, bytes(16))


def test_the_states_that_a_ratchet_has_left_are_gone(file: File) -> None:
    a, b = session_pair(ENTROPY, OFTEN)
    row = sessions.add(file.tx, 1, a)
    left: set[bytes] = set()

    def becomes(session: Session) -> None:
        nonlocal row
        left.update(keys_of(row.session))
        row = sessions.save(file.tx, row, session)

    for number in range(40):
        ours, sealed = seal(row.session, HELLO, ENTROPY, OFTEN)
        becomes(ours)
        if number % 3:
            b, _, _ = open_envelope(b, sealed.envelope, NOW_S, ENTROPY, OFTEN)
        b, lost = seal(b, HELLO, ENTROPY, OFTEN)
        b, sealed = seal(b, HELLO, ENTROPY, OFTEN)
        theirs, _, _ = open_envelope(row.session, sealed.envelope, NOW_S, ENTROPY, OFTEN)
        becomes(theirs)
        if number % 4:
            theirs, _, _ = open_envelope(row.session, lost.envelope, NOW_S, ENTROPY, OFTEN)
            becomes(theirs)
    left -= keys_of(row.session)
    assert len(left) > 150
    assert file.holds(left)  # in the log: it is emptied when nothing is done, and every minute
    file.settle()
    assert file.holds(keys_of(row.session)) == keys_of(row.session)
    assert file.holds(left) == set()
    sessions.forget(file.tx, row.id)
    file.settle()
    assert file.holds(keys_of(row.session)) == set()


def test_secrets_never_stand_on_a_page_whose_rows_move(file: File) -> None:
    secret = give(file, make_signed_prekey(ENTROPY, NOW_S))
    a, _ = session_pair(ENTROPY, OFTEN)
    row = sessions.add(file.tx, 1, a)
    file.settle()
    for wanted in (*one_time(secret), *keys_of(row.session)):
        assert file.holds({wanted})
        assert not any(wanted in leaf for leaf in leaves(file.path, KEY))


@pytest.mark.parametrize("seed", range(2))
def test_hundreds_of_rows_that_come_change_and_go_in_any_order(seed: int, file: File) -> None:
    chance = random.Random(seed)
    spk = make_signed_prekey(ENTROPY, NOW_S)
    gone: set[bytes] = set()
    rows: dict[int, SessionRow] = {}
    ends: dict[int, Session] = {}
    bundles: list[PrekeySecret] = []

    def becomes(row: SessionRow, session: Session) -> None:
        gone.update(keys_of(row.session) - keys_of(session))
        rows[row.id] = sessions.save(file.tx, row, session)

    def begin() -> None:
        a, b = session_pair(ENTROPY, OFTEN)
        contacts = Counter(r.contact for r in rows.values())
        row = sessions.add(file.tx, min(range(1, 21), key=lambda c: contacts[c]), a)
        rows[row.id], ends[row.id] = row, b

    def exchange() -> None:
        row = rows[chance.choice(list(rows))]
        ours, sealed = seal(row.session, HELLO, ENTROPY, OFTEN)
        becomes(row, ours)
        end, _, _ = open_envelope(ends[row.id], sealed.envelope, NOW_S, ENTROPY, OFTEN)
        ends[row.id], sealed = seal(end, HELLO, ENTROPY, OFTEN)
        if chance.random() < 0.8:
            row = rows[row.id]
            theirs, _, _ = open_envelope(row.session, sealed.envelope, NOW_S, ENTROPY, OFTEN)
            becomes(row, theirs)

    def end() -> None:
        row = rows.pop(chance.choice(list(rows)))
        gone.update(keys_of(row.session))
        sessions.forget(file.tx, row.id)

    def ask() -> None:
        bundles.append(give(file, spk, chance.randbytes(38)))

    def use() -> None:
        used = bundles.pop(chance.randrange(len(bundles)))
        gone.update(one_time(used))
        prekeys.accepted(file.tx, used, used.prekey_id, PRODUCTION)

    file.connection.execute("PRAGMA synchronous = OFF")
    for _ in range(60):
        begin()
        ask()
    for _ in range(300):
        step = chance.choice((exchange, exchange, exchange, ask, use, begin if len(rows) < 80 else end))
        if step is not use or bundles:
            step()
    file.settle()
    live = set().union(*(keys_of(row.session) for row in rows.values()))
    assert file.holds(live) == live
    assert len(gone) > 400
    assert file.holds(gone) == set()


def test_what_strangers_ask_for_pushes_out_nothing_that_a_contact_has_asked_for(file: File) -> None:
    spk = make_signed_prekey(ENTROPY, NOW_S)
    file.connection.execute(
        "INSERT INTO contact_peer (contact, peer, addresses, published) VALUES (1, ?, x'90', 1)", (b"Bob",)
    )
    theirs = give(file, spk, b"Bob")
    stranger = give(file, spk, b"a stranger in good faith")
    ask = partial(give, file, spk)
    for number in range(1_022):
        ask(b"%d" % (number // 8))
    assert prekeys.take(file.tx, stranger.prekey_id, NOW_S) is not None  # as many others as fit
    ask(b"one more")
    assert prekeys.take(file.tx, stranger.prekey_id, NOW_S) is None
    assert prekeys.take(file.tx, theirs.prekey_id, NOW_S) is not None
    assert file.tx.one("SELECT count(*) FROM prekey") == (1_024,)
