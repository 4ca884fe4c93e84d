"""``contacts verify`` and ``contacts sms-proof``: make sure who a contact is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from gettext import gettext as _
from typing import Final

import click

from p2pchat.api.errors import ApiError
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.numbers import Seconds
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.qr import save_png, show_link
from p2pchat.cli.reading import clock, fields, number, text
from p2pchat.client.blocking import Client

_RESULT: Final = "contact.proof_result"
_TRIES: Final = 3
_ANSWER_S: Final = 600.0
_GROUPS_A_LINE: Final = 4
_YES: Final = ("y", "yes")


@click.command()
@click.argument("to", metavar="TO")
@click.option("--safety-number", metavar="N", help="The number on their screen, as they read it out.")
@click.option("--scanned", metavar="LINK", help="The link in the QR code on their screen.")
@click.option("--png", metavar="FILE", help="Write the QR code to show to them into a new file.")
@click.option("--idempotency-key", metavar="K", help="The same key verifies once.")
@json_option
@pass_invocation
def verify(
    invocation: Invocation,
    to: str,
    safety_number: str | None,
    scanned: str | None,
    png: str | None,
    idempotency_key: str | None,
) -> None:
    """Make sure, face to face, that a contact is who you think.

    Both of you run this. Compare the two numbers, which must be the same, or scan each other's QR code and give what is
    in it with --scanned. Do not compare through p2pchat itself.
    """
    if sum(option is not None for option in (safety_number, scanned, png)) > 1:
        raise click.UsageError(_("Give one of --safety-number, --scanned and --png."))
    if safety_number is None and scanned is None:
        _show(invocation, to, png, idempotency_key)
        return
    compared = {"safety_number": safety_number, "scanned": scanned, "idempotency_key": idempotency_key}
    _confirm(invocation, to, compared)


def _show(invocation: Invocation, to: str, png: str | None, idempotency_key: str | None) -> None:
    safety = invocation.call("contacts.safety", to=to)
    link, groups = text(safety, "qr"), text(safety, "safety_number").split(" ")
    if png is not None:
        save_png(link, png)
    if invocation.as_json:
        emit(safety)
        return
    if png is None:
        show_link(link)
    for start in range(0, len(groups), _GROUPS_A_LINE):
        line(" ".join(groups[start : start + _GROUPS_A_LINE]))
    if png is None and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        _ask(invocation, safety, idempotency_key)


def _ask(invocation: Invocation, safety: dict[str, object], idempotency_key: str | None) -> None:
    try:
        answer = input(_("Do they match? [y/N] "))
    except EOFError:
        line("")  # what follows is not said behind the question
        answer = ""
    if answer.strip().lower() in _YES:
        compared = {"safety_number": text(safety, "safety_number"), "idempotency_key": idempotency_key}
        _confirm(invocation, text(safety, "id"), compared)
    else:
        note(_("Nothing was changed."))


def _confirm(invocation: Invocation, to: str, compared: dict[str, str | None]) -> None:
    verified = invocation.call("contacts.verify", to=to, **compared)
    if invocation.as_json:
        emit(verified)
    elif not invocation.quiet:
        line(f"{text(verified, 'name')}: {text(verified, 'trust')}")


@click.command(name="sms-proof")
@click.argument("to", metavar="TO")
@click.argument("code", required=False)
@click.option("--wait", is_flag=True, help="Return when it is known whether the proof is right.")
@click.option("--timeout", type=Seconds(0, 86_400), metavar="S", help="Wait at most so many seconds (600).")
@click.option("--idempotency-key", metavar="K", help="The same key asks, or answers, once.")
@json_option
@pass_invocation
def sms_proof(
    invocation: Invocation, to: str, code: str | None, wait: bool, timeout: float | None, idempotency_key: str | None
) -> None:
    """Prove by SMS that a number is a contact's.

    Without CODE: prints a text, which you send to their number by ordinary SMS. They type the code in it into their own
    p2pchat, as CODE here. It holds for 10 minutes and three tries.
    """
    if timeout is not None and not wait:
        raise click.UsageError(_("--timeout needs --wait."))
    with invocation.client() as client:
        contact = client.call("contacts.get", to=to)
        since = number(client.call("node.hello"), "head")
        params = {"to": contact["id"], "code": code, "idempotency_key": idempotency_key}
        reply = client.call("contacts.sms_proof", **given(params))
        if invocation.as_json:
            emit(reply)
        elif code is None:
            _print_question(invocation, contact, reply)
        elif not invocation.quiet:
            note(_("Sent to {name}.").format(name=text(contact, "name")))
        if wait:
            limit_s = _ANSWER_S if timeout is None else timeout
            _wait(invocation, client, contact, since, limit_s, tries=_TRIES if code is None else 1)


def _print_question(invocation: Invocation, contact: dict[str, object], asked: dict[str, object]) -> None:
    sms = asked.get("text")
    if sms is None:
        note(_("This was asked before, and the code is told once. Ask anew with another key."))
        return
    if not invocation.quiet:
        said = _("Send this to {number} by ordinary SMS, not through p2pchat. It holds until {time}:")
        note(said.format(number=text(contact, "number"), time=clock(asked.get("expires_ms"), "%H:%M")))
    line(text(asked, "text"))


def _wait(
    invocation: Invocation, client: Client, contact: dict[str, object], since: int, limit_s: float, tries: int
) -> None:
    """Until a proof was right.

    Raises:
        ApiError: UNTRUSTED_KEY, so many were wrong; TIMEOUT.
    """
    results = _results(client, text(contact, "id"), since, limit_s)
    for _try in range(tries):
        result = next(results)
        if invocation.as_json:
            emit(result)
        if result.get("ok"):
            if not invocation.as_json and not invocation.quiet:
                line(_("{name}: the proof is right").format(name=text(contact, "name")))
            return
        note(_("The proof is wrong."))
    raise ApiError("UNTRUSTED_KEY", "The number was not proven: another code, number or key was used.")


def _results(client: Client, contact: str, since: int, limit_s: float) -> Iterator[dict[str, object]]:
    deadline = time.monotonic() + limit_s
    for event in client.events(since=since, types=[_RESULT], until=deadline, reconnect=False):
        data = fields(event, "data")
        if text(data, "id") == contact:
            yield data
