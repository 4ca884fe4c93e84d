"""What a catalogue has to say, found by reading the source.

Rules:

- A text is wanted where it stands as the first argument of ``_``, ``gettext``, ``marked`` or ``ngettext``; the help of
  each command and option is, and the tables that are made of sentences; of click and argparse what a user of p2pchat
  can meet.
- A translation is made where a text is shown: what is translated while a module is loaded is translated before the
  language is known, and is told of.
- Any other sentence of the source may be translated, such as those of errors, which are translated where they are
  printed (:func:`p2pchat.api.language.error`); a place of it is called as what fills it is.
"""

from __future__ import annotations

import ast
import calendar
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import click

import p2pchat
from p2pchat.api.diagnosis import SAID, TITLES
from p2pchat.api.errors import TABLE
from p2pchat.api.explained import LENGTHS
from p2pchat.api.explained import SAID as EXPLAINED
from p2pchat.cli.app import cli
from p2pchat.cli.speaking import texts_of

SOURCE: Final = Path(p2pchat.__file__).parent
PLURAL: Final = "\0"
"""Between the two forms of a text that counts, as in a ``.mo``."""

_PLACE: Final = re.compile(r"\{(\w*)(?:![rs])?(?::[^{}]*)?\}|(%(?:\(\w+\))?s)")
_ONE: Final = ("_", "gettext", "marked")
_TWO: Final = {"ngettext": 0, "counted": 1}  # and which argument is the first of the two forms

LIBRARIES: Final = {
    # click
    "Usage:",
    "Options",
    "Commands",
    "Error: {message}",
    "Try '{command} {option}' for help.",
    "Invalid value: {message}",
    "Invalid value for {param_hint}: {message}",
    "Missing argument",
    "Missing option",
    "Missing parameter",
    "Missing command.",
    "No such option {name!r}.",
    "No such command {name!r}.",
    f"Did you mean {{possibility}}?{PLURAL}(Did you mean one of: {{possibilities}}?)",
    f"Got unexpected extra argument ({{args}}){PLURAL}Got unexpected extra arguments ({{args}})",
    f"Option {{name!r}} requires an argument.{PLURAL}Option {{name!r}} requires {{nargs}} arguments.",
    "Option {name!r} does not take a value.",
    "Choose from:\n\t{choices}",
    f"{{value!r}} is not {{choice}}.{PLURAL}{{value!r}} is not one of {{choices}}.",
    "{value!r} is not a valid {number_type}.",
    "{value} is not in the range {range}.",
    "{name} {filename!r} does not exist.",
    "{name} {filename!r} is a directory.",
    "{name} {filename!r} is a file.",
    "{name} {filename!r} is not readable.",
    "file",
    "path",
    "required",
    "default: {default}",
    "Show the version and exit.",
    "Show this message and exit.",
    # argparse
    "usage: ",
    "%(prog)s: error: %(message)s\n",
    "argument %(argument_name)s: %(message)s",
    "not allowed with argument %s",
    # why the operating system refuses
    "No such file or directory",
    "Permission denied",
    "Operation not permitted",
    "Is a directory",
    "Not a directory",
    "File exists",
    "File name too long",
    "Read-only file system",
    "No space left on device",
    "Input/output error",
}
"""What click, argparse and the operating system say, as they have it."""


STORED: Final = {
    "not delivered in time",
    "a backup was made before it was confirmed; it may have arrived",
}
"""Why messages ended that SQL statements have ended."""


@cache
def wanted() -> frozenset[str]:
    """Every English text that is translated; the two forms of one that counts with :data:`PLURAL` between them."""
    found = {words for row in SAID.values() for words in (row.text, row.advice) if words}
    found |= {*EXPLAINED.values(), *LENGTHS.values()} | STORED
    found |= {*calendar.day_name, *calendar.month_name[1:]}
    found |= set(TITLES.values()) | LIBRARIES | {row.name for row in TABLE}
    for command in commands(cli):
        found |= set(texts_of(command))
    for tree in _modules().values():
        found |= {text for node in ast.walk(tree) for text in texts(node)}
    return frozenset(found)


@cache
def allowed() -> frozenset[str]:
    """The sentences that may be translated: all that the source has."""
    return frozenset(text for tree in _modules().values() for node in ast.walk(tree) for text in sentences(node))


def too_early() -> list[str]:
    """Texts that are translated while a module is loaded, and where."""
    return [
        f"{path.relative_to(SOURCE)}: {text}"
        for path, tree in _modules().items()
        for node in loaded(tree)
        for text in texts(node)
        if not (isinstance(node, ast.Call) and _name(node.func) == "marked")
    ]


def places(text: str) -> set[str]:
    """The places of a text, of either kind."""
    return {place for found in _PLACE.finditer(text) for place in found.groups() if place is not None}


def commands(command: click.Command) -> Iterator[click.Command]:
    """``command`` and all below it but the hidden ones."""
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below)


@cache
def _modules() -> dict[Path, ast.Module]:
    paths = (path for path in sorted(SOURCE.rglob("*.py")) if "testing" not in path.parts)
    return {path: ast.parse(path.read_text("utf-8")) for path in paths}


def texts(node: ast.AST) -> Iterator[str]:
    """What is translated by the call that ``node`` is.

    Raises:
        ValueError: it counts, and its texts are no literals.
    """
    if not isinstance(node, ast.Call) or _name(node.func) not in (*_ONE, *_TWO) or not node.args:
        return
    first = _TWO.get(_name(node.func), 0)
    forms = [each.value if isinstance(each, ast.Constant) else None for each in node.args[first : first + 2]]
    if _name(node.func) in _TWO:
        one, many = forms
        if isinstance(one, str) and isinstance(many, str):
            yield one + PLURAL + many
        elif not all(isinstance(each, ast.Name) for each in node.args[:2]):  # as where `counted` is defined
            raise ValueError(f"ngettext without literals: {ast.unparse(node)}")
    elif isinstance(forms[0], str):  # otherwise from a table, which is marked, or wanted above
        yield forms[0]
    elif isinstance(node.args[0], ast.JoinedStr):
        raise ValueError(f"filled before it is translated: {ast.unparse(node)}")


def loaded(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when a module is loaded: not the bodies of functions."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def sentences(node: ast.AST) -> Iterator[str]:
    """The sentence that a literal is, with its places if it has any."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(_piece(each) for each in node.values)


def _piece(node: ast.AST) -> str:
    """Of a sentence with places: the letters, or a place, which is called as what fills it is."""
    if isinstance(node, ast.FormattedValue):
        return "{" + (re.sub(r"\W+", "_", _last(node.value)).strip("_") or "value") + "}"
    assert isinstance(node, ast.Constant)  # noqa: S101  there are these two
    return str(node.value)


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
