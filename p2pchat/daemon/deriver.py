"""Roots of pairs in a child process: 256 MiB that come and go.

In a thread of the daemon they stall it: the kernel fills those pages under the lock of the whole process's memory, and
whoever needs a page meanwhile waits (0.1 to 0.25 s at worst; beside a child 0.02 s). And where a small machine runs out
of memory the child is what goes, and not the node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from p2pchat.base.errors import InternalError
from p2pchat.daemon.child import Child

_ANSWER_BYTES: Final = 65
_IDLE_S: Final = 30.0


class ChildDeriver:
    """Fulfils :class:`p2pchat.services.context.Deriver` with the production parameters. One root at a time."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[ChildDeriver]:
        """A deriver whose child, if it was ever started, is gone at the end."""
        async with Child.running("p2pchat.daemon.deriving_child", _ANSWER_BYTES, idle_s=_IDLE_S) as child:
            yield cls(child)

    async def derive(self, own: str, other: str, era: int) -> bytes:
        """The 32-byte root R of two numbers in an era. Source: PROTOCOL.md 3.1.

        Raises:
            InternalError: the child ended, or there is not enough memory.
        """
        answer = await self._child.ask(f"{own} {other} {era}")
        if not answer:
            raise InternalError("There is not enough memory to derive the root of a contact.")
        return bytes.fromhex(answer)
