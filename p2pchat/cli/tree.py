"""The group of all commands: each is imported when it is asked for, and has examples; what is near is suggested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from gettext import gettext as _
from importlib import import_module

import click

from p2pchat.cli.examples import epilog
from p2pchat.cli.speaking import speak


class Tree(click.Group):
    """Commands in the order of a newcomer's way.

    Args:
        table: ``module:attribute`` of each command.
        attributes: click's own.
    """

    def __init__(self, *, table: Mapping[str, str], **attributes: object) -> None:
        super().__init__(**attributes)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  click checks them
        self._table = table
        self.epilog = epilog("")

    def speak(self) -> None:
        """Explain itself in the language that was installed; commands do when they are loaded."""
        speak(self)
        self.epilog = epilog("")

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """See click."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """See click."""
        if cmd_name not in self._table:
            return None
        module, _colon, attribute = self._table[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  the table is ours
        for path, each in _below(cmd_name, command):
            speak(each)
            each.epilog = epilog(path)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click.

        Raises:
            NoSuchCommand: there is none of that name; names those that may have been meant.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            word = error.command_name
            groups = self._groups_with(ctx, word)
            if not groups:
                shown = [name for name in self._table if not name.startswith("_")]
                raise click.exceptions.NoSuchCommand(word, possibilities=shown, ctx=ctx) from None
            meant = _(" or ").join(repr(f"{group} {word}") for group in groups)
            said = _("No such command {word}. Did you mean {meant}?").format(word=repr(word), meant=meant)
            raise click.exceptions.NoSuchCommand(word, message=said, ctx=ctx) from None

    def _groups_with(self, ctx: click.Context, word: str) -> list[str]:
        """Groups that have a command ``word``: for who forgot the first of two words."""
        loaded = ((name, self.get_command(ctx, name)) for name in self._table)
        return [name for name, command in loaded if isinstance(command, click.Group) and word in command.commands]


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from _below(f"{path} {name}", each)
