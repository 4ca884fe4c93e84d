"""Numbers on the command line: click's own, called what a person calls them, and their ranges said in words."""

from __future__ import annotations

from gettext import gettext as _

import click


class Whole(click.IntRange):
    """A whole number in a range."""

    def convert(self, value: int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        self.name = _("whole number")
        return super().convert(value, param, ctx)

    def _describe_range(self) -> str:
        return _in_words(self.min, self.max)


class Seconds(click.FloatRange):
    """A time in a range, in seconds."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click."""
        self.name = _("number of seconds")
        return super().convert(value, param, ctx)

    def _describe_range(self) -> str:
        return _in_words(self.min, self.max)


def _in_words(least: float | None, most: float | None) -> str:
    """For help and for who is refused; click's own is a formula, such as 0<=x<=64. Every range has a beginning."""
    if most is None:
        return _("{least} or more").format(least=least)
    return _("{least} to {most}").format(least=least, most=most)
