"""Whatever an envelope that opened holds, it is acked: its session must never end for a content (PROTOCOL.md 4.5)."""

from __future__ import annotations

import random

import pytest

from p2pchat.core.session import seal
from p2pchat.core.wire import Item, encode_content
from tests.unit.services.receiving import Receiving
from tests.vectors.independent_session import pack

MAX = 2**64 - 1
KINDS = [0, 1, 2, 3, 4, 5, 6, 7, 65_535]
BODIES = [
    b"",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\x91" * 3_000,
    pack([]),
    pack([1, MAX, "x"]),
    pack([MAX, MAX, "x"]),
    pack([1, 1, "x" * 65_537]),
    pack([1, bytes(32), 0, bytes(32)]),
    pack([2**32 - 1, bytes(32), 2**32 - 1, bytes(32)]),
    pack([bytes(16)]),
    pack([bytes(16), bytes(32)]),
    pack([bytes(16), True]),
    pack([bytes(16), 255]),
    *(random.Random(n).randbytes(10 * n) for n in range(10)),
]
CONTENTS = [
    *(encode_content([Item(n.to_bytes(16, "big"), kind, body)]) for kind in KINDS for n, body in enumerate(BODIES)),
    b"",
    b"\x90",
    b"\xc1" * 10,
    bytes(3_000),
]


@pytest.mark.parametrize("again", [False, True], ids=["once", "with the same ids again"])
async def test_every_content_is_acked(again: bool) -> None:
    bob = Receiving()
    await bob.knows(bob.alice)
    session, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    await bob.accepts(flight)
    for content in CONTENTS * (2 if again else 1):
        session, sealed = seal(session, content, bob.entropy, bob.context.params)
        answer = await bob.accepts(sealed.envelope)
        assert answer.acks == [(sealed.eid, sealed.ack)]
    await bob.db.close()
