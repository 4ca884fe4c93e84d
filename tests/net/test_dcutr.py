"""Two hosts with a relay between them meet directly, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.holepunch import CONNECT, SYNC, encode
from p2pchat.core.kad_wire import with_length
from p2pchat.net.addresses import decode_address, from_socket
from p2pchat.net.dcutr import DCUTR, Dcutr, believed
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.transport import Stream
from tests.contract.lab import ECHO, echo, read_exactly, until
from tests.net.hosts import LOOPBACK, now

pytestmark = pytest.mark.net

HOP, STOP = "/test/hop/1", "/test/stop/1"


async def anybody(_: PeerId) -> bool:
    return True


async def unnoted(_: PeerId, __: Address) -> None:
    pass


def loopback(told: Iterable[bytes]) -> tuple[Address, ...]:
    return tuple(map(decode_address, told))


async def pump(source: Stream, sink: Stream) -> None:
    try:
        while data := await source.read(limits.STREAM_READ_BYTES):
            await sink.write(data)
    except NetError:
        await sink.reset()


@asynccontextmanager
async def relayed() -> AsyncGenerator[tuple[Libp2pHost, Libp2pHost]]:
    """a and b; a has connected to b through a third."""
    async with (
        Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as a,
        Libp2pHost.listen(b"\x02" * 32, [LOOPBACK], now=now) as b,
        Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as relay,
    ):

        async def hop(stream: Stream) -> None:
            onward = await relay.open(b.peer_id, STOP)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, stream, onward)
                nursery.start_soon(pump, onward, stream)

        async def stop(stream: Stream) -> None:
            await b.adopt(stream, None)

        relay.handle(HOP, hop)
        b.handle(STOP, stop)
        for host in (a, b):
            await host.dial(relay.peer_id, relay.addresses())
        await a.adopt(await a.open(relay.peer_id, HOP), b.peer_id)
        await until(lambda: a.peer_id in {link.peer for link in b.links()})
        yield a, b


def path(host: Libp2pHost, peer: Libp2pHost) -> tuple[str, bool]:
    return next((link.path, link.inbound) for link in host.links() if link.peer == peer.peer_id)


async def test_they_meet_half_way_and_the_relayed_connection_stays() -> None:
    async with relayed() as (a, b):
        assert (path(a, b), path(b, a)) == (("relayed", False), ("relayed", True))
        a.handle(ECHO, echo)
        inner = await b.open(a.peer_id, ECHO)
        better: list[PeerId] = []
        a.on_better_path(better.append)
        a.handle(DCUTR, Dcutr(a, a.addresses, anybody, unnoted, loopback).serve)
        with trio.fail_after(10):
            await Dcutr(b, b.addresses, anybody, unnoted, loopback).invite(a.peer_id)
        await until(lambda: path(a, b)[0] == path(b, a)[0] == "lan")
        assert better == [b.peer_id]
        stream = await b.open(a.peer_id, ECHO)
        assert stream.remote_host == "127.0.0.1"
        for each in (stream, inner):
            await each.write(b"still here")
            assert await read_exactly(each, 10) == b"still here"


async def test_who_listens_is_connected_to_without_any_agreement() -> None:
    async with relayed() as (a, b):
        dcutr = Dcutr(b, b.addresses, anybody, unnoted, lambda _: a.addresses())
        await dcutr.reverse(a.peer_id)
        assert path(b, a) == ("lan", False)


async def test_a_stranger_learns_nothing_and_nobody_is_dialled() -> None:
    async def nobody(_: PeerId) -> bool:
        return False

    async with relayed() as (a, b):
        a.handle(DCUTR, Dcutr(a, a.addresses, nobody, unnoted, loopback).serve)
        with trio.fail_after(10), pytest.raises(NetError):
            await Dcutr(b, b.addresses, anybody, unnoted, loopback).invite(a.peer_id)
        assert path(a, b)[0] == path(b, a)[0] == "relayed"


async def test_who_is_met_already_is_refused() -> None:
    async with relayed() as (a, b):
        a.handle(DCUTR, Dcutr(a, a.addresses, anybody, unnoted, loopback).serve)
        await b.punch(a.peer_id, a.addresses(), leads=True)
        stream = await b.open(a.peer_id, DCUTR)
        with suppress(NetError):  # whoever is met already is not listened to
            await stream.write(with_length(encode(CONNECT, [bytes(b.addresses()[0])])))
        with pytest.raises(NetError):
            await read_exactly(stream, 1)


async def test_a_peer_is_joined_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUNCH_S", 0.01)
    async with relayed() as (a, b):
        a.handle(DCUTR, Dcutr(a, a.addresses, anybody, unnoted, loopback).serve)
        nowhere = from_socket("127.0.0.1", 1)
        answered = 0
        for _ in range(int(limits.PUNCHES_PEER) + 2):
            stream = await b.open(a.peer_id, DCUTR)
            try:
                await stream.write(with_length(encode(CONNECT, [bytes(nowhere)])) + with_length(encode(SYNC)))
                await read_exactly(stream, 1)
                answered += 1
                while await stream.read(100):
                    pass
            except NetError:
                continue
        assert answered == limits.PUNCHES_PEER


async def test_an_attempt_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUNCH_S", 0.05)
    async with relayed() as (a, b):
        nowhere = from_socket("127.0.0.1", 1)
        a.handle(DCUTR, Dcutr(a, lambda: (nowhere,), anybody, unnoted, lambda _: (nowhere,)).serve)
        inviter = Dcutr(b, b.addresses, anybody, unnoted, loopback)
        unseen = Dcutr(b, tuple, anybody, unnoted, loopback)
        for dcutr in (inviter, inviter, unseen, Dcutr(b, b.addresses, anybody, unnoted)):
            with trio.fail_after(5), pytest.raises(NetError):
                await dcutr.invite(a.peer_id)
        assert path(a, b)[0] == path(b, a)[0] == "relayed"


async def test_both_invite_and_one_gives_way() -> None:
    async with relayed() as (a, b):
        both = [Dcutr(host, host.addresses, anybody, unnoted, loopback) for host in (a, b)]
        a.handle(DCUTR, both[0].serve)
        b.handle(DCUTR, both[1].serve)

        async def invite(dcutr: Dcutr, peer: Libp2pHost) -> None:
            try:
                await dcutr.invite(peer.peer_id)
            except NetError:
                return

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(invite, both[0], b))
                nursery.start_soon(partial(invite, both[1], a))
            await until(lambda: path(a, b)[0] == path(b, a)[0] == "lan")


def test_at_which_addresses_it_knocks() -> None:
    """Those of one host of each kind, two ports of it, global ones: a peer cannot have it visit a list."""
    told = [from_socket(host, port) for host in ("11.1.1.1", "11.1.1.2") for port in (1, 2, 3)]
    told += [from_socket(host, 4) for host in ("192.168.1.1", "127.0.0.1", "100.64.1.1", "fe80::1", "::1")]
    told += [from_socket(host, port) for host in ("2a00::1", "2a00::2") for port in (1, 2, 3)]
    assert believed([b"junk", *map(bytes, told)]) == (
        from_socket("11.1.1.1", 1),
        from_socket("11.1.1.1", 2),
        from_socket("2a00::1", 1),
        from_socket("2a00::1", 2),
    )
    assert believed([bytes(from_socket("11.1.1.1", 443, ws=True)), bytes(told[1])]) == (told[1],)


async def test_strangers_who_say_nothing_keep_no_friend_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUNCHES", 1)
    async with relayed() as (a, b):

        async def is_friend(peer: PeerId) -> bool:
            return peer == b.peer_id

        dcutr = Dcutr(a, a.addresses, is_friend, unnoted, loopback)
        a.handle(DCUTR, dcutr.serve)
        silent = SimpleNamespace(peer=PeerId(b"stranger"), remote_host=None, read=sleep_forever)
        async with trio.open_nursery() as nursery:

            async def stranger() -> None:
                with suppress(NetError):
                    await dcutr.serve(cast(Stream, silent))

            nursery.start_soon(stranger)
            await trio.testing.wait_all_tasks_blocked()
            stream = await b.open(a.peer_id, DCUTR)
            await stream.write(with_length(encode(CONNECT, [bytes(b.addresses()[0])])))
            assert await read_exactly(stream, 1)  # it joins
            nursery.cancel_scope.cancel()


async def sleep_forever(_: int) -> bytes:
    await trio.sleep_forever()
    return b""


async def test_a_peer_is_tried_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    knocked: list[PeerId] = []

    async def punch(peer: PeerId, *_: object, leads: bool) -> None:
        knocked.append(peer)
        raise NetError("nobody")

    async with relayed() as (a, b):
        monkeypatch.setattr(b, "punch", punch)
        a.handle(DCUTR, Dcutr(a, a.addresses, anybody, unnoted, loopback).serve)
        dcutr = Dcutr(b, b.addresses, anybody, unnoted, lambda _: a.addresses())
        for attempt in (dcutr.reverse, dcutr.invite):
            for _ in range(int(limits.PUNCHES_OWN)):
                with pytest.raises(NetError):
                    await attempt(a.peer_id)
        assert len(knocked) == limits.PUNCHES_OWN
