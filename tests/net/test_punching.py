"""Connections from the port that listens: who else gets that port, and where what comes to it arrives."""

from __future__ import annotations

import errno
import socket
from contextlib import closing, suppress
from functools import partial

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net import tcp
from p2pchat.net.addresses import endpoint, from_socket, parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.outgoing import Meeting
from tests.contract.lab import until
from tests.net.hosts import LOOPBACK, connect_tcp, descriptors, muxes, now, port_of, two_hosts

pytestmark = pytest.mark.net

WILDCARD = parse_address("/ip4/0.0.0.0/tcp/0")[0]


def own(host: Libp2pHost) -> tcp.Own:
    end = endpoint(host.listening()[0])
    return end.host, end.port


def accepting() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    return listener


@pytest.mark.parametrize("listen", [LOOPBACK, WILDCARD], ids=["one", "all"])
async def test_a_connection_leaves_from_the_port_and_what_comes_arrives_at_the_listener(listen: Address) -> None:
    async with Libp2pHost.listen(b"\x01" * 32, [listen], now=now) as host:
        with closing(accepting()) as far:
            async with await tcp.connect_from(own(host), *far.getsockname(), must=True) as stream:
                near, seen = far.accept()
                with closing(near):
                    assert seen[1] == port_of(host) == stream.socket.getsockname()[1]
                    async with Libp2pHost.listen(b"\x02" * 32, [LOOPBACK], now=now) as other:
                        for _ in range(20):
                            await other.confirm(host.peer_id, from_socket("127.0.0.1", port_of(host)))


@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,)], ids=["plain", "as ours"])
@pytest.mark.parametrize("while_used", [False, True])
async def test_nobody_else_listens_on_the_port_who_does_not_insist(options: tuple[int, ...], while_used: bool) -> None:
    async with Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as host:
        with closing(accepting()) as far, closing(socket.socket()) as second:
            stream = await tcp.connect_from(own(host), *far.getsockname(), must=True) if while_used else None
            for option in options:
                second.setsockopt(socket.SOL_SOCKET, option, 1)
            with pytest.raises(OSError, match="in use") as refused:
                second.bind(own(host))
            assert refused.value.errno == errno.EADDRINUSE
            with pytest.raises(NetError) as also:
                async with Libp2pHost.listen(b"\x02" * 32, [host.listening()[0]], now=now):
                    pass
            assert also.value.error_name == "ADDRESS_IN_USE"
            if stream is not None:
                await stream.aclose()


async def test_the_port_is_free_for_a_restart_while_connections_from_it_fade() -> None:
    async with Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as host:
        address = host.listening()[0]
        with closing(accepting()) as far:
            stream = await tcp.connect_from(own(host), *far.getsockname(), must=True)
            near, _ = far.accept()
            await stream.aclose()  # this end first: it is the one that lingers
            near.close()
    async with Libp2pHost.listen(b"\x01" * 32, [address], now=now) as again:
        assert again.listening() == (address,)


async def test_where_the_port_cannot_be_had_another_does_unless_it_must() -> None:
    async with Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as host:
        with closing(accepting()) as far:
            async with await tcp.connect_from(own(host), *far.getsockname(), must=True):
                with pytest.raises(NetError):  # these two ends have a connection
                    await tcp.connect_from(own(host), *far.getsockname(), must=True)
                async with await tcp.connect_from(own(host), *far.getsockname(), must=False) as other:
                    assert other.socket.getsockname()[1] != port_of(host)


async def test_who_comes_to_the_listening_socket_while_awaited_is_led() -> None:
    """The other end's attempt was there first: it follows, as it would have where both have opened the connection."""
    async with two_hosts() as (a, b):
        meeting = Meeting(b.peer_id, leads=True)
        a._outgoing._awaited["127.0.0.1", port_of(b)] = meeting
        await b.punch(a.peer_id, a.addresses(), leads=False)
        with trio.fail_after(5):
            await meeting.done.wait()
        assert [link.peer for link in a.links()] == [b.peer_id]


async def test_who_dials_whom_a_punch_reaches_waits_no_longer() -> None:
    async with two_hosts() as (a, b), trio.open_nursery() as nursery:
        with closing(accepting()) as silent, trio.fail_after(limits.DIAL_TOTAL_S / 2):
            nursery.start_soon(a.dial, b.peer_id, [from_socket(*silent.getsockname())])
            kept, _ = await trio.to_thread.run_sync(silent.accept)
            assert await a.punch(b.peer_id, b.addresses(), leads=True) == b.addresses()[0]
            while nursery.child_tasks:
                await trio.lowlevel.checkpoint()
            kept.close()


async def test_who_follows_gives_up_a_connection_that_nobody_leads_and_knocks_again() -> None:
    """It reached the listening socket of one who was not ready to lead: until it goes nobody gets these two ports."""
    async with two_hosts() as (a, b), trio.open_nursery() as nursery:
        with closing(accepting()) as silent:
            nursery.start_soon(suppressed, a, b, from_socket(*silent.getsockname()), 5.0, False)
            kept = [await trio.to_thread.run_sync(silent.accept) for _ in range(2)]
            assert {peer[1] for _, peer in kept} == {port_of(a)}
            nursery.cancel_scope.cancel()
        for near, _ in kept:
            near.close()


async def test_who_was_not_there_yet_is_met_a_moment_later() -> None:
    async with Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as a:
        async with Libp2pHost.listen(b"\x02" * 32, [LOOPBACK], now=now) as b:
            peer, address = b.peer_id, b.addresses()[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(a.punch, peer, [address], leads=True))
            await trio.testing.wait_all_tasks_blocked(0.01)
            async with Libp2pHost.listen(b"\x02" * 32, [address], now=now) as b:
                await until(lambda: bool(b.links()))


async def test_two_attempts_at_one_address_do_not_end_each_other() -> None:
    async with two_hosts() as (a, b):
        address = from_socket("127.0.0.1", 1)
        async with trio.open_nursery() as nursery:
            for within_s in (0.1, 0.3):
                nursery.start_soon(suppressed, a, b, address, within_s)
                await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(0.15)
            assert list(a._outgoing._awaited) == [("127.0.0.1", 1)]
        assert a._outgoing._awaited == {}


async def suppressed(a: Libp2pHost, b: Libp2pHost, address: Address, within_s: float, leads: bool = True) -> None:
    with suppress(NetError):
        await a.punch(b.peer_id, [address], leads=leads, within_s=within_s)


async def test_whoever_is_punched_must_be_the_peer() -> None:
    async with two_hosts() as (a, b), Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as c:
        for leads in (True, False):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_suppressed, b, a, c, not leads)
                with pytest.raises(NetError):
                    await a.punch(c.peer_id, b.addresses(), leads=leads)
            assert c.peer_id not in {link.peer for link in a.links()}


async def _suppressed(b: Libp2pHost, a: Libp2pHost, c: Libp2pHost, leads: bool) -> None:
    with suppress(NetError):
        await b.punch(a.peer_id, a.addresses(), leads=leads)


async def test_nothing_is_left_of_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUNCH_S", 0.1)
    async with two_hosts() as (a, b), await connect_tcp(b):
        before = descriptors()
        with closing(accepting()) as silent:
            address = from_socket(*silent.getsockname())
            for leads in (True, False, True):
                with pytest.raises(NetError):
                    await a.punch(b.peer_id, (address, address), leads=leads)
            monkeypatch.setattr(limits, "CONFIRM_S", 0.1)
            with pytest.raises(NetError):
                await a.confirm(b.peer_id, address)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert descriptors() == before
        assert muxes(a) == []


async def test_an_inbound_connection_tells_where_others_come_to() -> None:
    """Seen from there the port is the listener's; of one that this node made it is not, and is replaced."""
    async with Libp2pHost.listen(b"\x01" * 32, [WILDCARD], now=now) as a:
        async with Libp2pHost.listen(b"\x02" * 32, [LOOPBACK], now=now) as b:
            there = from_socket("127.0.0.1", port_of(a))
            await b.dial(a.peer_id, [there])
            assert await a.seen_by(b.peer_id) == there
        async with Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as c:
            await a.dial(c.peer_id, c.addresses())
            assert await a.seen_by(c.peer_id) == there
