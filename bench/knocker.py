"""``python -m bench.knocker SOCKET``: an honest peer that connects now and then, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import trio

from bench.fleet_wire import Known
from bench.served import serve
from bench.siege import knock
from p2pchat.daemon import logs


class Knock(msgspec.Struct, frozen=True):
    """Connect to ``node`` every half second for ``seconds``. Reply: how many seconds each took; inf: it was refused."""

    node: Known
    seconds: float


async def _do(frame: bytes) -> object:
    command = msgspec.msgpack.decode(frame, type=Knock)
    return list(await knock(command.node, command.seconds))


if __name__ == "__main__":
    logs.configure("error", "json")
    trio.run(serve, Path(sys.argv[1]), _do)
