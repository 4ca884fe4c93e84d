"""``transparency``: what this node holds for others, and what a seizure of this machine would reveal."""

from __future__ import annotations

from collections.abc import Mapping
from gettext import gettext as _
from gettext import ngettext

import click

from p2pchat.api import language
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
    said = _("Mailboxes are offered to {whom}, up to {size}.")
    line(said.format(whom=text(offered, "for"), size=size_text(number(offered, "quota"))))
    boxes = number(shown, "boxes")
    said = ngettext(
        "Held for others: {count} sealed box, {size}.", "Held for others: {count} sealed boxes, {size}.", boxes
    )
    line(said.format(count=f"{boxes:,}", size=size_text(number(shown, "bytes"))))
    table([_mailbox(each) for each in objects(shown, "mailboxes")])
    records = fields(shown, "records")
    said = _("Records of the DHT: {count}, {size}.")
    line(said.format(count=f"{number(records, 'count'):,}", size=size_text(number(records, "bytes"))))
    deleted = objects(shown, "deleted")
    line(_("Deleted in the last 30 days:") if deleted else _("Nothing was deleted in the last 30 days."))
    table([_deleted(each) for each in deleted])
    line(_("If this machine is seized:"))
    paragraph(language.said(text(shown, "locked_reveals")))
    paragraph(language.said(text(shown, "unlocked_reveals")))


def _mailbox(found: Mapping[str, object]) -> list[str]:
    return [
        f"  {text(found, 'id')}",
        f"{number(found, 'boxes'):,}",
        size_text(number(found, "bytes")),
        _("oldest {time}").format(time=clock(found.get("oldest_ms"))),
        _("until {time}").format(time=clock(found.get("until_ms"))),
        _("owner seen {time}").format(time=clock(found.get("seen_ms"))),
    ]


def _deleted(found: Mapping[str, object]) -> list[str]:
    return [
        f"  {text(found, 'day')}",
        text(found, "why"),
        f"{number(found, 'boxes'):,}",
        size_text(number(found, "bytes")),
    ]
