"""``verify`` and ``restore`` of the daemon's program: a backup without a daemon."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from gettext import gettext as _
from gettext import ngettext
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from p2pchat.api.backup_place import STREAM
from p2pchat.api.objects import Backup
from p2pchat.api.passphrase import passphrase_from
from p2pchat.api.paths import ProfilePaths
from p2pchat.api.prompts import ask_passphrase
from p2pchat.api.waiting import waiting
from p2pchat.base.errors import UsageError

if TYPE_CHECKING:
    from p2pchat.services.backup_source import Source, Summary


def configure(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], None]) -> None:
    """The arguments of :func:`verify` or :func:`restore`."""
    parser.add_argument("file", help="a backup; - for one that comes through a pipe")
    parser.add_argument("--passphrase-file", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(command=command)


def verify(arguments: argparse.Namespace) -> None:
    """Read all of a backup."""
    with _opened(arguments) as source:
        passphrase = _passphrase(arguments)
        with waiting(_("Reading the backup")):
            found = source.check(passphrase)
    _tell(arguments, found, _("The backup is whole: made {time}, {contacts}, {messages}."))


def restore(arguments: argparse.Namespace) -> None:
    """Make a profile out of a backup."""
    from p2pchat.daemon import restore as restoring
    from p2pchat.daemon.profile import refuse_existing, start_command
    from p2pchat.daemon.system import SystemEntropy

    paths = ProfilePaths(arguments.profile)
    refuse_existing(paths)
    with _opened(arguments) as source:
        now_ms = int(time.time() * 1000)
        passphrase = _passphrase(arguments)
        with waiting(_("Restoring the backup")):
            found = restoring.restore(paths, source, passphrase, SystemEntropy(), now_ms)
    restored = _("The profile {profile} is restored: made {time}, {contacts}, {messages}.")
    _tell(arguments, found, restored, profile=paths.profile)
    start = _("Start it with: {command}. Do not start the device that the backup is of again.")
    print(start.format(command=start_command(paths)), file=sys.stderr)


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[Source]:
    """The backup, looked at before anything is asked."""
    from p2pchat.services.backup_source import Source, opened

    if not arguments.file:
        raise UsageError("FILE: is empty")
    if arguments.file != STREAM:
        with opened(Path(arguments.file)) as source:
            yield source
    elif arguments.passphrase_file is None:
        raise UsageError("--passphrase-file is missing: a backup comes where a passphrase would be typed.")
    elif sys.stdin.isatty():
        raise UsageError("FILE: - is a backup that comes through a pipe, and this is a terminal")
    else:
        yield Source(sys.stdin.buffer)


def _passphrase(arguments: argparse.Namespace) -> bytes:
    if arguments.passphrase_file is not None:
        return passphrase_from(arguments.passphrase_file)
    return ask_passphrase(_("The passphrase of the backup: "), "--passphrase-file")


def _tell(arguments: argparse.Namespace, found: Summary, done: str, **places: str) -> None:
    if arguments.json:
        shown = Backup(
            path=arguments.file if arguments.file == STREAM else os.path.abspath(arguments.file),
            made_ms=found.made_ms,
            bytes=found.size_bytes,
            contacts=found.contacts,
            messages=found.messages,
        )
        print(msgspec.json.encode(shown).decode())
    else:
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.made_ms / 1000))
        contacts = ngettext("{} contact", "{} contacts", found.contacts).format(f"{found.contacts:,}")
        messages = ngettext("{} message", "{} messages", found.messages).format(f"{found.messages:,}")
        print(done.format(time=made, contacts=contacts, messages=messages, **places))
