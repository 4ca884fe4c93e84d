"""What the driver of a fleet and its worker processes say to each other: msgpack in frames, over a Unix socket.

Every command has one reply; ``Failed`` stands for any. Times are seconds; ``at`` is on the clock that all processes of
this machine share (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import msgspec

FRAME_BYTES = 64 << 20


class Known(msgspec.Struct, frozen=True):
    """A peer and where it listens, binary."""

    peer: bytes
    addresses: list[bytes]


class Errand(msgspec.Struct, frozen=True):
    """One walk: to ``loc`` (32 bytes), perhaps with a record to put."""

    loc: bytes
    put: bytes | None = None


class Start(msgspec.Struct, frozen=True, tag=True):
    """Start a node on ``host``, an IPv4 literal, and let it bootstrap from ``peers``, if there are any; its Known."""

    host: str
    peers: list[Known]


class Wander(msgspec.Struct, frozen=True, tag=True):
    """Let every node walk to ``walks`` random places. Reply: how many peers each knows then."""

    walks: int


class Walk(msgspec.Struct, frozen=True, tag=True):
    """Let a node walk, one errand after the other. ``cold``: all its connections are closed before each. Reply:
    list[Walked]."""

    node: int
    errands: list[Errand]
    cold: bool = False


class Newcomer(msgspec.Struct, frozen=True, tag=True):
    """A node that knows ``peers`` only bootstraps, walks once and ends. Reply: [seconds to join, of the walk]."""

    host: str
    peers: list[Known]


class Watch(msgspec.Struct, frozen=True, tag=True):
    """Let a node walk to ``locs`` and watch there. Reply: how many other nodes granted each."""

    node: int
    locs: list[bytes]


class Pushes(msgspec.Struct, frozen=True, tag=True):
    """What was pushed to a node. Reply: {loc: at}."""

    node: int


class Echo(msgspec.Struct, frozen=True, tag=True):
    """Let a node send ``size`` bytes and get them back, ``count`` times, on a libp2p stream to each of ``peers`` at
    once. Reply: list of seconds, each until all were back."""

    node: int
    peers: list[Known]
    size: int
    count: int


class Walked(msgspec.Struct, frozen=True):
    """How one walk went. ``requests`` and the bytes are those of the streams that the node has opened."""

    at: float
    seconds: float
    requests: int
    sent: int
    received: int
    found: int
    answered: int
    stored: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker met an exception."""

    message: str


Command = Start | Wander | Walk | Newcomer | Watch | Pushes | Echo
