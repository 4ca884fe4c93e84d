"""Dialling whoever is at an address: what becomes of connections that are one too many."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import NetError
from tests.contract.lab import until
from tests.net.hosts import LOOPBACK, muxes, two_hosts

pytestmark = pytest.mark.net


async def test_a_peer_with_two_services_gets_one_connection() -> None:
    async with two_hosts(LOOPBACK, LOOPBACK) as (a, b):
        for address in (*b.listening(), *b.listening()):
            assert await a.dial_unknown([address]) == b.peer_id
            await until(lambda: len(muxes(a)) == len(muxes(b)) == 1)
        assert a.links()


async def test_what_the_other_has_opened_is_no_reason_to_hang_up() -> None:
    """Else two who dial each other at once would both do so, and be left with nothing."""
    async with two_hosts() as (a, b):
        await b.dial_unknown(a.listening())
        await a.dial_unknown(b.listening())
        await a.probe(b.peer_id)  # on the newest
        assert len(muxes(a)) == len(muxes(b)) == 2


async def test_an_own_address_leaves_nothing_behind() -> None:
    async with two_hosts() as (a, _):
        with pytest.raises(NetError, match="itself"):
            await a.dial_unknown(a.listening())
        await until(lambda: not muxes(a))
