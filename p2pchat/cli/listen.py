"""``listen``: events as they happen, printed or given to a program."""

from __future__ import annotations

import re
import select
import shlex
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from gettext import gettext as _
from typing import TYPE_CHECKING

import click

from p2pchat.api.disk import ADVICE as DISK_ADVICE
from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.numbers import Whole
from p2pchat.cli.output import block, emit, line, note, stdout_pipe
from p2pchat.cli.reading import clock, fields, objects, text
from p2pchat.client.blocking import Client
from p2pchat.client.following import Since

if TYPE_CHECKING:
    from p2pchat.cli.executing import Executing


@click.command()
@click.option("--since", type=Whole(min=0), metavar="SEQ", help="From after this event on; 0 for all.")
@click.option("--consumer", metavar="NAME", help="Go on where the last listen with this NAME stopped.")
@click.option("--exec", "command", metavar="CMD", help="Run CMD for each event, until it exits with 0.")
@click.option("--types", multiple=True, metavar="TYPES", help="Only these, such as 'message.received,contact.*'.")
@json_option
@pass_invocation
def listen(
    invocation: Invocation, since: int | None, consumer: str | None, command: str | None, types: tuple[str, ...]
) -> None:
    """Print what happens, until interrupted: messages as they come, contacts as they match.

    With --json every event is printed, with -v every event in words. While the daemon is restarted or locked this
    waits, and then goes on where it was.

    With --consumer the daemon remembers what was printed, or done; nothing is left out meanwhile, and after a crash the
    last event may come twice. --since is where a new NAME begins.

    With --exec nothing is printed: CMD is run with one event at a time, its JSON on stdin. If it fails it is run again
    after 1 s, 2 s and so on up to 5 min, and what happened later waits. CMD is split into words as a shell does, but
    run without one.
    """
    chosen = [each.strip() for several in types for each in several.split(",")] or None
    if chosen is not None:
        _look_at(chosen)
    if consumer is not None and not re.fullmatch("[A-Za-z0-9._-]{1,64}", consumer):
        said = _("A consumer has a name of 1 to 64 letters and digits of ASCII, dots, dashes and underscores.")
        raise click.BadParameter(said, param_hint="'--consumer'")
    executing = None if command is None else _executing(command)
    with invocation.client() as client:
        listening = _Listening(invocation, client, since, consumer, chosen)
        if executing is None:
            listening.print()
        else:
            listening.execute(executing)


def _look_at(types: list[str]) -> None:
    """A type that is misspelt is one that never comes: the daemon cannot know that, since a newer one may have it.

    Raises:
        click.BadParameter: no event is of one of ``types``; names what is near.
    """
    import difflib  # loaded for those who choose

    from p2pchat.api.event_table import EVENTS

    known = [kind for spec in EVENTS for kind in spec.types]
    known = ["*", *dict.fromkeys(f"{kind.partition('.')[0]}.*" for kind in known), *known]
    for each in types:
        if each not in known:
            near = difflib.get_close_matches(each, known, n=1)
            if near:
                said = _("no event is of the type {type}. Did you mean {near}?").format(type=repr(each), near=near[0])
            else:
                said = _("no event is of the type {type}. Such as message.received, message.* or *.")
                said = said.format(type=repr(each))
            raise click.BadParameter(said, param_hint="--types")


@contextmanager
def _while_read(client: Client) -> Iterator[None]:
    """Where stdout is a pipe, the end of its reader ends ``client``, also while nothing happens that could be written.

    Raises:
        BrokenPipeError: the reader has left.
    """
    pipe = stdout_pipe()
    if pipe is None:
        yield
        return
    import threading  # loaded for those who are read by a program

    left = threading.Event()

    def watch() -> None:
        looking = select.poll()
        looking.register(pipe, 0)  # only what cannot be masked: the other end has gone
        looking.poll()
        left.set()
        client.interrupt()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except NoDaemon:
        if left.is_set():
            raise BrokenPipeError from None
        raise


def _executing(command: str) -> Executing:
    from p2pchat.cli.executing import Executing  # loaded for those who execute

    try:
        words = shlex.split(command)
    except ValueError:
        raise click.BadParameter(_("has a quotation mark that is never closed."), param_hint="--exec") from None
    if not words:
        raise click.BadParameter(_("names no program."), param_hint="--exec")
    return Executing(words, note)


class _Listening:
    """One run of ``listen``."""

    def __init__(
        self, invocation: Invocation, client: Client, since: int | None, consumer: str | None, types: list[str] | None
    ) -> None:
        self._invocation = invocation
        self._client = client
        self._since: Since = "now" if since is None else since
        self._consumer = consumer
        self._types = types

    def print(self) -> None:
        names: dict[str, str] = {}
        if not self._invocation.as_json:
            known = objects(self._client.call("contacts.list"), "contacts")
            names = {text(each, "id"): text(each, "name") for each in known}
        with _while_read(self._client):
            for event in self._client.events(
                since=self._since, consumer=self._consumer, types=self._types, on_lost=self._say_lost
            ):
                if self._invocation.as_json:
                    emit(event)
                else:
                    _print(event, names, self._invocation.verbose)

    def execute(self, executing: Executing) -> None:
        """Until a signal ends it."""
        if self._consumer is None and not self._invocation.quiet:
            said = _(
                "Nothing remembers what was done here: with --consumer NAME the next listen goes on where this stops."
            )
            note(said)

        def lost(error: ApiError) -> None:
            self._say_lost(error)
            executing.lost()

        events = self._client.events(
            since=self._since, consumer=self._consumer, types=self._types, ack="manual", on_lost=lost
        )
        with closing(events), executing:
            for event in events:
                with executing.busy():
                    executing.run(event)
                    if self._consumer is not None:
                        events.ack(event)
        executing.die()

    def _say_lost(self, error: ApiError) -> None:
        if self._invocation.quiet:
            return
        if error.error_name == "LOCKED":
            note(_("The daemon is locked. Listening goes on when it is there again."))
        else:
            note(_("The daemon does not answer. Listening goes on when it is there again."))


def _print(event: Mapping[str, object], names: dict[str, str], verbose: bool) -> None:
    kind, data = text(event, "type"), fields(event, "data")
    when = clock(event.get("ts"), "%H:%M:%S")
    family = kind.partition(".")[0]
    if family == "contact":
        names[text(data, "id")] = text(data, "name")
    name = names.get(text(data, "contact_id"), text(data, "name", ""))
    if kind == "message.received":
        block(f"{when}  {name}:", text(data, "text"))
    elif data.get("disk") is not None:
        state = text(data, "disk")
        said = _(DISK_ADVICE[state]) if state in DISK_ADVICE else _("the disk works again")
        line(f"{when}  {kind}  {said}")
    elif verbose or family == "contact" or kind == "node.warning":
        line(f"{when}  {kind}  {name}".rstrip())
