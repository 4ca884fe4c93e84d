"""``send`` and ``history``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from gettext import gettext as _
from typing import Final

import click

from p2pchat.api import language
from p2pchat.api.errors import ApiError
from p2pchat.api.explained import in_words
from p2pchat.api.text import TEXT_BYTES
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.numbers import Seconds, Whole
from p2pchat.cli.output import block, emit, line, note, paragraph
from p2pchat.cli.reading import clock, fields, not_arrived, number, objects, text
from p2pchat.client.blocking import Client

PAGE: Final = 100

_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATES: Final = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


@click.command()
@click.argument("to", metavar="TO")
@click.argument("words", metavar="[TEXT|-]", nargs=-1)
@click.option("--live-only", is_flag=True, help="To who is connected now, or not at all; nothing waits.")
@click.option("--wait", type=click.Choice(["queued", "sent", "held", "delivered", "read"]), help="Return only then.")
@click.option("--timeout", type=Seconds(0, 86_400), metavar="S", help="Wait at most so many seconds (60).")
@click.option("--idempotency-key", metavar="K", help="The same key and text are sent once.")
@json_option
@pass_invocation
def send(
    invocation: Invocation,
    to: str,
    words: tuple[str, ...],
    live_only: bool,
    wait: str | None,
    timeout: float | None,
    idempotency_key: str | None,
) -> None:
    """Send a text. TO is a name, a number or the beginning of an id; self keeps a note for yourself.

    With - instead of TEXT, or without it in a pipeline, stdin is sent unchanged.
    """
    if timeout is not None and wait is None:
        raise click.UsageError(_("--timeout needs --wait."))
    if len(words) > 1:
        raise click.UsageError(_("TEXT is one argument: put it in quotes."))
    body = words[0] if words else None
    if body is None and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError(_("Missing TEXT; - reads it from stdin."))
    params: dict[str, object] = {
        "to": to,
        "text": _standard_input() if body is None or body == "-" else body,
        "live_only": live_only or None,
        "wait": wait,
        "timeout_ms": None if timeout is None else round(timeout * 1000),
        "idempotency_key": idempotency_key,
    }
    # how long a wait takes is the daemon's to say
    with invocation.client(timeout_s=30.0 if wait is None else None) as client:
        sent = client.call("message.send", **given(params))
        if sent.get("state") == "queued" and not (invocation.as_json or invocation.quiet):
            _say_if_nobody_looks(client, text(sent, "contact_id"))
    if invocation.as_json:
        emit(sent)
    elif not invocation.quiet:
        line(f"{text(sent, 'state')}  {text(sent, 'id')}")


@click.command()
@click.argument("message", metavar="MESSAGE")
@json_option
@pass_invocation
def explain(invocation: Invocation, message: str) -> None:
    """Say why a message has not arrived, and what happens next. MESSAGE is its id, as send shows it."""
    with invocation.client() as client:
        found = client.call("message.explain", id=message)
    if invocation.as_json:
        emit(found)
        return
    paragraph(f"{text(found, 'state')}: {_said(found)}")
    for each in objects(found, "tries"):
        where = text(each, "address", _("connected"))
        line(f"  {clock(each.get('at_ms'))}  {where}  {language.said(text(each, 'error'))}")


def _said(explanation: Mapping[str, object]) -> str:
    """An explanation in the user's language; what this version does not know in the daemon's English."""
    if language.is_english() or not objects(explanation, "sentences"):
        return text(explanation, "text")
    return " ".join(map(_sentence, objects(explanation, "sentences")))


def _sentence(said: dict[str, object]) -> str:
    facts = {name: fact for name, fact in fields(said, "facts").items() if isinstance(fact, int | str)}
    try:
        return in_words(text(said, "code"), facts, language.said)
    except KeyError:  # of a daemon of another version
        return text(said, "text")


@click.command()
@click.argument("message", metavar="MESSAGE")
@json_option
@pass_invocation
def cancel(invocation: Invocation, message: str) -> None:
    """Take back a message that has not left yet. MESSAGE is its id, as send and history --json show it."""
    with invocation.client() as client:
        cancelled = client.call("message.cancel", id=message)
    if invocation.as_json:
        emit(cancelled)
    elif not invocation.quiet:
        line(f"{text(cancelled, 'state')}  {text(cancelled, 'id')}")


@click.command()
@click.argument("messages", metavar="MESSAGE...", nargs=-1, required=True)
@json_option
@pass_invocation
def delete(invocation: Invocation, messages: tuple[str, ...]) -> None:
    """Forget messages on this node, for ever; the other side keeps them. MESSAGE is an id."""
    with invocation.client() as client:
        for message in messages:
            deleted = client.call("message.delete", id=message)
            if invocation.as_json:
                emit(deleted)
            elif not invocation.quiet:
                line(f"deleted  {text(deleted, 'id')}")


def _say_if_nobody_looks(client: Client, contact_id: str) -> None:
    contact = client.call("contacts.get", to=contact_id)
    if contact.get("state") == "pending" and not contact.get("searching"):
        said = _("This waits: nobody looks for this contact yet. To begin: p2pchat contacts find {contact}")
        note(said.format(contact=contact_id))


def _standard_input() -> str:
    if sys.stdin is None:
        raise click.UsageError(_("stdin is closed: there is no text to send."))
    data = sys.stdin.buffer.read(TEXT_BYTES + 1)
    if len(data) > TEXT_BYTES:
        raise ApiError("TOO_LARGE", f"text: is longer than {TEXT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ApiError("INVALID_PARAMS", "text: is not UTF-8") from None


@click.command()
@click.argument("to", metavar="TO")
@click.option(
    "--since", metavar="TIME", help="Written or arrived since 2026-11-21, '2026-11-21 18:30', or 30m, 12h, 7d ago."
)
@click.option("--limit", type=Whole(min=1), metavar="N", default=50, show_default=True, help="The newest so many.")
@click.option("--search", metavar="WORDS", help="Those alone that p2pchat search would find.")
@json_option
@pass_invocation
def history(invocation: Invocation, to: str, since: str | None, limit: int, search: str | None) -> None:
    """Show a conversation, oldest message first. TO is a name, a number or the beginning of an id."""
    since_ms = 0 if since is None else _since_ms(since)
    with invocation.client(timeout_s=30.0 if search is None else None) as client:
        contact = client.call("contacts.get", to=to)
        found = _newest(client, str(contact["id"]), since_ms, limit, search)
    for message in found:
        if invocation.as_json:
            emit(message)
            continue
        if search is None and (missing := number(message, "missing")):
            line(f"    {not_arrived(missing, text(contact, 'name'))}")
        _print(message, text(contact, "name"))


def _newest(client: Client, to: str, since_ms: int, limit: int, search: str | None) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    before: object = None
    page = PAGE
    while len(found) < limit:
        params = given({"to": to, "before": before, "limit": min(page, limit - len(found)), "search": search})
        try:
            reply = client.call("message.list", **params)
        except ApiError as error:
            if error.error_name != "TOO_LARGE" or page == 1:
                raise
            page = max(1, page // 4)  # long texts: fewer fit into one reply
            continue
        messages = objects(reply, "messages")
        fresh = [message for message in messages if _here_ms(message) >= since_ms]
        found = fresh + found
        before = reply.get("next")
        if before is None or len(fresh) < len(messages):
            break
    return found


def _here_ms(message: Mapping[str, object]) -> int:
    """When it was written or arrived, on this node's clock: the writer's may be wrong by any time."""
    arrived = number(message, "delivered_ms") if message.get("direction") == "in" else 0
    return arrived or number(message, "created_ms")


def _print(message: Mapping[str, object], name: str) -> None:
    state = text(message, "state")
    if message.get("direction") == "in":
        head = f"{clock(message.get('created_ms'))}  {name}:"
    else:
        head = f"{clock(message.get('created_ms'))}  {_('me ({state}):').format(state=state)}"
    block(head, text(message, "text"))


def _since_ms(value: str) -> int:
    if ago := _AGO.fullmatch(value):
        return int((time.time() - int(ago[1]) * _UNIT_S[ago[2]]) * 1000)
    for form in _DATES:
        try:
            return int(time.mktime(time.strptime(value, form)) * 1000)
        except (ValueError, OverflowError):
            continue
    said = _("is neither a date nor a time ago, such as 2026-11-21 or 12h.")
    raise click.BadParameter(said, param_hint="--since")
