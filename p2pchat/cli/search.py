"""``search``."""

from __future__ import annotations

from collections.abc import Iterator
from gettext import gettext as _
from typing import Final

import click

from p2pchat.api.errors import ApiError
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.numbers import Whole
from p2pchat.cli.output import block, emit
from p2pchat.cli.reading import clock, objects, text
from p2pchat.client.blocking import Client

PAGE: Final = 100


@click.command()
@click.argument("words", metavar="TEXT")
@click.option("--to", metavar="TO", help="Of one conversation: a name, a number or the beginning of an id.")
@click.option("--limit", type=Whole(min=1), metavar="N", default=50, show_default=True, help="The newest so many.")
@json_option
@pass_invocation
def search(invocation: Invocation, words: str, to: str | None, limit: int) -> None:
    """Find messages in which every word of TEXT begins a word, the newest first.

    Upper case and accents do not count. What is written without spaces, such as Korean, and emoji are found anywhere.
    """
    with invocation.client(timeout_s=None) as client:  # how long it takes is the daemon's to say
        names: dict[str, str] = {}
        if not invocation.as_json:
            contacts = objects(client.call("contacts.list"), "contacts")
            names = {text(contact, "id"): text(contact, "name") for contact in contacts}
        for message in _found(client, {"text": words, "to": to}, limit):
            if invocation.as_json:
                emit(message)
                continue
            name = names.get(text(message, "contact_id"), "–")
            if message.get("direction") == "in":
                who = f"{name}:"
            else:
                who = _("me to {name} ({state}):").format(name=name, state=text(message, "state"))
            block(f"{clock(message.get('created_ms'))}  {who}", text(message, "text"))


def _found(client: Client, params: dict[str, object], limit: int) -> Iterator[dict[str, object]]:
    before: object = None
    page, left = PAGE, limit
    while left:
        try:
            reply = client.call("message.search", **given(params | {"before": before, "limit": min(page, left)}))
        except ApiError as error:
            if error.error_name != "TOO_LARGE" or page == 1:
                raise
            page = max(1, page // 4)  # long texts: fewer fit into one reply
            continue
        messages = objects(reply, "messages")
        yield from messages
        left -= len(messages)
        before = reply.get("next")
        if before is None:
            return
