"""Find messages by their words: a step at a time, so that whatever else waits for the store is done between.

A page is whole: it ends early at the last message alone, however long that takes where the index is behind.

Source: docs/ARCHITECTURE.md, "Search".
"""

from __future__ import annotations

from functools import partial

from p2pchat.base.errors import UsageError
from p2pchat.core.words import Query
from p2pchat.services.context import Context
from p2pchat.store.messages import MessageRow
from p2pchat.store.word_search import Search, step


def query(text: str, param: str) -> Query:
    """What ``text`` asks for.

    Raises:
        UsageError: INVALID_PARAMS of ``param``, nothing in it can be found.
    """
    parsed = Query.of(text)
    if not parsed.pieces:
        raise UsageError(f"{param}: has no letter, digit or symbol to search for", data={"param": param})
    return parsed


async def find(context: Context, search: Search, position: int | None, limit: int) -> list[MessageRow]:
    """The next ``limit`` messages that fit beyond ``position``, in order; fewer where there are no more."""
    found: list[MessageRow] = []
    while len(found) < limit:
        reached = await context.db.run(partial(step, search=search, position=position, limit=limit - len(found)))
        found += reached.rows
        position = reached.position
        if position is None:
            break
    return found
