"""Proof of work in a child process: mining holds the interpreter lock, and the daemon must go on answering.

The child is started at the first use and ends with its parent (its stdin ends), however the parent ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from p2pchat.base.errors import InternalError

_NONCE_LINE_BYTES = 17


class ChildMiner:
    """Fulfils :class:`p2pchat.services.context.Miner`. One digest at a time."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._lock = trio.Lock()
        self._process: trio.Process | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[ChildMiner]:
        """A miner whose child, if it was ever started, is gone at the end."""
        async with trio.open_nursery() as nursery:
            miner = cls(nursery)
            try:
                yield miner
            finally:
                nursery.cancel_scope.cancel()

    async def mine(self, digest: bytes, bits: int) -> bytes:
        """The 8-byte nonce.

        Raises:
            InternalError: the child ended.
        """
        async with self._lock:
            process = await self._started()
            try:
                return await _ask(process, digest, bits)
            except BaseException:
                process.kill()  # a question that was given up would leave its answer in the pipe for the next one
                raise

    async def _started(self) -> trio.Process:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = await self._nursery.start(_run_child)
        return process


async def _ask(process: trio.Process, digest: bytes, bits: int) -> bytes:
    assert process.stdin is not None  # noqa: S101  a pipe
    assert process.stdout is not None  # noqa: S101  a pipe
    line = b""
    try:
        await process.stdin.send_all(f"{digest.hex()} {bits}\n".encode())
        while len(line) < _NONCE_LINE_BYTES and (chunk := await process.stdout.receive_some(64)):
            line += chunk
    except trio.BrokenResourceError as error:
        raise InternalError("the mining process ended") from error
    if len(line) < _NONCE_LINE_BYTES:
        raise InternalError("the mining process ended")
    return bytes.fromhex(line.decode("ascii"))


async def _run_child(task_status: trio.TaskStatus[trio.Process]) -> None:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "p2pchat.daemon.mining_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        task_status.started(process)
        await process.wait()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()
