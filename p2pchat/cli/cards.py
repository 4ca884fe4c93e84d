"""``contacts export``: the book as vCards, which phones, mail programs and ``contacts import`` read.

Source: RFC 2426 (vCard 3.0, which more programs read than 4.0): 2.6 "Line delimiting and folding", 4 "Formal grammar".
"""

from __future__ import annotations

from collections.abc import Iterator
from gettext import gettext as _
from typing import Final

import click

from p2pchat.cli.export import new_file
from p2pchat.cli.invocation import Invocation, pass_invocation
from p2pchat.cli.output import note
from p2pchat.cli.reading import counted, objects, text

_LINE_BYTES: Final = 75


@click.command()
@click.argument("file", metavar="[FILE|-]", default="-")
@pass_invocation
def export(invocation: Invocation, file: str) -> None:
    """Write names and numbers as vCards into the new FILE, or to stdout. They are not encrypted.

    What p2pchat knows besides, such as how far a contact is verified, is not in them: see p2pchat backup create.
    """
    found = objects(invocation.call("contacts.list"), "contacts")
    people = [contact for contact in found if contact.get("self") is not True]
    if not invocation.quiet:
        note(_("This is not encrypted: whoever gets it reads whom you know."))
    with new_file(file) as out:
        for person in people:
            out.write("".join(f"{line}\r\n" for line in _card(person)).encode())
    if file != "-" and not invocation.quiet:
        note(counted(len(people), "{} contact", "{} contacts"))


def _card(contact: dict[str, object]) -> Iterator[str]:
    name = _escaped(text(contact, "name"))
    yield "BEGIN:VCARD"
    yield "VERSION:3.0"
    yield from _folded(f"N:{name};;;;")
    yield from _folded(f"FN:{name}")
    if contact.get("number") is not None:
        yield f"TEL;TYPE=CELL:{text(contact, 'number')}"
    yield "END:VCARD"


def _escaped(value: str) -> str:
    for character in "\\;,":
        value = value.replace(character, f"\\{character}")
    return value


def _folded(line: str) -> Iterator[str]:
    """In lines of at most 75 bytes, no character of which is divided; all but the first begin with a space."""
    part = ""
    for character in line:
        if len((part + character).encode()) > _LINE_BYTES:
            yield part
            part = " "
        part += character
    yield part
