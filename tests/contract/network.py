"""What every :class:`p2pchat.net.transport.Network` must do: whom it reaches, serves and connects.

A subclass brings the nodes: those in memory in test_network.py, libp2p's in tests/net/test_contract.py.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.access import Access
from p2pchat.core.access import Network as AnyNetwork
from p2pchat.net.addresses import endpoint
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.transport import Network, Stream
from tests.contract.lab import (
    ECHO,
    HOP,
    PROTOCOL,
    Contract,
    Kept,
    Lab,
    Recorder,
    echo,
    pattern,
    read_all,
    read_exactly,
    until,
)


class NetworkContract(Contract):
    """The suite."""

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

    # connections over a stream, which c relays

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
        assert inner.relay == prefix_of(endpoint(lab.c.addresses()[0]).host, lab.c.peer_id)
        assert stream.relay is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner.write, data)
            assert await read_exactly(inner, len(data)) == data
        await lab.a.probe(lab.b.peer_id)
        await lab.b.disconnect(lab.a.peer_id)
        with pytest.raises(NetError):
            await inner.read(1)
        await until(lambda: len(a.seen) == len(b.seen) == 2)
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

    # how much is under way

    async def test_what_is_under_way_is_counted(self, lab: Lab, clock: object) -> None:
        lab.b.handle(ECHO, echo)
        await self.relayed(lab)
        await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        await until(lambda: lab.b.load().relayed == 1)
        stream = await lab.a.open(lab.b.peer_id, ECHO)
        a, b, c = (node.load() for node in (lab.a, lab.b, lab.c))
        assert (a.inbound, a.outbound, a.relayed, a.handshakes) == (0, 1, 1, 0)
        assert (b.inbound, b.outbound, b.relayed, b.handshakes) == (0, 1, 1, 0)
        assert (c.inbound, c.outbound, c.relayed, c.handshakes) == (2, 0, 0, 0)
        assert (dict(a.streams), dict(b.streams), dict(c.streams)) == ({}, {ECHO: 1}, {HOP: 1})
        await stream.reset()
        await until(lambda: not lab.b.load().streams)

    async def test_streams_of_a_connection_are_bounded(self, lab: Lab, clock: object) -> None:
        protocols = [f"/test/{number}/1" for number in range(limits.STREAMS_PER_CONNECTION // limits.STREAMS_PER_PEER)]
        for protocol in protocols:
            lab.b.handle(protocol, echo)
        streams = [await self.connect(lab)]
        for number in range(1, limits.STREAMS_PER_CONNECTION):
            streams.append(await lab.a.open(lab.b.peer_id, protocols[number % len(protocols)]))
        for protocol in (ECHO, protocols[0], "/test/unknown/1"):
            with pytest.raises(NetError) as caught:
                await lab.a.open(lab.b.peer_id, protocol)
            assert not isinstance(caught.value, UnsupportedProtocol)
        for stream in streams:
            await stream.write(b"x")
            assert await stream.read(1) == b"x"
        await streams.pop().reset()
        with trio.fail_after(10):
            while len(streams) < limits.STREAMS_PER_CONNECTION:
                with suppress(NetError):  # it takes a moment until the other end knows that there is room
                    streams.append(await lab.a.open(lab.b.peer_id, ECHO))

    async def test_attempts_that_were_cancelled_leave_nothing(self, lab: Lab, clock: object) -> None:
        await (await self.connect(lab)).reset()
        for number in range(3 * limits.STREAMS_PER_PEER):
            with trio.move_on_after(0.0003 * (number % 5)):
                await (await lab.a.open(lab.b.peer_id, ECHO)).reset()
        await until(lambda: not lab.b.load().streams)
        await until(lambda: not lab.a.load().streams)
        for _ in range(limits.STREAMS_PER_PEER):
            await lab.a.open(lab.b.peer_id, ECHO)

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
        await until(lambda: len(a.seen) == len(b.seen) == 1)
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

    async def test_two_that_dial_each_other_at_once_are_connected_once(self, lab: Lab, clock: object) -> None:
        a, b = Recorder(lab.a), Recorder(lab.b)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.a.dial, lab.b.peer_id, lab.b.addresses())
            nursery.start_soon(lab.b.dial, lab.a.peer_id, lab.a.addresses())
        lab.b.handle(ECHO, echo)
        stream = await lab.a.open(lab.b.peer_id, ECHO)
        await stream.write(b"x")
        assert await stream.read(1) == b"x"
        assert [len(node.links()) for node in (lab.a, lab.b)] == [1, 1]
        await lab.a.disconnect(lab.b.peer_id)
        await until(lambda: len(a.seen) == len(b.seen) == 2)
        assert a.seen == [(lab.b.peer_id, True), (lab.b.peer_id, False)]
        assert b.seen == [(lab.a.peer_id, True), (lab.a.peer_id, False)]

    async def test_a_node_that_ends(self, lab: Lab, clock: object) -> None:
        kept, peer, addresses = Kept(), lab.b.peer_id, lab.b.addresses()
        a = Recorder(lab.a)
        lab.a.handle(ECHO, echo)
        stream = await self.connect(lab, kept, PROTOCOL)
        theirs = await kept.one()
        outcomes: list[object] = []

        async def read(end: Stream) -> None:
            try:
                outcomes.append(await end.read(1))
            except NetError:
                outcomes.append(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, stream)
            nursery.start_soon(read, theirs)
            await trio.testing.wait_all_tasks_blocked(0.01)
            with trio.fail_after(10):
                await lab.end(lab.b)
        assert outcomes == [None, None]
        for use in (stream.write(b"x"), theirs.write(b"x"), lab.b.open(lab.a.peer_id, ECHO)):
            with pytest.raises(NetError):
                await use
        await until(lambda: lab.a.links() == ())
        assert a.seen == [(peer, True), (peer, False)]
        with pytest.raises(NetError):
            await lab.a.dial(peer, addresses)

    async def test_a_peer_is_probed(self, lab: Lab, clock: object) -> None:
        with pytest.raises(NetError):
            await lab.a.probe(lab.b.peer_id)
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        assert 0 < await lab.a.probe(lab.b.peer_id) < limits.STREAM_OPEN_S
        assert 0 < await lab.b.probe(lab.a.peer_id) < limits.STREAM_OPEN_S
        await lab.a.check(limits.STREAM_OPEN_S)
        assert [link.peer for link in lab.a.links()] == [lab.b.peer_id]


class MeetingContract(Contract):
    """What they must do besides where both listen for TCP connections as such."""

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

    async def test_a_better_path_is_told_and_used(self, lab: Lab, clock: object) -> None:
        lab.b.handle(ECHO, echo)
        await self.relayed(lab)
        await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        await until(lambda: len(lab.b.links()) == 2)
        a, better = Recorder(lab.a), list[PeerId]()
        for node in (lab.a, lab.b):
            node.on_better_path(better.append)
        async with trio.open_nursery() as nursery:
            for own, other in ((lab.a, lab.b), (lab.b, lab.a)):
                nursery.start_soon(
                    lambda own, other: own.punch(other.peer_id, other.addresses(), leads=own is lab.a), own, other
                )
        await until(lambda: len(better) == 2)
        assert set(better) == {lab.a.peer_id, lab.b.peer_id}
        assert (lab.b.peer_id, "lan") in [(link.peer, link.path) for link in lab.a.links()]
        assert (await lab.a.open(lab.b.peer_id, ECHO)).remote_host is not None
        assert a.seen == []
