"""Many DHT nodes in a few processes of the sandbox, and how they are told what to do."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bench.daemons import clean, until
from bench.fleet_wire import FRAME_BYTES, Failed, Known, Start, Wander
from p2pchat.api.errors import ApiError
from p2pchat.cli.program import interpreter
from p2pchat.cli.sandbox import ALONE, Process, Sandbox
from p2pchat.core.framing import FrameReader, with_length

T = TypeVar("T")

_READ_BYTES: Final = 1 << 16


class Crew:
    """The nodes of one process; ``known`` once they run.

    Args:
        module: what runs in it.
        reply_s: how long a reply may take.
    """

    def __init__(
        self, sandbox: Sandbox, folder: Path, name: str, module: str = "bench.worker", reply_s: float = 300.0
    ) -> None:
        self.name = name
        self.known: list[Known] = []
        self._sandbox = sandbox
        self._reply_s = reply_s
        self._path = folder / f"{name}.sock"
        environment = {"P2PCHAT_HOME": str(folder), **ALONE, **clean(os.environ)}
        command = [*interpreter(), "-m", module, str(self._path)]
        self._process: Process = sandbox.start(name, command, environment, folder / f"{name}.log")
        self._connection = socket.socket(socket.AF_UNIX)
        self._framing = FrameReader(FRAME_BYTES)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def connect(self) -> None:
        """Wait until the process listens."""
        self._connection.settimeout(self._reply_s)
        until(self._sandbox, self._connected, f"The worker {self.name} does not listen", every_s=0.01)

    def send(self, command: msgspec.Struct) -> None:
        """Tell what to do; :meth:`receive` has to follow."""
        self._connection.sendall(with_length(msgspec.msgpack.encode(command)))

    def receive(self, kind: type[T]) -> T:
        """The reply to what was sent.

        Raises:
            ApiError: INTERNAL, the worker failed or has ended.
        """
        while (frame := self._framing.next_frame()) is None:
            data = self._connection.recv(_READ_BYTES)
            if not data:
                raise ApiError("INTERNAL", f"The worker {self.name} ended: {self._process.tail()}")
            self._framing.feed(data)
        try:
            return msgspec.msgpack.decode(frame, type=kind)
        except msgspec.ValidationError:
            failed = msgspec.msgpack.decode(frame, type=Failed)
            raise ApiError("INTERNAL", f"The worker {self.name} failed: {failed.message}") from None

    def ready(self) -> bool:
        """Whether :meth:`receive` would have something to read."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def ask(self, command: msgspec.Struct, kind: type[T]) -> T:
        """Tell what to do and wait for the reply. Raises as :meth:`receive` does."""
        self.send(command)
        return self.receive(kind)

    def stop(self) -> None:
        """Let the kernel run nothing of it any more (SIGSTOP): its sockets stay open and say nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once (SIGKILL), stopped or not: its sockets are closed by the kernel."""
        self._connection.close()
        if self._process in self._sandbox.running():
            self._sandbox.finish(self._process)

    def _connected(self) -> bool:
        if self._process.ended() is not None:
            raise ApiError("INTERNAL", f"The worker {self.name} ended at its start: {self._process.tail()}")
        try:
            self._connection.connect(str(self._path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False  # it is still loading
        return True


class Fleet:
    """All crews of a network. Every node has a /24 of 127.0.0.0/8 to itself.

    They start and join through the first, one after the other: started together they would do together, for ever,
    whatever a node does at fixed times after its start.

    Args:
        sizes: how many nodes each process has.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, sizes: Mapping[str, int]) -> None:
        folder.mkdir()
        self._hosts = 0
        self.crews = {name: Crew(sandbox, folder, name) for name in sizes}
        for crew in self.crews.values():
            crew.connect()
        for name, size in sizes.items():
            for _ in range(size):
                entrance = self.everyone()[:1]
                self.crews[name].known.append(self.crews[name].ask(Start(self.new_host(), entrance), Known))

    def new_host(self) -> str:
        """An address of 127.0.0.0/8 in a /24 that nobody else has."""
        self._hosts += 1
        return f"127.{1 + self._hosts // 256}.{self._hosts % 256}.1"

    def wander(self, walks: int) -> list[int]:
        """Let every node walk to ``walks`` random places, one node after the other; how many peers each knows then."""
        return [size for crew in self.crews.values() for size in crew.ask(Wander(walks), list[int])]

    def everyone(self, crews: Sequence[str] = ()) -> list[Known]:
        """The nodes of ``crews``, or of all."""
        return [known for name in crews or self.crews for known in self.crews[name].known]

    def end(self) -> None:
        """Kill every process, stopped ones too."""
        for crew in self.crews.values():
            crew.kill()
