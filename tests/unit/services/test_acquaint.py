"""A node that starts among its contacts: many come in the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.services.acquaint import Acquaintances
from p2pchat.services.context import Context

_CONTACTS = [PeerId(bytes([number])) for number in range(5)]
_WALKS_S = 2.0


class _Dht:
    """Whoever is asked takes part; ``left``: who is gone by the time the own neighbourhood is looked for."""

    def __init__(self, left: frozenset[PeerId] = frozenset()) -> None:
        self.bootstraps: list[PeerId] = []
        self._left = left
        self._met: set[PeerId] = set()

    def peers(self) -> int:
        return len(self._met)

    async def contact(self, peer: PeerId, _: Sequence[Address]) -> bool:
        await trio.sleep(0.1)
        self._met.add(peer)
        return True

    async def bootstrap(self, nodes: Sequence[tuple[PeerId, tuple[Address, ...]]]) -> int:
        (peer, _), *_ = nodes
        self.bootstraps.append(peer)
        await trio.sleep(_WALKS_S)
        if peer in self._left:
            raise NetError("none of the known peers answered")
        return 1

    def forget(self) -> None:
        self._met.clear()


async def _come(dht: _Dht, joined: list[float], again_after_s: float = 0.0) -> None:
    watchers: list[Callable[[PeerId, bool], None]] = []

    async def run(_: object) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    context = SimpleNamespace(network=SimpleNamespace(watch=watchers.append), dht=dht, db=SimpleNamespace(run=run))
    acquaintances = Acquaintances(cast(Context, context), lambda: joined.append(trio.current_time()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(acquaintances.run)
        await trio.sleep(1)
        for peer in _CONTACTS:
            watchers[0](peer, True)
        await trio.sleep(20)
        if again_after_s:
            dht.forget()
            await trio.sleep(again_after_s)
            watchers[0](_CONTACTS[0], True)
            await trio.sleep(20)
        nursery.cancel_scope.cancel()


async def test_one_of_those_who_come_together_leads_into_the_network(autojump_clock: MockClock) -> None:
    dht, joined = _Dht(), list[float]()
    await _come(dht, joined)
    assert len(dht.bootstraps) == 1
    assert len(joined) == 1


async def test_where_that_one_leaves_another_does(autojump_clock: MockClock) -> None:
    dht, joined = _Dht(frozenset(_CONTACTS[:2])), list[float]()
    await _come(dht, joined)
    assert len(set(dht.bootstraps)) == len(dht.bootstraps) <= 3
    assert dht.bootstraps[-1] not in _CONTACTS[:2]
    assert len(joined) == 1


@pytest.mark.parametrize("after_s", [1.0, 3_600.0])
async def test_who_stands_alone_again_is_led_again(autojump_clock: MockClock, after_s: float) -> None:
    dht, joined = _Dht(), list[float]()
    await _come(dht, joined, after_s)
    assert len(dht.bootstraps) == 2
    assert len(joined) == 2
