"""A repr that says nothing about the content: texts, numbers and keys must not get into a log or a traceback."""

from __future__ import annotations


class Silent:
    """Goes before the other base of a class, whose repr then shows the name of the class only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
