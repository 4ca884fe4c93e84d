"""Questions on the terminal, of the commands and of the daemon's program: on stderr, since stdout is for results."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from gettext import gettext as _

from p2pchat.api.passphrase import PASSPHRASE_BYTES, fits
from p2pchat.base.errors import UsageError


def on_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, missing: str) -> str:
    """An answer from the terminal.

    Raises:
        UsageError: there is no terminal; ``missing`` names the flags.
        KeyboardInterrupt: Ctrl-C or Ctrl-D was typed.
    """
    _need_terminal(missing)
    with _left():
        print(question, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise EOFError
    return answer.strip()


def ask_passphrase(question: str, missing: str) -> bytes:
    """A passphrase from the terminal, which does not show it; empty where none was typed.

    Raises:
        UsageError: as of :func:`ask`.
    """
    _need_terminal(missing)
    with _left():
        return getpass.getpass(question).encode()


def ask_new_passphrase(question: str, missing: str) -> bytes:
    """A passphrase that was typed twice.

    Raises:
        UsageError: as of :func:`ask`.
    """
    while True:
        first = ask_passphrase(question, missing)
        if not fits(first):
            may_be_none = "--no-passphrase" in missing
            bounds = (
                _("1 to {most} bytes; for none at all use --no-passphrase.") if may_be_none else _("1 to {most} bytes.")
            )
            print(bounds.format(most=PASSPHRASE_BYTES), file=sys.stderr)
        elif ask_passphrase(_("The same again: "), missing) != first:
            print(_("They differ."), file=sys.stderr)
        else:
            return first


@contextmanager
def _left() -> Iterator[None]:
    """Who leaves a question by Ctrl-C or Ctrl-D stands on a line of its own again; both end the command."""
    try:
        yield
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        raise KeyboardInterrupt from None


def _need_terminal(missing: str) -> None:
    if not on_terminal():
        raise UsageError(f"{missing} is missing, and there is no terminal to ask on.")
