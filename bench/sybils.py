"""Sybils around a loc: what is found although all the nearest nodes lie (PROTOCOL.md 3.7).

    scripts/bench sybils [--trials N] [--attack SYBILS/PREFIXES …] [--json FILE]

Honest nodes run the real DHT on the memory network, at global addresses. An attacker who knows a loc makes peers that
are all nearer to it than every honest node, shows them to everyone, and lets them answer as well as they can: quick,
telling of each other alone, taking every put and every watch, and keeping nothing. Then one honest node puts a record
and another one reads the slot. The network grows up once; each trial attacks another loc in a copy of it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from statistics import fmean
from typing import Final, NoReturn

import msgspec
import trio
from trio.testing import MockClock

from bench.arguments import at_least_one
from bench.files import to_write
from p2pchat.base import limits
from p2pchat.base.refusals import Refusals
from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.dht_wire import REQUEST, REQUEST_MAX_BYTES, TOLD_PEERS, Reply, ToldPeer
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.lookup import position
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.work import mine
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.dht import Dht
from p2pchat.net.kad import KAD, KadServer
from p2pchat.net.pace import Pace
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Stream
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule

PARAMS: Final = replace(PRODUCTION, work_bits=1)
START_S: Final = 1_800_000_000
HONEST: Final = 60
_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Attack:
    """``sybils`` peers in ``prefixes`` /24s, evenly; in text ``sybils/prefixes``."""

    sybils: int
    prefixes: int

    def __str__(self) -> str:
        return f"{self.sybils}/{self.prefixes}"

    @classmethod
    def parse(cls, text: str) -> Attack:
        """Raises: ValueError: not of that form."""
        sybils, prefixes = map(int, text.split("/"))
        return cls(sybils, prefixes)


ATTACKS: Final = (Attack(0, 1), Attack(20, 1), Attack(20, 5), Attack(20, 20), Attack(40, 20), Attack(40, 40))


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one record.

    Attributes:
        found: whether the reader got it.
        found_by_newcomer: whether one got it who joined when the Sybils were there.
        watched: whether one who watched the slot before was pushed the record.
        answered: how many storers the reader's result rests on, its own node among them.
        holders: how many honest nodes other than the publisher said that they keep it.
    """

    found: bool
    found_by_newcomer: bool
    watched: bool
    answered: int
    holders: int


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench sybils", description="What is found although all nearest nodes lie.")
    parser.add_argument("--trials", type=at_least_one, default=30, metavar="N", help="locs an attack (30)")
    parser.add_argument("--attack", type=Attack.parse, nargs="+", default=ATTACKS, metavar="SYBILS/PREFIXES")
    parser.add_argument("--json", type=to_write, metavar="FILE", help="write every trial there, too")
    chosen = parser.parse_args(arguments)
    made = run([(attack, number) for attack in chosen.attack for number in range(chosen.trials)])
    rows = [(attack, made[index * chosen.trials :][: chosen.trials]) for index, attack in enumerate(chosen.attack)]
    print(*table(rows), sep="\n")
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.encode({str(attack): trials for attack, trials in rows}))
    return 0


def run(plan: Sequence[tuple[Attack, int]], honest: int = HONEST) -> list[Trial]:
    """The trials of ``plan``, on a clock that jumps over the waiting. The number of one decides all that is random."""
    made: list[Trial] = []
    with fixed_schedule(honest):
        trio.run(partial(_trials, plan, honest, made), clock=MockClock(autojump_threshold=0.0))
    return made


async def _trials(plan: Sequence[tuple[Attack, int]], honest: int, made: list[Trial]) -> None:
    random = Random(honest)
    async with MemoryNetwork.run(seed=honest, now=_now) as net:
        nodes = [await _honest(net, random, f"{20 + number}.1.1.1") for number in range(honest)]
        for node in nodes[1:]:
            await _join(node, nodes[0])
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        for begin in range(0, len(plan), _AT_ONCE):
            pipes: list[int] = []
            for attack, number in plan[begin : begin + _AT_ONCE]:
                read, write = os.pipe()
                pipes.append(read)
                if os.fork() == 0:
                    await _in_copy(net, attack, number, nodes, write)
                os.close(write)
            for read in pipes:
                with open(read, "rb") as pipe:  # noqa: ASYNC230  nothing runs meanwhile: the copies must be alike
                    made.append(msgspec.json.decode(pipe.read(), type=Trial))
                os.wait()  # noqa: ASYNC222  it has said all


async def _in_copy(net: MemoryNetwork, attack: Attack, number: int, nodes: Sequence[_Node], write: int) -> NoReturn:
    """What the child of a fork does instead of all else."""
    status = 1
    try:
        os.write(write, msgspec.json.encode(await _trial(net, attack, Random(number), nodes)))
        status = 0
    finally:
        os._exit(status)


async def _trial(net: MemoryNetwork, attack: Attack, random: Random, nodes: Sequence[_Node]) -> Trial:
    slot = Slot(random.randbytes(32), 1)
    await _attack(net, random, attack, slot.loc, nodes)
    publisher, reader, watcher = random.sample(nodes, 3)
    newcomer = await _honest(net, random, "19.1.1.1")
    await _join(newcomer, random.choice(nodes))
    record = _record(slot)
    await watcher.dht.walk(slot.loc, watch_s=600)
    await publisher.dht.walk(slot.loc, put=record)
    await trio.sleep(1)
    got, got_by_newcomer = await reader.dht.walk(slot.loc), await newcomer.dht.walk(slot.loc)
    return Trial(
        found=record in got.records,
        found_by_newcomer=record in got_by_newcomer.records,
        watched=record in watcher.pushed,
        answered=got.answered,
        holders=sum(record in node.dht.storer.get(slot.loc, int(_now())) for node in nodes if node is not publisher),
    )


@dataclass(eq=False, slots=True)
class _Node:
    network: MemoryNode
    dht: Dht
    pushed: list[bytes]


async def _honest(net: MemoryNetwork, random: Random, host: str) -> _Node:
    network = net.node(host=host)
    pushed: list[bytes] = []
    dht = Dht(network, PARAMS, _now, entropy=SeededEntropy(random.getrandbits(32)).bytes)
    dht.on_push = lambda _, record: pushed.append(record)
    await net.nursery.start(dht.run)
    return _Node(network, dht, pushed)


async def _join(node: _Node, to: _Node) -> None:
    await node.dht.bootstrap([(to.network.peer_id, to.network.addresses())])


async def _attack(net: MemoryNetwork, random: Random, attack: Attack, loc: bytes, nodes: Sequence[_Node]) -> None:
    """Make the Sybils, and let each knock at every honest node."""
    target = position(loc)
    nearest = min(position(node.network.peer_id) ^ target for node in nodes)
    sybils: list[MemoryNode] = []
    told: list[ToldPeer] = []
    while len(sybils) < attack.sybils:
        peer = peer_id_from_key(random.randbytes(32))
        if position(peer) ^ target < nearest:
            number = len(sybils)
            sybil = net.node(peer, f"9.9.{number % attack.prefixes}.{1 + number // attack.prefixes}")
            sybils.append(sybil)
            told.append(ToldPeer(bytes(peer), tuple(map(bytes, sybil.addresses()))))
    for sybil in sybils:
        others = tuple(peer for peer in told if peer.peer_id != bytes(sybil.peer_id))
        sybil.handle(RECORDS, partial(_serve, others, random))
        sybil.handle(KAD, KadServer(partial(_others, others, random), lambda _: None, Pace(Refusals())).serve)
    for sybil in sybils:
        for node in random.sample(nodes, len(nodes)):
            await sybil.dial(node.network.peer_id, node.network.addresses())
            await sybil.open(node.network.peer_id, RECORDS)


def _others(others: tuple[ToldPeer, ...], random: Random, _key: bytes, _stream: Stream) -> tuple[ToldPeer, ...]:
    return tuple(random.sample(others, min(TOLD_PEERS, len(others))))


async def _serve(others: tuple[ToldPeer, ...], random: Random, stream: Stream) -> None:
    framing = FrameReader(REQUEST_MAX_BYTES)
    while data := await stream.read(limits.STREAM_READ_BYTES):
        framing.feed(data)
        while (frame := framing.next_frame()) is not None:
            asked = REQUEST.decode(frame)
            stored = None if asked.put is None else True
            reply = Reply(asked.id, stored, asked.watch_s, (), _others(others, random, asked.loc, stream))
            await stream.write(with_length(encode(reply)))


def _record(slot: Slot) -> bytes:
    unmined = prepare_record(slot, ed25519_pair(bytes(32)), b"data", int(_now()), bytes(24), PARAMS)
    return finish(unmined, mine(unmined.digest, PARAMS.work_bits))


def _now() -> float:
    return START_S + trio.current_time()


def table(rows: Sequence[tuple[Attack, Sequence[Trial]]]) -> list[str]:
    """One line an attack: rates, and means of what :class:`Trial` counts."""
    headings = ("Sybils/prefixes", "locs", "found", "by a newcomer", "pushed", "honest holders", "storers answered")
    lines = ["  ".join(headings)]
    for attack, trials in rows:
        rates = (
            fmean(trial.found for trial in trials),
            fmean(trial.found_by_newcomer for trial in trials),
            fmean(trial.watched for trial in trials),
        )
        means = fmean(trial.holders for trial in trials), fmean(trial.answered for trial in trials)
        cells = (str(attack), str(len(trials)), *(f"{rate:.0%}" for rate in rates), *(f"{mean:.1f}" for mean in means))
        lines.append("  ".join(cell.rjust(len(heading)) for cell, heading in zip(cells, headings, strict=True)))
    return lines
