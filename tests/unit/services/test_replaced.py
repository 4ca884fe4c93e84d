"""Who is told of a newer device of a contact: an older one that has just shown that it is one, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2pchat.base.ids import PeerId
from p2pchat.core.keys import Identity, create_device
from p2pchat.core.session import Session
from p2pchat.core.wire import eid
from p2pchat.store import contacts
from tests.unit.services.receiving import Receiving
from tests.unit.services.test_refused import in_session, older_device, sealed

SOMEBODY = PeerId(b"\x00\x24\x08\x01\x12\x20" + b"s" * 32)


@pytest.fixture
async def bob() -> AsyncIterator[Receiving]:
    receiving = Receiving()
    yield receiving
    await receiving.db.close()


async def restored(bob: Receiving) -> tuple[Session, Identity, Session]:
    """Alice's session with Bob, her newer device, and its session with him."""
    old = await in_session(bob)
    newer = create_device(bob.alice.root.secret, bob.entropy, bob.alice.cert.epoch_ms + 1)
    bob.now_ms += 1_000
    new, flight = bob.flies(newer, (await bob.gives()).bundle)
    answer = await bob.accepts(flight)
    assert answer.newer is None
    return old, newer, new


async def test_an_envelope_of_the_older_device(bob: Receiving) -> None:
    old, newer, _ = await restored(bob)
    for number in range(1, 4):
        old, envelope = sealed(bob, old, number, "from the old one")
        assert (await bob.accepts(envelope)).newer == newer.cert.raw


async def test_the_same_envelope_again_tells_nobody_anything(bob: Receiving) -> None:
    old, newer, _ = await restored(bob)
    old, envelope = sealed(bob, old, 1, "once")
    assert (await bob.take(envelope)).newer == newer.cert.raw
    for peer in (SOMEBODY, *[SOMEBODY] * 2):
        answer = await bob.take(envelope, peer=peer)
        assert (len(answer.acks), answer.contacts, answer.newer) == (1, set(), None)
    damaged = envelope[:-1] + bytes([envelope[-1] ^ 1])
    assert (await bob.take(damaged, peer=SOMEBODY)).newer is None


async def test_an_envelope_of_before_the_newer_device_was_known_and_again_after_it(bob: Receiving) -> None:
    old = await in_session(bob)
    old, envelope = sealed(bob, old, 1, "in time")
    assert (await bob.accepts(envelope)).newer is None
    newer = create_device(bob.alice.root.secret, bob.entropy, bob.alice.cert.epoch_ms + 1)
    bob.now_ms += 1_000
    await bob.accepts(bob.flies(newer, (await bob.gives()).bundle)[1])
    assert (await bob.take(envelope)).newer is None


async def test_envelopes_of_the_newest_device(bob: Receiving) -> None:
    _, _, new = await restored(bob)
    new, envelope = sealed(bob, new, 1, "from the new one")
    assert (await bob.accepts(envelope)).newer is None


async def test_a_flight_that_was_refused_for_this_alone(bob: Receiving) -> None:
    _, newer, _ = await restored(bob)
    _, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    answer = await bob.take(flight)
    assert (answer.nacks, answer.acks, answer.contacts) == ([eid(flight.envelope)], [], set())
    assert answer.newer == newer.cert.raw
    for peer in (SOMEBODY, SOMEBODY):
        again = await bob.take(flight, peer=peer)
        assert (again.nacks, again.newer) == (answer.nacks, None)


async def test_a_flight_that_was_refused_for_anything_else(bob: Receiving) -> None:
    await restored(bob)
    _, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    _, other = bob.flies(bob.alice, (await bob.gives()).bundle)
    spliced = type(flight)(
        flight.ephemeral, flight.kem_ciphertext, flight.prekey_id, flight.sender, other.envelope
    )  # whoever made it knows no key
    assert (await bob.take(spliced)).newer is None
    _, carols = bob.flies(bob.carol, (await bob.gives()).bundle)
    assert (await bob.take(carols)).newer is None


async def test_who_is_not_matched_or_is_blocked_is_told_nothing(bob: Receiving) -> None:
    row = await bob.knows(bob.alice)
    cert = bob.alice.cert
    await bob.db.run(lambda tx: contacts.set_device(tx, row.id, cert.epoch_ms, cert.raw))
    older = older_device(bob.alice)
    assert (await bob.take(bob.flies(older, (await bob.gives()).bundle)[1])).newer is None
    await bob.db.run(lambda tx: contacts.set_matched(tx, row.id))
    assert (await bob.take(bob.flies(older, (await bob.gives()).bundle)[1])).newer == cert.raw
    await bob.db.run(lambda tx: contacts.block(tx, row.id))
    assert (await bob.take(bob.flies(older, (await bob.gives()).bundle)[1])).newer is None


async def test_after_a_restore_of_ones_own_nothing_is_told_until_the_device_is_seen(bob: Receiving) -> None:
    """A backup holds how new the contact's device is, and not its certificate."""
    row = await bob.knows(bob.alice, bob.alice.cert.epoch_ms)
    await bob.db.run(lambda tx: contacts.set_matched(tx, row.id))
    older = older_device(bob.alice)
    assert (await bob.take(bob.flies(older, (await bob.gives()).bundle)[1])).newer is None
    await bob.accepts(bob.flies(bob.alice, (await bob.gives()).bundle)[1])
    assert (await bob.take(bob.flies(older, (await bob.gives()).bundle)[1])).newer == bob.alice.cert.raw


async def test_whoever_is_chosen_instead_begins_without_a_device(bob: Receiving) -> None:
    old, _, _ = await restored(bob)
    ((row_id, cert),) = await bob.db.run(lambda tx: tx.all("SELECT id, cert FROM contact"))
    assert cert is not None
    await bob.db.run(lambda tx: contacts.choose(tx, row_id, bob.carol.cert.root, bob.now_s))
    assert await bob.db.run(lambda tx: tx.all("SELECT cert FROM contact")) == [(None,)]
    _, envelope = sealed(bob, old, 1, "too late")
    assert (await bob.take(envelope)).newer is None


async def test_both_devices_at_once_are_told_apart(bob: Receiving) -> None:
    old, newer, new = await restored(bob)
    _, theirs = sealed(bob, new, 1, "from the new one")
    _, envelope = sealed(bob, old, 1, "from the old one")
    answer = await bob.take(theirs, envelope)
    assert (len(answer.acks), answer.newer) == (2, newer.cert.raw)
