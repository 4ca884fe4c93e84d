"""The command tree: global options, commands that are loaded when they are called, and what ends a command.

Rules:

- A failure is ``NAME: sentence`` on stderr and the table's exit status; a usage error exits 2, an interrupt 130.
- A reader that leaves (``p2pchat listen | head``) ends the command without a word, as SIGPIPE would: 141.

Source: docs/CONTROL-API.md, "Errors".
"""

from __future__ import annotations

import os
import sys
from gettext import gettext as _
from typing import Final

import click

import p2pchat
from p2pchat.api import language
from p2pchat.api.errors import exit_status, reply_name
from p2pchat.api.paths import DEFAULT_PROFILE
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.invocation import Invocation
from p2pchat.cli.output import failure, forget_stdout
from p2pchat.cli.reading import texts
from p2pchat.cli.speaking import HELP_OPTION
from p2pchat.cli.tree import Tree

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

_COMMANDS: Final = {
    "init": "p2pchat.cli.node:init",
    "daemon": "p2pchat.cli.node:daemon",
    "status": "p2pchat.cli.node:status",
    "doctor": "p2pchat.cli.doctor:doctor",
    "stop": "p2pchat.cli.node:stop",
    "lock": "p2pchat.cli.locking:lock",
    "unlock": "p2pchat.cli.locking:unlock",
    "passphrase": "p2pchat.cli.locking:passphrase",
    "wipe": "p2pchat.cli.locking:wipe",
    "id": "p2pchat.cli.identity:identity",
    "contacts": "p2pchat.cli.contacts:contacts",
    "send": "p2pchat.cli.messages:send",
    "listen": "p2pchat.cli.listen:listen",
    "chat": "p2pchat.cli.chat.command:chat",
    "history": "p2pchat.cli.messages:history",
    "search": "p2pchat.cli.search:search",
    "read": "p2pchat.cli.receipts:read",
    "explain": "p2pchat.cli.messages:explain",
    "cancel": "p2pchat.cli.messages:cancel",
    "delete": "p2pchat.cli.messages:delete",
    "mailbox": "p2pchat.cli.mailbox:mailbox",
    "transparency": "p2pchat.cli.transparency:transparency",
    "backup": "p2pchat.cli.backup:backup",
    "export": "p2pchat.cli.export:export",
    "net": "p2pchat.cli.net:net",
    "config": "p2pchat.cli.config:config",
    "stats": "p2pchat.cli.stats:stats",
    "rpc": "p2pchat.cli.rpc:rpc",
    "demo": "p2pchat.cli.demo:demo",
    "completion": "p2pchat.cli.completion:completion",
    "_complete": "p2pchat.cli.completion:complete",
    "help": "p2pchat.cli.help:help_",
}


@click.group(cls=Tree, table=_COMMANDS, context_settings={"help_option_names": list(HELP_OPTION)})
@click.version_option(p2pchat.__version__, prog_name="p2pchat")
@click.option("--profile", default=DEFAULT_PROFILE, metavar="P", help="Which profile; 'default' where omitted.")
@click.option("--socket", metavar="S", help="The daemon's socket, if it is not the profile's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's objects, one a line.")
@click.option("-q", "--quiet", is_flag=True, help="Print results alone.")
@click.option("-v", "--verbose", is_flag=True, help="Print more, and cut no table.")
@click.pass_context
def cli(ctx: click.Context, profile: str, socket: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """End-to-end encrypted messages between nodes, without a server."""
    ctx.obj = Invocation(profile, socket, as_json, quiet, verbose)


def run(arguments: list[str]) -> int:
    """Run a command line; its exit status."""
    _open_what_is_closed()
    language.install(os.environ)
    try:
        cli.speak()
        with cli.make_context("p2pchat", list(arguments)) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        forget_stdout()
        return BROKEN_PIPE
    except P2PChatError as error:
        name = reply_name(error) or error.error_name
        failure(name, _sentence(error))
        return exit_status(name)
    except OSError as error:
        forget_stdout()
        failure("STORE", language.error("STORE", error.strerror or type(error).__name__))
        return exit_status("STORE")
    except Exception:  # a defect of ours: for whoever reports it the place, for the caller the documented status
        import traceback  # loaded for nobody else

        traceback.print_exc()
        failure("INTERNAL", _("p2pchat met a defect of its own."))
        return exit_status("INTERNAL")
    return 0


def _open_what_is_closed() -> None:
    """Who closes an output (``>&-``) wants none of it; what a command does is done all the same, and is no failure."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _sentence(error: P2PChatError) -> str:
    """The error's own, and what may have been meant: it comes beside the message, which holds no name and no key."""
    near = texts(error.data, "near")
    claimants = [root[:16] for root in texts(error.data, "claimants")]
    said = language.error(error.error_name, error.message)
    if near:
        said += " " + _("Did you mean {names}?").format(names=_(" or ").join(near))
    if claimants:
        said += " " + _("Claimants: {claimants}.").format(claimants=", ".join(claimants))
    return said
