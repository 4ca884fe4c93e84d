"""``verify`` and ``restore`` of the daemon's program: a backup without a daemon."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        with waiting("Reading the backup"):
            found = source.check(passphrase)
    _tell(arguments, found, "The backup is whole")


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
        with waiting("Restoring the backup"):
            found = restoring.restore(paths, source, passphrase, SystemEntropy(), now_ms)
    _tell(arguments, found, f"The profile {paths.profile} is restored")
    print(
        f"Start it with: {start_command(paths)}. Do not start the device that the backup is of again.", file=sys.stderr
    )


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
    return ask_passphrase("The passphrase of the backup: ", "--passphrase-file")


def _tell(arguments: argparse.Namespace, found: Summary, done: str) -> None:
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
        contacts = f"{found.contacts:,} {'contact' if found.contacts == 1 else 'contacts'}"
        messages = f"{found.messages:,} {'message' if found.messages == 1 else 'messages'}"
        print(f"{done}: made {made}, {contacts}, {messages}.")
