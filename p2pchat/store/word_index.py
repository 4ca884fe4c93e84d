"""The index of words: which messages hold a token (:mod:`p2pchat.core.words`), in an FTS5 table that keeps no text.

Rules:

- It is filled behind the messages, in batches, in the order of their ids: within a send it would cost half of the
  throughput. One mark says up to which id it goes, and moves in the transaction of the batch. What is beyond it is to
  be looked at itself.
- Every token is of a block of ``BLOCK`` messages and begins with its number, and so does one for the contact. Looking
  up the beginning of a word, FTS5 gathers all that begin so before it gives the first: of 10⁶ messages that takes
  300 ms, of a block 3.
- What is deleted leaves the index in the same transaction, and its pages. One message takes 5 ms; where many go, the
  whole index does and is made anew.
- What is taken out must be what was put in: an index by other rules is not used, and goes with the next batch.

Source: docs/ARCHITECTURE.md, "Search".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from p2pchat.base.silent import Silent
from p2pchat.core.words import RULES, tokens
from p2pchat.store import meta
from p2pchat.store.db import Tx

BLOCK: Final = 8192
"""Messages whose tokens lie together."""

BATCH: Final = 64
"""Messages that are put in at once; fewer wait for others."""

_TAKEN_OUT_AT_MOST: Final = 200  # one by one; all of 10⁶ go in a second or two, and are put in again in minutes
_MERGED_PAGES: Final = 32  # a batch brings one or two, and each is merged some seven times
_MARK: Final = "indexed"
_ROWS: Final = "SELECT id, contact, text FROM message WHERE text IS NOT NULL AND id"


class _Mark(Silent, msgspec.Struct, frozen=True, array_like=True):
    """The index goes up to the message ``upto``, by ``rules``."""

    rules: str = RULES
    upto: int = 0


_mark: Final = msgspec.msgpack.Decoder(_Mark)


def token_of(block: int, token: str) -> str:
    """``token`` as the index holds it of a message of ``block``."""
    return f"{block:05x}{token}"


def contact_token(contact: int) -> str:
    """The token that every message of ``contact`` has; none of a text begins with that sign."""
    return f"@{contact:x}"


def indexed(tx: Tx) -> int:
    """The index holds every message up to this id, and none beyond it."""
    mark = _load(tx)
    return mark.upto if mark.rules == RULES else 0


def add_batch(tx: Tx) -> bool:
    """Put the next ``BATCH`` messages in, if there are as many; whether there were."""
    mark = _load(tx)
    if mark.rules != RULES:
        wipe(tx)
        mark = _Mark()
    rows = tx.all("SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?", (mark.upto, BATCH))
    if len(rows) < BATCH:
        return False
    upto = int(rows[-1][0])
    _put(tx, tx.all(f"{_ROWS} BETWEEN ? AND ?", (mark.upto + 1, upto)))
    tx.execute("INSERT INTO word (word, rank) VALUES ('merge', ?)", (_MERGED_PAGES,))
    _save(tx, upto)
    return True


def forget(tx: Tx, messages: Sequence[int]) -> None:
    """Take messages out: to be called before they are deleted, or get another contact, in the same transaction."""
    upto = indexed(tx)
    known = [message for message in messages if message <= upto]
    if len(known) > _TAKEN_OUT_AT_MOST or (messages and upto < _load(tx).upto):
        wipe(tx)
        return
    for message in known:
        for row in tx.all(f"{_ROWS} = ?", (message,)):
            tx.execute("INSERT INTO word (word, rowid, tokens) VALUES ('delete', ?, ?)", (message, _document(*row)))


def put_back(tx: Tx, messages: Sequence[int]) -> None:
    """Put in again what :func:`forget` took out, if it is still there."""
    upto = indexed(tx)
    for message in messages:
        if message <= upto:
            _put(tx, tx.all(f"{_ROWS} = ?", (message,)))


def wipe(tx: Tx) -> None:
    """Empty the index; it is filled again from the first message on."""
    tx.execute("INSERT INTO word (word) VALUES ('delete-all')")
    _save(tx, 0)


def _put(tx: Tx, rows: Sequence[tuple[int, int, str]]) -> None:
    tx.many("INSERT INTO word (rowid, tokens) VALUES (?, ?)", [(row[0], _document(*row)) for row in rows])


def _document(message: int, contact: int, text: str) -> str:
    block = message // BLOCK
    return " ".join(token_of(block, token) for token in (contact_token(contact), *tokens(text)))


def _load(tx: Tx) -> _Mark:
    data = meta.get(tx, _MARK)
    return _Mark() if data is None else _mark.decode(data)


def _save(tx: Tx, upto: int) -> None:
    meta.put(tx, _MARK, msgspec.msgpack.encode(_Mark(upto=upto)))
