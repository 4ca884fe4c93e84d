"""``p2pchat(1)``: one page with every command, its options and its examples, as systemctl(1) has.

Rules:

- What can be said by the tree of commands and the tables of the API is taken from there.
- The same tree makes the same bytes: there is no date in it.

Source: man(7), man-pages(7); groff_char(7) for what must not become another character when it is copied.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Final

import click

import p2pchat
from p2pchat.api.errors import TABLE
from p2pchat.cli.app import BROKEN_PIPE, INTERRUPTED, cli
from p2pchat.cli.examples import EXAMPLES

_EVERYWHERE: Final = ("--json", "--help", "--version")
_SAID_OF: Final = {0: "it is done", 2: "a usage error", INTERRUPTED: "interrupted", BROKEN_PIPE: "the reader has left"}
_ENVIRONMENT: Final = (
    ("P2PCHAT_HOME", "Where set, everything lies under it: data, configuration, socket and log."),
    ("XDG_DATA_HOME, XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR", "Where it lies otherwise."),
    ("NO_COLOR", "Where set to anything, nothing is shown in colours; nor is it with TERM=dumb."),
    ("COLUMNS", "How wide the terminal is, where it does not say so itself."),
    ("TZ", "The zone in which times are shown."),
    ("LC_ALL, LC_MESSAGES, LANG", "In which language p2pchat speaks: English or Korean; LANGUAGE comes before them."),
)
_FILES: Final = (
    ("~/.config/p2pchat/PROFILE.toml", "The configuration, which nobody has to write."),
    ("~/.local/share/p2pchat/PROFILE/", "Keys and the encrypted database."),
    ("$XDG_RUNTIME_DIR/p2pchat/PROFILE.sock", "The daemon's socket, for this user alone."),
)


def page() -> str:
    """The page, in the macros of man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    root = click.Context(cli, info_name="p2pchat")
    yield '.\\" Made by scripts/manual: what stands here is written in the commands.'
    yield f'.TH P2PCHAT 1 "" "p2pchat {p2pchat.__version__}" "User Commands"'
    yield ".SH NAME"
    yield "p2pchat \\- end-to-end encrypted messages between nodes, without a server"
    yield ".SH SYNOPSIS"
    yield ".B p2pchat"
    yield _text("[OPTIONS] COMMAND [ARGUMENTS]")
    yield ".SH DESCRIPTION"
    yield _text(
        "p2pchat init makes a profile, p2pchat daemon runs its node, and the other commands talk to that through its "
        "socket. Results go to stdout, everything else to stderr. TO is a contact's name, its number or the "
        "beginning of its id; self is you. On a terminal tables have a head and colours, and are cut where they do "
        "not fit; with -v nothing is cut, and a program that reads gets all of it."
    )
    yield ".SH OPTIONS"
    for names, said in _options(root):
        yield from _item(names, said)
    yield from _item("--json", "Behind any command too: print the objects of the API, one a line, and nothing else.")
    yield from _item("-h, --help", "Behind any command too: say what it does.")
    yield ".SH COMMANDS"
    yield from _commands(root, cli, ())
    yield ".SH EXIT STATUS"
    yield _text("Behind a failure stderr ends with a line NAME: SENTENCE.")
    for status, said in sorted({**_SAID_OF, **_names()}.items()):
        yield from _item(str(status), said)
    for title, rows in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        yield f".SH {title}"
        for what, said in rows:
            yield from _item(what, said)
    yield ".SH EXAMPLES"
    yield from _examples("")


def _commands(parent: click.Context, group: click.Group, path: tuple[str, ...]) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        if isinstance(command, click.Group):
            yield from _commands(context, command, (*path, name))
            continue
        pieces = command.collect_usage_pieces(context)
        yield f".SS {_quoted(' '.join(('p2pchat', *path, name, *pieces)))}"
        for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
            if number:
                yield ".PP"
            yield _text(paragraph)
        for names, said in _options(context):
            yield from _item(names, said)
        yield from _examples(" ".join((*path, name)))


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for param in context.command.get_params(context):
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record is not None and not set(param.opts) & set(_EVERYWHERE):
            yield record


def _examples(path: str) -> Iterator[str]:
    lines = EXAMPLES.get(path, ())
    if lines:
        yield from (".PP", ".EX", *(f"  {_literal(line)}" for line in lines), ".EE")


def _names() -> dict[int, str]:
    """The errors behind each status."""
    found: dict[int, list[str]] = {}
    for row in TABLE:
        found.setdefault(row.exit_status, []).append(row.name)
    return {status: ", ".join(names) for status, names in found.items()}


def _item(what: str, said: str) -> Iterator[str]:
    yield from (".TP", f".B {_quoted(what)}", _text(said))


def _quoted(words: str) -> str:
    return f'"{_literal(words)}"'


def _text(words: str) -> str:
    """A paragraph, which is filled; names of commands in it may be copied."""
    filled = _literal(re.sub(r"\s+", " ", words.replace("\b", "")).strip())
    return f"\\&{filled}" if filled.startswith((".", "\\(aq")) else filled


def _literal(words: str) -> str:
    """``words`` with every character as it is, also when it is copied from the screen."""
    for character, escape in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("^", "\\(ha"),
        ("~", "\\(ti"),
        ('"', "\\(dq"),
        ("…", "..."),
        ("–", "\\(en"),
    ):
        words = words.replace(character, escape)
    return words
