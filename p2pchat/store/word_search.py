"""Messages in which a query stands, step by step, from the newest on or from the oldest.

Rules:

- What the index holds is found by it, a block at a time; what it does not hold yet is read. Nothing is left out.
- The index may lead to messages that do not fit: each is looked at itself.
- A step ends after ``STEP_S``, found or not, and says where the next one goes on: nobody else's job waits longer.

Source: docs/ARCHITECTURE.md, "Search".
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from p2pchat.core.words import Query, Term
from p2pchat.store import messages
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.word_index import BLOCK, contact_token, indexed, token_of

STEP_S: Final = 0.005

_FEW: Final = 16
"""So many messages are read sooner than the lists of further terms are."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, where, and in which direction.

    Args:
        contact: of one conversation; None: of all.
        rising: from the oldest on.
    """

    query: Query
    contact: int | None = None
    rising: bool = False

    def fits(self, row: MessageRow) -> bool:
        """Whether it is of those."""
        return self.contact in (None, row.contact) and row.text is not None and self.query.fits(row.text)


@dataclass(frozen=True, slots=True)
class Step:
    """What was found. ``position``: beyond it the next step goes on; None: there is nothing more."""

    rows: list[MessageRow]
    position: int | None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Messages ``low`` to ``high``, both included, of one block."""

    low: int
    high: int
    indexed: bool


def step(tx: Tx, search: Search, position: int | None, limit: int) -> Step:
    """Up to ``limit`` messages beyond ``position`` (None: from the end), as many as are found in ``STEP_S``.

    Concurrency: it always gets further, if only by one message.
    """
    late = time.monotonic() + STEP_S
    rows: list[MessageRow] = []
    if not search.query.pieces:
        return Step(rows, None)
    for stretch in _stretches(tx, position, search.rising):
        for row in _candidates(tx, search, stretch):
            if search.fits(row):
                rows.append(row)
            if len(rows) == limit or time.monotonic() > late:
                return Step(rows, row.id)
        position = stretch.high if search.rising else stretch.low
        if time.monotonic() > late:
            return Step(rows, position)
    return Step(rows, None)


def _stretches(tx: Tx, position: int | None, rising: bool) -> Iterator[_Stretch]:
    """All beyond ``position``, in order."""
    upto, highest = indexed(tx), messages.highest(tx)
    low, high = 1, highest
    if position is not None:
        low, high = (position + 1, highest) if rising else (1, min(position - 1, highest))
    if low > high:
        return
    blocks = range(low // BLOCK, high // BLOCK + 1)
    for block in blocks if rising else reversed(blocks):
        first, last = max(low, block * BLOCK), min(high, (block + 1) * BLOCK - 1)
        parts = (_Stretch(first, min(last, upto), True), _Stretch(max(first, upto + 1), last, False))
        for part in parts if rising else reversed(parts):
            if part.low <= part.high:
                yield part


def _candidates(tx: Tx, search: Search, stretch: _Stretch) -> Iterable[MessageRow]:
    """Messages of ``stretch``, in order, among them all that fit."""
    if not stretch.indexed:
        return messages.between(tx, search.contact, stretch.low, stretch.high, search.rising)
    block, terms = stretch.low // BLOCK, list(search.query.terms())
    if search.contact is not None:
        few = messages.ids_between(tx, search.contact, stretch.low, stretch.high, _FEW + 1)
        if len(few) <= _FEW:
            return messages.these(tx, sorted(few, reverse=not search.rising))
    for term in _promising(terms):
        few = _matching(tx, _quoted(block, term), stretch)
        if len(few) <= _FEW:
            return messages.these(tx, sorted(few, reverse=not search.rising))
    if search.contact is not None:
        terms.append(Term(contact_token(search.contact), False))
    expression = " AND ".join(_quoted(block, term) for term in terms)
    return messages.matching(tx, expression, stretch.low, stretch.high, search.rising)


def _promising(terms: list[Term]) -> list[Term]:
    """Those of several terms that few messages may have: what is whole, and the longest beginning.

    FTS5 would gather the lists of all the beginnings first.
    """
    if len(terms) == 1:
        return []
    beginnings = sorted((term for term in terms if term.begins), key=lambda term: len(term.token))
    return [term for term in terms if not term.begins][:1] + beginnings[-1:]


def _matching(tx: Tx, expression: str, stretch: _Stretch) -> list[int]:
    """One more than ``_FEW`` at most."""
    rows = tx.all(
        "SELECT rowid FROM word WHERE word MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?",
        (expression, stretch.low, stretch.high, _FEW + 1),
    )
    return [row[0] for row in rows]


def _quoted(block: int, term: Term) -> str:
    """``term`` in FTS5's language, of which nothing but the quotes and the star is a sign: no token holds a quote."""
    return f'"{token_of(block, term.token)}"' + (" *" if term.begins else "")
