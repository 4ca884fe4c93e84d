"""``lock``, ``unlock``, ``passphrase`` and ``wipe``.

Passphrases come from a file or the terminal, never from an argument or the environment, which others can read.
"""

from __future__ import annotations

import binascii
from contextlib import suppress
from gettext import gettext as _
from pathlib import Path
from typing import NoReturn

import click

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.passphrase import passphrase_from
from p2pchat.api.paths import ProfilePaths
from p2pchat.api.prompts import ask, ask_new_passphrase, ask_passphrase, on_terminal
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.node import become_daemon_program, end_daemon
from p2pchat.cli.output import emit, note
from p2pchat.client.blocking import Client


@click.command()
@json_option
@pass_invocation
def lock(invocation: Invocation) -> None:
    """Drop the keys from memory and leave the network, until `p2pchat unlock`.

    The daemon goes on and answers `status` and `unlock`. Whoever waits for something is told that it is locked.
    """
    _report(invocation, invocation.call("node.lock"), _("locked"))


@click.command()
@click.option("--passphrase-file", metavar="F", help="A file that holds the passphrase; without it you are asked.")
@json_option
@pass_invocation
def unlock(invocation: Invocation, passphrase_file: str | None) -> None:
    """Open a daemon that is locked, or was started with --locked."""
    with invocation.client() as client:
        passphrase = _given(passphrase_file, _("Passphrase: "))
        reply = client.call("node.unlock", passphrase=_parameter(passphrase))
    _report(invocation, reply, _("unlocked"))


@click.command()
@click.option("--passphrase-file", metavar="F", help="A file that holds the passphrase until now.")
@click.option("--new-passphrase-file", metavar="F", help="A file that holds the new one.")
@click.option("--no-passphrase", is_flag=True, help="None from now on: whoever has the disk has everything.")
@json_option
@pass_invocation
def passphrase(
    invocation: Invocation, passphrase_file: str | None, new_passphrase_file: str | None, no_passphrase: bool
) -> None:
    """Change the passphrase, whether the daemon runs or not. Asks for what is missing, on a terminal.

    It wraps the key of the profile anew; the key stays the same. A copy of the disk from before still opens with the
    old passphrase.
    """
    if no_passphrase and new_passphrase_file is not None:
        raise click.UsageError(
            _("{one} and {other} exclude each other.").format(one="--no-passphrase", other="--new-passphrase-file")
        )
    try:
        client = invocation.client()
    except NoDaemon:
        _change_without_daemon(invocation, passphrase_file, new_passphrase_file, no_passphrase)
    with client:
        reply = _change(client, passphrase_file, new_passphrase_file, no_passphrase)
    done = _("the profile has no passphrase now") if no_passphrase else _("the passphrase was changed")
    _report(invocation, reply, done)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_invocation
def wipe(invocation: Invocation, yes: bool) -> None:
    """Stop the daemon and remove the profile: keys, messages, contacts, settings, log.

    The keys go first and are overwritten. Backups stay: none is written into the profile's own folder, all of which
    goes.
    """
    profile = invocation.profile
    if not ProfilePaths(profile).data_dir.exists():
        raise ApiError("NO_PROFILE", f"There is no profile {profile}.")
    if not yes:
        question = _("Everything in the profile {profile} is removed, for ever. Type its name to go on: ")
        if ask(question.format(profile=profile), "--yes") != profile:
            raise ApiError("INVALID_PARAMS", "That is not its name; nothing was changed.")
    with suppress(NoDaemon):  # then there is none to be stopped; the lock of the profile shows if that is not so
        end_daemon(invocation)
    become_daemon_program([*_global_options(invocation), "wipe", *(["--json"] if invocation.as_json else [])])


def _change(client: Client, file: str | None, new_file: str | None, no_passphrase: bool) -> dict[str, object]:
    old = None
    if file is not None or on_terminal():
        old = _given(file, _("The passphrase now (empty: there is none): "), empty=True)
    new = None
    if new_file is not None:
        new = passphrase_from(Path(new_file))
    elif not no_passphrase:
        new = ask_new_passphrase(_("The new passphrase: "), "--new-passphrase-file or --no-passphrase")
    return client.call("passphrase.change", old=_parameter(old), new=_parameter(new))


def _change_without_daemon(
    invocation: Invocation, file: str | None, new_file: str | None, no_passphrase: bool
) -> NoReturn:
    arguments = [*_global_options(invocation), "passphrase"]
    for option, value in (("--passphrase-file", file), ("--new-passphrase-file", new_file)):
        if value is not None:
            arguments.append(f"{option}={value}")
    for option, on in (("--no-passphrase", no_passphrase), ("--json", invocation.as_json)):
        if on:
            arguments.append(option)
    become_daemon_program(arguments)


def _global_options(invocation: Invocation) -> list[str]:
    socket = [] if invocation.socket is None else [f"--socket={invocation.socket}"]
    return ["--profile", invocation.profile, *socket]


def _given(file: str | None, question: str, *, empty: bool = False) -> bytes | None:
    if file is not None:
        return passphrase_from(Path(file))
    typed = ask_passphrase(question, "--passphrase-file")
    if not typed and empty:
        return None
    return typed


def _parameter(passphrase: bytes | None) -> dict[str, str] | None:
    """As bytes, in JSON: it need not be a text."""
    return None if passphrase is None else {"$b64": binascii.b2a_base64(passphrase, newline=False).decode()}


def _report(invocation: Invocation, reply: dict[str, object], done: str) -> None:
    if invocation.as_json:
        emit(reply)
    elif not invocation.quiet:
        note(done)
