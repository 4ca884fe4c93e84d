"""``backup``: one file with everything that a person would miss, sealed with a passphrase.

``verify`` and ``restore`` become the daemon's program, which needs no daemon: keys and disk are its business.
"""

from __future__ import annotations

import binascii
import os
from gettext import gettext as _
from pathlib import Path
from typing import NoReturn

import click

from p2pchat.api.backup_place import PART, STREAM, refuse_unfit
from p2pchat.api.passphrase import passphrase_from
from p2pchat.api.paths import ProfilePaths
from p2pchat.api.prompts import ask_new_passphrase
from p2pchat.api.text import is_unicode
from p2pchat.api.waiting import waiting
from p2pchat.base.errors import UsageError
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.node import become_daemon_program
from p2pchat.cli.output import emit, line
from p2pchat.cli.reading import counted, number, size_text

_FILE = click.argument("file", metavar="FILE")
_PASSPHRASE_FILE = click.option(
    "--passphrase-file", metavar="F", help="A file that holds the passphrase; without it you are asked."
)


@click.group()
@json_option
def backup() -> None:
    """Copies of this profile, and a profile out of a copy."""


@backup.command()
@_FILE
@_PASSPHRASE_FILE
@json_option
@pass_invocation
def create(invocation: Invocation, file: str, passphrase_file: str | None) -> None:
    """Write a backup into the new FILE, outside of the profile's own folder, while the daemon runs.

    It holds who you are, contacts and how far they are verified, messages, invites and settings. Whoever has FILE and
    its passphrase is you. The passphrase need not be that of the profile; without it nothing can be read.
    """
    path = _new_path(invocation, file)
    with invocation.client(timeout_s=None) as client:
        passphrase = (
            ask_new_passphrase(_("A passphrase for this backup: "), "--passphrase-file")
            if passphrase_file is None
            else passphrase_from(Path(passphrase_file))
        )
        # as bytes, in JSON: it need not be a text
        parameter = {"$b64": binascii.b2a_base64(passphrase, newline=False).decode()}
        with waiting(_("Writing the backup"), lambda: _written(path), visible=not invocation.quiet):
            made = client.call("backup.create", path=path, passphrase=parameter)
    if invocation.as_json:
        emit(made)
    elif not invocation.quiet:
        people = counted(number(made, "contacts"), "{} contact", "{} contacts")
        messages = counted(number(made, "messages"), "{} message", "{} messages")
        line(f"{people}, {messages}, {size_text(number(made, 'bytes'))}")


@backup.command()
@_FILE
@_PASSPHRASE_FILE
@json_option
@pass_invocation
def verify(invocation: Invocation, file: str, passphrase_file: str | None) -> None:
    """Read all of a backup, as restoring it would; needs no daemon and no profile.

    With - for FILE it comes through a pipe.
    """
    _become("verify", invocation, file, passphrase_file)


@backup.command()
@_FILE
@_PASSPHRASE_FILE
@json_option
@pass_invocation
def restore(invocation: Invocation, file: str, passphrase_file: str | None) -> None:
    """Make a profile out of a backup, protected by the backup's passphrase.

    It is a new device of the same person: do not start the old one again. What was sent and received after the backup
    was made is not in it; what you had not delivered then is sent again. With - for FILE it comes through a pipe.
    """
    _become("restore", invocation, file, passphrase_file)


def _written(path: str) -> str:
    try:
        return size_text(os.stat(path + PART).st_size)
    except OSError:  # not begun yet, done, or where only the daemon may look
        return ""


def _new_path(invocation: Invocation, file: str) -> str:
    """The absolute path of a backup that is to be written, looked at before a passphrase is asked for.

    Raises:
        UsageError, StoreError: it cannot be written there.
    """
    if not file:
        raise UsageError("FILE: is empty", data={"param": "path"})
    if file == STREAM:
        raise UsageError(
            "FILE: the daemon writes a backup, into a file; to name one that is called so: ./-", data={"param": "path"}
        )
    path = os.path.abspath(file)
    if not is_unicode(path):
        raise UsageError("FILE: is no UTF-8, and could not be told to the daemon", data={"param": "path"})
    own = ProfilePaths(invocation.profile).data_dir if invocation.socket is None else None
    refuse_unfit(Path(path), own)
    return path


def _become(command: str, invocation: Invocation, file: str, passphrase_file: str | None) -> NoReturn:
    arguments = ["--profile", invocation.profile, command]
    if passphrase_file is not None:
        arguments.append(f"--passphrase-file={passphrase_file}")
    if invocation.as_json:
        arguments.append("--json")
    become_daemon_program([*arguments, "--", file])
