"""Hosts whose connections leave through a SOCKS5 proxy: what it is asked, what peers learn, what wrong ones cost."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.base.refusals import Refusal
from p2pchat.core.access import Access
from p2pchat.net.addresses import Endpoint, parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.multistream import read_exactly
from p2pchat.net.socks import Credentials, Proxy, Socks
from p2pchat.net.transport import Stream
from tests.net.hosts import LOOPBACK, descriptors, now, port_of
from tests.net.socks5 import (
    FAILED,
    NO_AUTHENTICATION,
    NOT_ALLOWED,
    PASSWORD,
    REFUSED,
    UNREACHABLE,
    Request,
    Socks5,
    exactly,
    proxy,
)

SECRET = b"\x07" * 32
SOMEWHERE = Endpoint("ip4", "11.1.1.1", 4001)
CANARY = "canary-of-a-password"


def at(text: str) -> Address:
    return parse_address(text)[0]


def way(port: int, credentials: Credentials | None = None, told: Callable[[str], None] = lambda _: None) -> Socks:
    return Socks(Proxy("127.0.0.1", port, credentials), SECRET, told)


@asynccontextmanager
async def hidden(server: Socks5, *listen: Address) -> AsyncGenerator[tuple[Libp2pHost, Libp2pHost, Libp2pHost]]:
    """Three hosts; the first is behind ``server``, which leads to the second at 11.1.1.1, else to the third."""
    async with (
        proxy(server) as port,
        Libp2pHost.listen(b"\x01" * 32, listen, now=now, way=way(port)) as alice,
        Libp2pHost.listen(b"\x02" * 32, [LOOPBACK], now=now) as bob,
        Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as carol,
    ):
        server.leads = lambda request: ("127.0.0.1", port_of(bob if request.host == "11.1.1.1" else carol))
        yield alice, bob, carol


async def echo(stream: Stream) -> None:
    await stream.write(await read_exactly(stream, 5))


async def test_a_connection_goes_through_and_nobody_learns_where_from() -> None:
    server = Socks5()
    async with hidden(server) as (alice, bob, _):
        bob.handle("/echo", echo)
        await alice.dial(bob.peer_id, [at("/ip4/11.1.1.1/tcp/4001")])
        stream = await alice.open(bob.peer_id, "/echo")
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        assert [link.path for link in alice.links()] == ["direct"]
        assert stream.remote_host == "11.1.1.1"  # quotas and prefixes are the peer's, not the proxy's
        assert [(each.host, each.port) for each in server.requests] == [("11.1.1.1", 4001)]
        assert (alice.listening(), alice.addresses()) == ((), ())
        alice.tell("observed", [at("/ip4/12.1.1.1/tcp/4001")])
        alice.tell("mapped", [at("/ip4/12.1.1.1/tcp/4001")])
        alice.standing = "public"
        assert (await bob.learn(alice.peer_id))[0] == alice.addresses() == ()
        assert await bob.seen_by(alice.peer_id) is None  # not even where it was asked to lead


async def test_a_name_is_for_the_proxy_to_resolve() -> None:
    server = Socks5()
    async with hidden(server) as (alice, _, carol):
        await alice.dial(carol.peer_id, [at("/dns4/node.example/tcp/4001")])
        assert [each.host for each in server.requests] == ["node.example"]
        assert [link.path for link in alice.links()] == ["direct"]
        assert (await alice.learn(carol.peer_id))[0] == ()  # a loopback address is none for whoever is far
        stream = await carol.open(alice.peer_id, "/ipfs/ping/1.0.0")  # who is served does not depend on its address
        await stream.reset()


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.1.1/tcp/1",
        "/ip4/100.64.0.1/tcp/1",
        "/ip4/169.254.1.1/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/ip6/::ffff:127.0.0.1/tcp/1",
        "/ip6/::ffff:10.0.0.1/tcp/1",
        "/dns4/localhost/tcp/1",
        "/dns4/router/tcp/1",
        "/dns4/printer.local/tcp/1",
        "/dns4/printer.local./tcp/1",
        "/dns4/nas.LAN/tcp/1",
        "/dns4/10.0.0.1/tcp/1",
        "/dns4/10.1/tcp/1",
    ],
)
async def test_a_proxy_is_asked_for_nothing_of_its_own_network(text: str) -> None:
    server = Socks5()
    async with hidden(server) as (alice, bob, _):
        with pytest.raises(NetError):
            await alice.dial(bob.peer_id, [at(text)])
        with pytest.raises(NetError):
            await alice.dial_unknown([at(text)])
        with pytest.raises(NetError):
            await alice.confirm(bob.peer_id, at(text))
        assert server.begun == 0


async def test_nothing_leaves_from_the_port_that_is_listened_on() -> None:
    server = Socks5()
    async with hidden(server, LOOPBACK) as (alice, bob, _):
        there = at("/ip4/11.1.1.1/tcp/4001")
        for leads in (True, False):
            with pytest.raises(NetError), trio.fail_after(2):
                await alice.punch(bob.peer_id, [there], leads=leads)
        assert server.begun == 0
        await alice.dial(bob.peer_id, [there], from_port=True)
        assert server.begun == 1
        assert bob._connections.all()[0].mux.get_remote_address()[1] != port_of(alice)  # type: ignore[index]


async def test_who_comes_through_an_onion_service_comes_from_nowhere() -> None:
    async with hidden(Socks5(), LOOPBACK) as (alice, bob, _):
        alice.handle("/echo", echo)
        seen = list[str | None]()

        async def look(stream: Stream) -> None:
            seen.append(stream.remote_host)
            await echo(stream)

        alice.handle("/look", look)
        await bob.dial(alice.peer_id, alice.listening())
        stream = await bob.open(alice.peer_id, "/look")
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        assert seen == [None]
        assert [link.path for link in alice.links()] == ["relayed"]
        assert (await bob.learn(alice.peer_id))[0] == ()
        assert await bob.seen_by(alice.peer_id) is None


async def test_who_comes_through_an_onion_service_is_let_in_where_relays_are_off() -> None:
    async with hidden(Socks5(), LOOPBACK) as (alice, bob, _):
        await alice.restrict(Access(relays=False))
        alice.handle("/echo", echo)
        await bob.dial(alice.peer_id, alice.listening())
        await alice.restrict(Access(relays=False, peers={bob.peer_id: True}))
        stream = await bob.open(alice.peer_id, "/echo")
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        await alice.restrict(Access(relays=False, peers={bob.peer_id: False}))
        assert alice.links() == ()
        assert alice.refusals[Refusal.CONNECTION_DENIED] == 0


# as whom it is asked


async def test_two_peers_are_two_users_and_one_peer_is_one() -> None:
    server = Socks5()
    async with hidden(server) as (alice, bob, carol):
        for peer, where in ((bob, "11.1.1.1"), (carol, "12.1.1.1"), (bob, "11.1.1.1")):
            await alice.dial(peer.peer_id, [at(f"/ip4/{where}/tcp/4001")])
            await alice.disconnect(peer.peer_id)
        first, second, third = ((each.user, each.password) for each in server.requests)
        assert first == third != second
        assert all(each is not None and len(each) == 32 for pair in (first, second) for each in pair)


async def test_another_life_has_other_users() -> None:
    server = Socks5(reply=REFUSED)
    async with proxy(server) as port:
        for secret in (SECRET, b"\x08" * 32):
            with pytest.raises(NetError):
                await Socks(Proxy("127.0.0.1", port), secret, lambda _: None).connect(None, SOMEWHERE)
    assert server.requests[0].user != server.requests[1].user


async def test_a_proxy_without_users_is_asked_without() -> None:
    server = Socks5(lambda _: ("127.0.0.1", 1), methods=(NO_AUTHENTICATION,))
    async with proxy(server) as port:
        with pytest.raises(NetError, match="Nothing listens there"):
            await way(port).connect(None, SOMEWHERE)
    assert server.requests == [Request("11.1.1.1", 4001)]


async def test_a_proxy_that_knows_other_users_is_asked_without_from_then_on() -> None:
    server = Socks5(users={}, reply=REFUSED)
    async with proxy(server) as port:
        asked = way(port)
        for _ in range(2):
            with pytest.raises(NetError, match="Nothing listens there"):
                await asked.connect(None, SOMEWHERE)
    assert server.requests == [Request("11.1.1.1", 4001)] * 2
    assert server.begun == 3


async def test_the_users_own_name_is_told_to_all_and_a_wrong_one_is_said() -> None:
    server = Socks5(methods=(PASSWORD,), users={"me": CANARY}, reply=REFUSED)
    async with proxy(server) as port:
        with pytest.raises(NetError, match="Nothing listens there"):
            await way(port, Credentials(b"me", CANARY.encode())).connect(None, SOMEWHERE)
        assert server.requests == [Request("11.1.1.1", 4001, "me", CANARY)]
        with pytest.raises(NetError, match="refuses the user name or password"):
            await way(port, Credentials(b"me", b"wrong")).connect(None, SOMEWHERE)
        with pytest.raises(NetError, match="refuses the user name or password"):
            await way(port, Credentials(b"me", b"wrong")).connect(None, SOMEWHERE)


# what it says, and what is wrong with it


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (FAILED, "The proxy refuses."),
        (NOT_ALLOWED, "does not allow it"),
        (UNREACHABLE, "No way leads there"),
        (REFUSED, "Nothing listens there"),
        (255, "The proxy refuses."),
    ],
)
async def test_what_it_says_of_a_destination_is_no_trouble_of_its_own(reply: int, said: str) -> None:
    told = list[str]()
    async with proxy(Socks5(reply=reply)) as port:
        with pytest.raises(NetError, match=said):
            await way(port, told=told.append).connect(None, SOMEWHERE)
    assert told == []


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def closing(stream: trio.SocketStream) -> None:
    await exactly(stream, 2)


async def http(stream: trio.SocketStream) -> None:
    await exactly(stream, 2)
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 100_000)
    await trio.sleep_forever()


async def dripping(stream: trio.SocketStream) -> None:
    for byte in b"\x05\x00\x05\x00\x00\x03" + b"\xff" * 250:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.15)


async def demanding(stream: trio.SocketStream) -> None:
    await exactly(stream, 2)
    await stream.send_all(b"\x05\x01")  # GSSAPI, which was not offered
    await trio.sleep_forever()


async def lying(stream: trio.SocketStream) -> None:
    """Says that it leads there, and is nobody."""
    await stream.send_all(b"\x05\x00\x05\x00\x00\x01" + bytes(6) + b"\xff" * 1000)
    await trio.sleep_forever()


async def babbling(stream: trio.SocketStream) -> None:
    await stream.send_all(b"\x05\x00" + b"\x17" * 1000)
    await trio.sleep_forever()


async def unknown_kind(stream: trio.SocketStream) -> None:
    await stream.send_all(b"\x05\x00\x05\x00\x00\x09" + bytes(100))
    await trio.sleep_forever()


async def binary_name(stream: trio.SocketStream) -> None:
    """A name of 255 bytes that are no text: what comes after is the peer's, here nobody's."""
    await stream.send_all(b"\x05\x00\x05\x00\x00\x03\xff" + b"\xff" * 255 + bytes(2))


async def cut_short(stream: trio.SocketStream) -> None:
    await exactly(stream, 4)
    await stream.send_all(b"\x05\x00\x05\x00\x00\x01\x00")


@pytest.mark.parametrize(
    ("wrong", "trouble"),
    [
        (silent, "The proxy does not answer."),
        (closing, "The proxy closes the connection."),
        (http, "What answers as the proxy does not speak SOCKS5."),
        (demanding, "The proxy wants a user name and password, or another way to authenticate."),
        (dripping, ""),
        (lying, ""),
        (babbling, ""),
        (unknown_kind, ""),
        (binary_name, ""),
        (cut_short, ""),
    ],
)
async def test_a_wrong_proxy_costs_an_attempt_and_leaves_nothing(
    wrong: Callable[[trio.SocketStream], Awaitable[None]], trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROXY_S", "PROXY_LEADS_S", "HANDSHAKE_S"):
        monkeypatch.setattr(limits, name, 1.0)
    told = list[str]()
    async with (
        proxy(Socks5(wrong=wrong)) as port,
        Libp2pHost.listen(b"\x01" * 32, (), now=now, way=way(port, told=told.append)) as alice,
        Libp2pHost.listen(b"\x02" * 32, (), now=now) as bob,
    ):
        before, began = descriptors(), time.monotonic()
        with pytest.raises(NetError):
            await alice.dial(bob.peer_id, [at("/ip4/11.1.1.1/tcp/4001")])
        assert time.monotonic() - began < 4
        assert "".join(told) == trouble
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert descriptors() <= before + 1  # the server's own end, where it goes on


async def test_trouble_is_told_once_until_it_is_over() -> None:
    told = list[str]()
    server = Socks5(reply=REFUSED)
    with structlog.testing.capture_logs() as logged:
        async with proxy(server) as port:
            asked = way(port, Credentials(b"me", CANARY.encode()), told.append)
            server.wrong = closing
            for _ in range(3):
                with pytest.raises(NetError, match="closes"):
                    await asked.connect(None, SOMEWHERE)
            server.wrong = None
            with pytest.raises(NetError, match="Nothing listens there"):
                await asked.connect(None, SOMEWHERE)
        with pytest.raises(NetError, match="The proxy cannot be reached"):
            await asked.connect(None, SOMEWHERE)
    assert told == ["The proxy closes the connection.", "", "The proxy cannot be reached."]
    assert [line["event"] for line in logged] == ["proxy.unusable", "proxy.usable", "proxy.unusable"]
    assert not any(
        secret in str(logged) + repr(asked._proxy) for secret in (CANARY, "127.0.0.1", str(port), "11.1.1.1")
    )


async def test_without_a_proxy_no_name_of_tors_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked_up(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(trio, "open_tcp_stream", looked_up)
    async with Libp2pHost.listen(b"\x01" * 32, (), now=now) as alice:
        for name in (f"{'a' * 56}.onion", f"{'a' * 56}.ONION."):
            with pytest.raises(NetError):
                await alice.dial_unknown([at(f"/dns4/{name}/tcp/4001")])
