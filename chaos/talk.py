"""``python -m chaos.talk SOCKET``: clients of every node, told by :mod:`chaos.world`: they send and follow the events.

Each node has one client, as a script writes it: it has the texts of that node accepted in order, one at a time, each
with an idempotency key, repeats what was not answered or was refused, and follows the whole event log by its cursor,
wherever the node is killed, stopped, locked or out of space meanwhile. What it saw is the evidence of
:mod:`chaos.verdict`. Times are of the clock that all processes of this machine share (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from bench.served import serve
from chaos.seen import Said, Seen

ANSWER_S: Final = 20.0
"""What takes longer is asked again, over a new connection."""
_AGAIN_S: Final = 0.2
_LINE_BYTES: Final = 1 << 24
_AGAIN: Final = frozenset({"NO_SPACE", "LOCKED", "RATE_LIMITED", "STORE"})
"""Errors after which the same is asked again: the verdict counts them, and says of what kind they were."""


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Follow the nodes at ``sockets``; send nothing yet. ``name`` begins every idempotency key. Reply: how many."""

    sockets: list[str]
    name: str
    seed: int


class Send(msgspec.Struct, frozen=True, tag=True):
    """Let ``per_s`` texts a second be said from now on, between nodes not of ``quiet``. Reply: how many were said."""

    per_s: float
    quiet: list[int]


class Look(msgspec.Struct, frozen=True, tag=True):
    """Reply: Looked."""


class Forget(msgspec.Struct, frozen=True, tag=True):
    """``node`` is another device now, whose log begins anew. Reply: its old cursor."""

    node: int


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Write what was seen to ``path`` as JSON (:class:`chaos.seen.Seen`). Reply: its bytes."""

    path: str


class Looked(msgspec.Struct, frozen=True):
    """How it stands. ``waiting``: by node, texts from or to it that were not accepted, delivered and received yet.
    ``present``: by node, whether it answers, and follows."""

    said: int
    accepted: int
    received: int
    waiting: list[int]
    present: list[bool]


Command = Begin | Send | Look | Forget | Tell

_COMMANDS = msgspec.msgpack.Decoder(Command)


class _Lost(Exception):
    """The connection ended, or nothing came in time."""


class _Connection:
    """JSON-RPC over the control socket: one call at a time, events in between."""

    def __init__(self, stream: trio.SocketStream, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._stream = stream
        self._on_event = on_event
        self._last = 0
        self._reply: trio.MemorySendChannel[dict[str, Any]]
        self._reply, self._replies = trio.open_memory_channel[dict[str, Any]](1)

    async def read(self) -> None:
        """Until it ends. Raises: _Lost: then."""
        held = b""
        while True:
            try:
                data = await self._stream.receive_some(1 << 16)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise _Lost from None
            if not data or len(held) > _LINE_BYTES:
                raise _Lost
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message.get("method") == "event":
                    self._on_event(message["params"])
                elif message.get("id") is None:  # a subscription is over: the node was locked
                    raise _Lost
                else:
                    await self._reply.send(message)

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """The whole reply, an error or not. Raises: _Lost."""
        self._last += 1
        request = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        with trio.move_on_after(ANSWER_S):
            try:
                await self._stream.send_all(json.dumps(request).encode() + b"\n")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise _Lost from None
            return await self._replies.receive()
        raise _Lost


class Speaker:
    """The client of one node."""

    def __init__(self, index: int, socket: str, talk: Talk) -> None:
        self.index = index
        self.present = False
        self.present_since = time.monotonic()
        self._socket = socket
        self._talk = talk
        self._queue: deque[Said] = deque()
        self._more = trio.Event()

    def say(self, said: Said) -> None:
        """Have it sent after all that was said before."""
        self._queue.append(said)
        self._more.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                stream = await trio.open_unix_socket(self._socket)
            except OSError:
                await trio.sleep(_AGAIN_S)  # it is dead, or not there again yet
                continue
            async with stream:
                connection = _Connection(stream, self._note)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(connection.read)
                        nursery.start_soon(self._follow_and_send, connection)
                except* _Lost:
                    pass  # it is asked again
            self._be(present=False)
            await trio.sleep(_AGAIN_S)

    def _be(self, *, present: bool) -> None:
        if present != self.present:
            self.present = present
            self._talk.seen.presence.append((time.monotonic(), self.index, present))

    async def _follow_and_send(self, connection: _Connection) -> None:
        reply = await connection.call("events.subscribe", since=self._talk.seen.cursors[self.index])
        if "error" in reply:
            self._refused(reply["error"]["data"])
            raise _Lost
        self._be(present=True)
        while True:
            while not self._queue:
                self._more = trio.Event()
                with trio.move_on_after(ANSWER_S / 4):
                    await self._more.wait()
                if not self._queue and "error" in (reply := await connection.call("node.hello")):
                    raise _Lost  # whoever has nothing to say looks whether the node is there, too
            await self._send(connection, self._queue[0])
            self._queue.popleft()

    async def _send(self, connection: _Connection, said: Said) -> None:
        said.asked_s = said.asked_s or time.monotonic()
        while True:
            said.asked += 1
            key = f"{self._talk.seen.name}-{said.number}"
            reply = await connection.call("message.send", to=f"Node {said.reader}", text=said.text, idempotency_key=key)
            if "error" not in reply:
                said.accepted_s, said.id = time.monotonic(), reply["result"]["id"]
                return
            if not self._refused(reply["error"]["data"]):
                self._talk.seen.complaints.append(f"node {self.index}, message.send: {json.dumps(reply['error'])}")
            await trio.sleep(_AGAIN_S)
            if reply["error"]["data"]["name"] == "LOCKED":
                raise _Lost

    def _refused(self, data: dict[str, Any]) -> bool:
        """Count an error; whether it is one that passes."""
        name = str(data.get("name"))
        refusals = self._talk.seen.refusals
        refusals[name] = refusals.get(name, 0) + 1
        return name in _AGAIN

    def _note(self, event: dict[str, Any]) -> None:
        self._talk.seen.note(self.index, event, time.monotonic())


class Talk:
    """All clients.

    Args:
        nursery: in which they live.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._speakers: list[Speaker] = []
        self._per_s = 0.0
        self._quiet: list[int] = []
        self._chance = random.Random()
        self.seen = Seen("", 0)

    async def do(self, frame: bytes) -> object:
        """The reply to a command."""
        command: Command = _COMMANDS.decode(frame)
        match command:
            case Begin(sockets, name, seed):
                self.seen = Seen(name, len(sockets))
                self._chance = random.Random(f"{seed} texts")
                self._speakers = [Speaker(index, socket, self) for index, socket in enumerate(sockets)]
                for speaker in self._speakers:
                    self._nursery.start_soon(speaker.run)
                self._nursery.start_soon(self._talk)
                return len(sockets)
            case Send(per_s, quiet):
                self._per_s, self._quiet = per_s, quiet
                return len(self.seen.said)
            case Look():
                return self._look()
            case Forget(node):
                return self.seen.forget(node)
            case Tell(path):
                return await trio.Path(path).write_bytes(msgspec.json.encode(self.seen))

    def _look(self) -> Looked:
        seen = self.seen
        waiting = [0] * seen.nodes
        for said in seen.said:
            if not said.settled:
                waiting[said.writer] += 1
                waiting[said.reader] += 1
        return Looked(
            len(seen.said),
            sum(said.id is not None for said in seen.said),
            sum(bool(said.received_s) for said in seen.said),
            waiting,
            [speaker.present for speaker in self._speakers],
        )

    async def _talk(self) -> None:
        """Say something now and then."""
        chance = self._chance
        while True:
            if not self._per_s:
                await trio.sleep(_AGAIN_S)
                continue
            await trio.sleep(chance.expovariate(self._per_s))
            awake = [index for index in range(self.seen.nodes) if index not in self._quiet]
            if self._per_s and len(awake) >= 2:
                writer, reader = chance.sample(awake, 2)
                number = len(self.seen.said)
                text = f"{self.seen.name} {number} " + "word " * min(int(chance.expovariate(0.05)), 1_000)
                said = Said(number, writer, reader, text)
                self.seen.said.append(said)
                self._speakers[writer].say(said)


async def main(path: Path) -> None:
    """Until the driver has gone."""
    async with trio.open_nursery() as nursery:
        await serve(path, Talk(nursery).do)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(partial(main, Path(sys.argv[1])))
