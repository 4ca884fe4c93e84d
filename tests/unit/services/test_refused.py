"""What a node refuses: with a Nack and nothing else, whatever was wrong, and without a row written.

The Nack holds the hash of what was sent (PROTOCOL.md 5.2): it tells the sender that it was refused, and not why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import msgpack
import pytest
from msgspec import structs

from p2pchat.base.errors import DecodeError
from p2pchat.core.keys import Identity, create_identity, dump_identity, load_identity
from p2pchat.core.params import DAY_S
from p2pchat.core.session import Session, seal
from p2pchat.core.wire import Flight, Frame, decode_frame, eid, encode_frame
from p2pchat.store import contacts
from tests.unit.services.receiving import Receiving, text
from tests.vectors.independent_session import pack

AT_ONCE = 100


@pytest.fixture
async def bob() -> AsyncIterator[Receiving]:
    receiving = Receiving()
    yield receiving
    await receiving.db.close()


def flips(data: bytes, bits: int = 8) -> Iterator[bytes]:
    """``data`` with one bit changed, in every byte: all 8, or one whose place goes round."""
    for position in range(len(data)):
        for bit in range(8) if bits == 8 else (position % 8,):
            yield data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]


async def refuse_all(bob: Receiving, changed: list[Flight] | list[bytes]) -> None:
    for start in range(0, len(changed), AT_ONCE):
        await bob.refuses(*changed[start : start + AT_ONCE])


async def in_session(bob: Receiving) -> Session:
    """Alice's end of a session that Bob has accepted; Alice has heard nothing of his yet."""
    await bob.knows(bob.alice)
    session, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    await bob.accepts(flight)
    return session


def sealed(bob: Receiving, session: Session, number: int, words: str) -> tuple[Session, bytes]:
    session, made = seal(session, text(number, words), bob.entropy, bob.context.params)
    return session, made.envelope


async def test_a_first_flight_with_any_byte_changed(bob: Receiving) -> None:
    """Of the frame: what is no frame any more resets the stream, and all else is refused here."""
    alice = await bob.knows(bob.alice)
    _, flight = bob.flies(bob.alice, (await bob.gives()).bundle, text(1, "hello"))
    before, changed, frames = await bob.everything(), list[Flight](), list(flips(encode_frame(flight), 1))
    for raw in frames:
        try:
            decoded: Frame = decode_frame(raw)
        except DecodeError:
            continue
        assert isinstance(decoded, Flight)
        changed.append(decoded)
    assert len(frames) - len(changed) < 20  # tags and lengths
    assert flight not in changed
    await refuse_all(bob, changed)
    assert await bob.everything() == before
    await bob.accepts(flight)
    assert await bob.texts(alice.id) == ["hello"]


async def test_an_envelope_with_any_bit_changed(bob: Receiving) -> None:
    session = await in_session(bob)
    session, envelope = sealed(bob, session, 1, "hello")
    before = await bob.everything()
    await refuse_all(bob, list(flips(envelope, 1)))
    tail = envelope[-256:]  # all bits, where the header's KEM key does not make it long
    await refuse_all(bob, [envelope[:-256] + changed for changed in flips(tail)])
    assert await bob.everything() == before
    await bob.accepts(envelope)


async def test_envelopes_put_together_from_two(bob: Receiving) -> None:
    session = await in_session(bob)
    session, one = sealed(bob, session, 1, "one")
    session, two = sealed(bob, session, 2, "two")
    body = 34 + int.from_bytes(one[32:34], "big")
    assert len(one) == len(two)
    other_session, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    _, other = sealed(bob, other_session, 1, "of another session")
    before = await bob.everything()
    await bob.refuses(one[:body] + two[body:], two[:body] + one[body:])
    await bob.refuses(one[:8] + other[8:], other[:8] + one[8:], one[:body] + other[body:], other[:body] + one[body:])
    assert await bob.everything() == before
    for arrival in (one, two, flight, other):
        await bob.accepts(arrival)


async def test_flights_put_together_from_two(bob: Receiving) -> None:
    await bob.knows(bob.alice)
    await bob.knows(bob.carol)
    raw = (await bob.gives()).bundle
    (_, alices), (_, carols) = bob.flies(bob.alice, raw), bob.flies(bob.carol, raw)
    before = await bob.everything()
    names = ("ephemeral", "kem_ciphertext", "sender", "envelope")
    for choice in range(1, 15):
        parts = {name: getattr(carols, name) for n, name in enumerate(names) if choice >> n & 1}
        await bob.refuses(structs.replace(alices, **parts))
    assert await bob.everything() == before
    await bob.accepts(carols)


async def test_every_refusal_of_a_flight_looks_the_same(bob: Receiving) -> None:
    """Whoever it is of, whatever is wrong: the answers differ in nothing but the hash of what was sent."""
    alice = await bob.knows(bob.alice, bob.alice.cert.epoch_ms)
    blocked = create_identity(bob.entropy, bob.now_ms)
    row = await bob.knows(blocked)
    await bob.db.run(lambda tx: contacts.block(tx, row.id))

    async def flown(identity: Identity, words: str = "x") -> Flight:
        return bob.flies(identity, (await bob.gives()).bundle, text(1, words))[1]

    honest = await flown(bob.alice)
    used = await flown(bob.alice)
    await bob.accepts(used)
    refused = {
        "nobody's": await flown(bob.carol),
        "a blocked contact's": await flown(blocked),
        "of a bundle that is not there": structs.replace(honest, prekey_id=bytes(16)),
        "with a changed sender": structs.replace(honest, sender=honest.sender[:-1] + bytes([honest.sender[-1] ^ 1])),
        "with another's envelope": structs.replace(honest, envelope=bytes(len(honest.envelope))),
        "again, with another envelope": structs.replace(used, envelope=honest.envelope),
        "with a key of low order": structs.replace(honest, ephemeral=bytes(32)),
    }
    before = await bob.everything()
    for flight in refused.values():
        await bob.refuses(flight)
    assert await bob.everything() == before
    answer = await bob.take(await flown(older_device(bob.alice)))  # it alone is told why: test_replaced.py
    assert (answer.acks, answer.contacts, len(answer.nacks)) == ([], set(), 1)
    bob.now_ms += DAY_S * 1000
    await bob.refuses(honest)  # its bundle has expired
    assert await bob.texts(alice.id) == ["x"]


def older_device(of: Identity) -> Identity:
    """One that the same root has certified, a millisecond before."""
    version, root_seed, epoch_ms, _, _ = msgpack.unpackb(dump_identity(of))
    return load_identity(pack([version, root_seed, epoch_ms - 1, b"d" * 32, b"i" * 32]))


async def test_one_refusal_harms_no_other_in_the_same_transaction(bob: Receiving) -> None:
    session = await in_session(bob)
    arrivals: list[bytes] = []
    for number in range(1, 6):
        session, envelope = sealed(bob, session, number, str(number))
        arrivals += [envelope[:-1] + bytes([envelope[-1] ^ 1]), envelope]
    answer = await bob.take(*arrivals)
    assert answer.nacks == [eid(envelope) for envelope in arrivals[::2]]
    assert [acked for acked, _ in answer.acks] == [eid(envelope) for envelope in arrivals[1::2]]
    [alice] = answer.contacts
    assert await bob.texts(alice) == ["1", "2", "3", "4", "5"]


async def test_a_refused_envelope_takes_no_key_with_it(bob: Receiving) -> None:
    """A damaged copy comes first, far ahead in its chain: no key is skipped for it, and the true ones open."""
    session = await in_session(bob)
    envelopes: list[bytes] = []
    for number in range(1, 200):
        session, envelope = sealed(bob, session, number, str(number))
        envelopes.append(envelope)
    before = await bob.everything()
    await bob.refuses(envelopes[-1][:-1] + bytes([envelopes[-1][-1] ^ 1]))
    assert await bob.everything() == before
    answer = await bob.take(*envelopes[::-1])
    assert len(answer.acks) == 199


async def test_an_envelope_beyond_the_limit_is_refused_and_the_session_goes_on(bob: Receiving) -> None:
    session = await in_session(bob)
    session, first = sealed(bob, session, 1, "first")
    for _ in range(1_000):
        session, _ = sealed(bob, session, 2, "lost")
    session, far = sealed(bob, session, 2, "far ahead")
    await bob.refuses(far)
    [alice] = (await bob.accepts(first)).contacts
    await bob.accepts(far)  # now it is 1,000 ahead
    assert await bob.texts(alice) == ["first", "far ahead"]


async def test_what_was_refused_may_come_again_and_be_taken(bob: Receiving) -> None:
    """A Nack is no judgement on the eid: the flight that its session needs came late."""
    await bob.knows(bob.alice)
    session, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    session, envelope = sealed(bob, session, 1, "early")
    await bob.refuses(envelope)
    [alice] = (await bob.accepts(flight)).contacts
    await bob.accepts(envelope)
    assert await bob.texts(alice) == ["early"]
