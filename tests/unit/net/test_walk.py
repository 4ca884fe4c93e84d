"""The driver of walks, over peers that are asked by a function of the test."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.lookup import position
from p2pchat.core.params import PRODUCTION
from p2pchat.core.peers import PeerBook, PeerFacts, Speaks
from p2pchat.core.routing import RoutingTable
from p2pchat.net.addresses import parse_address, peer_id_from_key
from p2pchat.net.walk import Answer, Walker

PARAMS = replace(PRODUCTION, k=1)
ADDRESS = parse_address("/ip4/127.0.0.1/tcp/4001")[0]


def peer(number: int) -> PeerId:
    return peer_id_from_key(bytes([number] * 32))


async def test_a_suspect_that_is_asked_last_holds_up_no_walk(autojump_clock: MockClock) -> None:
    own, teller, suspect = peer(0), peer(1), peer(2)
    book = PeerBook()
    table = RoutingTable(own, PARAMS)
    for known in (teller, suspect):
        book.of(known).on_addresses([Address(ADDRESS)], own=True)
        book.of(known).on_speaks(Speaks.RECORDS, trio.current_time(), PARAMS)
    table.add(book.of(teller), trio.current_time())
    book.of(suspect).on_failure(trio.current_time(), PARAMS)
    await trio.sleep(PARAMS.backoff_min_s)
    asked: list[PeerId] = []

    async def ask(facts: PeerFacts) -> Answer:
        asked.append(facts.peer)
        if facts.peer == suspect:
            await trio.sleep_forever()
        return Answer((ToldPeer(bytes(suspect), (bytes(ADDRESS),)),), "127.0.0.1", counts=True)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        walker = Walker(own, PARAMS, book, table, lambda _: None)
        machine = await walker.run(position(suspect), ask, lambda: nursery, storers_only=True)
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()
    assert asked == [teller, suspect]
    assert machine.answered() == [teller]


async def test_whoever_ends_with_the_node_is_cancelled_and_hears_of_no_failure(autojump_clock: MockClock) -> None:
    """As one whose turn to run comes when the node has stopped already: an error would end it with a defect."""

    def stopped() -> trio.Nursery:
        raise NetError("the DHT is not running")

    book = PeerBook()
    walker = Walker(peer(0), PARAMS, book, RoutingTable(peer(0), PARAMS), lambda _: None)

    async def ask(_: PeerFacts) -> Answer:
        raise AssertionError("nobody is asked")

    with pytest.raises(NetError):
        await walker.run(position(peer(1)), ask, stopped, storers_only=True)
    with trio.CancelScope() as scope:
        scope.cancel()
        await walker.run(position(peer(1)), ask, stopped, storers_only=True)
    assert scope.cancelled_caught
