"""``read``, ``contacts receipts`` and ``id receipts``: say that messages were read, and whom that is told."""

from __future__ import annotations

import re
from gettext import gettext as _
from typing import Final

import click

from p2pchat.api.errors import ApiError
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.reading import objects, text
from p2pchat.client.blocking import Client

_PAGE: Final = 100
_MESSAGE: Final = re.compile("[0-9a-f]{32}")
_ON: Final[dict[str, bool | None]] = {"on": True, "off": False, "default": None}


@click.command()
@click.argument("what", metavar="TO|MESSAGE")
@click.option("--idempotency-key", metavar="K", help="The same key marks once.")
@json_option
@pass_invocation
def read(invocation: Invocation, what: str, idempotency_key: str | None) -> None:
    """Say that you have read what came from a contact.

    All of it, or with the id of a message that one and everything before it. The contact is told, unless read receipts
    are off: see `p2pchat contacts receipts` and `p2pchat id receipts`. Showing messages does not mark them.
    """
    with invocation.client() as client:
        message = what if _MESSAGE.fullmatch(what) else _newest(client, what)
        if message is None:
            note(_("Nothing has come from this contact yet."))
            return
        marked = client.call("message.mark_read", **given({"id": message, "idempotency_key": idempotency_key}))
    if invocation.as_json:
        emit(marked)
    elif not invocation.quiet:
        line(f"{text(marked, 'state')}  {text(marked, 'id')}")


def _newest(client: Client, to: str) -> str | None:
    """The id of the newest message that came from ``to``."""
    before: object = None
    page = _PAGE
    while True:
        try:
            reply = client.call("message.list", **given({"to": to, "before": before, "limit": page}))
        except ApiError as error:
            if error.error_name != "TOO_LARGE" or page == 1:
                raise
            page = max(1, page // 4)  # long texts: fewer fit into one reply
            continue
        for message in reversed(objects(reply, "messages")):
            if message.get("direction") == "in":
                return text(message, "id")
        before = reply.get("next")
        if before is None:
            return None


@click.command(name="receipts")
@click.argument("to", metavar="TO")
@click.argument("what", metavar="on|off|default", type=click.Choice(list(_ON)))
@click.option("--idempotency-key", metavar="K", help="The same key sets once.")
@json_option
@pass_invocation
def receipts_of(invocation: Invocation, to: str, what: str, idempotency_key: str | None) -> None:
    """Say whether you and a contact tell each other what you have read.

    With off the contact is not told, and you do not see what it has read. With default it is as `p2pchat id receipts`
    says for everybody.
    """
    with invocation.client() as client:
        params = {"to": to, "on": _ON[what], **given({"idempotency_key": idempotency_key})}
        contact = client.call("contacts.receipts", **params)
    if invocation.as_json:
        emit(contact)
    elif not invocation.quiet:
        line(_("{name}: read receipts {state}").format(name=text(contact, "name"), state=what))


@click.command()
@click.argument("what", metavar="on|off", type=click.Choice(["on", "off"]))
@click.option("--idempotency-key", metavar="K", help="The same key sets once.")
@json_option
@pass_invocation
def receipts(invocation: Invocation, what: str, idempotency_key: str | None) -> None:
    """Say whether you and your contacts tell each other what you have read.

    With off nobody is told, and you do not see what they have read; `p2pchat contacts receipts` makes exceptions.
    """
    shown = invocation.call("identity.set", receipts=_ON[what], idempotency_key=idempotency_key)
    if invocation.as_json:
        emit(shown)
    elif not invocation.quiet:
        line(_("read receipts {state}").format(state=what))
