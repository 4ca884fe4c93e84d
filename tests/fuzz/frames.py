"""What is sent on the streams that a daemon serves: valid messages of each protocol, and junk made of them.

Every generator returns all that one side writes on one stream. Most of it is nearly right: junk that fails at the first
byte tests the first byte alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from p2pchat.core.crypto import blake2b, ed25519_pair
from p2pchat.core.dht_wire import REQUEST_MAX_BYTES
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import RECORD_BYTES, finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.wire import BUNDLE_MAX_BYTES, SENDER_MAX_BYTES
from p2pchat.core.work import mine
from tests.fuzz.mutation import Tree, abyss, damaged, mutated, packed, sized

_ENVELOPE_BYTES: Final = (362, 363, 364, 400, 1_000, 5_000)
_GIANT: Final = (0, 1 << 20, (1 << 20) + 1, 65_537, 4_097, 0x7FFF_FFFF, 0xFFFF_FFFF)
_WRONG_FIELDS: Final = 0.01
HELLO: Final[Tree] = [0, 0]


def junk(chance: Random) -> bytes:
    """Bytes without any structure."""
    return sized(chance, 8_192)


# -- frames of u32(length) ‖ msgpack -------------------------------------------------------------------------------


def framed(body: bytes) -> bytes:
    """``body`` as it stands on a stream of ours."""
    return len(body).to_bytes(4, "big") + body


def junk_frame(chance: Random, tree: Tree) -> bytes:
    """A frame that is right, or wrong in one of the ways in which a frame can be."""
    kind = chance.randrange(12)
    if kind < 4:
        return framed(packed(chance, tree))
    if kind < 7:
        return framed(packed(chance, mutated(chance, tree)))
    if kind == 7:
        return framed(packed(chance, tree, loose=0.3))
    if kind == 8:
        return framed(damaged(chance, packed(chance, tree)))
    if kind == 9:
        return damaged(chance, framed(packed(chance, tree)))
    if kind == 10:
        return chance.choice(_GIANT).to_bytes(4, "big") + sized(chance, 256)
    return framed(abyss(chance))


def message(chance: Random) -> Tree:
    """A frame of ``/p2pchat/msg/1``, nearly valid; nothing in it opens."""

    def envelope() -> bytes:
        return chance.randbytes(chance.choice(_ENVELOPE_BYTES))

    eids = [chance.randbytes(16) for _ in range(2)]
    repeated: list[Tree] = [envelope()] * 3
    makers: Sequence[Callable[[], Tree]] = (
        lambda: [0, chance.getrandbits(64)],
        lambda: [1, chance.randbytes(32)],
        lambda: [2, sized(chance, BUNDLE_MAX_BYTES)],
        lambda: [3, chance.randbytes(32), chance.randbytes(1088), eids[0], sized(chance, SENDER_MAX_BYTES), envelope()],
        lambda: [4, [envelope() for _ in range(chance.choice((1, 1, 2, 64, 65)))]],
        lambda: [4, repeated],
        lambda: [5, [[chance.randbytes(16), chance.randbytes(16)] for _ in range(chance.choice((1, 2, 1024, 1025)))]],
        lambda: [6, eids[1]],
        lambda: [7, chance.getrandbits(64)],
        lambda: [8, chance.getrandbits(64)],
        lambda: [9],
        lambda: [chance.randrange(-1, 300), chance.randbytes(16)],
    )
    return chance.choice(makers)()


def messages(chance: Random) -> bytes:
    """One side of ``/p2pchat/msg/1``: Hello, mostly, and then frames in any order, each right or wrong."""
    if chance.random() < 0.05:
        return junk(chance)
    frames = [framed(packed(chance, HELLO))] if chance.random() < 0.9 else []
    frames += [junk_frame(chance, message(chance)) for _ in range(chance.choice((1, 1, 2, 4, 8)))]
    return b"".join(frames)


class Requests:
    """``/p2pchat/records/1``: requests with records that were really mined, and with what is no record.

    Args:
        count: how many records to mine, 0.04 s each.
    """

    def __init__(self, chance: Random, count: int) -> None:
        self._now = int(time.time())
        self.locs = [Slot(chance.randbytes(32), 1) for _ in range(4)]
        self._records = [self._mined(chance, chance.choice(self.locs)) for _ in range(count)]

    def _mined(self, chance: Random, slot: Slot) -> tuple[bytes, bytes]:
        """A record whose work is true, whatever else is wrong with it, and its loc."""
        seq = self._now + chance.choice((0, 0, -3600, -259_200, 599, 7_200))
        writer = ed25519_pair(chance.randbytes(32))
        unmined = prepare_record(slot, writer, sized(chance, 702), seq, chance.randbytes(24), PRODUCTION)
        if chance.random() < 0.5:  # the work is checked before the signatures
            signatures = chance.randbytes(64), chance.choice((unmined.writer_sig, chance.randbytes(64)))
            digest = blake2b("dcd1/powm", b"dcd1/record\0" + unmined.head + b"".join(signatures), 32)
            unmined = replace(unmined, gate_sig=signatures[0], writer_sig=signatures[1], digest=digest)
        return slot.loc, finish(unmined, mine(unmined.digest, PRODUCTION.work_bits))

    def any_record(self, chance: Random) -> bytes:
        """A record, right or wrong."""
        _, record = chance.choice(self._records)
        return record if chance.random() < 0.7 else damaged(chance, record)

    def _request(self, chance: Random) -> Tree:
        loc, record = chance.choice(self._records)
        put: Tree = chance.choice(
            (None, None, record, damaged(chance, record), chance.randbytes(RECORD_BYTES), sized(chance, 4_000))
        )
        if chance.random() < 0.1:
            loc = chance.randbytes(32)
        return [0, chance.getrandbits(32), loc, put, chance.random() < 0.5, chance.choice((0, 0, 1, 3600, 65_535))]

    def stream(self, chance: Random) -> bytes:
        """One side of a stream."""
        if chance.random() < 0.05:
            return junk(chance)
        tree = [junk_frame(chance, self._request(chance)) for _ in range(chance.choice((1, 1, 2, 4, 8)))]
        if chance.random() < 0.02:
            tree.append(framed(bytes(REQUEST_MAX_BYTES)))
        return b"".join(tree)


# -- varint(length) ‖ protobuf ----------------------------------------------------------------------------------------


def varint(value: int, padding: int = 0) -> bytes:
    """LEB128; ``padding`` bytes longer than it has to be."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 128
        out.append(0)
    return bytes(out)


def _padding(chance: Random) -> int:
    return chance.choice((1, 11)) if chance.random() < _WRONG_FIELDS else 0


def _field(chance: Random, number: int, kind: int, value: int | bytes) -> bytes:
    if chance.random() < _WRONG_FIELDS:
        kind = chance.randrange(8)
    head = varint(number << 3 | kind, _padding(chance))
    if isinstance(value, int):
        return head + varint(value, _padding(chance))
    length = len(value) if chance.random() >= _WRONG_FIELDS else chance.choice((0, 1 << 20, 1 << 63, len(value) + 1))
    return head + varint(length) + value


def _kad_peer(chance: Random) -> bytes:
    addresses = [_field(chance, 2, 2, sized(chance, 200)) for _ in range(chance.choice((0, 1, 2, 9)))]
    return _field(chance, 1, 2, sized(chance, 80)) + b"".join(addresses) + _field(chance, 3, 0, chance.randrange(9))


def _kad_message(chance: Random) -> bytes:
    kind = chance.choice((4, 4, 4, 4, 5, 0, 1, 2, 3, 6, 1 << 63))
    parts = [_field(chance, 1, 0, kind), _field(chance, 2, 2, sized(chance, 70))]
    parts += [_field(chance, 8, 2, _kad_peer(chance)) for _ in range(chance.choice((0, 0, 1, 3, 21)))]
    if chance.random() < 0.2:
        parts.append(_field(chance, chance.choice((3, 10, 9999, 1 << 28)), chance.randrange(8), sized(chance, 64)))
    if chance.random() < 0.2:
        chance.shuffle(parts)
    return b"".join(parts)


def kad(chance: Random) -> bytes:
    """One side of ``/p2pchat/kad/1.0.0``."""
    if chance.random() < 0.05:
        return junk(chance)
    out: list[bytes] = []
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        body = _kad_message(chance) or b"\0"
        kind = chance.randrange(8)
        if kind == 0:
            body = damaged(chance, body)
        if kind == 1:
            out.append(varint(chance.choice((0, len(body) + 1, 4_097, 1 << 21, 1 << 63)), chance.choice((0, 1))) + body)
        else:
            out.append(varint(len(body)) + body)
    return b"".join(out)


def kad_reply(chance: Random) -> bytes:
    """An answer to FIND_NODE, nearly."""
    peers = b"".join(_field(chance, 8, 2, _kad_peer(chance)) for _ in range(chance.choice((0, 1, 3, 20, 21))))
    body = _field(chance, 1, 0, 4 if chance.random() < 0.9 else 5) + peers
    kind = chance.randrange(8)
    if kind == 0:
        body = damaged(chance, body) or b"\0"
    if kind == 1:
        return varint(chance.choice((0, 65_537, 1 << 63))) + body
    return varint(len(body)) + body


# -- multistream-select -----------------------------------------------------------------------------------------------


def line(text: bytes) -> bytes:
    """One message of multistream-select."""
    return varint(len(text) + 1) + text + b"\n"


def negotiation(chance: Random, *proposals: bytes) -> bytes:
    """What an opener sends to agree on a protocol, damaged."""
    texts = [b"/multistream/1.0.0", *proposals]
    kind = chance.randrange(6)
    if kind == 0:
        texts[1:1] = [chance.choice((b"ls", b"na", b"", b"/no/such/protocol", b"x" * 1_023, b"\xff\xfe"))] * (
            chance.choice((1, 3, 17, 100))
        )
    elif kind == 1:
        chance.shuffle(texts)
    data = b"".join(map(line, texts))
    if kind == 2:
        return data + sized(chance, 512)
    if kind == 3:
        return varint(chance.choice((0, 1_025, 1 << 20, 1 << 48, 1 << 63)), chance.choice((0, 1))) + data
    return damaged(chance, data)
