"""``net.export`` and ``net.import``: their parameters and what they reply, links of nodes to start from.

Source: docs/CONTROL-API.md.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from p2pchat.api.calls import Link, Mutation, Params, invalid
from p2pchat.api.text import is_unicode
from p2pchat.base.silent import Silent


class NetExport(Params, kw_only=True, frozen=True):
    """``nodes``: how many others at most; ``own``: this node before them; ``lan``: addresses of local networks, too."""

    nodes: Annotated[int, Meta(ge=0, le=64)] = 16
    own: bool = False
    lan: bool = False


class NetImport(Mutation, kw_only=True, frozen=True):
    """``links``: as ``net.export`` gives them."""

    links: Annotated[list[Link], Meta(min_length=1, max_length=64)]

    def check(self) -> None:
        if not all(map(is_unicode, self.links)):
            raise invalid("links", "holds half of a surrogate pair, which is no character")


class NodeLinks(Silent, Struct, kw_only=True):
    """Nodes to start from, up to 8 in each link."""

    links: list[str]


class NodesTaken(Silent, Struct, kw_only=True):
    """So many ``nodes`` were in the links, and so many are ``new`` among those that this one starts from."""

    nodes: int
    new: int
    replayed: bool | UnsetType = UNSET
