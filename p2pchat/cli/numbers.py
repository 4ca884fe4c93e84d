"""Numbers on the command line: click's own, called what a person calls them where something else was typed."""

from __future__ import annotations

import click


class Whole(click.IntRange):
    """A whole number in a range."""

    name = "whole number"


class Seconds(click.FloatRange):
    """A time in a range, in seconds."""

    name = "number of seconds"
