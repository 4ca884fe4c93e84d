"""The process behind a :class:`bench.fleet.Crew`: one command after the other, each with its reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio

from bench.fleet_wire import FRAME_BYTES, Failed
from p2pchat.base import limits
from p2pchat.core.framing import FrameReader, with_length


async def serve(path: Path, do: Callable[[bytes], Awaitable[object]]) -> None:
    """Listen at ``path`` for the driver, give each command to ``do``, and return when the driver has gone."""
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(path))
    listener.listen(1)
    connection, _ = await listener.accept()
    framing = FrameReader(FRAME_BYTES)
    while data := await connection.recv(limits.STREAM_READ_BYTES):
        framing.feed(data)
        while (frame := framing.next_frame()) is not None:
            try:
                reply = await do(frame)
            except Exception as error:  # told to the driver, which ends the measurement
                reply = Failed(f"{type(error).__name__}: {error}")
            await trio.SocketStream(connection).send_all(with_length(msgspec.msgpack.encode(reply)))
