"""``python -m p2pchat.daemon``: make a profile (``init``), run its node (``run``), wrap its key anew (``passphrase``),
remove it (``wipe``, which asks nothing: the command has asked), ``verify`` and ``restore`` backups.

Exit statuses are those of the table in docs/CONTROL-API.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from gettext import gettext as _
from pathlib import Path
from typing import NoReturn

import msgspec

from p2pchat.api import language
from p2pchat.api.errors import exit_status, is_known, reply_name
from p2pchat.api.passphrase import passphrase_from
from p2pchat.api.paths import DEFAULT_PROFILE, ProfilePaths, checked_socket
from p2pchat.api.prompts import ask, ask_new_passphrase, ask_passphrase, on_terminal
from p2pchat.base.errors import Corrupt, P2PChatError, UsageError
from p2pchat.core.numbers import Number, parse_number
from p2pchat.daemon import activation, checkup, configuring, reaper, recovery
from p2pchat.daemon import profile as profiles
from p2pchat.daemon import settings as brought
from p2pchat.services import config as configuration

_UNPROTECTED = language.marked(
    "Without a passphrase whoever gets this disk, or a copy of it, reads the keys, the contacts and every message."
)
_READ_BY_PROGRAMS = (checkup.examine, checkup.repair, configuring.call)
_ENDING_S = 30.0
"""How long a daemon that was told to end may still hold the profile."""


def main() -> None:
    """The entry point; never returns."""
    if os.getpid() == reaper.FIRST_PROCESS:
        reaper.end_at_sigterm()
    language.install(os.environ)
    arguments = _parser().parse_args()
    if arguments.command in _READ_BY_PROGRAMS:
        language.install({})
    try:
        arguments.command(arguments)
    except P2PChatError as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _fail(error: P2PChatError) -> NoReturn:
    name = error.error_name if is_known(error.error_name) else reply_name(error) or "INTERNAL"
    print(f"{name}: {language.error(name, error.message)}", file=sys.stderr, flush=True)
    if isinstance(error, Corrupt):
        os._exit(exit_status(name))  # the end of the interpreter would close a damaged database, which writes into it
    sys.exit(exit_status(name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="p2pchat", allow_abbrev=False)
    parser.add_argument("--profile", default=DEFAULT_PROFILE)
    parser.add_argument("--socket")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="make a profile", allow_abbrev=False)
    number = init.add_mutually_exclusive_group()
    number.add_argument("--number", help="own mobile number, such as +821012345678")
    number.add_argument("--no-number", action="store_true", help="a node without a number")
    init.add_argument("--name")
    init.add_argument("--region", help="two letters for local forms of numbers, such as KR")
    secret = init.add_mutually_exclusive_group()
    secret.add_argument("--passphrase-file", type=Path)
    secret.add_argument("--no-passphrase", action="store_true", help=_UNPROTECTED)
    init.add_argument("--json", action="store_true")
    init.set_defaults(command=_init)

    run = commands.add_parser("run", help="run the node", allow_abbrev=False)
    run.add_argument("--listen", action="append", default=[], metavar="MULTIADDR")
    run.add_argument("--bootstrap", action="append", default=[], metavar="MULTIADDR")
    source = run.add_mutually_exclusive_group()
    source.add_argument("--passphrase-file", type=Path)
    run.add_argument("--no-lan", action="store_true", help="neither look for nodes of the local network nor be found")
    run.add_argument("--proxy", metavar="URL", help="a SOCKS5 proxy for all connections: socks5://HOST:PORT")
    source.add_argument("--locked", action="store_true", help="start locked, until p2pchat unlock")
    run.add_argument("--log-level", choices=configuration.LEVELS)
    run.set_defaults(command=_run)

    change = commands.add_parser("passphrase", help="change the passphrase while no daemon runs", allow_abbrev=False)
    change.add_argument("--passphrase-file", type=Path, help="the passphrase until now")
    new = change.add_mutually_exclusive_group()
    new.add_argument("--new-passphrase-file", type=Path)
    new.add_argument("--no-passphrase", action="store_true", help=_UNPROTECTED)
    change.add_argument("--json", action="store_true")
    change.set_defaults(command=_change_passphrase)

    examine = commands.add_parser("examine", help="look for what does not work, without a daemon", allow_abbrev=False)
    examine.add_argument("--passphrase-file", type=Path)
    examine.set_defaults(command=checkup.examine)
    repair = commands.add_parser("repair", help="put in order what can be, without a daemon", allow_abbrev=False)
    repair.add_argument("--passphrase-file", type=Path)
    repair.add_argument("--yes", action="store_true", help="save what can be of a damaged database")
    repair.set_defaults(command=checkup.repair)

    config = commands.add_parser("config", help="read or change the configuration file", allow_abbrev=False)
    config.add_argument("method", choices=("get", "set"))
    config.set_defaults(command=configuring.call)

    wipe = commands.add_parser("wipe", help="remove the profile", allow_abbrev=False)
    wipe.add_argument("--json", action="store_true")
    wipe.set_defaults(command=_wipe)
    verify = commands.add_parser("verify", help="read a backup as restoring it would", allow_abbrev=False)
    recovery.configure(verify, recovery.verify)
    restore = commands.add_parser("restore", help="make a profile out of a backup", allow_abbrev=False)
    recovery.configure(restore, recovery.restore)
    return parser


# -- init ----------------------------------------------------------------------------------------------------------


def _init(arguments: argparse.Namespace) -> None:
    from p2pchat.daemon.system import SystemEntropy

    paths = ProfilePaths(arguments.profile)
    profiles.refuse_existing(paths)
    number = _own_number(arguments)
    name = _own_name(arguments)
    passphrase = _new_passphrase(arguments, arguments.passphrase_file, "--passphrase-file")
    profile = profiles.create(
        paths,
        name=name,
        number=number,
        region=arguments.region.upper() if arguments.region else None,
        passphrase=passphrase,
        entropy=SystemEntropy(),
        now_ms=int(time.time() * 1000),
    )
    if passphrase is None:
        print(_(_UNPROTECTED), file=sys.stderr)
    if arguments.json:
        shown = {"profile": paths.profile, "name": profile.name, "number": profile.number or None}
        print(msgspec.json.encode(shown).decode())
    else:
        ready = _("The profile {profile} is ready. Start its node with: {command}")
        print(ready.format(profile=paths.profile, command=profiles.start_command(paths)))


def _own_number(arguments: argparse.Namespace) -> Number | None:
    if arguments.no_number:
        return None
    region = arguments.region.upper() if arguments.region else None
    if arguments.number is not None:
        return parse_number(arguments.number, region)
    while True:
        answer = ask(_("Your mobile number with +country code (empty: none): "), "--number or --no-number")
        if not answer:
            return None
        try:
            return parse_number(answer, region)
        except UsageError as error:
            print(language.error("", error.message), file=sys.stderr)


def _own_name(arguments: argparse.Namespace) -> str:
    from p2pchat.core.names import checked_name

    if arguments.name is not None:
        return checked_name(arguments.name)
    while True:
        try:
            return checked_name(ask(_("Your name: "), "--name"))
        except UsageError as error:
            if not on_terminal():
                raise
            print(language.error("", error.message), file=sys.stderr)


def _new_passphrase(arguments: argparse.Namespace, file: Path | None, flag: str) -> bytes | None:
    if arguments.no_passphrase:
        return None
    if file is not None:
        return passphrase_from(file)
    return ask_new_passphrase(_("A passphrase for this profile: "), f"{flag} or --no-passphrase")


# -- run -----------------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> None:
    paths = ProfilePaths(arguments.profile)
    socket = checked_socket(Path(arguments.socket)) if arguments.socket else paths.socket
    given = activation.handed_over(socket)
    flags = {
        "listen": tuple(arguments.listen),
        "bootstrap": tuple(arguments.bootstrap),
        "log_level": arguments.log_level,
        "lan": "off" if arguments.no_lan else None,
        "net.proxy": arguments.proxy,
    }
    if brought.are_waiting(paths):
        from p2pchat.daemon.system import profile_lock

        with profile_lock(paths.lock_file):
            brought.put_in_place(paths)
    config = configuration.load(paths.config_file, os.environ, flags)
    protected = profiles.is_protected(paths)
    locked = arguments.locked or (given is not None and protected and not _can_ask(arguments))
    if arguments.locked and not protected:
        raise UsageError(
            "Without a passphrase nobody could unlock it; set one with: p2pchat passphrase", name="FORBIDDEN"
        )

    # Modules are for ever: to look for garbage among them again and again takes a tenth of the start, and of the time
    # of a message. Once takes 40 ms, and what is made next takes the place of what was found, and of the names of all
    # files that could have been modules: who imports one more looks again.
    gc.disable()
    from p2pchat.daemon import logs, node, system

    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()
    gc.enable()
    logs.configure(config.log_level, config.log_format)
    settings = node.parse(config)
    with system.profile_lock(paths.lock_file):
        profiles.tidy(paths)
        start = node.Start(paths, socket, settings, config, configuration.variables(os.environ), flags, given)
        node.run(start, None if locked else _key(arguments, paths, protected))


def _key(arguments: argparse.Namespace, paths: ProfilePaths, protected: bool) -> profiles.Handover:
    """The database key. No variable holds it, nor the passphrase: those of this program live as long as it does."""
    return profiles.unlock(paths, _passphrase(arguments) if protected else None)


def _can_ask(arguments: argparse.Namespace) -> bool:
    """Whether there is anything to unlock with. Whoever starts the daemon by connecting to it can bring it."""
    return _passphrase_file(arguments) is not None or on_terminal()


def _passphrase_file(arguments: argparse.Namespace) -> Path | None:
    return arguments.passphrase_file or profiles.credential()


def _passphrase(arguments: argparse.Namespace) -> bytes:
    given = _passphrase_file(arguments)
    if given is not None:
        return passphrase_from(given)
    if not on_terminal():
        raise UsageError(
            "This profile needs its passphrase: give --passphrase-file, or --locked and later p2pchat unlock; "
            f"under systemd LoadCredential={profiles.CREDENTIAL}:FILE.",
            name="LOCKED",
        )
    return ask_passphrase(_("Passphrase: "), "--passphrase-file")


# -- passphrase and wipe -------------------------------------------------------------------------------------------


def _change_passphrase(arguments: argparse.Namespace) -> None:
    from p2pchat.daemon.system import SystemEntropy, profile_lock

    paths = ProfilePaths(arguments.profile)
    old = None
    if profiles.is_protected(paths):
        file = arguments.passphrase_file
        old = (
            passphrase_from(file)
            if file is not None
            else ask_passphrase(_("The passphrase now: "), "--passphrase-file")
        )
    new = _new_passphrase(arguments, arguments.new_passphrase_file, "--new-passphrase-file")
    with profile_lock(paths.lock_file, _ENDING_S):
        profiles.tidy(paths)
        profiles.change_passphrase(paths, old, new, SystemEntropy())
    if new is None:
        print(_(_UNPROTECTED), file=sys.stderr)
    done = _("The passphrase was changed.") if new is not None else _("The profile has no passphrase now.")
    _report(arguments, done)


def _wipe(arguments: argparse.Namespace) -> None:
    from p2pchat.daemon.wipe import wipe

    paths = ProfilePaths(arguments.profile)
    wipe(paths, Path(arguments.socket) if arguments.socket else None, _ENDING_S)
    _report(arguments, _("The profile {profile} is gone.").format(profile=paths.profile))


def _report(arguments: argparse.Namespace, sentence: str) -> None:
    print("{}" if arguments.json else sentence)


if __name__ == "__main__":
    main()
