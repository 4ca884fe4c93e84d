"""``doctor``: what does not work, and what to do.

Rules:

- What runs is asked through its socket; without it the daemon's program looks at what can be looked at. What is told of
  the socket itself is found out here.
- A person reads it in their language, made of the codes; programs read English.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from gettext import gettext as _
from typing import Final, cast

import click

import p2pchat
from p2pchat.api.diagnosis import SAID, TITLES, Fact, Finding, advice, found, in_words
from p2pchat.api.diagnosis import text as english
from p2pchat.api.errors import ApiError
from p2pchat.api.prompts import ask, on_terminal
from p2pchat.cli.colour import Colour, Coloured
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit, note, sheet
from p2pchat.cli.program import daemon_program
from p2pchat.cli.reading import objects, text
from p2pchat.cli.socket_look import look
from p2pchat.client.blocking import Client

_SOMETHING_FAILED: Final = 1
_MARKS: Final = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "–"}
_COLOURS: Final = {"ok": Colour.GOOD, "warning": Colour.WAITING, "failed": Colour.BAD}
_PLAIN_MARKS: Final = {"ok": "+", "warning": "!", "failed": "x", "skipped": "-"}
Row = dict[str, object]
"""A check as the API has it."""


@click.command()
@click.option("--fix", is_flag=True, help="First put in order what can be without losing anything.")
@click.option("--yes", is_flag=True, help="With --fix: save what can be of a damaged database, without a question.")
@click.option(
    "--send/--no-send",
    default=True,
    help="Whether other nodes are asked to take part in tests, as they are unless you say no.",
)
@click.option("--passphrase-file", metavar="F", help="To look at the database, too, while no daemon is running.")
@json_option
@pass_invocation
def doctor(invocation: Invocation, fix: bool, yes: bool, send: bool, passphrase_file: str | None) -> None:
    """Look for what does not work, and say what to do.

    Looks at the daemon and its socket, the profile's files, disk, clock, addresses, router, first nodes, relays and
    mailboxes, and sends a message to itself through the network. Without a daemon it looks at what is left.

    Exit status 0: nothing failed (there may be warnings); 1: something did.
    """
    rows: list[Row] = []
    given = [] if passphrase_file is None else [f"--passphrase-file={passphrase_file}"]
    if fix:
        rows += _repaired(invocation, given, agreed=yes)
    client, of_socket = look(invocation)
    if client is None:
        rows += [_row(of_socket, invocation), *_from_program(invocation, "examine", given)]
    else:
        with client:
            rows += [_row(of_socket, invocation), *_from_daemon(client, invocation, send)]
    rows = sorted(rows, key=_place)
    if invocation.as_json:
        for row in rows:
            emit(row)
    else:
        _print(rows, invocation)
    if any(row["state"] == "failed" for row in rows):
        click.get_current_context().exit(_SOMETHING_FAILED)


def _repaired(invocation: Invocation, arguments: list[str], *, agreed: bool) -> list[Row]:
    """What was put in order. What of a damaged database would be lost is asked about, on a terminal."""
    rows = _from_program(invocation, "repair", [*arguments, *(["--yes"] if agreed else [])])
    offered = next((row for row in rows if row["code"] == "fix.can_be_saved"), None)
    if offered is None or invocation.as_json or not on_terminal():
        return rows
    note(_words(offered, invocation.program())[0])
    if ask(f"{_('To have that done type yes:')} ", "--yes") != "yes":
        return rows
    return [row for row in rows if row is not offered] + _from_program(invocation, "repair", [*arguments, "--yes"])


def _from_daemon(client: Client, invocation: Invocation, send: bool) -> list[Row]:
    status = client.call("node.status")
    version = text(status, "version")
    if version != p2pchat.__version__:
        daemon = found("daemon.other_version", version=version, own=p2pchat.__version__)
    else:
        daemon = found("daemon.locked") if status.get("locked") else found("daemon.running", version=version)
    try:
        return [_row(daemon, invocation), *objects(client.call("node.doctor", send=send), "checks")]
    except ApiError as error:
        if error.error_name != "METHOD_NOT_FOUND":
            raise
        return [_row(found("daemon.too_old"), invocation)]


def _from_program(invocation: Invocation, command: str, arguments: list[str]) -> list[Row]:
    """What the daemon's program finds.

    Raises:
        ApiError: it fails; its own sentence.
    """
    place = [] if invocation.socket is None else [f"--socket={invocation.socket}"]
    program = [*daemon_program(), "--profile", invocation.profile, *place, command, *arguments]
    done = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603  our own
    if done.returncode:
        name, _colon, sentence = done.stderr.decode(errors="replace").strip().rpartition("\n")[2].partition(": ")
        raise ApiError(name, sentence)
    lines = map(json.loads, done.stdout.splitlines())
    return [_row(Finding(each["code"], each["facts"]), invocation) for each in lines]


def _row(finding: Finding, invocation: Invocation) -> Row:
    program = invocation.program()
    return {
        "name": finding.name,
        "state": finding.state,
        "code": finding.code,
        "facts": finding.facts,
        "text": english(finding, program),
        "advice": advice(finding, program),
    }


def _place(row: Row) -> int:
    """Checks of a newer daemon come last."""
    names = list(TITLES)
    return names.index(str(row["name"])) if row["name"] in names else len(names)


def _print(rows: Iterable[Row], invocation: Invocation) -> None:
    marks = _MARKS if _can_be_shown("".join(_MARKS.values())) else _PLAIN_MARKS
    shown: list[tuple[Coloured, str, list[str]]] = []
    failed = 0
    for row in rows:
        state = text(row, "state")
        failed += state == "failed"
        if invocation.quiet and state in ("ok", "skipped"):
            continue
        what, to_do = _words(row, invocation.program())
        title = _(TITLES[name]) if (name := text(row, "name")) in TITLES else name
        mark = Coloured(marks.get(state, "?"), _COLOURS.get(state))
        shown.append((mark, title, [what, *([to_do] if to_do and state != "ok" else [])]))
    sheet(shown)
    if not invocation.quiet:
        if failed:
            summary = _("Checks that failed: {failed}. What is marked with {mark} needs you.")
            note(summary.format(failed=failed, mark=marks["failed"]))
        else:
            note(_("Nothing that was looked at is in disorder."))


def _words(row: Row, program: str) -> tuple[str, str]:
    """What a row says in the user's language; what this version does not know in the daemon's English."""
    said = SAID.get(text(row, "code"))
    facts = row.get("facts")
    if said is not None and isinstance(facts, Mapping):
        with suppress(KeyError):  # a daemon of another version, with other facts
            known = cast("Mapping[str, Fact]", facts)
            return tuple(in_words(_(words) if words else "", known, program) for words in (said.text, said.advice))  # type: ignore[return-value]
    return text(row, "text"), text(row, "advice", "")


def _can_be_shown(characters: str) -> bool:
    try:
        characters.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
