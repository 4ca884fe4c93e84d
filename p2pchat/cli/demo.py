"""``demo``: three real daemons on this machine, two people who know each other's phone number, forty messages.

Rules:

- Nothing is simulated: the daemons are the installed ones, on loopback, each with a home of its own, and are talked to
  through their sockets.
- Every message must arrive once and in order, or the demo fails and says which daemon's log says why.
- Nothing is left behind, however it ends: see ``sandbox``.
"""

from __future__ import annotations

from functools import partial

import click

from p2pchat.base.errors import P2PChatError
from p2pchat.cli.demo_story import Story, Summary
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox


@click.command()
@json_option
@pass_invocation
def demo(invocation: Invocation) -> None:
    """Let Alice and Bob find each other by number and talk, on this machine; nothing is kept."""
    silent = invocation.as_json or invocation.quiet
    try:
        summary = in_sandbox("p2pchat-demo-", partial(_tell, silent=silent))
    except Interrupted as interrupted:
        raise click.exceptions.Exit(interrupted.exit_status) from None
    if invocation.as_json:
        emit(summary.fields())
        return
    for text in summary.lines():
        line(text)


def _tell(sandbox: Sandbox, *, silent: bool) -> Summary:
    try:
        return Story(sandbox, sandbox.open(), silent=silent).tell()
    except P2PChatError:
        for process in sandbox.running():
            for text in process.tail():
                note(f"{process.name}: {text}")
        raise
