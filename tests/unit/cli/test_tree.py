"""The whole tree of commands: help, examples that parse, and what is suggested to who mistypes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from p2pchat.cli.app import cli as root
from p2pchat.cli.examples import EXAMPLES
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command with its words, hidden ones left out."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            if not below.hidden:
                yield from commands(below, (*path, name))


ALL = dict(commands(root))
LEAVES = [path for path, command in ALL.items() if not isinstance(command, click.Group)]


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each p2pchat in a shell's line."""
    words = shlex.shlex(line.replace('"$(', "").replace(')"', ""), posix=True, punctuation_chars="|<>")
    words.whitespace_split = True
    arguments: list[str] | None = None
    for word in words:
        if word in ("|", "<", ">"):
            if arguments is not None:
                yield arguments
            arguments = None
        elif word == "p2pchat":
            arguments = []
        elif arguments is not None:
            arguments.append(word)
    if arguments is not None:
        yield arguments


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_an_example_that_parses(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("contacts.vcf", "contacts.csv"):
        (tmp_path / name).touch()
    seen: list[str] = []
    for line in EXAMPLES[path]:
        for arguments in calls(line):
            seen.append(parsed(arguments))
    assert path in seen


def parsed(arguments: list[str]) -> str:
    """The words of the command that ``arguments`` call, all of which click has checked."""
    context = root.make_context("p2pchat", list(arguments))
    path: list[str] = []
    rest = context.args if not context._protected_args else [*context._protected_args, *context.args]
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        assert name is not None
        path.append(name)
        context = command.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args]
    return " ".join(path)


def test_no_example_is_of_a_command_that_there_is_not() -> None:
    assert set(EXAMPLES) <= set(ALL)


@pytest.mark.parametrize("path", ALL)
def test_help_says_what_a_command_does_and_shows_its_examples(path: str, cli: Cli) -> None:
    outcome = cli(*path.split(), "--help")
    assert outcome.status == 0
    for line in EXAMPLES.get(path, ()):
        assert f"\n    {line}\n" in outcome.out, "an example stands on a line of its own, as it is"
    short = ALL[path].get_short_help_str(200)
    assert 0 < len(short) <= 110
    assert cli("help", *path.split()).out == outcome.out


def test_every_option_and_group_says_what_it_is() -> None:
    for path, command in ALL.items():
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, (path, param.name)
                assert param.help.endswith((".", ")")), (path, param.name, param.help)


def test_a_range_is_said_in_words(cli: Cli) -> None:
    for path in ALL:
        assert not re.search(r"[<>]=|\bx\b", cli(*path.split(), "--help").out), path
    assert "[0 or more]" in cli("listen", "--help").out
    assert "[default: 50; 1 or more]" in cli("history", "--help").out
    assert "[0 to 64]" in cli("net", "export", "--help").out
    assert "0 is not in the range 1 or more." in cli("history", "Bob", "--limit", "0").err
    assert (
        "86401.0 is not in the range 0 to 86400." in cli("send", "Bob", "x", "--wait", "sent", "--timeout", "86401").err
    )


def test_help_of_what_there_is_not_is_a_usage_error(cli: Cli) -> None:
    outcome = cli("help", "sned")
    assert (outcome.status, outcome.out) == (2, "")
    assert "Did you mean 'send'?" in outcome.err
    assert cli("help", "send", "more").status == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sned"], "No such command 'sned'. Did you mean 'send'?"),
        (["contact", "list"], "No such command 'contact'. Did you mean 'contacts'?"),
        (["contacts", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["add", "+821012345678"], "No such command 'add'. Did you mean 'contacts add'?"),
        (["verify"], "No such command 'verify'. Did you mean 'contacts verify' or 'backup verify'?"),
        (["send", "--life-only", "Bob", "x"], "No such option '--life-only'. Did you mean '--live-only'?"),
        (["--jsn", "status"], "No such option '--jsn'. Did you mean '--json'?"),
        (["xyzzy"], "No such command 'xyzzy'.\n"),
        (["complete"], "No such command 'complete'. Did you mean 'completion'?"),
    ],
)
def test_who_mistypes_is_told_what_is_near(cli: Cli, node: Served, arguments: list[str], said: str) -> None:
    outcome = cli(*arguments)
    assert (outcome.status, outcome.out, node.api.calls) == (2, "", [])
    assert said in outcome.err
    assert re.search(r"^Usage: p2pchat ", outcome.err)
