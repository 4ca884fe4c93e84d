"""One of three nodes of a network lab: a public relay, and two behind NATs that meet by it. See test_netlab_direct.py.

    punching_node.py relay ADDRESS NAME               prints its PeerID
    punching_node.py home ADDRESS PEERID [map] NAME   connects to the relay, says who it is and where it is seen

The latter has the router map a port first if it is to, and then reads a line: `meet PEERID` connects through the relay
and waits, `await` waits to be connected to and invites, `end` ends. What they print: JSON, one line each.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from types import SimpleNamespace
from typing import cast

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import decode_peer_id, format_address, is_global, parse_address
from p2pchat.net.autonat import AUTONAT, AutonatServer, ask
from p2pchat.net.dcutr import DCUTR, Dcutr
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.transport import Stream
from p2pchat.services.context import Context, Health, Reach
from p2pchat.services.mapping import Mapper
from tests.contract.lab import read_exactly

HOP, STOP = "/test/hop/1", "/test/stop/1"
_PEER_ID_BYTES = 38
_PORT = 4001


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


async def anybody(_: PeerId) -> bool:
    return True


async def unnoted(_: PeerId, __: Address) -> None:
    pass


async def pump(source: Stream, sink: Stream) -> None:
    try:
        while data := await source.read(limits.STREAM_READ_BYTES):
            await sink.write(data)
    except NetError:
        await sink.reset()


async def relay(host: Libp2pHost) -> None:
    async def hop(stream: Stream) -> None:
        onward = await host.open(PeerId(await read_exactly(stream, _PEER_ID_BYTES)), STOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, stream, onward)
            nursery.start_soon(pump, onward, stream)

    host.handle(HOP, hop)
    host.handle(AUTONAT, AutonatServer(host).serve)
    say(peer=bytes(host.peer_id).hex())
    await trio.sleep_forever()


async def map_port(host: Libp2pHost, nursery: trio.Nursery) -> None:
    """Ask the router, and give it back at the end."""
    context = cast(
        Context, SimpleNamespace(network=host, jitter=lambda: 0.5, reach=Reach(mapping=True), health=Health())
    )
    mapped = trio.Event()
    nursery.start_soon(Mapper(context, mapped.set).run)
    with trio.fail_after(30):
        await mapped.wait()
    say(mapped=[format_address(each) for each in host.addresses() if is_global(each)])


async def home(host: Libp2pHost, address: str, relay_peer: PeerId) -> None:
    async def stop(stream: Stream) -> None:
        await host.adopt(stream, None)

    host.handle(STOP, stop)
    await host.dial(relay_peer, [parse_address(address)[0]], from_port=True)
    seen = await host.seen_by(relay_peer)
    assert seen is not None
    reached = await ask(await host.open(relay_peer, AUTONAT), host.peer_id, [seen])
    say(peer=bytes(host.peer_id).hex(), seen=format_address(seen), reached=reached is not None)
    dcutr = Dcutr(host, lambda: (seen,), anybody, unnoted)
    host.handle(DCUTR, dcutr.serve)
    command = (await trio.to_thread.run_sync(sys.stdin.readline)).split()
    if command[0] == "end":
        return
    started = trio.current_time()
    if command[0] == "meet":
        peer = decode_peer_id(bytes.fromhex(command[1]))
        stream = await host.open(relay_peer, HOP)
        await stream.write(bytes(peer))
        await host.adopt(stream, peer)
    while (others := [link for link in host.links() if link.peer != relay_peer]) == []:  # noqa: ASYNC110  no event tells of paths
        await trio.sleep(0.02)
    peer = others[0].peer
    say(path=others[0].path, after_s=trio.current_time() - started)
    tries = 0
    with trio.move_on_after(20):
        while all(link.path == "relayed" for link in host.links() if link.peer == peer):
            if command[0] == "await" and tries < 3:
                tries += 1
                try:
                    await dcutr.invite(peer)
                except NetError:
                    continue
            await trio.sleep(0.02)
    paths = [link.path for link in host.links() if link.peer == peer]
    say(path=paths[0], after_s=trio.current_time() - started, tries=tries)
    await trio.sleep_forever()


async def main(role: str, address: str, peer: str = "", maps: str = "") -> None:
    listen = parse_address(f"/ip4/0.0.0.0/tcp/{_PORT}")[0]
    seed = sys.argv[-1].encode().rjust(32, b"\0")
    async with Libp2pHost.listen(seed, [listen], now=trio.current_time) as host, trio.open_nursery() as nursery:
        if maps:
            await map_port(host, nursery)
        await (relay(host) if role == "relay" else home(host, address, decode_peer_id(bytes.fromhex(peer))))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(partial(main, *sys.argv[1:-1]))
