"""What every :class:`p2pchat.net.transport.Network` must do. A subclass brings the nodes; see test_contract.py."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.access import Access
from p2pchat.core.access import Network as AnyNetwork
from p2pchat.net.addresses import endpoint
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Network, Stream, StreamHandler

ECHO = "/test/echo/1"
PROTOCOL = "/test/1"
HOP = "/test/hop/1"
STOP = "/test/stop/1"


@dataclass(frozen=True)
class Lab:
    """Three nodes that can reach each other, and an address at which nobody is."""

    a: Network
    b: Network
    c: Network
    nowhere: Address


async def echo(stream: Stream) -> None:
    while data := await stream.read(limits.STREAM_READ_BYTES):
        await stream.write(data)


async def read_all(stream: Stream) -> bytes:
    data = b""
    while chunk := await stream.read(limits.STREAM_READ_BYTES):
        data += chunk
    return data


async def read_exactly(stream: Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = await stream.read(count - len(data))
        assert chunk
        data += chunk
    return data


async def pump(source: Stream, sink: Stream) -> None:
    """What a relay does."""
    try:
        while data := await source.read(limits.STREAM_READ_BYTES):
            await sink.write(data)
        await sink.close()
    except NetError:
        await source.reset()
        await sink.reset()


async def until(condition: Callable[[], bool]) -> None:
    """Poll: what the other node learns arrives after what this one does. How soon is no matter of its callers'."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - there is no event for what happens at the other end
            await trio.sleep(0.002)


def pattern(count: int) -> bytes:
    return b"".join(i.to_bytes(4, "big") for i in range(count // 4))


class Recorder:
    """A watcher that remembers."""

    def __init__(self, network: Network) -> None:
        self.seen: list[tuple[PeerId, bool]] = []
        network.watch(lambda peer, connected: self.seen.append((peer, connected)))


class NetworkContract:
    """The suite. ``clock`` is there for pytest-trio, which takes a clock only from a test's own arguments."""

    async def connect(self, lab: Lab, handler: StreamHandler = echo, protocol: str = ECHO) -> Stream:
        """Connect a to b, which serves ``protocol``, and open a stream."""
        lab.b.handle(protocol, handler)
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        return await lab.a.open(lab.b.peer_id, protocol)

    # dialling

    async def test_dial_connects_both_ways(self, lab: Lab, clock: object) -> None:
        a, b = Recorder(lab.a), Recorder(lab.b)
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        await until(lambda: bool(lab.b.links()))
        assert [link.peer for link in lab.a.links()] == [lab.b.peer_id]
        assert [link.peer for link in lab.b.links()] == [lab.a.peer_id]
        assert lab.a.links()[0].path == "lan"
        assert a.seen == [(lab.b.peer_id, True)]
        assert b.seen == [(lab.a.peer_id, True)]

    async def test_a_dead_address_does_not_keep_from_a_living_one(self, lab: Lab, clock: object) -> None:
        await lab.a.dial(lab.b.peer_id, [lab.nowhere, *lab.b.addresses()])
        assert lab.a.links()[0].peer == lab.b.peer_id

    async def test_nobody_there(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.dial(lab.b.peer_id, [lab.nowhere])
        with pytest.raises(NetError):
            await lab.a.dial(lab.b.peer_id, [])
        assert lab.a.links() == ()

    async def test_what_did_not_answer_is_told(self, lab: Lab, clock: object) -> None:
        told: list[tuple[Address, str]] = []
        with pytest.raises(NetError):
            await lab.a.dial(lab.b.peer_id, [lab.nowhere], lambda address, why: told.append((address, why)))
        assert [address for address, _ in told] == [lab.nowhere]
        assert told[0][1].endswith(".")

    async def test_a_failed_dial_is_not_held_against_the_peer(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.dial(lab.b.peer_id, [lab.nowhere])
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())

    async def test_another_peer_at_the_address_is_refused(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.dial(lab.c.peer_id, lab.b.addresses())
        assert lab.a.links() == ()
        await until(lambda: lab.b.links() == ())

    async def test_a_node_does_not_dial_itself(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.dial(lab.a.peer_id, lab.a.addresses())

    async def test_who_answers_at_an_address_is_known_when_it_has(self, lab: Lab, clock: object) -> None:
        assert await lab.a.dial_unknown(lab.b.addresses()) == lab.b.peer_id
        assert [link.peer for link in lab.a.links()] == [lab.b.peer_id]

    async def test_a_node_is_not_who_answers_it(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.dial_unknown(lab.a.addresses())
        await until(lambda: not lab.a.links())

    async def test_nobody_answers(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.dial_unknown([lab.nowhere])

    async def test_callers_share_one_attempt(self, lab: Lab, clock: object) -> None:
        seen = Recorder(lab.b)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(lab.a.dial, lab.b.peer_id, lab.b.addresses())
        await lab.a.dial(lab.b.peer_id, [lab.nowhere])  # connected: returns at once
        await until(lambda: bool(seen.seen))
        await lab.a.disconnect(lab.b.peer_id)
        await until(lambda: len(seen.seen) == 2)
        assert seen.seen == [(lab.a.peer_id, True), (lab.a.peer_id, False)]

    async def test_a_cancelled_caller_does_not_take_the_attempt_from_another(self, lab: Lab, clock: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.a.dial, lab.b.peer_id, lab.b.addresses())
            with trio.move_on_after(0.0005) as scope:
                await lab.a.dial(lab.b.peer_id, lab.b.addresses())
            assert scope.cancelled_caught
        assert lab.a.links()[0].peer == lab.b.peer_id

    # protocols

    async def test_what_is_no_longer_served_is_refused_and_not_told_and_a_stream_of_it_goes_on(
        self, lab: Lab, clock: object
    ) -> None:
        stream = await self.connect(lab)
        assert ECHO in (await lab.a.learn(lab.b.peer_id))[1]
        lab.b.unhandle(ECHO)
        lab.b.unhandle(PROTOCOL)  # never was
        with pytest.raises(UnsupportedProtocol):
            await lab.a.open(lab.b.peer_id, ECHO)
        assert ECHO not in (await lab.a.learn(lab.b.peer_id))[1]
        await stream.write(b"still")
        assert await read_exactly(stream, 5) == b"still"
        lab.b.handle(ECHO, echo)
        assert ECHO in (await lab.a.learn(lab.b.peer_id))[1]
        await lab.a.open(lab.b.peer_id, ECHO)

    # streams

    async def test_a_stream_carries_bytes_both_ways(self, lab: Lab, clock: object) -> None:
        stream = await self.connect(lab)
        assert stream.peer == lab.b.peer_id
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"

    async def test_the_handler_knows_its_peer(self, lab: Lab, clock: object) -> None:
        found: list[tuple[PeerId, str | None]] = []

        async def look(stream: Stream) -> None:
            found.append((stream.peer, stream.remote_host))

        assert await read_all(await self.connect(lab, look)) == b""
        assert [peer for peer, _ in found] == [lab.a.peer_id]
        assert found[0][1]

    async def test_the_end_is_empty_and_stays_so(self, lab: Lab, clock: object) -> None:
        async def say(stream: Stream) -> None:
            await stream.write(b"bye")

        stream = await self.connect(lab, say)
        assert await read_all(stream) == b"bye"
        assert await stream.read(1) == b""

    async def test_half_close(self, lab: Lab, clock: object) -> None:
        async def count(stream: Stream) -> None:
            await stream.write(str(len(await read_all(stream))).encode())

        stream = await self.connect(lab, count)
        await stream.write(b"x" * 1000)
        await stream.close()
        assert await read_all(stream) == b"1000"
        with pytest.raises(NetError):
            await stream.write(b"more")

    async def test_a_handlers_exception_resets_its_stream_and_nothing_else(self, lab: Lab, clock: object) -> None:
        async def fail(stream: Stream) -> None:
            await stream.read(1)
            raise RuntimeError("a defect")

        other = await self.connect(lab)
        stream = await self.connect(lab, fail, PROTOCOL)
        await stream.write(b"x")
        with pytest.raises(NetError):
            await read_all(stream)
        await other.write(b"still here")
        assert await read_exactly(other, 10) == b"still here"
        await lab.a.open(lab.b.peer_id, ECHO)

    async def test_a_reset_reaches_the_handler(self, lab: Lab, clock: object) -> None:
        ended = trio.Event()

        async def wait(stream: Stream) -> None:
            try:
                await read_all(stream)
            except NetError:
                ended.set()

        stream = await self.connect(lab, wait)
        await stream.write(b"x")
        await stream.reset()
        with trio.fail_after(5):
            await ended.wait()
        for use in (stream.read(1), stream.write(b"x")):
            with pytest.raises(NetError):
                await use
        await stream.reset()
        await stream.close()

    async def test_reset_wakes_the_own_reader(self, lab: Lab, clock: object) -> None:
        stream = await self.connect(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.expect_net_error, stream.read, 1)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stream.reset()

    async def expect_net_error(self, use: Callable[[int], Awaitable[object]], argument: int) -> None:
        with trio.fail_after(5), pytest.raises(NetError):
            await use(argument)

    async def test_an_unknown_protocol_is_told_from_a_failure(self, lab: Lab, clock: object) -> None:
        await self.connect(lab)
        with pytest.raises(UnsupportedProtocol):
            await lab.a.open(lab.b.peer_id, "/test/unknown/1")
        await lab.a.open(lab.b.peer_id, ECHO)

    async def test_no_stream_without_a_connection(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError) as caught:
            await lab.a.open(lab.b.peer_id, ECHO)
        assert not isinstance(caught.value, UnsupportedProtocol)
        with pytest.raises(NetError):
            await lab.a.learn(lab.b.peer_id)

    async def test_streams_of_a_peer_and_protocol_are_bounded(self, lab: Lab, clock: object) -> None:
        first = await self.connect(lab)
        rest = [await lab.a.open(lab.b.peer_id, ECHO) for _ in range(limits.STREAMS_PER_PEER - 1)]
        with pytest.raises(NetError):
            await lab.a.open(lab.b.peer_id, ECHO)
        lab.b.handle(PROTOCOL, echo)
        await lab.a.open(lab.b.peer_id, PROTOCOL)
        await first.close()
        assert await read_all(first) == b""
        await lab.a.open(lab.b.peer_id, ECHO)
        for stream in rest:
            await stream.write(b"x")
            assert await stream.read(1) == b"x"

    async def test_the_reader_holds_the_writer(self, lab: Lab, clock: object) -> None:
        go, sent = trio.Event(), [0]
        data = pattern(2_000_000)

        async def late(stream: Stream) -> None:
            await go.wait()
            assert await read_all(stream) == data
            await stream.write(b"complete")

        async def send(stream: Stream) -> None:
            for start in range(0, len(data), 10_000):
                await stream.write(data[start : start + 10_000])
                sent[0] += 10_000
            await stream.close()

        stream = await self.connect(lab, late)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, stream)
            await until(lambda: sent[0] >= 200_000)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert sent[0] <= 300_000
            go.set()
            assert await read_all(stream) == b"complete"

    async def test_a_writer_whom_nobody_reads_gives_up(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "WRITE_STALL_S", 0.3)

        async def never(stream: Stream) -> None:
            await trio.sleep_forever()

        stream = await self.connect(lab, never)
        with trio.fail_after(3), pytest.raises(NetError):
            await stream.write(bytes(1_000_000))

    async def test_a_cancelled_read_loses_nothing(self, lab: Lab, clock: object) -> None:
        data = pattern(1_000_000)

        async def send(stream: Stream) -> None:
            for start in range(0, len(data), 7_000):
                await stream.write(data[start : start + 7_000])

        stream = await self.connect(lab, send)
        got, over = bytearray(), False
        while not over:
            with trio.move_on_after(0.0004):
                while not over:
                    chunk = await stream.read(5_000)
                    got += chunk
                    over = not chunk
        assert bytes(got) == data

    async def test_streams_do_not_mix(self, lab: Lab, clock: object) -> None:
        async def talk(number: int) -> None:
            data = bytes([number]) * 300_000
            stream = await lab.a.open(lab.b.peer_id, ECHO)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, data)
                assert await read_exactly(stream, len(data)) == data
            await stream.close()

        await (await self.connect(lab)).reset()
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(talk, number)

    async def test_frames(self, lab: Lab, clock: object) -> None:
        async def answer(stream: Stream) -> None:
            reader = FrameReader(stream, 1 << 20)
            while frames := await reader.read_available():
                await write_frames(stream, frames)

        frames = [pattern(4 * n) for n in (1, 2, 3, 100_000)] + [b"x"] * 100
        stream = await self.connect(lab, answer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_frames, stream, frames)
            reader = FrameReader(stream, 1 << 20)
            assert [await reader.read() for _ in frames] == frames
        await stream.close()
        assert await reader.read() is None

    # connections over a stream, which c relays

    async def relayed(self, lab: Lab) -> None:
        """Connect a to b through c."""

        async def relay(stream: Stream) -> None:
            onward = await lab.c.open(lab.b.peer_id, STOP)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, stream, onward)
                nursery.start_soon(pump, onward, stream)

        async def stop(stream: Stream) -> None:
            await lab.b.adopt(stream, None)

        lab.c.handle(HOP, relay)
        lab.b.handle(STOP, stop)
        await lab.b.dial(lab.c.peer_id, lab.c.addresses())
        await lab.a.dial(lab.c.peer_id, lab.c.addresses())

    async def test_a_connection_over_a_stream(self, lab: Lab, clock: object) -> None:
        lab.b.handle(ECHO, echo)
        await self.relayed(lab)
        a, b = Recorder(lab.a), Recorder(lab.b)
        stream = await lab.a.open(lab.c.peer_id, HOP)
        assert await lab.a.adopt(stream, lab.b.peer_id) == lab.b.peer_id
        assert (lab.b.peer_id, "relayed") in [(link.peer, link.path) for link in lab.a.links()]
        await until(lambda: (lab.a.peer_id, "relayed") in [(link.peer, link.path) for link in lab.b.links()])
        data = pattern(300_000)
        inner = await lab.a.open(lab.b.peer_id, ECHO)
        assert inner.remote_host is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner.write, data)
            assert await read_exactly(inner, len(data)) == data
        await lab.a.probe(lab.b.peer_id)
        await lab.b.disconnect(lab.a.peer_id)
        with pytest.raises(NetError):
            await inner.read(1)
        await until(lambda: len(a.seen) == 2)
        assert a.seen == [(lab.b.peer_id, True), (lab.b.peer_id, False)]
        assert b.seen == [(lab.a.peer_id, True), (lab.a.peer_id, False)]
        with pytest.raises(NetError):
            await stream.read(1)

    async def test_it_ends_with_the_relay(self, lab: Lab, clock: object) -> None:
        await self.relayed(lab)
        await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        await until(lambda: len(lab.b.links()) == 2)
        await lab.a.disconnect(lab.c.peer_id)
        await until(lambda: lab.a.links() == ())
        await until(lambda: [link.peer for link in lab.b.links()] == [lab.c.peer_id])

    async def test_who_answers_over_a_stream_must_be_the_peer(self, lab: Lab, clock: object) -> None:
        await self.relayed(lab)
        stream = await lab.a.open(lab.c.peer_id, HOP)
        with trio.fail_after(20), pytest.raises(NetError):
            await lab.a.adopt(stream, lab.c.peer_id)
        assert [link.peer for link in lab.a.links()] == [lab.c.peer_id]
        with pytest.raises(NetError):
            await stream.read(1)

    async def test_a_relay_that_sends_something_else(self, lab: Lab, clock: object) -> None:
        for said in (b"", b"\xff" * 2_000, b"\x00\x05hello" * 50):
            told: list[NetError] = []

            async def babble(stream: Stream, said: bytes = said) -> None:
                await stream.write(said)
                if said:
                    await read_all(stream)

            lab.c.handle(HOP, babble)
            await lab.a.dial(lab.c.peer_id, lab.c.addresses())
            for peer in (lab.b.peer_id, None):
                with trio.fail_after(20):
                    try:
                        await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), peer)
                    except NetError as error:
                        told.append(error)
            assert len(told) == 2
            assert [link.peer for link in lab.a.links()] == [lab.c.peer_id]

    async def test_a_relay_that_says_nothing(self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "HANDSHAKE_S", 0.3)

        async def swallow(stream: Stream) -> None:
            await read_all(stream)

        lab.c.handle(HOP, swallow)
        await lab.a.dial(lab.c.peer_id, lab.c.addresses())
        for peer in (lab.b.peer_id, None):
            stream = await lab.a.open(lab.c.peer_id, HOP)
            with trio.fail_after(5), pytest.raises(NetError):
                await lab.a.adopt(stream, peer)

    async def test_adopted_streams_are_not_counted_among_those_of_their_protocol(self, lab: Lab, clock: object) -> None:
        taken: list[Stream] = []

        async def take(stream: Stream) -> None:
            stream.adopt()
            taken.append(stream)

        stream = await self.connect(lab, take)
        for count in range(2, 2 * limits.STREAMS_PER_PEER):
            stream = await lab.a.open(lab.b.peer_id, ECHO)
            await until(lambda count=count: len(taken) == count)  # type: ignore[misc]
        await taken[-1].write(b"still open")
        assert await read_exactly(stream, 10) == b"still open"

    # who is reached, and from where

    async def test_an_address_is_confirmed_and_nothing_is_left_of_that(self, lab: Lab, clock: object) -> None:
        a = Recorder(lab.a)
        await lab.b.confirm(lab.a.peer_id, lab.a.addresses()[0])
        for wrong in (lab.nowhere, lab.c.addresses()[0]):
            with trio.fail_after(20), pytest.raises(NetError):
                await lab.b.confirm(lab.a.peer_id, wrong)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert lab.b.links() == lab.a.links() == lab.c.links() == ()
        assert a.seen == []

    async def test_a_peer_says_where_it_sees_a_node(self, lab: Lab, clock: object) -> None:
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        assert await lab.a.seen_by(lab.b.peer_id) == lab.a.addresses()[0]
        assert await lab.b.seen_by(lab.a.peer_id) == lab.b.addresses()[0]
        with pytest.raises(NetError):
            await lab.a.seen_by(lab.c.peer_id)

    async def test_who_began_a_connection(self, lab: Lab, clock: object) -> None:
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        await until(lambda: len(lab.b.links()) == 1)
        assert [link.inbound for link in (*lab.a.links(), *lab.b.links())] == [False, True]

    @pytest.mark.parametrize("a_leads", [True, False])
    async def test_two_that_punch_meet_in_one_connection(self, lab: Lab, clock: object, a_leads: bool) -> None:
        lab.b.handle(ECHO, echo)
        met: set[Address | None] = set()

        async def punch(own: Network, other: Network, leads: bool) -> None:
            met.add(await own.punch(other.peer_id, other.addresses(), leads=leads))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(punch, lab.a, lab.b, a_leads)
            nursery.start_soon(punch, lab.b, lab.a, not a_leads)
        assert met == {*lab.a.addresses(), *lab.b.addresses()}
        stream = await lab.a.open(lab.b.peer_id, ECHO)
        await stream.write(b"met")
        assert await read_exactly(stream, 3) == b"met"
        assert [link.peer for link in lab.a.links()] == [lab.b.peer_id]

    async def test_nobody_punched_back(self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "PUNCH_S", 0.3)
        for addresses in ((), (lab.nowhere,), lab.c.addresses()):
            with trio.fail_after(5), pytest.raises(NetError):
                await lab.a.punch(lab.b.peer_id, addresses, leads=True)
        assert lab.a.links() == lab.c.links() == ()

    # who may come near

    def network_of(self, node: Network) -> AnyNetwork:
        return ipaddress.ip_network(endpoint(node.addresses()[0]).host)

    async def test_who_is_denied_is_neither_let_in_nor_dialled(self, lab: Lab, clock: object) -> None:
        await lab.b.restrict(Access(peers={lab.a.peer_id: False}))
        told: list[str] = []
        for _ in range(2):
            with pytest.raises(NetError):
                await lab.b.dial(lab.a.peer_id, lab.a.addresses(), lambda _, why: told.append(why))
        assert told == ["The rules or the mode of this node do not allow it."] * 2
        with suppress(NetError):  # libp2p's initiator is done with its handshake before the other end has looked
            await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        await until(lambda: lab.a.links() == lab.b.links() == ())
        await lab.c.dial(lab.b.peer_id, lab.b.addresses())
        for refused in (lab.b.dial_unknown(lab.a.addresses()), lab.b.confirm(lab.a.peer_id, lab.a.addresses()[0])):
            with pytest.raises(NetError):
                await refused
        with pytest.raises(NetError):
            await lab.b.punch(lab.a.peer_id, lab.a.addresses(), leads=True)
        await lab.b.restrict(Access())
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())

    async def test_a_network_is_denied_but_for_whom_the_user_names(self, lab: Lab, clock: object) -> None:
        denied = {self.network_of(node): False for node in (lab.a, lab.c)}
        await lab.b.restrict(Access(networks=denied))
        with pytest.raises(NetError):
            await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        with pytest.raises(NetError):
            await lab.b.dial(lab.a.peer_id, lab.a.addresses())
        await lab.b.restrict(Access(networks=denied, peers={lab.a.peer_id: True}))
        lab.b.handle(ECHO, echo)
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        await lab.a.open(lab.b.peer_id, ECHO)
        with suppress(NetError):
            await lab.c.dial(lab.b.peer_id, lab.b.addresses())
        await until(lambda: lab.c.links() == ())
        assert [link.peer for link in lab.b.links()] == [lab.a.peer_id]

    async def test_what_a_rule_forbids_is_closed_when_it_is_in_effect(self, lab: Lab, clock: object) -> None:
        stream = await self.connect(lab)
        await lab.c.dial(lab.b.peer_id, lab.b.addresses())
        await until(lambda: len(lab.b.links()) == 2)
        await lab.b.restrict(Access(peers={lab.a.peer_id: False}))
        assert [link.peer for link in lab.b.links()] == [lab.c.peer_id]
        with pytest.raises(NetError):
            await stream.read(1)

    async def test_strangers_are_not_served_what_is_for_contacts(self, lab: Lab, clock: object) -> None:
        await lab.b.restrict(Access("contacts", friends={lab.a.peer_id}))
        await self.connect(lab)
        await lab.c.dial(lab.b.peer_id, lab.b.addresses())
        with pytest.raises(UnsupportedProtocol):
            await lab.c.open(lab.b.peer_id, ECHO)
        assert ECHO in (await lab.a.learn(lab.b.peer_id))[1]
        assert ECHO not in (await lab.c.learn(lab.b.peer_id))[1]
        await lab.b.restrict(Access("contacts", friends={lab.a.peer_id, lab.c.peer_id}))
        await lab.c.open(lab.b.peer_id, ECHO)

    @pytest.mark.parametrize("who", ["who connects", "who is connected to"])
    async def test_no_relays(self, lab: Lab, clock: object, who: str) -> None:
        await self.relayed(lab)
        restricted = lab.a if who == "who connects" else lab.b
        await restricted.restrict(Access(relays=False))
        with trio.fail_after(20), pytest.raises(NetError):
            await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        assert {link.path for link in (*lab.a.links(), *lab.b.links())} == {"lan"}

    async def test_a_relayed_connection_ends_with_the_rule(self, lab: Lab, clock: object) -> None:
        await self.relayed(lab)
        await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        await until(lambda: len(lab.b.links()) == 2)
        await lab.b.restrict(Access(peers={lab.a.peer_id: False}))
        assert [link.peer for link in lab.b.links()] == [lab.c.peer_id]
        with suppress(NetError), trio.fail_after(20):
            await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        await until(lambda: [link.peer for link in lab.a.links()] == [lab.c.peer_id])

    # the life of a connection

    async def test_disconnect(self, lab: Lab, clock: object) -> None:
        lost = trio.Event()

        async def wait(stream: Stream) -> None:
            try:
                await read_all(stream)
            except NetError:
                lost.set()

        stream = await self.connect(lab, wait)
        await stream.write(b"x")
        a, b = Recorder(lab.a), Recorder(lab.b)
        await lab.a.disconnect(lab.b.peer_id)
        with pytest.raises(NetError):
            await stream.read(1)
        with pytest.raises(NetError):
            await stream.write(b"x")
        with trio.fail_after(5):
            await lost.wait()
        await until(lambda: len(b.seen) == 1)
        assert a.seen == [(lab.b.peer_id, False)]
        assert b.seen == [(lab.a.peer_id, False)]
        assert lab.a.links() == lab.b.links() == ()
        await lab.a.disconnect(lab.b.peer_id)
        await self.connect(lab)

    async def test_since_is_on_the_nodes_clock(self, lab: Lab, clock: object) -> None:
        await self.connect(lab)
        assert lab.a.links()[0].since_s == 1_700_000_000.0

    async def test_learn_from_both_ends(self, lab: Lab, clock: object) -> None:
        await self.connect(lab)
        lab.a.handle(PROTOCOL, echo)
        addresses, protocols = await lab.a.learn(lab.b.peer_id)
        assert addresses == lab.b.addresses()
        assert ECHO in protocols
        assert PROTOCOL not in protocols
        addresses, protocols = await lab.b.learn(lab.a.peer_id)
        assert addresses == lab.a.addresses()
        assert PROTOCOL in protocols
