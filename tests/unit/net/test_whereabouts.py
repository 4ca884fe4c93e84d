"""What a node tells of its own addresses, and to whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.net.addresses import parse_address
from p2pchat.net.transport import Network
from p2pchat.net.whereabouts import Whereabouts, published, reached_at

OWN = parse_address("/ip4/9.9.9.9/tcp/1")[0]
MAPPED = parse_address("/ip4/8.8.8.8/tcp/2")[0]


def test_who_comes_through_a_relay_is_told_of_no_address_but_those_of_a_public_node() -> None:
    whereabouts = Whereabouts()
    whereabouts.bound = (OWN,)
    whereabouts.tell("mapped", [MAPPED])
    for standing, told in (("unknown", ()), ("private", ()), ("public", (OWN, MAPPED))):
        whereabouts.standing = standing  # type: ignore[assignment]
        assert whereabouts.shown_to(None) == told
        assert whereabouts.shown_to(("7.7.7.7", 3)) == (OWN, MAPPED)


def test_the_last_word_of_each_source_counts() -> None:
    whereabouts = Whereabouts()
    whereabouts.bound = (OWN,)
    whereabouts.tell("observed", [MAPPED])
    whereabouts.tell("mapped", [MAPPED])
    whereabouts.tell("observed", [])
    assert whereabouts.addresses() == (OWN, MAPPED)
    whereabouts.tell("mapped", [])
    assert whereabouts.addresses() == (OWN,)


def test_others_are_told_of_loopback_addresses_where_there_is_nothing_else() -> None:
    loopback, loopback6, private = (
        parse_address(f"{text}/tcp/1")[0] for text in ("/ip4/127.0.0.1", "/ip6/::1", "/ip4/192.168.1.2")
    )

    def node(*addresses: object) -> Network:
        return cast(Network, SimpleNamespace(addresses=lambda: addresses, circuits=lambda: (MAPPED,)))

    assert published(node(loopback, loopback6), 3) == (loopback, loopback6)
    assert published(node(OWN, private, loopback, loopback6), 3) == (OWN, private)
    assert reached_at(node(private, loopback), 4) == (private, MAPPED)
    assert reached_at(node(loopback), 4) == (loopback, MAPPED)
    assert published(node(), 3) == ()


async def test_who_came_from_the_internet_counts_for_an_hour_and_until_the_network_changes(
    autojump_clock: MockClock,
) -> None:
    whereabouts = Whereabouts()
    whereabouts.reached_by("192.168.1.9")
    assert not whereabouts.is_on_internet()
    for change in (True, False):
        whereabouts.reached_by("9.9.9.9")
        await trio.sleep(limits.REACHED_S - 1)
        assert whereabouts.is_on_internet()
        if change:
            whereabouts.moved()
        else:
            await trio.sleep(1)
        assert not whereabouts.is_on_internet()


def test_toward_whom_a_nat_was_opened_is_remembered_of_so_many_and_until_the_network_changes() -> None:
    whereabouts = Whereabouts()
    hosts = [f"9.{number >> 8}.{number & 255}.1" for number in range(limits.OPENED + 1)]
    for host in hosts:
        whereabouts.opens(host)
    assert [whereabouts.has_opened(host) for host in (hosts[0], hosts[1], hosts[-1])] == [False, True, True]
    whereabouts.moved()
    assert not any(map(whereabouts.has_opened, hosts))
