"""``transparency``: what this node holds for others, and what a seizure of this machine would reveal."""

from __future__ import annotations

from collections.abc import Mapping

import click

from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, line, paragraph, table
from p2pchat.cli.reading import clock, fields, number, objects, size_text, text


@click.command()
@json_option
@pass_invocation
def transparency(invocation: Invocation) -> None:
    """Show what this node holds for others, and what a seizure of this machine would and would not reveal."""
    shown = invocation.call("mailbox.transparency")
    if invocation.as_json:
        emit(shown)
        return
    offered = fields(shown, "offer")
    line(f"Mailboxes are offered to {text(offered, 'for')}, up to {size_text(number(offered, 'quota'))}.")
    line(f"Held for others: {_boxes(shown, 'sealed ')}, {size_text(number(shown, 'bytes'))}.")
    table([_mailbox(each) for each in objects(shown, "mailboxes")])
    records = fields(shown, "records")
    line(f"Records of the DHT: {number(records, 'count'):,}, {size_text(number(records, 'bytes'))}.")
    deleted = objects(shown, "deleted")
    line("Deleted in the last 30 days:" if deleted else "Nothing was deleted in the last 30 days.")
    table([_deleted(each) for each in deleted])
    line("If this machine is seized:")
    paragraph(text(shown, "locked_reveals"))
    paragraph(text(shown, "unlocked_reveals"))


def _boxes(found: Mapping[str, object], of_kind: str = "") -> str:
    count = number(found, "boxes")
    return f"{count:,} {of_kind}{'box' if count == 1 else 'boxes'}"


def _mailbox(found: Mapping[str, object]) -> list[str]:
    return [
        f"  {text(found, 'id')}",
        f"{number(found, 'boxes'):,}",
        size_text(number(found, "bytes")),
        f"oldest {clock(found.get('oldest_ms'))}",
        f"until {clock(found.get('until_ms'))}",
        f"owner seen {clock(found.get('seen_ms'))}",
    ]


def _deleted(found: Mapping[str, object]) -> list[str]:
    return [
        f"  {text(found, 'day')}",
        text(found, "why"),
        f"{number(found, 'boxes'):,}",
        size_text(number(found, "bytes")),
    ]
