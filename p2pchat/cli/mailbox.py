"""``mailbox``: where others leave what is for you while your node is away."""

from __future__ import annotations

import click

from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.output import emit, note, table
from p2pchat.cli.reading import clock, objects, text

_USE_S = 300.0  # several nodes may be asked, one after the other


@click.group()
def mailbox() -> None:
    """Have other nodes hold what comes for you while yours is away."""


@mailbox.command()
@click.argument("with_", metavar="CONTACT|INVITE…", nargs=-1)
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
        raise click.UsageError("--none goes with nothing else")
    if not (with_ or auto or none):
        raise click.UsageError("name contacts or links, or give --auto or --none")
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
            text(each, "state"),
            f"heard {clock(each.get('heard_ms'))}",
            "" if each.get("chosen") else "chosen by this node",
        ]
        for each in objects(found, "mailboxes")
    ]
    table(rows)
    if not invocation.quiet:
        if not rows:
            note("Nobody holds messages for you: who writes to you while you are away waits until you are back.")
        if found.get("auto"):
            note("This node chooses what is missing.")
