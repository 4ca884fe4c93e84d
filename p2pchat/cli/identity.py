"""``id``: who this profile is."""

from __future__ import annotations

from gettext import gettext as _

import click

from p2pchat.cli.invites import invite, invites, revoke
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, line
from p2pchat.cli.qr import save_png, show_link
from p2pchat.cli.reading import text
from p2pchat.cli.receipts import receipts


@click.group(name="id")
@json_option
def identity() -> None:
    """Who this profile is."""


@identity.command()
@json_option
@pass_invocation
def show(invocation: Invocation) -> None:
    """Show name, number and keys."""
    shown = invocation.call("identity.show")
    if invocation.as_json:
        emit(shown)
        return
    number = text(shown, "number", _("no number"))
    who = _("{name} ({number}), profile {profile}")
    line(who.format(name=text(shown, "name"), number=number, profile=text(shown, "profile")))
    line(_("root key {key}").format(key=text(shown, "root")))
    line(_("peer id  {id}").format(id=text(shown, "peer_id")))
    if shown.get("receipts") is False:
        line(_("read receipts are off"))


@identity.command()
@click.option("--png", metavar="FILE", help="Write it into a new file instead.")
@json_option
@pass_invocation
def qr(invocation: Invocation, png: str | None) -> None:
    """Show the QR code that others scan to verify you, with `p2pchat contacts verify`."""
    shown = invocation.call("identity.qr")
    if png is not None:
        save_png(text(shown, "qr"), png)
    if invocation.as_json:
        emit(shown)
    elif png is None:
        show_link(text(shown, "qr"))


for command in (invite, invites, revoke, receipts):
    identity.add_command(command)
