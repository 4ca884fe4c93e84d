"""``mailbox``: hold for others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import click

from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.reading import number, text

_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,8})([KMGT])(?:i?B)?", re.IGNORECASE)
_LEAST, _MOST = 1 << 20, 1 << 50


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
            self.fail("give a size such as 500M or 2G, from 1M to 1024T", param, ctx)
        return size


def size_text(size: int) -> str:
    """A number of bytes in words."""
    for unit, of in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= of:
            return f"{size / of:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"


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
    given: dict[str, object] = {"for": whom, "quota": quota, "idempotency_key": idempotency_key}
    shown = invocation.call("mailbox.offer", **given)
    if invocation.as_json:
        emit(shown)
    elif not invocation.quiet:
        show_offer(invocation, shown)


def show_offer(invocation: Invocation, shown: Mapping[str, object]) -> None:
    """For a person."""
    whom = text(shown, "for")
    line(f"mailboxes for {whom}, up to {size_text(number(shown, 'quota'))}")
    boxes, owners = number(shown, "boxes"), number(shown, "owners")
    line(f"held: {size_text(number(shown, 'bytes'))}, boxes: {boxes:,}, mailboxes: {owners:,}")
    if shown.get("invite") is not None:
        line(text(shown, "invite"))
        note("With this link anyone can use it: p2pchat mailbox use LINK")
    if whom == "nobody":
        note(f"To hold for your contacts: {invocation.program()} mailbox offer --for contacts")
