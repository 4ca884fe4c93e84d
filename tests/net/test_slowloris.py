"""Those who connect and do not go on: they may not keep out who does."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from p2pchat.base import limits
from p2pchat.net.admission import InboundGate
from tests.contract.lab import ECHO, echo, until
from tests.net.hosts import connect_tcp, negotiation, two_hosts

pytestmark = pytest.mark.net

IDLE, HALF_DONE = 600, 200
CONNECT_S = limits.HANDSHAKE_S / 2  # by then nobody of them has left of itself
FIRST_NOISE_MESSAGE = b"\x00\x20" + bytes(range(32))


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for both ends of all these connections in one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4_096:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_600_idle_sockets_and_200_half_handshakes_keep_nobody_out() -> None:
    async with two_hosts() as (a, b), AsyncExitStack() as held:
        b.handle(ECHO, echo)
        for number in range(IDLE + HALF_DONE):
            stream = await held.enter_async_context(await connect_tcp(b))
            if number % 4 == 0:
                await stream.send_all(negotiation("/noise") + FIRST_NOISE_MESSAGE)
        await until(lambda: b._entrance._gate._held == limits.HANDSHAKES)
        with trio.fail_after(CONNECT_S):
            await a.dial(b.peer_id, b.addresses())
            answer = await a.open(b.peer_id, ECHO)
            await answer.write(b"hello")
            assert await answer.read(5) == b"hello"


async def test_the_newest_handshake_is_the_one_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKES", 3)
    async with two_hosts() as (a, b), AsyncExitStack() as held:
        idle = [await held.enter_async_context(await connect_tcp(b)) for _ in range(3)]
        await until(lambda: b._entrance._gate._held == 3)
        await a.dial(b.peer_id, b.addresses())
        assert await idle[0].receive_some(100) == b"\x13/multistream/1.0.0\n"
        assert await idle[0].receive_some(100) == b""  # the oldest made room
        await until(lambda: b._entrance._gate._held == 3)
        assert b.links()[0].peer == a.peer_id


async def test_the_origin_with_most_handshakes_makes_room() -> None:
    gate = InboundGate(total=10, per_origin=10, handshakes=4)
    single = gate.enter("192.168.0.1")
    crowd = [gate.enter("192.168.0.2") for _ in range(3)]
    assert gate.enter("192.168.0.3") is not None
    assert single is not None
    assert not single.scope.cancel_called
    assert [slot.scope.cancel_called for slot in crowd if slot is not None] == [True, False, False]


async def test_who_is_admitted_makes_no_room_and_counts_until_it_leaves() -> None:
    gate = InboundGate(total=2, per_origin=10, handshakes=1)
    one = gate.enter("127.0.0.1")
    assert one is not None
    gate.admit(one)
    two = gate.enter("127.0.0.1")
    assert two is not None
    gate.admit(two)
    assert not one.scope.cancel_called
    assert gate.enter("127.0.0.1") is None
    gate.leave(one)
    assert gate.enter("127.0.0.1") is not None


async def test_a_slot_that_made_room_still_counts_until_it_leaves() -> None:
    gate = InboundGate(total=1, per_origin=2, handshakes=1)
    slots = [gate.enter("8.8.8.8") for _ in range(3)]
    assert [slot is not None for slot in slots] == [True, True, False]
    assert slots[0] is not None
    gate.leave(slots[0])
    assert gate.enter("8.8.8.8") is not None


def test_one_public_address_cannot_take_all_slots() -> None:
    gate = InboundGate(total=10, per_origin=3, handshakes=10)
    assert [gate.enter("8.8.8.8") is not None for _ in range(4)] == [True, True, True, False]
    assert [gate.enter("192.168.0.7") is not None for _ in range(7)] == [True] * 7
    assert gate.enter("::ffff:8.8.8.8") is None
    assert gate.enter("9.9.9.9") is not None


def test_an_ipv6_network_counts_as_one_origin() -> None:
    gate = InboundGate(total=10, per_origin=2, handshakes=10)
    assert [gate.enter(f"2606:4700::{last}") is not None for last in range(1, 5)] == [True, True, False, False]
    assert gate.enter("2606:4700:0:1::1") is not None
