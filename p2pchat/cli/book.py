"""``contacts import`` and ``contacts find``: an address book, and who of it is looked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from gettext import gettext as _
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from p2pchat.api.errors import ApiError, exit_status
from p2pchat.api.language import marked, said
from p2pchat.cli.colour import of_state
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.output import Cell, emit, line, note, table
from p2pchat.cli.reading import number, objects, text
from p2pchat.client.blocking import Client

if TYPE_CHECKING:
    from p2pchat.cli.addressbook.entry import Entry, Found

T = TypeVar("T")

EVERYBODY: Final = "all"
BATCH: Final = 100
"""Entries in one call and one transaction: what is committed stays, however the command ends."""

REVEALS: Final = marked(
    "Looking for somebody publishes a record from which nobody learns a number. But who knows or guesses both numbers "
    "of a pair can see that one looks for the other, and which of the two. To try all partners of one number that is "
    "targeted costs 45 to 111 USD in three months."
)


@dataclass(slots=True)
class _Sum:
    """What became of a file. ``lines``: where each thing that was found stands; all else names them by their place."""

    lines: Sequence[int]
    added: int = 0
    known: int = 0
    refused: dict[int, str] = field(default_factory=dict[int, str], repr=False)

    def take(self, reply: dict[str, object]) -> None:
        """Add what became of a batch."""
        self.added += number(reply, "added")
        self.known += number(reply, "known")
        self.refused.update((number(each, "line"), text(each, "reason")) for each in objects(reply, "refused"))

    def result(self) -> dict[str, object]:
        refused = [{"line": self.lines[at], "reason": self.refused[at]} for at in sorted(self.refused)]
        return {"added": self.added, "known": self.known, "refused": refused}


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--find", "to", multiple=True, metavar="all|NAME", help="Then look for all of the file, or for NAME.")
@click.option("--idempotency-key", metavar="K", help="The same key and file are imported once.")
@json_option
@pass_invocation
def import_(invocation: Invocation, file: Path, to: Sequence[str], idempotency_key: str | None) -> None:
    """Fill the book from a vCard file, or a CSV file of Google or Outlook; - is stdin.

    Nobody is looked for, and nothing is published, before `contacts find` or --find asks for it. Each number becomes a
    contact of its own; of several with one name the second is called "NAME (2)". Who is in the book stays as they are,
    so an import that was interrupted is simply started again.
    """
    from p2pchat.cli.addressbook.entry import Entry  # what reads books is loaded for nothing else

    found = _read(file)
    entries = [(at, each) for at, each in enumerate(found) if isinstance(each, Entry)]
    lines = [each.line for each in found]
    total = _Sum(lines, refused={at: each.reason for at, each in enumerate(found) if not isinstance(each, Entry)})
    with invocation.client() as client:
        _send(client, entries, idempotency_key, total, visible=not invocation.quiet)
        _tell(total, invocation)
        if to:
            numbers = dict.fromkeys(each.number for at, each in entries if at not in total.refused)
            sought = _find(client, [*numbers] if EVERYBODY in to else to, idempotency_key, invocation)
            if not invocation.quiet:
                note(_("Contacts that are looked for now: {count}.").format(count=len(sought)))


@click.command()
@click.argument("to", nargs=-1, required=True, metavar="all|TO…")
@click.option("--idempotency-key", metavar="K", help="The same key begins once.")
@json_option
@pass_invocation
def find(invocation: Invocation, to: Sequence[str], idempotency_key: str | None) -> None:
    """Look for contacts that an import has put into the book, or go on looking.

    TO is a name, a number or the beginning of an id; all stands for everybody who is not looked for yet. What that
    reveals is said before it begins.
    """
    with invocation.client() as client:
        sought = _find(client, None if EVERYBODY in to else to, idempotency_key, invocation)
    if invocation.as_json:
        for contact in sought:
            emit(contact)
    elif not invocation.quiet:
        head = (_("NAME"), _("NUMBER"), _("STATE"), _("ID"))
        table([_row(each) for each in sought], head, cut=() if invocation.verbose else (0,))


def _row(contact: Mapping[str, object]) -> list[Cell]:
    return [text(contact, "name"), text(contact, "number"), of_state(text(contact, "state")), text(contact, "id")]


def _read(file: Path) -> list[Found]:
    from p2pchat.cli.addressbook.entry import FILE_BYTES
    from p2pchat.cli.addressbook.read import read_book

    with sys.stdin.buffer if file == Path("-") else file.open("rb") as stream:
        data = stream.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise ApiError("TOO_LARGE", f"An address book may have {FILE_BYTES >> 20} MiB; export it without pictures.")
    return list(read_book(data))


def _send(client: Client, entries: Sequence[tuple[int, Entry]], key: str | None, total: _Sum, *, visible: bool) -> None:
    done = 0
    try:
        with click.progressbar(
            length=len(entries), label=_("Importing"), file=sys.stderr, hidden=not (visible and sys.stderr.isatty())
        ) as bar:
            for batch in _batches(entries):
                sent = [given({"line": at, "name": each.name, "number": each.number}) for at, each in batch]
                total.take(
                    client.call("contacts.import", **given({"entries": sent, "idempotency_key": _nth(key, done)}))
                )
                done += len(batch)
                bar.update(len(batch))
    except BaseException:
        stopped = _("Of {count} entries {done} were read into the book; the same command goes on from there.")
        note(stopped.format(count=len(entries), done=done))
        raise


def _tell(total: _Sum, invocation: Invocation) -> None:
    """Print what became of the file; nothing understood ends the command."""
    result = total.result()
    if invocation.as_json:
        emit(result)
    elif not invocation.quiet:
        summary = _("added {added}, known {known}, refused {refused}")
        line(summary.format(added=total.added, known=total.known, refused=len(total.refused)))
        for refused in objects(result, "refused"):
            place = _("line {line}: {reason}")
            line(place.format(line=text(refused, "line"), reason=said(text(refused, "reason"))))
    if not total.added + total.known:
        note(f"INVALID_PARAMS: {_('No contact was found in this file.')}")
        raise click.exceptions.Exit(exit_status("INVALID_PARAMS"))


def _find(client: Client, to: Sequence[str] | None, key: str | None, invocation: Invocation) -> list[dict[str, object]]:
    """Begin to look, after saying what that reveals; None: for everybody who is not looked for."""
    if not invocation.quiet:
        note(_(REVEALS))
    batches = [None] if to is None else _batches(to)
    keys = (_nth(key, at, "find") for at in count())
    replies = (
        client.call("contacts.find", **given({"to": batch, "idempotency_key": each}))
        for batch, each in zip(batches, keys, strict=False)
    )
    return [contact for reply in replies for contact in objects(reply, "contacts")]


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + BATCH] for at in range(0, len(items), BATCH)]


def _nth(key: str | None, at: int, *of: str) -> str | None:
    """The key of one of several calls."""
    return None if key is None else ".".join((key, *of, str(at)))
