"""``python -m chaos.link SOCKET``: what lies between the nodes, told by :mod:`chaos.world` what to let pass.

Every node has a /24 of loopback to itself. Node J listens on 127.N.J.1; node I reaches it at 127.N.J.(100 + I), where
this process listens and goes on to 127.N.J.1 from 127.N.I.1, so that J sees who is there. A *silent* cut is a cable
that was pulled: nothing passes, nobody is told, and what was on its way arrives when it is healed. A *loud* one resets
every connection, and each that is begun meanwhile.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.served import serve
from testnet.node import own_address

WAY: Final = 100
_CHUNK_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time


class Stand(msgspec.Struct, frozen=True, tag=True):
    """Stand before ``ports`` of ``nodes`` nodes of ``network``, two octets. Reply: how many places."""

    network: str
    nodes: int
    ports: list[int]


class Cut(msgspec.Struct, frozen=True, tag=True):
    """Let nothing pass between ``one`` and ``other``, each a node of one list and one of the other. Reply: how many
    connections there were."""

    one: list[int]
    other: list[int]
    loud: bool


class Heal(msgspec.Struct, frozen=True, tag=True):
    """Let everything pass. Reply: the bytes that have passed so far."""


Command = Stand | Cut | Heal
Pair = frozenset[int]

_COMMANDS = msgspec.msgpack.Decoder(Command)


@dataclass(slots=True, eq=False)
class _Line:
    """Between two nodes: ``held`` is what they wait for while it is cut, ``carried`` ends with a loud cut."""

    held: trio.Event | None = None
    loud: bool = False
    carried: set[trio.CancelScope] = field(default_factory=set[trio.CancelScope])

    async def pass_(self) -> None:
        while self.held is not None:
            await self.held.wait()


class Link:
    """All lines.

    Args:
        nursery: in which connections live.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._lines: dict[Pair, _Line] = {}
        self._passed = 0

    async def do(self, frame: bytes) -> object:
        """The reply to a command."""
        command: Command = _COMMANDS.decode(frame)
        match command:
            case Stand(network, nodes, ports):
                places = 0
                for dialer, target in permutations(range(nodes), 2):
                    self._lines.setdefault(frozenset((dialer, target)), _Line())
                    for port in ports:
                        await self._stand(network, dialer, target, port)
                        places += 1
                return places
            case Cut(one, other, loud):
                return sum(self._cut(line, loud) for line in self._between(one, other))
            case Heal():
                for line in self._lines.values():
                    held, line.held, line.loud = line.held, None, False
                    if held is not None:
                        held.set()
                return self._passed

    def _between(self, one: list[int], other: list[int]) -> Iterator[_Line]:
        for pair, line in self._lines.items():
            near, far = pair
            if (near in one and far in other) or (near in other and far in one):
                yield line

    def _cut(self, line: _Line, loud: bool) -> int:
        line.held = line.held if line.held is not None else trio.Event()
        line.loud = loud
        there = len(line.carried)
        if loud:
            for scope in list(line.carried):
                scope.cancel()
        return there

    async def _stand(self, network: str, dialer: int, target: int, port: int) -> None:
        place, true = f"{network}.{target}.{WAY + dialer}", own_address(network, target)
        [listener] = await trio.open_tcp_listeners(port, host=place)
        line = self._lines[frozenset((dialer, target))]
        join = partial(self._join, line, own_address(network, dialer), (true, port))
        self._nursery.start_soon(partial(trio.serve_listeners, join, [listener], handler_nursery=self._nursery))

    async def _join(self, line: _Line, source: str, target: tuple[str, int], near: trio.SocketStream) -> None:
        """One connection, until either end or a loud cut ends it."""
        with trio.CancelScope() as scope:
            line.carried.add(scope)
            try:
                if not line.loud:
                    await line.pass_()
                    await self._carry_both(line, source, target, near)
            finally:
                line.carried.discard(scope)
        if line.loud:
            _reset(near)
        near.socket.close()

    async def _carry_both(self, line: _Line, source: str, target: tuple[str, int], near: trio.SocketStream) -> None:
        with trio.socket.socket() as opened:
            try:
                await opened.bind((source, 0))
                await opened.connect(target)
            except OSError:  # nobody listens: the node was killed
                _reset(near)
                return
            far = trio.SocketStream(opened)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, line, near, far, nursery.cancel_scope)
                    nursery.start_soon(self._carry, line, far, near, nursery.cancel_scope)
            finally:
                if line.loud:
                    _reset(far)

    async def _carry(
        self, line: _Line, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        """All bytes of one direction; its end is the end of both, once what was held has passed."""
        try:
            while data := await source.receive_some(_CHUNK_BYTES):
                await line.pass_()
                await sink.send_all(data)
                self._passed += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one of the two went away
        await line.pass_()
        both.cancel()


def _reset(stream: trio.SocketStream) -> None:
    if stream.socket.fileno() >= 0:
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, _RESET)


async def main(path: Path) -> None:
    """Until the driver has gone."""
    async with trio.open_nursery() as nursery:
        await serve(path, Link(nursery).do)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
