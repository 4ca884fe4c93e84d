"""The command ``chat``: whether there is a terminal for it, and what its end means."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from gettext import gettext as _
from typing import Final

import click

from p2pchat.cli.invocation import Invocation
from p2pchat.cli.output import forget_stdout, note

_DUMB: Final = ("", "dumb", "unknown")


@click.command()
@click.argument("to", metavar="TO")
@click.pass_context
def chat(ctx: click.Context, to: str) -> None:
    """Talk with a contact in the terminal. TO is a name, a number or the beginning of an id.

    Enter sends, Alt-Enter breaks the line; PageUp and PageDown move through the conversation, Ctrl-F searches it; /help
    tells the rest. Ctrl-C ends it.
    """
    invocation = ctx.ensure_object(Invocation)
    if invocation.as_json:
        raise click.UsageError(_("chat prints no objects; scripts use listen and send."))
    if not _is_terminal(os.environ):
        said = _("chat needs a terminal that can move its cursor; without one there are listen and send.")
        raise click.UsageError(said)
    contact = invocation.call("contacts.get", to=to)
    ctx.exit(_converse(invocation, contact))


def _converse(invocation: Invocation, contact: Mapping[str, object]) -> int:
    # the library takes a fifth of a second to load: only once there is somebody to talk with
    import asyncio

    from p2pchat.cli.chat.drawing import ASCII, UNICODE
    from p2pchat.cli.chat.view import HUNG_UP, Terminal, View

    signs = UNICODE if _names_utf8(os.environ) else ASCII
    view = View(contact, invocation.socket_path(), invocation.program(), Terminal(sys.stdout.encoding, signs))
    try:
        exit_status = asyncio.run(view.run())
    except EOFError:  # the terminal is gone: nothing is left to read from
        forget_stdout()
        return HUNG_UP
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        forget_stdout()  # nor to write to
        return HUNG_UP
    if view.talk.drafts:
        note(_("What you sent last was not confirmed; p2pchat history shows whether the daemon has it."))
    return exit_status


def _is_terminal(environ: Mapping[str, str]) -> bool:
    both = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    return both and environ.get("TERM", "") not in _DUMB


def _names_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale says so. Python reads and writes UTF-8 where it says nothing; the signs are not worth the risk
    that the terminal does not."""
    named = next(filter(None, map(environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    return named.upper().replace("-", "").endswith("UTF8") and sys.stdout.encoding.lower() == "utf-8"
