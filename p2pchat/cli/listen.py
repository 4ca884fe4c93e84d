"""``listen``: events as they happen."""

from __future__ import annotations

from collections.abc import Mapping

import click

from p2pchat.api.disk import ADVICE as DISK_ADVICE
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import block, emit, line
from p2pchat.cli.reading import clock, fields, objects, text


@click.command()
@click.option("--since", type=click.IntRange(min=0), metavar="SEQ", help="From after this event on; 0 for all.")
@json_option
@pass_invocation
def listen(invocation: Invocation, since: int | None) -> None:
    """Print what happens, until interrupted: messages as they come, contacts as they match.

    With --json every event is printed, with -v every event in words.
    """
    with invocation.client() as client:
        names = {text(each, "id"): text(each, "name") for each in objects(client.call("contacts.list"), "contacts")}
        for event in client.events(since="now" if since is None else since):
            if invocation.as_json:
                emit(event)
            else:
                _print(event, names, invocation.verbose)


def _print(event: Mapping[str, object], names: dict[str, str], verbose: bool) -> None:
    kind, data = text(event, "type"), fields(event, "data")
    when = clock(event.get("ts"), "%H:%M:%S")
    family = kind.partition(".")[0]
    if family == "contact":
        names[text(data, "id")] = text(data, "name")
    name = names.get(text(data, "contact_id"), text(data, "name", ""))
    if kind == "message.received":
        block(f"{when}  {name}:", text(data, "text"))
    elif data.get("disk") is not None:
        state = text(data, "disk")
        line(f"{when}  {kind}  {DISK_ADVICE.get(state, 'the disk works again')}")
    elif verbose or family == "contact" or kind == "node.warning":
        line(f"{when}  {kind}  {name}".rstrip())
