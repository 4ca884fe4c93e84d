"""A peer that nobody knows and that sends junk: ``python stranger.py ADDRESS TEXT``, the text being part of it."""

from __future__ import annotations

import sys
import time
from functools import partial

import trio

from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.core.wire import Batch, Bundle, BundleRequest, Flight, Frame, Hello, Nack, encode_frame
from p2pchat.net.addresses import parse_address
from p2pchat.net.kad import KAD
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.records import RECORDS
from p2pchat.services.link import MSG_PROTOCOL

PATIENCE_S = 1.0


def junk(text: bytes) -> list[bytes]:
    """What no peer of good will sends on a message stream."""
    envelope = (text * 400)[:400]
    flight = Flight(bytes(32), (text * 1088)[:1088], text[:16], text, envelope)

    def framed(*frames: Frame) -> bytes:
        return b"".join(len(data).to_bytes(4, "big") + data for data in map(encode_frame, frames))

    return [
        text,
        b"\xff" * 100,
        framed(Batch((envelope,))),
        framed(Hello(0)) + b"\0\0\0\x08" + text[:8],
        framed(Hello(0), Batch((envelope,) * 3), Nack(text[:16]), BundleRequest((text * 32)[:32])),
        framed(Hello(0), flight),
        framed(Hello(0), Bundle(text)),
    ]


async def send_junk(host: Libp2pHost, peer: PeerId, protocol: str, data: bytes) -> None:
    with trio.move_on_after(PATIENCE_S):
        try:
            stream = await host.open(peer, protocol)
            await stream.write(data)
            while await stream.read(65_536):
                pass
        except NetError:
            return  # thrown out: what was to be expected


async def main(address: str, text: bytes) -> None:
    where, peer = parse_address(address)
    assert peer is not None
    async with Libp2pHost.listen(bytes(range(32)), (), now=time.time) as host:
        for protocol in (MSG_PROTOCOL, RECORDS, KAD):
            await host.dial(peer, (where,))
            async with trio.open_nursery() as nursery:
                for data in junk(text):
                    nursery.start_soon(send_junk, host, peer, protocol, data)


if __name__ == "__main__":
    trio.run(partial(main, sys.argv[1], sys.argv[2].encode()))
