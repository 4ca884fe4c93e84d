"""Address books: fill the book from a file, and begin to look for those who are in it.

Rules:

- An import publishes nothing: what it adds is pending and not looked for. Looking is what lets somebody who targets one
  number see whom its owner looks for (PROTOCOL.md 3.3), so it is begun by name, or for all on purpose.
- An entry is added, known or refused with one sentence that holds neither name nor number; none stops the others.
- A number that is known keeps its contact's name, unless that was only the number. So importing twice changes nothing.
- A name that another contact has gets a number behind it: whoever is written to by name must be one. A name that is a
  phone number is none: it could be another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import msgspec
import trio

from p2pchat.api.language import marked
from p2pchat.base.errors import UsageError
from p2pchat.base.ids import ContactId
from p2pchat.base.limits import CONTACTS
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.names import NAME_CHARS, RESERVED, checked_name
from p2pchat.core.numbers import Number, parse_number
from p2pchat.services.contacts import NO_NUMBER, OWN_NUMBER, contact_event, resolve_other, snapshot
from p2pchat.services.context import Context
from p2pchat.store import contacts
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.meta import Profile

_READ_AT_ONCE: Final = 16
_FULL: Final = marked("The book is full: it has {count} contacts.")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says. ``line``: where, counted from 1."""

    line: int
    name: str | None = field(repr=False)
    number: Number = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry was not understood."""

    line: int
    reason: str = field(repr=False)


@dataclass(slots=True)
class Outcome:
    """What became of the entries of one call."""

    added: int = 0
    known: int = 0
    refused: list[Refusal] = field(default_factory=list[Refusal])


async def read(profile: Profile, raw: Iterable[tuple[int, str | None, str]]) -> list[Entry | Refusal]:
    """The entries (line, name, number) with their numbers normalised.

    Concurrency: it yields now and then; a number takes some tenths of a millisecond.
    """
    found: list[Entry | Refusal] = []
    for line, name, number in raw:
        found.append(_read(profile, line, name, number))
        if len(found) % _READ_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
    return found


def _read(profile: Profile, line: int, name: str | None, text: str) -> Entry | Refusal:
    try:
        number = parse_number(text, profile.region or None)
        if number == profile.number:
            return Refusal(line, OWN_NUMBER)
        return Entry(line, None if name is None else _own_name(name, profile), number)
    except UsageError as error:
        return Refusal(line, error.message)


def _own_name(name: str, profile: Profile) -> str | None:
    name = checked_name(name)
    try:
        parse_number(name, profile.region or None)
    except UsageError:
        return name
    return None


def add_all(tx: Tx, context: Context, entries: Sequence[Entry | Refusal]) -> Outcome:
    """Put what was read into the book."""
    outcome = Outcome()
    names = _Names(tx)
    room = CONTACTS - len(names)
    for entry in entries:
        if isinstance(entry, Refusal):
            outcome.refused.append(entry)
            continue
        known = contacts.by_number(tx, entry.number)
        if known is not None:
            outcome.known += 1
            if known.name == entry.number and entry.name is not None:
                contacts.set_name(tx, known.id, names.free(entry.name))
        elif outcome.added >= room:
            outcome.refused.append(Refusal(entry.line, _FULL.format(count=CONTACTS)))
        else:
            outcome.added += 1
            name = entry.number.e164 if entry.name is None else names.free(entry.name)
            row = contacts.add(tx, ContactId(context.entropy.bytes(8)), name, entry.number.e164, None)
            tx.emit(contact_event(tx, EventKind.CONTACT_ADDED, row.id))
    return outcome


class _Names:
    """The names in the book, and what to call somebody whose name is taken: "Minji Kim (2)"."""

    def __init__(self, tx: Tx) -> None:
        names = contacts.names(tx)
        self._count = len(names)
        self._taken = set(RESERVED).union(name.casefold() for name in names)
        self._tried: dict[str, count[int]] = {}

    def __len__(self) -> int:
        return self._count

    def free(self, name: str) -> str:
        """``name``, or the first like it that nobody has; it is taken from then on."""
        free = name
        if name.casefold() in self._taken:
            numbers = self._tried.setdefault(name.casefold(), count(2))
            endings = (f" ({number})" for number in numbers)
            spellings = (name[: NAME_CHARS - len(ending)] + ending for ending in endings)
            free = next(spelling for spelling in spellings if spelling.casefold() not in self._taken)
        self._taken.add(free.casefold())
        return free


def find(tx: Tx, context: Context, to: Sequence[str] | None) -> list[ContactRow]:
    """Look for those in the book, or go on for another while; who is not pending stays as they are.

    Args:
        to: names, numbers, beginnings of ids; None for everybody who is not looked for.

    Returns:
        the contacts that ``to`` names, or those whom the search began for.

    Raises:
        UsageError: INVALID_PARAMS on a node without a number; CONTACT_NOT_FOUND, AMBIGUOUS: then nobody is looked for.
    """
    if not context.profile.number:
        raise UsageError(NO_NUMBER)
    if to is None:
        pending = contacts.everyone(tx, "pending")
        rows = [row for row in pending if row.number is not None and not row.searching]
    else:
        rows = list({row.id: row for row in (resolve_other(tx, context, target) for target in to)}.values())
    until_s = tx.now_s + context.params.pending_life_s
    return [_sought(tx, row, until_s) for row in rows]


def _sought(tx: Tx, row: ContactRow, until_s: int) -> ContactRow:
    if row.state != "pending" or row.number is None:
        return row
    contacts.set_pending_until(tx, row.id, until_s)
    # as it is by now, without reading it again: there may be thousands, and everybody else's call waits
    sought = msgspec.structs.replace(row, pending_until_s=until_s)
    tx.emit(DomainEvent(EventKind.CONTACT_SOUGHT, row.id, snapshot(sought), row.id))
    return sought
