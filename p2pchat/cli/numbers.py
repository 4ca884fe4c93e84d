"""Numbers on the command line: click's own, called what a person calls them where something else was typed."""

from __future__ import annotations

from gettext import gettext as _

import click


class Whole(click.IntRange):
    """A whole number in a range."""

    def convert(self, value: int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        self.name = _("whole number")
        return super().convert(value, param, ctx)


class Seconds(click.FloatRange):
    """A time in a range, in seconds."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click."""
        self.name = _("number of seconds")
        return super().convert(value, param, ctx)
