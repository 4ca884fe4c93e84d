"""Proof of work in a child process: mining holds the interpreter lock, and the daemon must go on answering."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from p2pchat.daemon.child import Child

_ANSWER_BYTES = 17


class ChildMiner:
    """Fulfils :class:`p2pchat.services.context.Miner`. One digest at a time."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[ChildMiner]:
        """A miner whose child, if it was ever started, is gone at the end."""
        async with Child.running("p2pchat.daemon.mining_child", _ANSWER_BYTES) as child:
            yield cls(child)

    async def mine(self, digest: bytes, bits: int) -> bytes:
        """The 8-byte nonce.

        Raises:
            InternalError: the child ended.
        """
        return bytes.fromhex(await self._child.ask(f"{digest.hex()} {bits}"))
