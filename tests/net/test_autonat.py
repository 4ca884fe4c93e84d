"""Who is reached: asked over real connections, and what a server will not do for the asker."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.core.autonat import BAD_REQUEST, DIAL_REFUSED, OK, DialAnswer, decode_answer, encode_answer, encode_dial
from p2pchat.core.kad_wire import with_length
from p2pchat.net.addresses import endpoint, from_socket
from p2pchat.net.autonat import AUTONAT, AutonatServer, ask, own_addresses
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.multistream import read_exactly, read_varint
from p2pchat.net.transport import Stream
from tests.net.hosts import LOOPBACK, NOWHERE, connect_tcp, muxes, now, port_of, two_hosts

pytestmark = pytest.mark.net


async def status(a: Libp2pHost, b: Libp2pHost, peer: bytes, addresses: Sequence[Address]) -> int:
    """What b answers a."""
    stream = await a.open(b.peer_id, AUTONAT)
    await stream.write(with_length(encode_dial(peer, list(map(bytes, addresses)))))
    answer = decode_answer(await read_exactly(stream, await read_varint(stream, 4_096)))
    await stream.reset()
    return answer.status


async def test_it_is_reached_where_it_listens_and_nowhere_else() -> None:
    async with two_hosts() as (a, b):
        b.handle(AUTONAT, AutonatServer(b).serve)
        await a.dial(b.peer_id, b.addresses())
        there = a.addresses()[0]
        assert await ask(await a.open(b.peer_id, AUTONAT), a.peer_id, [NOWHERE, there]) == there
        assert await ask(await a.open(b.peer_id, AUTONAT), a.peer_id, [NOWHERE]) is None
        somebody_else = b.addresses()[0]
        assert await ask(await a.open(b.peer_id, AUTONAT), a.peer_id, [somebody_else]) is None
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert len(muxes(a)) == len(muxes(b)) == 1


async def test_only_the_asker_is_dialled_where_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another host nothing is dialled, however it is named: nobody knocks at a third door for a stranger."""
    async with two_hosts() as (a, b):
        dialled: list[Address] = []

        async def confirm(_: object, address: Address) -> None:
            dialled.append(address)

        monkeypatch.setattr(b, "confirm", confirm)
        b.handle(AUTONAT, AutonatServer(b).serve)
        await a.dial(b.peer_id, b.addresses())
        own = from_socket("127.0.0.1", 4001)
        others = [from_socket(host, 4001) for host in ("127.0.0.2", "8.8.8.8", "192.168.1.1", "::1")]
        assert await status(a, b, bytes(a.peer_id), others) == DIAL_REFUSED
        assert await status(a, b, bytes(a.peer_id), []) == DIAL_REFUSED
        assert await status(a, b, bytes(b.peer_id), [own]) == BAD_REQUEST
        assert dialled == []
        ports = [from_socket("127.0.0.1", port) for port in range(4001, 4010)]
        assert await status(a, b, b"", [*others, *ports]) == OK
        assert sorted(endpoint(each).port for each in dialled) == [4001, 4002]


async def test_a_peer_asks_so_often_and_no_more() -> None:
    async with two_hosts() as (a, b):
        b.handle(AUTONAT, AutonatServer(b).serve)
        await a.dial(b.peer_id, b.addresses())
        said = [await status(a, b, bytes(a.peer_id), a.addresses()) for _ in range(int(limits.AUTONAT_PEER) + 3)]
        assert said == [OK] * int(limits.AUTONAT_PEER) + [DIAL_REFUSED] * 3
        with pytest.raises(NetError):  # a refusal is no verdict
            await ask(await a.open(b.peer_id, AUTONAT), a.peer_id, a.addresses())


async def test_so_many_are_dialled_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTONAT_DIALS", 1)
    async with two_hosts() as (a, b), Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as c:
        waiting = trio.Event()

        async def confirm(*_: object) -> None:
            waiting.set()
            await trio.sleep_forever()

        monkeypatch.setattr(b, "confirm", confirm)
        b.handle(AUTONAT, AutonatServer(b).serve)
        for asker in (a, c):
            await asker.dial(b.peer_id, b.addresses())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(status, a, b, bytes(a.peer_id), a.addresses())
            await waiting.wait()
            assert await status(c, b, bytes(c.peer_id), c.addresses()) == DIAL_REFUSED
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("junk", [b"", b"\xff" * 20, b"\x00", with_length(b"\x08\x01")])
async def test_junk_ends_the_stream(junk: bytes) -> None:
    async with two_hosts() as (a, b):
        b.handle(AUTONAT, AutonatServer(b).serve)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, AUTONAT)
        await stream.write(junk or with_length(b"\x08"))
        with pytest.raises(NetError), trio.fail_after(5):
            await stream.read(1)


async def test_who_answers_with_an_address_that_was_not_asked_about_has_said_nothing() -> None:
    async with two_hosts() as (a, b):

        async def lie(stream: Stream) -> None:
            await stream.write(with_length(encode_answer(DialAnswer(OK, bytes(NOWHERE)))))

        b.handle(AUTONAT, lie)
        await a.dial(b.peer_id, b.addresses())
        with pytest.raises(NetError):
            await ask(await a.open(b.peer_id, AUTONAT), a.peer_id, a.addresses())


def test_the_addresses_of_an_asker() -> None:
    there, other = from_socket("11.1.1.1", 1), from_socket("11.1.1.2", 1)
    assert own_addresses("11.1.1.1", [bytes(other), bytes(there), b"junk"]) == (there,)
    assert own_addresses("::ffff:11.1.1.1", [bytes(there)]) == (there,)
    assert own_addresses(None, [bytes(there)]) == ()
    private = from_socket("192.168.1.2", 1)
    assert own_addresses("11.1.1.1", [bytes(private)]) == ()
    assert own_addresses("192.168.1.2", [bytes(private)]) == (private,)


async def test_a_closed_port_costs_one_attempt() -> None:
    """Nothing listens: the attempt ends with the refusal of the machine, not with its deadline."""
    async with two_hosts() as (a, b), await connect_tcp(b):
        with trio.fail_after(limits.CONFIRM_S / 2), pytest.raises(NetError):
            await b.confirm(a.peer_id, from_socket("127.0.0.1", port_of(a) ^ 1 or 1))
