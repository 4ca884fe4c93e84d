"""``mailbox``: hold for others, and have others hold what is for you while your node is away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from gettext import gettext as _
from typing import Final

import click

from p2pchat.base.limits import OWN_MAILBOXES
from p2pchat.cli.colour import Colour, Coloured
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.output import Cell, emit, line, note, table
from p2pchat.cli.reading import clock, number, objects, size_text, text

_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,8})([KMGT])(?:i?B)?", re.IGNORECASE)
_LEAST, _MOST = 1 << 20, 1 << 50
_USE_S: Final = 300.0  # several nodes may be asked, one after the other


class Size(click.ParamType[int]):
    """A number of bytes such as 500M or 2G."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value)
        size = int(found[1]) * _UNITS[found[2].upper()] if found is not None else 0
        if not _LEAST <= size <= _MOST:
            self.fail(_("give a size such as 500M or 2G, from 1M to 1024T"), param, ctx)
        return size


@click.group()
@json_option
def mailbox() -> None:
    """Mailboxes: what waits for who is away, sealed, at nodes of others."""


@mailbox.command()
@click.option("--for", "whom", type=click.Choice(["contacts", "anyone", "nobody"]), help="Who may have one here.")
@click.option("--quota", type=Size(), metavar="SIZE", help="How much is held at most, such as 500M or 2G (1G).")
@click.option("--idempotency-key", metavar="K", help="The same key sets once.")
@json_option
@pass_invocation
def offer(invocation: Invocation, whom: str | None, quota: int | None, idempotency_key: str | None) -> None:
    """Hold messages for others who are away, or show what is offered.

    What is held is sealed: this node cannot read it, nor learn from it who wrote to whom. It sees which nodes leave and
    fetch it, and their IP addresses. With --for nobody nothing more is taken; what is held stays until it was fetched
    or has expired. See p2pchat transparency.
    """
    said: dict[str, object] = {"for": whom, "quota": quota, "idempotency_key": idempotency_key}
    shown = invocation.call("mailbox.offer", **said)
    if invocation.as_json:
        emit(shown)
    elif not invocation.quiet:
        show_offer(invocation, shown)


def show_offer(invocation: Invocation, shown: Mapping[str, object]) -> None:
    """For a person."""
    whom = text(shown, "for")
    said = _("mailboxes for {whom}, up to {size}")
    line(said.format(whom=whom, size=size_text(number(shown, "quota"))))
    boxes, owners = number(shown, "boxes"), number(shown, "owners")
    said = _("held: {size}, boxes: {boxes}, mailboxes: {owners}")
    line(said.format(size=size_text(number(shown, "bytes")), boxes=f"{boxes:,}", owners=f"{owners:,}"))
    if shown.get("invite") is not None:
        line(text(shown, "invite"))
        note(_("With this link anyone can use it: p2pchat mailbox use LINK"))
    if whom == "nobody" and boxes:
        note(_("Nothing more is taken; what is held stays until it is fetched or has expired."))
    if whom == "nobody":
        said = _("To hold for your contacts: {program} mailbox offer --for contacts")
        note(said.format(program=invocation.program()))
    elif whom == "contacts":
        note(_("They use it with: p2pchat mailbox use, and their name for you."))


@mailbox.command()
@click.argument("with_", metavar="CONTACT|LINK…", nargs=-1)
@click.option("--auto", is_flag=True, help="Let this node choose what is missing, and replace what is gone.")
@click.option("--none", is_flag=True, help="Give all of them up.")
@click.option("--idempotency-key", metavar="K", help="The same key settles once.")
@json_option
@pass_invocation
def use(invocation: Invocation, with_: tuple[str, ...], auto: bool, none: bool, idempotency_key: str | None) -> None:
    """Say whose nodes hold messages for you: those of contacts who offer it, or behind links. Two at most.

    They replace those until now, and cannot read what they hold; they see when something comes, how large it is, and
    from which address. With --auto alone those that there are stay.
    """
    if none and (with_ or auto):
        raise click.UsageError(_("--none goes with nothing else"))
    if not (with_ or auto or none):
        raise click.UsageError(_("name contacts or links, or give --auto or --none"))
    if len(with_) > OWN_MAILBOXES:
        raise click.UsageError(_("two at most: what comes for you is left with both"))
    if not all(each.strip() for each in with_):
        raise click.UsageError(_("a name or link is empty; see: p2pchat contacts list"))
    params: dict[str, object] = {"auto": auto, "with": list(with_) if with_ or none else None}
    with invocation.client(timeout_s=_USE_S) as client:
        found = client.call("mailbox.use", **given({**params, "idempotency_key": idempotency_key}))
    _show(invocation, found)


@mailbox.command(name="list")
@json_option
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the nodes that hold messages for you."""
    _show(invocation, invocation.call("mailbox.list"))


def _show(invocation: Invocation, found: dict[str, object]) -> None:
    if invocation.as_json:
        emit(found)
        return
    rows = [
        [
            text(each, "name", text(each, "id")[-12:]),
            _state(text(each, "state")),
            _("heard {time}").format(time=clock(each.get("heard_ms"))),
            "" if each.get("chosen") else _("chosen by this node"),
        ]
        for each in objects(found, "mailboxes")
    ]
    table(rows, (_("MAILBOX"), _("STATE"), _("HEARD"), ""), cut=() if invocation.verbose else (0,))
    if not invocation.quiet:
        if all(each.get("state") == "ending" for each in objects(found, "mailboxes")):
            note(_("Nobody holds messages for you: what is written while you are away waits with who wrote it."))
        if found.get("auto"):
            note(_("This node chooses what is missing."))


def _state(state: str) -> Cell:
    colour = {"granted": Colour.GOOD, "failing": Colour.BAD}.get(state, Colour.WAITING)
    match state:
        case "asked":
            said = _("asked, not granted yet")
        case "failing":
            said = _("failing: does not answer")
        case "ending":
            said = _("ending: given up, still emptied")
        case _:
            said = state
    return Coloured(said, colour)
