"""Relays over real sockets (PROTOCOL.md 7.2): a stranger's circuit, slow readers, limits, and an asker who floods."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core import circuit_wire as wire
from p2pchat.net import circuits
from p2pchat.net.addresses import encode_endpoint, endpoint
from p2pchat.net.circuits import HOP, STOP
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.relay_server import RelayServer
from p2pchat.net.transport import Stream
from tests.contract.lab import ECHO, echo, pattern, read_exactly, until
from tests.net.hosts import LOOPBACK, muxes, now

pytestmark = pytest.mark.net

SINK = "/test/sink/1"


@dataclass
class Lab:
    """A relay, ``home`` that is reached through it, and ``asker``."""

    relay: Libp2pHost
    home: Libp2pHost
    asker: Libp2pHost
    server: RelayServer
    refusals: Refusals
    circuits: tuple[Address, ...] = field(default=())

    async def reserve(self) -> None:
        await self.home.dial(self.relay.peer_id, self.relay.addresses())
        granted = await circuits.reserve(self.home, self.relay.peer_id, now())
        self.circuits = granted.circuits

    async def connect(self) -> None:
        await self.asker.dial(self.home.peer_id, self.circuits)


async def stop(home: Libp2pHost, relay: Libp2pHost, stream: Stream) -> None:
    await circuits.accept(home, stream, lambda peer: peer == relay.peer_id)


@asynccontextmanager
async def running(clock: Callable[[], float] = now) -> AsyncGenerator[Lab]:
    """``clock``: the relay's."""
    refusals = Refusals()
    async with (
        Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as relay,
        Libp2pHost.listen(b"\x02" * 32, [], now=now) as home,
        Libp2pHost.listen(b"\x03" * 32, [], now=now) as asker,
        trio.open_nursery() as nursery,
    ):
        server = RelayServer(relay, clock, refusals)
        nursery.start_soon(server.run)
        home.handle(STOP, lambda stream: stop(home, relay, stream))
        home.handle(ECHO, echo)
        lab = Lab(relay, home, asker, server, refusals)
        await trio.testing.wait_all_tasks_blocked()
        await lab.reserve()
        yield lab
        nursery.cancel_scope.cancel()


async def sink(stream: Stream) -> None:
    while await stream.read(limits.STREAM_READ_BYTES):
        pass


async def test_a_stranger_is_reached_through_a_relay() -> None:
    async with running() as lab:
        await lab.connect()
        assert [(link.peer, link.path) for link in lab.asker.links() if link.peer == lab.home.peer_id] == [
            (lab.home.peer_id, "relayed")
        ]
        stream = await lab.asker.open(lab.home.peer_id, ECHO)
        data = pattern(700_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, data)
            assert await read_exactly(stream, len(data)) == data
        assert lab.server.circuits == 1
        await lab.asker.disconnect(lab.home.peer_id)
        await until(lambda: lab.server.circuits == 0)
        await until(lambda: [link.peer for link in lab.home.links()] == [lab.relay.peer_id])


async def test_both_ends_know_through_which_relay_they_talk() -> None:
    async with running() as lab:
        seen = list[bytes | None]()

        async def look(stream: Stream) -> None:
            seen.append(stream.relay)

        lab.home.handle("/look", look)
        lab.relay.handle("/look", look)
        await lab.connect()
        prefix = prefix_of("127.0.0.1", lab.relay.peer_id)
        assert (await lab.asker.open(lab.home.peer_id, "/look")).relay == prefix
        assert (await lab.asker.open(lab.relay.peer_id, "/look")).relay is None
        await until(lambda: seen == [prefix, None])


async def test_the_relay_sees_nothing_of_what_it_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = bytearray()
    async with running() as lab:
        spend = lab.server._meter.spend

        async def look(count: int) -> None:
            for mux in muxes(lab.relay):
                for buffer in mux.stream_buffers.values():
                    seen.extend(buffer)
            await spend(count)

        monkeypatch.setattr(lab.server._meter, "spend", look)
        await lab.connect()
        stream = await lab.asker.open(lab.home.peer_id, ECHO)
        await stream.write(b"nobody but us two " * 1_000)
        await read_exactly(stream, 18_000)
    assert b"nobody but us two" not in seen


async def test_who_left_or_has_no_reservation_is_not_reached() -> None:
    async with running() as lab:
        with pytest.raises(NetError):
            await lab.home.dial(lab.asker.peer_id, [through(lab)])
        assert lab.refusals[Refusal.RELAY_REFUSED] == 1
        await lab.home.disconnect(lab.relay.peer_id)
        await until(lambda: lab.server.reservations == 0)
        with pytest.raises(NetError):
            await lab.connect()


def through(lab: Lab) -> Address:
    return lab.circuits[0]


async def test_neither_is_asked_for_over_a_relayed_connection() -> None:
    async with running() as lab:
        other = RelayServer(lab.home, now, lab.refusals)  # behind the relay, and offering
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run)
            await lab.connect()
            with pytest.raises(NetError):
                await circuits.reserve(lab.asker, lab.home.peer_id, now())
            stream = await lab.asker.open(lab.home.peer_id, HOP)
            await circuits.write_message(stream, wire.encode_reserve())
            answer = wire.decode_hop_status(await circuits.read_message(stream))
            assert answer.status == wire.PERMISSION_DENIED
            assert other.reservations == 0
            nursery.cancel_scope.cancel()


async def test_a_circuit_ends_at_its_bytes_and_another_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_CIRCUIT_BYTES", 300_000)
    async with running() as lab:
        await lab.connect()
        stream = await lab.asker.open(lab.home.peer_id, ECHO)

        async def talk() -> None:
            for _ in range(100):
                await stream.write(bytes(10_000))
                await read_exactly(stream, 10_000)

        with trio.fail_after(20), pytest.raises(NetError):
            await talk()
        await until(lambda: lab.refusals[Refusal.RELAY_OVERDRAWN] == 1)
        await until(lambda: lab.server.circuits == 0)
        await lab.connect()
        again = await lab.asker.open(lab.home.peer_id, ECHO)
        await again.write(b"x")
        assert await read_exactly(again, 1) == b"x"


@pytest.mark.parametrize(("name", "value"), [("RELAY_IDLE_S", 0.3), ("RELAY_CIRCUIT_S", 1)])
async def test_a_circuit_ends_at_its_time_and_when_nothing_goes_through_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(limits, name, value)
    async with running() as lab:
        await lab.connect()
        await until(lambda: lab.server.circuits == 0)
        await until(lambda: [link.peer for link in lab.asker.links()] == [lab.relay.peer_id])
        assert lab.server.reservations == 1


async def raw_circuit(lab: Lab, host: Libp2pHost) -> Stream:
    """A circuit on which this test speaks in the place of Noise."""
    await host.dial(lab.relay.peer_id, lab.relay.addresses())
    return await circuits.lead_to(host, lab.home.peer_id, through(lab))


async def test_a_slow_reader_slows_the_sender_and_nothing_piles_up_at_the_relay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RELAY_BYTES_PER_S", 64 * 1024)  # little leaves while it is looked at
    ends: list[Stream] = []

    async def take(stream: Stream) -> None:
        wire.decode_stop_connect(await circuits.read_message(stream))
        await circuits.write_message(stream, wire.encode_stop_status(wire.OK))
        stream.adopt()
        ends.append(stream)

    async with running() as lab:
        lab.home.handle(STOP, take)
        sent = 0

        async def flood(stream: Stream) -> None:
            nonlocal sent
            while True:
                await stream.write(bytes(16_384))
                sent += 16_384

        count = limits.RELAY_CIRCUITS_FROM
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(flood, await raw_circuit(lab, lab.asker))
            before, quiet = -1, 0
            while quiet < 4:  # until nothing moves any more, however slow this machine is
                before, quiet = sent, quiet + 1 if sent == before else 0
                await trio.sleep(0.7)
            held = sum(len(buffer) for mux in muxes(lab.relay) for buffer in mux.stream_buffers.values())
            assert 2_500_000 < held <= count * 256 * 1024  # more than the bound of a connection without circuits
            assert sent <= count * 3 * 256 * 1024
            assert lab.server.circuits == count  # and no connection was ended for it
            nursery.cancel_scope.cancel()
        await lab.asker.disconnect(lab.relay.peer_id)
        await until(lambda: lab.server.circuits == 0)


async def test_all_circuits_together_stay_within_the_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_BYTES_PER_S", 400_000)
    monkeypatch.setattr(limits, "RELAY_BURST_S", 0.1)
    async with running() as lab:
        await lab.connect()
        stream = await lab.asker.open(lab.home.peer_id, ECHO)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, bytes(200_000))
            await read_exactly(stream, 200_000)
        assert trio.current_time() - started > 0.8  # both directions count


async def statuses(host: Libp2pHost, relay: PeerId, request: bytes, count: int) -> list[int]:
    found: list[int] = []
    for _ in range(count):
        stream = await host.open(relay, HOP)
        try:
            await circuits.write_message(stream, request)
            found.append(wire.decode_hop_status(await circuits.read_message(stream)).status)
        except NetError:
            found.append(0)
            await stream.reset()
    return found


async def test_an_asker_who_floods_is_refused_and_then_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_ASKS", 12.0)
    async with running() as lab:
        await lab.asker.dial(lab.relay.peer_id, lab.relay.addresses())
        nobody = wire.encode_hop_connect(bytes(lab.asker.peer_id[:-1]) + b"x")
        answers = await statuses(lab.asker, lab.relay.peer_id, nobody, 16)
        assert answers[:12] == [wire.NO_RESERVATION] * 12
        assert 0 in answers[12:]
        assert lab.refusals[Refusal.RELAY_TOO_OFTEN] >= 3
        await circuits.reserve(lab.home, lab.relay.peer_id, now())  # others are served


async def test_malformed_requests_are_told_so() -> None:
    async with running() as lab:
        await lab.asker.dial(lab.relay.peer_id, lab.relay.addresses())
        for request in (b"\xff", b"\x08\x01", b"\x08\x02", b"\x08\x01\x12\x03\x0a\x01x"):
            assert await statuses(lab.asker, lab.relay.peer_id, request, 1) == [wire.MALFORMED_MESSAGE]
        assert lab.refusals[Refusal.RELAY_MALFORMED] == 4


@pytest.mark.parametrize(
    ("limit", "most"), [("RELAY_CIRCUITS", 3), ("RELAY_CIRCUITS_TO", 3), ("RELAY_CIRCUITS_FROM", 3)]
)
async def test_circuits_are_counted_from_the_moment_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(limits, limit, most)

    async def never(stream: Stream) -> None:
        await trio.sleep_forever()

    async with running() as lab:
        lab.home.handle(STOP, never)  # a reserver that holds every circuit half open
        monkeypatch.setattr(limits, "RELAY_CONNECT_S", 1.0)
        await lab.asker.dial(lab.relay.peer_id, lab.relay.addresses())
        request = wire.encode_hop_connect(bytes(lab.home.peer_id))
        found: list[int] = []

        async def ask() -> None:
            found.extend(await statuses(lab.asker, lab.relay.peer_id, request, 1))

        async with trio.open_nursery() as nursery:
            for _ in range(most + 2):
                nursery.start_soon(ask)
        assert sorted(found) == [wire.RESOURCE_LIMIT_EXCEEDED] * 2 + [wire.CONNECTION_FAILED] * most
        assert lab.server.circuits == 0


def refuse(status: int) -> Callable[[Stream], object]:
    async def handler(stream: Stream) -> None:
        await circuits.read_message(stream)
        await circuits.write_message(stream, wire.encode_stop_status(status))

    return handler


async def test_a_reserver_may_refuse() -> None:
    async with running() as lab:
        lab.home.handle(STOP, refuse(wire.PERMISSION_DENIED))  # type: ignore[arg-type]
        with pytest.raises(NetError):
            await lab.connect()
        assert lab.server.circuits == 0


async def test_the_offer_ends_and_with_it_circuits_and_reservations() -> None:
    refusals = Refusals()
    async with (
        Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as relay,
        Libp2pHost.listen(b"\x02" * 32, [], now=now) as home,
    ):
        server = RelayServer(relay, now, refusals)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            await home.dial(relay.peer_id, relay.addresses())
            await circuits.reserve(home, relay.peer_id, now())
            assert server.reservations == 1
            assert HOP in (await home.learn(relay.peer_id))[1]
            nursery.cancel_scope.cancel()
        assert server.reservations == 0
        assert HOP not in (await home.learn(relay.peer_id))[1]
        with pytest.raises(NetError):
            await circuits.reserve(home, relay.peer_id, now())


async def test_who_gives_up_a_write_while_the_relay_is_slow_loses_nobody_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as lab:
        await lab.connect()
        kept = await lab.asker.open(lab.home.peer_id, ECHO)
        lab.home.handle(SINK, sink)
        slow = [await lab.asker.open(lab.home.peer_id, SINK) for _ in range(3)]
        spend, go_on = lab.server._meter.spend, trio.Event()

        async def crawl(count: int) -> None:
            await go_on.wait()
            await spend(count)

        monkeypatch.setattr(lab.server._meter, "spend", crawl)
        async with trio.open_nursery() as nursery:
            for stream in slow:
                nursery.start_soon(stream.write, bytes(1_000_000))
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        go_on.set()
        with trio.fail_after(5):
            await kept.write(b"still here")
            assert await read_exactly(kept, 10) == b"still here"


async def test_a_circuit_that_comes_about_when_the_offer_has_ended_is_let_go_of() -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def hesitate(stream: Stream) -> None:
        await circuits.read_message(stream)
        asked.set()
        await go_on.wait()
        await circuits.write_message(stream, wire.encode_stop_status(wire.OK))
        assert await stream.read(1)  # until it is reset

    async with (
        Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as relay,
        Libp2pHost.listen(b"\x02" * 32, [], now=now) as home,
        Libp2pHost.listen(b"\x03" * 32, [], now=now) as asker,
        trio.open_nursery() as asking,
    ):
        server = RelayServer(relay, now, Refusals())
        home.handle(STOP, hesitate)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            for host in (home, asker):
                await host.dial(relay.peer_id, relay.addresses())
            await circuits.reserve(home, relay.peer_id, now())
            request = wire.encode_hop_connect(bytes(home.peer_id))
            asking.start_soon(statuses, asker, relay.peer_id, request, 1)
            await asked.wait()
            nursery.cancel_scope.cancel()
        go_on.set()
        await until(lambda: not any(mux.streams for mux in muxes(relay)))


async def test_who_is_cut_off_through_a_relay_waits_as_anybody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CUT_OFF_S", 0.6)
    async with running() as lab:
        await lab.connect()
        await until(lambda: len(lab.home.links()) == 2)
        await lab.home.disconnect(lab.asker.peer_id)
        await until(lambda: len(lab.asker.links()) == 1)
        cut_off = trio.current_time()
        await lab.connect()
        assert trio.current_time() - cut_off > 0.5


async def test_who_names_ever_other_relays_fills_no_table_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAYS_DIALLED", 2)
    async with running() as lab, AsyncExitStack() as others:
        await lab.connect()
        nobody = PeerId(bytes(lab.home.peer_id[:-1]) + b"x")
        relays = [
            await others.enter_async_context(Libp2pHost.listen(bytes([seed]) * 32, [LOOPBACK], now=now))
            for seed in range(0x10, 0x15)
        ]
        for other in relays:
            circuit = encode_endpoint(replace(endpoint(other.addresses()[0]), relay=other.peer_id))
            with pytest.raises(NetError):
                await lab.asker.dial(nobody, [circuit])
        await until(lambda: len(lab.asker.links()) == 3)
        kept = {link.peer for link in lab.asker.links()}
        assert {lab.relay.peer_id, lab.home.peer_id, relays[-1].peer_id} == kept  # what carries a connection stays
