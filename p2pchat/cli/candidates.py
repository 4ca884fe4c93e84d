"""What may stand at a place of a command line: commands and options of the tree, names and ids from the daemon.

Rules:

- What a parameter takes is read off its metavar (``TO``, ``MESSAGE``, ``FILE``): a new command is completed like the
  others.
- A name that is not unique, begins like an option or would not print as it is is replaced by the contact's id.
- The daemon has a second; without its answer there are no candidates, and no error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal

import click
from click.shell_completion import CompletionItem, ShellComplete

from p2pchat.api.paths import DEFAULT_PROFILE, ProfilePaths
from p2pchat.api.text import escape, is_safe
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.invocation import Invocation
from p2pchat.cli.reading import fields, number, objects, text

_REPLY_S: Final = 1.0
_MOST: Final = 1000  # candidates: more help nobody
_RECENT: Final = 500  # events that are looked through for messages
_SAID_CHARS: Final = 40
_WORDS: Final = re.compile("one of (.+)")

Found = Iterator[tuple[str, str]]
"""A candidate, and what is to be said of it."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """``kind`` is ``words``, or ``files``: then the shell finds them."""

    kind: Literal["words", "files"]
    items: list[tuple[str, str]] = field(repr=False)


def candidates(root: click.Group, words: Sequence[str], incomplete: str, *, described: bool = True) -> Candidates:
    """What may stand behind ``words`` and begins with ``incomplete``, without regard to case; ``described``: with what
    is to be said of it, for which all commands of the tree are loaded where it is one of them.
    """
    if not words and not described and not incomplete.startswith("-"):
        names = [name for name in root.list_commands(click.Context(root)) if not name.startswith("_")]
        return Candidates("words", [(name, "") for name in names if name.startswith(incomplete)])
    name, sign, value = incomplete.partition("=")
    joined = bool(sign) and name.startswith("--")
    before, asked = ([*words, name], value) if joined else (list(words), incomplete)
    with _completed(root, words):
        found = ShellComplete(root, {}, "p2pchat", "").get_completions(before, asked)
    if any(item.type == "file" for item in found):
        return Candidates("files", [])
    start = f"{name}=" if joined else ""
    items: dict[str, str] = {}
    for item in found:
        if is_safe(item.value) and item.value.casefold().startswith(asked.casefold()):
            items.setdefault(start + item.value, escape(item.help or ""))
    return Candidates("words", list(islice(items.items(), _MOST)))


class _Completed(click.ParamType[str]):
    """Any text, completed by what its metavar says."""

    name = "completed"

    def __init__(self, metavar: str) -> None:
        self._kinds = [part for part in re.split(r"[|\[\]….]+", metavar) if part]

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """See click."""
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """See click."""
        if any(kind in _FILES for kind in self._kinds):
            return [CompletionItem(incomplete, type="file")]
        items = [CompletionItem(kind) for kind in self._kinds if kind.islower()]
        for kind in self._kinds:
            if kind in _FROM:
                items += [CompletionItem(value, help=said) for value, said in _FROM[kind](ctx, incomplete)]
        return items


@contextmanager
def _completed(root: click.Group, words: Sequence[str]) -> Iterator[None]:
    """Parameters that take any text have it completed, as long as the block lasts."""
    before: list[tuple[click.Parameter, click.ParamType[Any]]] = []
    for command in _along(root, words):
        for param in command.params:
            if param.type is click.STRING or isinstance(param.type, click.Path):
                before.append((param, param.type))
                param.type = _Completed(_metavar(param))
    try:
        yield
    finally:
        for param, kind in before:
            param.type = kind


def _along(root: click.Group, words: Sequence[str]) -> Iterator[click.Command]:
    """Every command that is named on the way."""
    command: click.Command = root
    yield command
    context = click.Context(root)
    for word in words:
        below = command.get_command(context, word) if isinstance(command, click.Group) else None
        if below is not None:
            command = below
            yield command


def _metavar(param: click.Parameter) -> str:
    return param.metavar or (param.name or "").upper()


# -- from the daemon -----------------------------------------------------------------------------------------------


def _call(ctx: click.Context, method: str, /, **params: object) -> dict[str, object]:
    options = ctx.find_root().params
    invocation = Invocation(str(options.get("profile") or DEFAULT_PROFILE), options.get("socket"))
    try:
        with invocation.client(timeout_s=_REPLY_S) as client:
            return client.call(method, **params)
    except P2PChatError:
        return {}


def _contacts(ctx: click.Context, incomplete: str) -> Found:
    found = objects(_call(ctx, "contacts.list"), "contacts")
    names = Counter(text(each, "name").casefold() for each in found)
    for each in found:
        name, uid = text(each, "name"), text(each, "id")
        if names[name.casefold()] > 1 or name.startswith("-") or not is_safe(name):
            yield uid, name
        else:
            yield name, text(each, "state")
    if incomplete:
        for each in found:
            yield text(each, "number", ""), text(each, "name")
            yield text(each, "id"), text(each, "name")


def _messages(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    """Those of the last events, the newest first."""
    since = max(0, number(_call(ctx, "node.hello"), "head") - _RECENT)
    events = objects(_call(ctx, "events.fetch", since=since, types=["message.*"], limit=_RECENT), "events")
    seen: dict[str, str] = {}
    for event in reversed(events):
        message = fields(event, "data")
        if "id" in message and "text" in message:
            seen.setdefault(text(message, "id"), f"{text(message, 'state')}: {text(message, 'text')[:_SAID_CHARS]}")
    yield from seen.items()


def _claimants(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    for each in objects(_call(ctx, "contacts.claimants", to=ctx.params.get("to")), "claimants"):
        yield text(each, "id"), "chosen" if each.get("chosen") else ""


def _invites(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    for each in objects(_call(ctx, "identity.invites"), "invites"):
        yield text(each, "id"), "open" if each.get("open") else "closed"


def _rules(ctx: click.Context, incomplete: str) -> Found:
    if ctx.info_name != "forget":
        yield from _contacts(ctx, incomplete)
        return
    for each in objects(_call(ctx, "net.rules"), "rules"):
        yield text(each, "what"), "allow" if each.get("allow") else "deny"


def _keys(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    for each in objects(_call(ctx, "config.get"), "settings"):
        yield text(each, "key"), ""


def _values(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    """Of the setting, where it takes some words alone: its own sentence says which."""
    for each in objects(_call(ctx, "config.get", key=ctx.params.get("key")), "settings"):
        takes = text(each, "takes")
        words = _WORDS.fullmatch(takes)
        for word in ("on", "off") if takes == "on or off" else words[1].split(", ") if words else ():
            yield word, ""


def _methods(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    for each in objects(_call(ctx, "rpc.discover"), "methods"):
        yield text(each, "name"), text(each, "summary", "")


def _commands(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    """Of the group that ``help`` has been asked for so far."""
    *_, command = _along(ctx.find_root().command, ctx.params.get("words") or ())  # type: ignore[arg-type]
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            if below is not None and not below.hidden:
                yield name, below.get_short_help_str()


# -- from the tables that both ends share -------------------------------------------------------------------------


def _types(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    """Of events, behind those before the last comma."""
    from p2pchat.api.event_table import EVENTS  # loaded where it is asked for

    before, comma, _ = incomplete.rpartition(",")
    kinds = [kind for spec in EVENTS for kind in spec.types]
    families = dict.fromkeys(f"{kind.partition('.')[0]}.*" for kind in kinds)
    yield from ((before + comma + kind, "") for kind in (*families, *kinds))


# -- from the disk -------------------------------------------------------------------------------------------------


def _profiles(ctx: click.Context, incomplete: str) -> Found:  # noqa: ARG001
    try:
        names = sorted(each.parent.name for each in islice(ProfilePaths().data_dir.parent.glob("*/p2pchat.db"), _MOST))
    except OSError:
        return
    yield from ((name, "") for name in names)


_FILES: Final = ("FILE", "F", "S")
_FROM: Final[dict[str, Callable[[click.Context, str], Found]]] = {
    **dict.fromkeys(("TO", "CONTACT", "OTHER"), _contacts),
    "MESSAGE": _messages,
    "CLAIMANT": _claimants,
    "ID": _invites,
    "WHAT": _rules,
    "COMMAND": _commands,
    "KEY": _keys,
    "VALUE": _values,
    "TYPES": _types,
    "METHOD": _methods,
    "P": _profiles,
}
"""What a word of a metavar stands for."""
