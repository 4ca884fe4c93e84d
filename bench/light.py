"""``python -m bench.light SOCKET``: many light peers in one process, told by :mod:`bench.crowd` and :mod:`bench.flood`.

Each is a person of :mod:`p2pchat.testing.light` with a libp2p host of its own. ``Meet`` writes them into the profile of
a daemon that does not run, which saves each the derivation of a root; ``Talk`` lets each send texts at a steady rate.
A time stands for a whole text: from when it was due, whatever held the sender up, to when its ack was read.
"""

from __future__ import annotations

import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio

from bench.fleet_wire import Known
from bench.served import serve
from p2pchat.base.errors import NetError, PeerError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.keys import load_identity
from p2pchat.daemon import logs
from p2pchat.daemon.system import SystemEntropy
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.store import meta
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import checkpoint, connect
from p2pchat.testing.light import LightPeer, Person, acquaint

_MINUTE_S = 60.0
_SETTLE_S = 120.0
_JITTER = 0.2


class Meet(msgspec.Struct, frozen=True, tag=True):
    """Write ``count`` people into the profile of ``database`` and ``key_file``. Reply: how many there are."""

    database: str
    key_file: str
    count: int


class Talk(msgspec.Struct, frozen=True, tag=True):
    """Let everyone connect to ``node`` and send ``per_s`` texts of ``size`` bytes a second. Reply: Talked.

    Nobody says anything where ``per_s`` is 0.
    """

    node: Known
    per_s: float
    seconds: float
    size: int


class Talked(msgspec.Struct, frozen=True):
    """How that went.

    Args:
        lost: streams that ended.
        late: p99 of what this process itself was behind with, in seconds.
        seconds: from the first text that was due to the last ack.
        minutes: the seconds of each text, by the minute in which it was due.
    """

    sent: int
    acked: int
    nacks: int
    lost: int
    late: float
    seconds: float
    minutes: list[list[float]]


Command = Meet | Talk

_COMMANDS = msgspec.msgpack.Decoder(Command)


@dataclass(slots=True)
class _Tally:
    began: float
    sent: int = 0
    lost: int = 0
    last: float = 0.0
    late: list[float] = field(default_factory=list[float])
    minutes: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def took(self, due: float) -> None:
        now = self.last = trio.current_time()
        self.minutes.setdefault(int((due - self.began) / _MINUTE_S), []).append(now - due)


def meet(command: Meet) -> list[Person]:
    """The people, each with a session with the owner of that profile."""
    connection = connect(Path(command.database), read_key(Path(command.key_file), None))
    connection.execute("BEGIN IMMEDIATE")
    tx = Tx(connection, int(time.time() * 1000))
    owner = load_identity(meta.load_profile(tx).identity)
    people = [acquaint(tx, f"Light {index}", owner, SystemEntropy()) for index in range(1, command.count + 1)]
    connection.execute("COMMIT")
    checkpoint(connection)
    connection.close()
    return people


async def talk(people: list[Person], command: Talk) -> Talked:
    """Connect them one after the other, then let all talk at once."""
    async with trio.open_nursery() as nursery:
        peers: list[LightPeer] = []
        tally = _Tally(trio.current_time())
        for person in people:
            peers.append(await nursery.start(_live, person, command.node, tally))
        tally.began = trio.current_time()
        async with trio.open_nursery() as talking:
            for peer in peers:
                talking.start_soon(_send, peer, command, tally)
        with trio.move_on_after(_SETTLE_S):
            while any(peer.waiting for peer in peers):  # noqa: ASYNC110  what is awaited is in many places
                await trio.sleep(0.05)
        nacks = sum(peer.nacks for peer in peers)
        nursery.cancel_scope.cancel()
    acked = sum(map(len, tally.minutes.values()))
    minutes = [tally.minutes[index] for index in sorted(tally.minutes)]
    return Talked(tally.sent, acked, nacks, tally.lost, _p99(tally.late), tally.last - tally.began, minutes)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


async def _live(
    person: Person,
    node: Known,
    tally: _Tally,
    task_status: trio.TaskStatus[LightPeer],
) -> None:
    peer = PeerId(node.peer)
    async with Libp2pHost.listen(person.seed, (), now=time.time) as host:
        await host.dial(peer, list(map(Address, node.addresses)))
        light = LightPeer(person, await host.open(peer, MSG_PROTOCOL), SystemEntropy(), tally.took)
        await light.greet()
        task_status.started(light)
        with suppress(NetError, PeerError):  # it ended, which is what is counted
            await light.run(time.time)
        tally.lost += 1


async def _send(peer: LightPeer, command: Talk, tally: _Tally) -> None:
    """Texts at the rate, not in step with the others."""
    if not command.per_s:
        await trio.sleep(command.seconds)
        return
    chance, step = random.Random(), 1 / command.per_s
    text, at = "x" * command.size, tally.began + chance.random() * step
    while at < tally.began + command.seconds:
        moment = at + chance.random() * step * _JITTER
        at += step
        await trio.sleep_until(moment)
        tally.late.append(trio.current_time() - moment)
        try:
            await peer.send(text, now_ms=int(time.time() * 1000), since=moment)
        except NetError:
            return  # counted where the stream is read
        tally.sent += 1


class Light:
    """The people of this process."""

    def __init__(self) -> None:
        self._people: list[Person] = []

    async def do(self, frame: bytes) -> object:
        """The reply to a command."""
        command = _COMMANDS.decode(frame)
        if isinstance(command, Talk):
            return await talk(self._people, command)
        self._people += meet(command)
        return len(self._people)


if __name__ == "__main__":
    logs.configure("error", "json")
    trio.run(serve, Path(sys.argv[1]), Light().do)
