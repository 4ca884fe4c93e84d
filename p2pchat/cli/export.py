"""``export``: contacts and messages as JSON Lines that any program can read, for people who leave (docs/BACKUP.md)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from gettext import gettext as _
from typing import BinaryIO, Final

import click

from p2pchat.api.errors import ApiError
from p2pchat.api.waiting import waiting
from p2pchat.cli.invocation import Invocation, pass_invocation
from p2pchat.cli.output import note
from p2pchat.cli.reading import counted, number, objects, text
from p2pchat.client.blocking import Client

FORMAT: Final = 1
PAGE: Final = 1000


@click.command()
@click.argument("file", metavar="[FILE|-]", default="-")
@pass_invocation
def export(invocation: Invocation, file: str) -> None:
    """Write contacts and messages as JSON Lines into the new FILE, or to stdout. It is not encrypted.

    Contacts are those of the beginning, each message is as it is when its page is read; what comes meanwhile may be in
    it or not.
    """
    note(_("This is not encrypted: whoever gets it reads every contact and every message."))
    count = 0

    def far() -> str:
        return counted(count, "{} message", "{} messages")

    # what is shown among the rows on the same terminal would be in the way
    visible = not (invocation.quiet or (file == "-" and sys.stdout.isatty()))
    with invocation.client() as client, new_file(file) as out, waiting(_("Exporting"), far, visible=visible):
        for kind, data in _everything(client):
            row = {"type": kind, "data": data}
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            count += kind == "message"
    if file != "-" and not invocation.quiet:
        note(far())


def _everything(client: Client) -> Iterator[tuple[str, object]]:
    yield "export", {"format": FORMAT, "made_ms": time.time_ns() // 1_000_000, "identity": client.call("identity.show")}
    contacts = objects(client.call("contacts.list"), "contacts")
    for contact in contacts:
        yield "contact", contact
    for contact in contacts:
        try:
            for message in _conversation(client, text(contact, "id")):
                yield "message", message
        except ApiError as error:
            if error.error_name != "CONTACT_NOT_FOUND":
                raise
            # removed meanwhile, and its messages with it


def _conversation(client: Client, contact: str) -> Iterator[dict[str, object]]:
    after: object = 0
    page = PAGE
    while after is not None:
        try:
            reply = client.call("message.list", to=contact, after=after, limit=page)
        except ApiError as error:
            if error.error_name != "TOO_LARGE" or page == 1:
                raise
            page = max(1, page // 4)  # long texts: fewer fit into one reply
            continue
        yield from objects(reply, "messages")
        after = number(reply, "next") if reply.get("next") is not None else None


@contextmanager
def new_file(file: str) -> Iterator[BinaryIO]:
    """Stdout, or a new file of this user alone, which is there only if the block ends well."""
    if file == "-":
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ApiError("ALREADY_EXISTS", "There is a file of that name, and it is left as it is.") from None
    except OSError as error:
        raise ApiError("STORE", f"The file cannot be written: {error.strerror}.") from None
    try:
        with open(descriptor, "wb") as out:
            yield out
    except BaseException:
        os.unlink(file)
        raise
