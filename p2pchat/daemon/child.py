"""A child process that answers lines: for what would hold the interpreter lock, or this process's memory.

The child is started at the first question and ends with its parent (its stdin ends), however the parent ends. One
question at a time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import trio

from p2pchat.base.errors import InternalError


class Child:
    """Questions for a module of this package that is run as a program of its own.

    Args:
        module: reads one line for each that it writes.
        answer_bytes: the most that an answer has, its line feed included.
        idle_s: it is ended when it was asked nothing for so long, and started again for the next question.
    """

    def __init__(self, nursery: trio.Nursery, module: str, answer_bytes: int, idle_s: float) -> None:
        self._nursery = nursery
        self._module = module
        self._answer_bytes = answer_bytes
        self._idle_s = idle_s
        self._lock = trio.Lock()
        self._life = trio.CancelScope()
        self._process: trio.Process | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, module: str, answer_bytes: int, *, idle_s: float = float("inf")) -> AsyncIterator[Self]:
        """A child that, if it was ever started, is gone at the end."""
        async with trio.open_nursery() as nursery:
            try:
                yield cls(nursery, module, answer_bytes, idle_s)
            finally:
                nursery.cancel_scope.cancel()

    async def ask(self, question: str) -> str:
        """The answer to a line, both without their line feeds.

        Raises:
            InternalError: the child ended.
        """
        async with self._lock:
            process = await self._started()
            self._life.deadline = float("inf")
            try:
                return await self._asked(process, question)
            except BaseException:
                process.kill()  # a question that was given up would leave its answer in the pipe for the next one
                self._process = None
                raise
            finally:
                self._life.deadline = trio.current_time() + self._idle_s

    async def _asked(self, process: trio.Process, question: str) -> str:
        assert process.stdin is not None  # noqa: S101  a pipe
        assert process.stdout is not None  # noqa: S101  a pipe
        line = b""
        try:
            await process.stdin.send_all(question.encode("ascii") + b"\n")
            while len(line) < self._answer_bytes and not line.endswith(b"\n"):
                chunk = await process.stdout.receive_some(self._answer_bytes - len(line))
                if not chunk:
                    break
                line += chunk
        except trio.BrokenResourceError as error:
            raise InternalError("a child process ended") from error
        if not line.endswith(b"\n"):
            raise InternalError("a child process ended")
        return line[:-1].decode("ascii")

    async def _started(self) -> trio.Process:
        process = self._process
        if process is None or process.poll() is not None or self._life.cancel_called:
            self._life = trio.CancelScope()
            process = self._process = await self._nursery.start(self._live, self._life)
        return process

    async def _live(self, life: trio.CancelScope, task_status: trio.TaskStatus[trio.Process]) -> None:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", self._module], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            task_status.started(process)
            with life:
                await process.wait()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        await pipe.aclose()
