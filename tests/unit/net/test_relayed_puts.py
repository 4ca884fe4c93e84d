"""Strangers who come through relays are as many as they like: what they put counts for one prefix (PROTOCOL.md 3.2)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import trio

from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusals
from p2pchat.core import codec
from p2pchat.core.dht_wire import Request
from p2pchat.core.framing import with_length
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.keeper import Keeper
from p2pchat.net.pace import Pace
from p2pchat.net.records import RecordsServer
from p2pchat.net.transport import Stream


class Asker(Stream):
    """Puts one record, and ends."""

    def __init__(self, number: int, host: str | None) -> None:
        self._peer = peer_id_from_key(bytes([number]) * 32)
        self._host = host
        self._left = [with_length(codec.encode(Request(1, b"l" * 32, b"record", False, 0)))]

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def remote_host(self) -> str | None:
        return self._host

    async def read(self, max_bytes: int) -> bytes:
        return self._left.pop() if self._left else b""

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...

    async def reset(self) -> None: ...


def prefixes(host: str | None) -> set[bytes]:
    found: set[bytes] = set()

    def put(*_: object, prefix: bytes, by: object) -> bool:
        found.add(prefix)
        return False

    keeper = SimpleNamespace(put=put, watch=lambda *_: 0, leave=lambda _: None)
    server = RecordsServer(cast(Keeper, keeper), lambda *_: (), lambda _: None, Pace(Refusals()), Refusals())

    async def serve() -> None:  # all on one clock
        for number in range(5):
            await server.serve(Asker(number, host))

    trio.run(serve)
    return found


def test_those_who_come_through_relays_share_one_prefix() -> None:
    assert len(prefixes(None)) == 1
    assert not prefixes(None) & prefixes("12.0.0.1")


def test_neighbours_count_singly() -> None:
    assert len(prefixes("192.168.0.2")) == 5
