"""Junk as answers: peers that a daemon takes for storers, because they say so, and asks on its walks."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

import msgspec
import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify

from p2pchat.api.errors import ApiError
from p2pchat.net.addresses import parse_address
from p2pchat.net.identify import IDENTIFY
from p2pchat.net.kad import KAD
from p2pchat.net.records import RECORDS
from tests.fuzz.attacker import Attacker, Refused, secured
from tests.fuzz.daemon import Pair
from tests.fuzz.feed import Feed
from tests.fuzz.frames import Requests, junk_frame, kad_reply, varint
from tests.fuzz.mutation import Tree, sized

_STORERS: Final = 14
_KNOCK_S: Final = 0.25
_SEARCH_EVERY: Final = 16
_PING: Final = b"\x02\x08\x05"
_NOBODY: Final = "+821066667777"
_NOWHERE: Final = parse_address("/ip4/127.0.0.1/tcp/1")[0]


async def storers(pair: Pair, feed: Feed, records: Requests) -> None:
    """Be asked, and answer each question with an input."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_make_it_walk, pair, feed)
        for number in range(_STORERS):
            nursery.start_soon(_storer, pair, feed, records, Random(f"{feed.seed}/{number}/{feed.stop}"))


async def _make_it_walk(pair: Pair, feed: Feed) -> None:
    """Have the victim look for itself, and every few times for somebody who is not there."""
    friend, turn = pair.friend.address, 0
    while not feed.is_over:
        if turn % _SEARCH_EVERY == 0:
            with suppress(ApiError):  # seen by those who watch, if it matters
                await trio.to_thread.run_sync(partial(pair.victim.call, "contacts.add", number=_NOBODY))
        with suppress(ApiError):  # junk was all that came: the next walk asks again
            await trio.to_thread.run_sync(partial(pair.victim.call, "net.bootstrap", address=friend))
        turn += 1


async def _storer(pair: Pair, feed: Feed, records: Requests, chance: Random) -> None:
    def answer(protocol: str, said: bytes) -> bytes | None:
        if protocol == IDENTIFY:
            return _who_i_am()
        taken = feed.take() if protocol in (KAD, RECORDS) else None
        if taken is None:
            return None
        reply = kad_reply(taken.chance) if protocol == KAD else _records_reply(taken.chance, said, records)
        feed.done(taken, f"answer of {protocol}")
        return taken.sending(reply)

    while not feed.is_over:
        try:
            async with secured(pair.place, chance.randbytes(32)) as conn, trio.open_nursery() as nursery:
                attacker = Attacker(conn, answer)
                nursery.start_soon(attacker.run)
                while not attacker.is_lost and not feed.is_over:
                    await attacker.exchange(KAD, _PING, leaves=False)  # who knocks is met, and no longer rests
                    await trio.sleep(_KNOCK_S)
                nursery.cancel_scope.cancel()
        except (OSError, Refused) as error:
            feed.found(f"a true handshake was refused: {error!r}")


def _who_i_am() -> bytes:
    said = Identify(protocols=[IDENTIFY, KAD, RECORDS], listen_addrs=[bytes(_NOWHERE)]).SerializeToString()
    return varint(len(said)) + said


def _records_reply(chance: Random, said: bytes, records: Requests) -> bytes:
    """Nearly an answer to the request in ``said``."""
    request_id: Tree = 0
    with suppress(msgspec.DecodeError, IndexError, TypeError):  # several requests at once: any id will do
        request_id = msgspec.msgpack.decode(said[4 : 4 + int.from_bytes(said[:4], "big")])[1]
    found: list[Tree] = [records.any_record(chance) for _ in range(chance.choice((0, 0, 1, 2, 16, 17)))]
    told: list[Tree] = [_told(chance) for _ in range(chance.choice((0, 1, 3, 20, 21)))]
    reply: Tree = [1, request_id, chance.choice((None, True, False)), chance.choice((0, 60)), found, told]
    push: Tree = [2, chance.choice(records.locs).loc, records.any_record(chance)]
    return junk_frame(chance, reply if chance.random() < 0.9 else push)


def _told(chance: Random) -> Tree:
    peer = b"\x00\x24\x08\x01\x12\x20" + chance.randbytes(32) if chance.random() < 0.7 else sized(chance, 70)
    addresses: list[Tree] = [bytes(_NOWHERE) if chance.random() < 0.5 else sized(chance, 140) for _ in range(2)]
    return [peer, addresses]
