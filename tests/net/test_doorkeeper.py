"""What the network's own contract does not show: names, and what is counted."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.base.refusals import Refusal
from p2pchat.core.access import Access
from p2pchat.net.addresses import endpoint, parse_address
from p2pchat.net.libp2p_host import Libp2pHost

pytestmark = pytest.mark.net

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Libp2pHost, Libp2pHost, Address]]:
    """Two hosts, and a name of the second."""
    anywhere = [parse_address("/ip4/127.0.0.1/tcp/0")[0]]
    async with (
        Libp2pHost.listen(b"a" * 32, anywhere, now=time.time) as a,
        Libp2pHost.listen(b"b" * 32, anywhere, now=time.time) as b,
    ):
        yield a, b, parse_address(f"/dns4/localhost/tcp/{endpoint(b.addresses()[0]).port}")[0]


@pytest.mark.parametrize(
    ("access", "is_reached"),
    [
        (Access(), True),
        (Access(networks={ipaddress.ip_network("192.0.2.0/24"): False}), True),
        (Access(networks={LOOPBACK: False, ipaddress.ip_network("::1"): False}), False),
        (Access("contacts"), True),
        (Access("lan"), False),  # not even looked up
    ],
    ids=["open", "another network", "its network", "contacts", "lan"],
)
async def test_a_name_is_dialled_where_it_may_lead(access: Access, is_reached: bool) -> None:
    async with two() as (a, b, name):
        await a.restrict(access)
        with trio.fail_after(10):
            if is_reached:
                await a.dial(b.peer_id, [name])
                return
            with pytest.raises(NetError):
                await a.dial(b.peer_id, [name])
            with pytest.raises(NetError):
                await a.confirm(b.peer_id, name)
        assert a.links() == b.links() == ()


async def test_in_the_mode_lan_no_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def resolve(*arguments: object, **_: object) -> list[object]:
        asked.append(arguments)
        raise OSError

    async with two() as (a, b, name):
        monkeypatch.setattr(trio.socket, "getaddrinfo", resolve)
        for access, times in ((Access("lan", peers={b.peer_id: True}), 0), (Access(networks={LOOPBACK: False}), 1)):
            await a.restrict(access)
            with pytest.raises(NetError) as caught:
                await a.dial(b.peer_id, [name])
            assert len(asked) == times
            assert "localhost" not in str(caught.value)


async def test_a_name_of_tors_is_not_resolved_to_see_whether_a_rule_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def resolve(*arguments: object, **_: object) -> list[object]:
        asked.append(arguments)
        raise OSError

    onion = parse_address(f"/dns4/{'a' * 56}.onion/tcp/4001")[0]
    async with two() as (a, b, _):
        monkeypatch.setattr(trio.socket, "getaddrinfo", resolve)
        await a.restrict(Access(networks={ipaddress.ip_network("192.0.2.0/24"): False}))
        with pytest.raises(NetError):
            await a.dial(b.peer_id, [onion])
        with pytest.raises(NetError):
            await a.confirm(b.peer_id, onion)
        assert asked == []


async def test_who_is_refused_is_counted_and_who_is_not_dialled_is_not() -> None:
    async with two() as (a, b, _):
        await b.restrict(Access(networks={LOOPBACK: False}))
        for _ in range(2):
            with pytest.raises(NetError):
                await a.dial(b.peer_id, b.addresses())
        assert b.refusals[Refusal.CONNECTION_DENIED] == 2
        await b.restrict(Access(peers={a.peer_id: False}))
        with pytest.raises(NetError):
            await b.dial(a.peer_id, a.addresses())
        with suppress(NetError):
            await a.dial(b.peer_id, b.addresses())
        with trio.fail_after(5):
            while b.refusals[Refusal.CONNECTION_DENIED] < 3:  # noqa: ASYNC110  the other end is done before this one
                await trio.sleep(0.002)
        assert (a.refusals[Refusal.CONNECTION_DENIED], b.links()) == (0, ())
