"""``demo``: three real daemons on this machine, two people who know each other's phone number, forty messages.

Rules:

- Nothing is simulated: the daemons are the installed ones, on loopback, each with a home of its own, and are talked to
  through their sockets.
- Every message must arrive once and in order, or the demo fails and says which daemon's log says why.
- Nothing is left behind, however it ends: see ``sandbox``.
"""

from __future__ import annotations

import click

from p2pchat.base.errors import P2PChatError
from p2pchat.cli.demo_story import Story, Summary
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.sandbox import Interrupted, Interrupts, Sandbox


@click.command()
@json_option
@pass_invocation
def demo(invocation: Invocation) -> None:
    """Let Alice and Bob find each other by number and talk, on this machine; nothing is kept."""
    silent = invocation.as_json or invocation.quiet
    try:
        summary = _perform(silent=silent)
    except Interrupted as interrupted:
        raise click.exceptions.Exit(interrupted.exit_status) from None
    if invocation.as_json:
        emit(summary.fields())
        return
    for text in summary.lines():
        line(text)


def _perform(*, silent: bool) -> Summary:
    with Interrupts() as interrupts:
        sandbox = Sandbox(interrupts)
        # two blocks: a signal may come at the very beginning of the inner one's end, and none after it
        try:
            try:
                return _tell(sandbox, silent=silent)
            finally:
                interrupts.ignore()
        finally:
            sandbox.close()


def _tell(sandbox: Sandbox, *, silent: bool) -> Summary:
    try:
        return Story(sandbox, sandbox.open(), silent=silent).tell()
    except P2PChatError:
        for process in sandbox.running():
            for text in process.tail():
                note(f"{process.name}: {text}")
        raise
