"""``id invite``, ``id invites``, ``id revoke``: become contacts without a number."""

from __future__ import annotations

import re
import sys
from gettext import gettext as _
from typing import Final

import click

from p2pchat.cli.colour import of_state
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import Cell, emit, line, note, table
from p2pchat.cli.qr import save_png, show_link
from p2pchat.cli.reading import clock, objects, text

_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86_400}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")


class Span(click.ParamType[int]):
    """A length of time such as 30m, 12h or 7d, in seconds."""

    name = "span"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        if isinstance(value, int):
            return value
        found = _SPAN.fullmatch(value)
        if found is None:
            self.fail(_("give a time such as 30m, 12h or 7d"), param, ctx)
        return int(found[1]) * _UNITS_S[found[2]]


@click.command()
@click.option("--uses", type=int, metavar="N", help="For how many people, 1 to 100 (1).")
@click.option("--expires", "expires_s", type=Span(), metavar="TIME", help="For how long: 30m, 12h, 7d (7d).")
@click.option("--ask", is_flag=True, help="Ask me before anybody becomes a contact.")
@click.option("--png", metavar="FILE", help="Write its QR code into a new file, too.")
@click.option("--idempotency-key", metavar="K", help="The same key makes one invite.")
@json_option
@pass_invocation
def invite(
    invocation: Invocation,
    uses: int | None,
    expires_s: int | None,
    ask: bool,
    png: str | None,
    idempotency_key: str | None,
) -> None:
    """Make a link with which others become your contacts, without a number.

    Hand it over where nobody else reads it: whoever has it first uses it up, and it tells your root key and your
    addresses.
    """
    made = invocation.call(
        "identity.invite", uses=uses, expires_s=expires_s, ask=ask or None, idempotency_key=idempotency_key
    )
    if invocation.as_json:
        emit(made)
    elif png is None and sys.stdout.isatty():
        show_link(text(made, "invite"))
    else:
        line(text(made, "invite"))
    if png is not None:
        save_png(text(made, "invite"), png)
    if not (invocation.quiet or invocation.as_json):
        said = _("Good for {uses}, until {time}. They type: p2pchat contacts add LINK")
        note(said.format(uses=text(made, "uses"), time=clock(made.get("expires_ms"))))


@click.command()
@json_option
@pass_invocation
def invites(invocation: Invocation) -> None:
    """List the invites that are open, or not over yet."""
    found = objects(invocation.call("identity.invites"), "invites")
    if invocation.as_json:
        for each in found:
            emit(each)
        return
    rows: list[list[Cell]] = [
        [
            text(each, "id"),
            of_state("open" if each.get("open") else "closed"),
            _("{used} of {uses}").format(used=text(each, "used"), uses=text(each, "uses")),
            _("until {time}").format(time=clock(each.get("expires_ms"))),
            _("asks") if each.get("ask") else "",
        ]
        for each in found
    ]
    table(rows, (_("ID"), _("STATE"), _("USED"), _("EXPIRES"), ""))
    if not rows and not invocation.quiet:
        note(_("There is no invite; to make one: p2pchat id invite"))


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--idempotency-key", metavar="K", help="The same key closes once.")
@json_option
@pass_invocation
def revoke(invocation: Invocation, id_: str, idempotency_key: str | None) -> None:
    """Close an invite: its link lets nobody in any more."""
    closed = invocation.call("identity.revoke", id=id_.lower(), idempotency_key=idempotency_key)
    if invocation.as_json:
        emit(closed)
    elif not invocation.quiet:
        said = _("{id} is closed; {used} of {uses} came through it")
        line(said.format(id=text(closed, "id"), used=text(closed, "used"), uses=text(closed, "uses")))
