"""What is stored of sessions."""

from __future__ import annotations

import pytest

from p2pchat.core.session import seal
from p2pchat.store import messages, notices, sessions
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.migrate import migrate
from p2pchat.store.notices import NoticeRow
from p2pchat.store.sqlite import connect
from p2pchat.testing.cluster import CHEAP
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import session_pair

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize("lives", [False, True])
def test_a_notice_that_went_with_what_expired_waits_again(lives: bool) -> None:
    entropy = SeededEntropy(1)
    connection = connect(None, bytes(32))
    try:
        migrate(connection)
        tx = Tx(connection, NOW_MS)
        tx.execute("INSERT INTO contact (uid, name, state, trust) VALUES (zeroblob(8), 'Bob', 'matched', 'claimed')")
        _, session = session_pair(entropy)
        row = sessions.add(tx, 1, session)
        notice = NoticeRow(3, bytes(16), b"asked")
        notices.put(tx, 1, notice, tx.now_s + 3600)
        old = MessageRow(1, 1, False, 1, b"m" * 16, 1, "old", "queued", None, tx.now_ms, None, None, None)
        messages.queue(tx, [old])
        _, sealed = seal(session, bytes(100), entropy, CHEAP)
        envelope = sessions.add_envelope(tx, row, sealed, 1, 1)
        notices.sealed(tx, 1, [notice.wire_id], envelope.id)
        assert notices.unsealed(tx, 1, row.id) == []
        messages.expire(tx, NOW_MS - 1 if lives else NOW_MS + 1)
        sessions.withhold_expired(tx)
        assert notices.unsealed(tx, 1, row.id) == ([] if lives else [notice])
        assert len(sessions.unacknowledged(tx, row.id, 0, 9)) == lives
    finally:
        connection.close()
