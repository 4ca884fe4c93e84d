"""``init``, ``daemon``, ``status`` and ``stop``.

The first two become the daemon's program: prompts, keys and the disk are its business.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from gettext import gettext as _
from typing import Final, NoReturn

import click

from p2pchat.api.disk import ADVICE as DISK_ADVICE
from p2pchat.api.errors import ApiError
from p2pchat.api.language import error, marked
from p2pchat.api.replaced import ADVICE
from p2pchat.cli.colour import Colour
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.program import daemon_program
from p2pchat.cli.reading import clock, counted, duration, fields, number, text, texts

STOP_S: Final = 30.0
_MODES: Final = {
    "contacts": marked("contacts only: strangers are served nothing but the network's upkeep"),
    "lan": marked("local network only: nothing goes beyond it"),
}


@click.command()
@click.option("--number", metavar="N", help="Your mobile number, such as +821012345678.")
@click.option("--no-number", is_flag=True, help="A node that nobody can find by number, such as a router.")
@click.option("--name", metavar="NAME", help="What your contacts' nodes may call you.")
@click.option("--region", metavar="CC", help="Country of numbers without a country code, such as KR.")
@click.option("--passphrase-file", metavar="F", help="A file that holds the passphrase.")
@click.option("--no-passphrase", is_flag=True, help="Keep the key unprotected: whoever has the disk has everything.")
@json_option
@pass_invocation
def init(
    invocation: Invocation,
    number: str | None,
    no_number: bool,
    name: str | None,
    region: str | None,
    passphrase_file: str | None,
    no_passphrase: bool,
) -> None:
    """Make a profile: keys, number, name. Asks for what is missing, on a terminal."""
    arguments = ["--profile", invocation.profile, "init"]
    for option, value in (
        ("--number", number),
        ("--name", name),
        ("--region", region),
        ("--passphrase-file", passphrase_file),
    ):
        if value is not None:
            arguments.append(f"{option}={value}")
    for option, on in (("--no-number", no_number), ("--no-passphrase", no_passphrase), ("--json", invocation.as_json)):
        if on:
            arguments.append(option)
    become_daemon_program(arguments)


@click.command()
@click.option("--listen", multiple=True, metavar="MULTIADDR", help="Where to listen, such as /ip4/0.0.0.0/tcp/4001.")
@click.option("--bootstrap", multiple=True, metavar="MULTIADDR", help="A node to start from: its `p2pchat net addrs`.")
@click.option("--no-lan", is_flag=True, help="Neither look for nodes of the local network nor be found there.")
@click.option("--proxy", metavar="URL", help="A SOCKS5 proxy for all connections, such as socks5://127.0.0.1:9050.")
@click.option("--passphrase-file", metavar="F", help="A file that holds the passphrase.")
@click.option("--locked", is_flag=True, help="Start locked, until `p2pchat unlock`: for a machine that starts alone.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="What is logged to stderr.")
@pass_invocation
def daemon(
    invocation: Invocation,
    listen: Sequence[str],
    bootstrap: Sequence[str],
    no_lan: bool,
    proxy: str | None,
    passphrase_file: str | None,
    locked: bool,
    log_level: str | None,
) -> None:
    """Run the node in the foreground until it is stopped.

    The passphrase, if there is one, comes from --passphrase-file, from the systemd credential p2pchat.passphrase, or
    from the terminal.
    """
    if locked and passphrase_file is not None:
        raise click.UsageError(
            _("{one} and {other} exclude each other.").format(one="--locked", other="--passphrase-file")
        )
    arguments = ["--profile", invocation.profile]
    if invocation.socket is not None:
        arguments.append(f"--socket={invocation.socket}")
    arguments.append("run")
    arguments += [f"--listen={address}" for address in listen]
    arguments += [f"--bootstrap={address}" for address in bootstrap]
    for option, value in (("--proxy", proxy), ("--passphrase-file", passphrase_file)):
        if value is not None:
            arguments.append(f"{option}={value}")
    for option, on in (("--no-lan", no_lan), ("--locked", locked)):
        if on:
            arguments.append(option)
    if log_level is not None:
        arguments.append(f"--log-level={log_level}")
    become_daemon_program(arguments)


def become_daemon_program(arguments: Sequence[str]) -> NoReturn:
    """Replace this process, so that signals and the exit status are the daemon's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [*daemon_program(), *arguments])  # noqa: S606  no shell is wanted


@click.command()
@json_option
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show the node at a glance."""
    shown = invocation.call("node.status")
    if invocation.as_json:
        emit(shown)
        return
    if shown.get("locked"):
        locked = _("locked, profile {profile}; open it with: {program} unlock")
        line(locked.format(profile=text(shown, "profile"), program=invocation.program()), Colour.WAITING)
        line(_running(shown))
        _mode(shown)
        return
    counts = fields(shown, "contacts")
    known = {"name": text(shown, "name"), "number": text(shown, "number", _("no number"))}
    line(_("{name} ({number}), profile {profile}").format(profile=text(shown, "profile"), **known))
    line(_running(shown))
    through = ", " + _("through a proxy") if shown.get("proxy") else ""
    peers = counted(number(shown, "peers"), "{} peer", "{} peers")
    connected = None if number(shown, "peers") else Colour.WAITING
    reached = _("reachability {reachability}").format(reachability=text(shown, "reachability"))
    line(f"{peers}, {reached}{through}", connected)
    _mode(shown)
    _counts(counts, invocation)
    held = _("{count} of them held in mailboxes").format(count=number(shown, "held")) if number(shown, "held") else ""
    waiting = counted(number(shown, "outbox"), "{} message not delivered yet", "{} messages not delivered yet")
    line(", ".join(each for each in (waiting, held) if each))
    line(_("peer id {id}").format(id=text(shown, "peer_id")))
    for address in texts(shown, "addresses"):
        line(_("address {address}").format(address=address))
    if text(shown, "disk", "ok") in DISK_ADVICE:
        line(_(DISK_ADVICE[text(shown, "disk")]), Colour.BAD)
    if shown.get("alone") is not None:
        line(error(marked("ALONE"), text(shown, "alone")), Colour.WAITING)
    if shown.get("replaced_ms") is not None:
        since = _("replaced: a newer device of yours is in use since {time}; {advice}")
        line(since.format(time=clock(shown["replaced_ms"]), advice=_(ADVICE)), Colour.BAD)
    if shown.get("clock_ok") is False:
        line(_("the clock differs from that of other nodes: nothing can be published until it is set"), Colour.BAD)


@click.command()
@json_option
@pass_invocation
def stop(invocation: Invocation) -> None:
    """End the daemon; returns when it has let go of its socket."""
    reply = end_daemon(invocation)
    if invocation.as_json:
        emit(reply)
    elif not invocation.quiet:
        note(_("stopped"))


def end_daemon(invocation: Invocation) -> dict[str, object]:
    """End the daemon; the reply, when it has let go of its socket.

    Raises:
        NoDaemon: there is none.
        ApiError: TIMEOUT, it does not end.
    """
    with invocation.client() as client:
        reply = client.call("node.shutdown")
        if not client.wait_closed(STOP_S):
            raise ApiError("TIMEOUT", f"The daemon is still running after {STOP_S:g} seconds.")
    return reply


def _counts(counts: Mapping[str, object], invocation: Invocation) -> None:
    matched = counted(number(counts, "matched"), "{} contact matched", "{} contacts matched")
    line(f"{matched}, {_('{count} pending').format(count=text(counts, 'pending'))}")
    if asking := number(counts, "requests"):
        asked = counted(asking, "{} request to become a contact", "{} requests to become a contact")
        see = _("{asked}; see: {program} contacts list --state request")
        line(see.format(asked=asked, program=invocation.program()), Colour.WAITING)


def _mode(status: Mapping[str, object]) -> None:
    mode = _MODES.get(text(status, "mode", "open"))
    if mode is not None:
        line(_(mode))


def _running(status: Mapping[str, object]) -> str:
    running = _("running for {time}, version {version}")
    return running.format(time=duration(number(status, "uptime_s")), version=text(status, "version"))
