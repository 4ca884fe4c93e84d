"""``help``: the same as ``--help``, for who asks as git and others are asked."""

from __future__ import annotations

from gettext import gettext as _

import click


@click.command(name="help")
@click.argument("words", metavar="[COMMAND]…", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Say what a command does, or which commands there are. The manual page has all of it: man p2pchat."""
    shown = ctx.find_root()
    for word in words:
        if not isinstance(shown.command, click.Group):
            said = _("{command} has no commands of its own.")
            raise click.UsageError(said.format(command=repr(shown.command_path)))
        name, command, _rest = shown.command.resolve_command(shown, [word])
        assert command is not None  # noqa: S101  click has refused what there is not
        shown = command.context_class(command, info_name=name, parent=shown)
    click.echo(shown.get_help())
