"""``config.*``: parameters and objects. Source: docs/CONTROL-API.md, "Methods" and "Objects"."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from p2pchat.api.calls import Multiaddr, Mutation, Params, invalid
from p2pchat.api.text import is_unicode
from p2pchat.base.silent import Silent

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Given = bool | int | Annotated[str, Meta(max_length=8192)] | Annotated[list[Multiaddr], Meta(max_length=64)] | None
"""The value of a setting; null: nothing is set."""

Source = Literal["default", "file", "environment", "flag"]
Applies = Literal["at once", "restart"]


class ConfigGet(Params, kw_only=True, frozen=True):
    """``key``: of one setting; without it all are meant."""

    key: Name | None = None


class ConfigSet(Mutation, kw_only=True, frozen=True):
    """``key``: of the setting; ``value``: what it takes, or a text that stands for that; null takes it out
    of the file."""

    key: Name
    value: Given

    def check(self) -> None:
        if isinstance(self.value, list) and not all(map(is_unicode, self.value)):
            raise invalid("value", "holds half of a surrogate pair, which is no character")


class Setting(Silent, Struct, kw_only=True):
    """One setting, as the next start would have it. ``source``: where ``value`` comes from, ``by`` which variable or
    flag; ``file``: what the file has, where it has anything; ``restart``: the daemon that runs still has another value.
    A proxy's user name and password are shown as ``***``."""

    key: str
    value: bool | int | str | list[str] | None
    default: bool | int | str | list[str] | None
    source: Source
    by: str | None
    file: bool | int | str | list[str] | None
    applies: Applies
    restart: bool
    takes: str
    doc: str
    replayed: bool | UnsetType = UNSET


class Config(Silent, Struct, kw_only=True):
    """The settings."""

    settings: list[Setting]
