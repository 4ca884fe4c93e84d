"""The client of the public DHT beside js-libp2p's servers of it, and beside peers that mean ill (PROTOCOL.md 7.6)."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.kad_wire import with_length
from p2pchat.core.protobuf import tagged
from p2pchat.core.public_wire import GET_PROVIDERS, MEETING_KEY, PUBLIC_KAD
from p2pchat.net.addresses import format_address
from p2pchat.net.dnsaddr import NodeAddress
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.public_dht import PublicDht
from p2pchat.net.transport import Stream
from tests.contract.lab import until
from tests.net.hosts import LOOPBACK, NOWHERE, now
from tests.net.test_js import js_node, needs_js

pytestmark = pytest.mark.net

CID = "b" + base64.b32encode(b"\x01\x55" + MEETING_KEY).decode().lower().rstrip("=")
RING = 8
Answer = Callable[[], bytes]


def host(seed: int, *, listens: bool = True) -> contextlib.AbstractAsyncContextManager[Libp2pHost]:
    return Libp2pHost.listen(bytes([seed] * 32), [LOOPBACK] if listens else [], now=now)


@needs_js
@pytest.mark.slow
async def test_who_is_announced_is_found_by_js_and_by_a_stranger_of_ours() -> None:
    async with js_node("ring.mjs", str(RING)) as js, host(1) as own:
        await ring_is_closed(js.ask)
        assert await PublicDht(own, js.nodes[:1]).provide(MEETING_KEY, own.addresses()) == RING
        assert own.links() == ()
        assert await js.ask("providers", CID) == [format_address(own.addresses()[0], own.peer_id)]
        async with host(2, listens=False) as stranger:
            for entry in js.nodes[:4]:  # RSA, secp256k1, Ed25519
                found = await PublicDht(stranger, [entry]).providers(MEETING_KEY)
                assert found == [(own.peer_id, own.addresses())]
                assert stranger.links() == ()


@needs_js
@pytest.mark.slow
async def test_who_js_says_provides_is_found_though_entries_are_dead() -> None:
    async with js_node("ring.mjs", str(RING)) as js, host(1) as gone, host(2, listens=False) as stranger:
        await ring_is_closed(js.ask)
        entries = [(gone.peer_id, (NOWHERE,)), js.nodes[5]]
        assert await PublicDht(stranger, entries).providers(MEETING_KEY) == []
        await js.ask("provide", CID)
        ((peer_id, addresses),) = await PublicDht(stranger, entries).providers(MEETING_KEY)
        assert (peer_id, addresses[:1]) == js.nodes[1]


async def ring_is_closed(ask: Callable[..., object]) -> None:
    """Wait until each knows all others: a node enters whom it has identified."""
    with trio.fail_after(20):
        while set(await ask("known")) != {RING - 1}:  # type: ignore[misc]  # noqa: ASYNC110  another process
            await trio.sleep(0.1)


# -- peers that mean ill -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def public(*answers: Answer | None) -> AsyncGenerator[list[Libp2pHost]]:
    """Hosts that serve the public DHT; each answers so, or never."""
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(host(100 + index)) for index in range(len(answers))]
        for each, answer in zip(hosts, answers, strict=True):
            each.handle(PUBLIC_KAD, partial(serve, answer))
        yield hosts


async def serve(answer: Answer | None, stream: Stream) -> None:
    await stream.read(limits.STREAM_READ_BYTES)
    if answer is None:
        await trio.sleep_forever()
    else:
        await stream.write(answer())
        await stream.close()


def entry(of: Libp2pHost) -> NodeAddress:
    return of.peer_id, of.addresses()


def told(*providers: ToldPeer, closer: tuple[ToldPeer, ...] = (), kind: int = GET_PROVIDERS) -> bytes:
    def peers(number: int, listed: tuple[ToldPeer, ...]) -> bytes:
        return b"".join(
            tagged(number, tagged(1, each.peer_id) + b"".join(tagged(2, a) for a in each.addresses)) for each in listed
        )

    return tagged(1, kind) + peers(8, closer) + peers(9, providers)


def peer(number: int) -> ToldPeer:
    return ToldPeer(b"\x12\x20" + number.to_bytes(32, "big"), (bytes(LOOPBACK[:-2]) + b"\x00\x01",))


def as_told(of: Libp2pHost) -> ToldPeer:
    return ToldPeer(bytes(of.peer_id), tuple(map(bytes, of.addresses())))


async def found_by(stranger: Libp2pHost, hosts: list[Libp2pHost]) -> list[bytes]:
    return [bytes(each) for each, _ in await PublicDht(stranger, list(map(entry, hosts))).providers(MEETING_KEY)]


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00",  # a message of no length
        b"\xff\xff\xff\xff\x0f",  # one of 4 GiB
        with_length(b"\x0a"),  # truncated
        with_length(told(peer(1), kind=4)),  # of another type
        with_length(tagged(1, GET_PROVIDERS) + tagged(8, 7)),  # of another wire type
        b"\xff\x7f" + b"x",  # that ends too early
    ],
)
async def test_junk_costs_nothing_but_its_sender(junk: bytes) -> None:
    async with public(lambda: junk, lambda: with_length(told(peer(7)))) as hosts, host(1, listens=False) as stranger:
        assert await found_by(stranger, hosts) == [peer(7).peer_id]
        with pytest.raises(NetError):
            await found_by(stranger, hosts[:1])
        assert stranger.links() == ()


async def test_nobody_there_is_an_error_and_no_entry_too() -> None:
    async with host(1, listens=False) as stranger, host(2) as other:  # which serves nothing of the kind
        for hosts in ([other], []):
            with pytest.raises(NetError):
                await found_by(stranger, hosts)


async def test_the_silent_are_given_up_and_others_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUBLIC_SLOW_S", 0.05)
    monkeypatch.setattr(limits, "PUBLIC_HARD_S", 0.5)
    async with public(None, lambda: with_length(told(peer(7)))) as hosts, host(1, listens=False) as stranger:
        assert await found_by(stranger, hosts) == [peer(7).peer_id]
        monkeypatch.setattr(limits, "PUBLIC_HARD_S", 60.0)
        monkeypatch.setattr(limits, "PUBLIC_TOTAL_S", 0.3)
        with pytest.raises(NetError):
            await found_by(stranger, hosts[:1])


async def test_of_a_reply_that_is_too_long_the_beginning_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUBLIC_REPLY_BYTES", 1_000)
    many = with_length(told(*map(peer, range(200))))
    async with public(lambda: many) as hosts, host(1, listens=False) as stranger:
        found = await found_by(stranger, hosts)
        assert 10 < len(found) < 25
        assert set(found) < {peer(number).peer_id for number in range(200)}


async def test_one_who_tells_of_many_does_not_come_before_one_of_whom_many_tell() -> None:
    flood = with_length(told(*map(peer, range(256))))
    honest = with_length(told(peer(1_000)))
    async with public(lambda: flood, lambda: honest, lambda: honest) as hosts, host(1, listens=False) as stranger:
        found = await found_by(stranger, hosts)
        assert found[0] == peer(1_000).peer_id
        assert len(found) == 257


async def test_a_walk_asks_no_more_peers_and_reads_no_more_bytes_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUBLIC_ASKED", 3)
    asked: list[int] = []
    async with AsyncExitStack() as stack:
        hosts: list[Libp2pHost] = []

        def everybody(index: int) -> bytes:
            asked.append(index)
            return with_length(told(closer=tuple(map(as_told, hosts))))

        hosts += await stack.enter_async_context(public(*(partial(everybody, index) for index in range(6))))
        stranger = await stack.enter_async_context(host(1, listens=False))
        assert await found_by(stranger, hosts[:1]) == []
        assert len(asked) == len(set(asked)) == 3
        monkeypatch.setattr(limits, "PUBLIC_ASKED", 100)
        assert await found_by(stranger, hosts[:1]) == []
        assert sorted(asked[3:]) == list(range(6))  # each once, though all tell of all
        monkeypatch.setattr(limits, "PUBLIC_TOTAL_BYTES", 1)
        del asked[:]
        with pytest.raises(NetError):
            await found_by(stranger, hosts[:1])
        assert asked == [0]


async def test_a_connection_that_was_there_before_stays() -> None:
    async with public(lambda: with_length(told())) as (there,), host(1, listens=False) as stranger:
        await stranger.dial(there.peer_id, there.addresses())
        assert await found_by(stranger, [there]) == []
        assert [link.peer for link in stranger.links()] == [there.peer_id]
        await stranger.disconnect(there.peer_id)
        await until(lambda: stranger.links() == ())
