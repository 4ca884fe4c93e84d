"""Attacks that worked against earlier designs and prototypes of this protocol, each against a node as it is now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgpack
import pytest
from msgspec import structs

from p2pchat.base.errors import DecryptionError, HandshakeError
from p2pchat.core.crypto import KeyPair
from p2pchat.core.handshake import accept
from p2pchat.core.keys import Identity, open_cert
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.prekeys import PrekeySecret, SignedPrekey, make_bundle, open_bundle, prekey_id
from p2pchat.core.session import Session, accept_session, open_envelope, open_session, seal
from p2pchat.core.wire import Flight, eid
from p2pchat.services.deliver import sending_session
from p2pchat.store import prekeys, sessions
from p2pchat.store.db import Row, Tx
from p2pchat.store.sessions import SessionRow
from tests.unit.services.receiving import GREETING, PEER, Receiving, frame, text
from tests.vectors import independent_session as second


@pytest.fixture
async def bob() -> AsyncIterator[Receiving]:
    receiving = Receiving()
    yield receiving
    await receiving.db.close()


async def own_end(bob: Receiving, contact: int) -> SessionRow:
    """Bob's end of the session that he sends on."""
    row = await bob.db.run(lambda tx: sending_session(tx, contact))
    assert row is not None
    return row


# --- posing as a contact -------------------------------------------------------------------------------------------


def posing_as_alice(bob: Receiving, stolen: PrekeySecret, dh0: bytes) -> Flight:
    """By one who has all private keys of Bob's bundle, and neither Alice's nor Bob's ik: DH0 is a guess."""
    assert stolen.opk is not None
    e, ik_a, ik_b = b"e" * 32, bob.alice.cert.ik, bob.bob.cert.ik
    ss, kct = second.encapsulate(second.kem_public(stolen.kem_seed))
    ephemeral, ones = second.x_public(e), b"\xff" * 32
    dh1, dh2 = second.x25519(stolen.spk.secret, ik_a), second.x25519(e, ik_b)
    dh3, dh4 = second.x25519(stolen.spk.secret, ephemeral), second.x25519(stolen.opk.secret, ephemeral)
    parts = (bob.alice.cert.c, bob.bob.cert.c, stolen.bundle, ephemeral, kct)
    ad = second.blake2b(b"p2pchat/1 x\0" + bob.now_ms.to_bytes(8, "big") + b"".join(map(second.lp, parts)), 32)
    ikm = ones + dh0 + dh1 + dh2 + dh3 + dh4 + ss
    ratchet = second.Ratchet(second.hkdf(bytes(32), ikm, b"p2pchat/1 PQXDH" + ad, 32), ad)
    ratchet.start_a(stolen.spk.public, b"r" * 32, b"k" * 64)
    ks = second.hkdf(bytes(32), ones + dh2 + dh3 + ss, b"p2pchat/1 sender", 32)
    sender = second.aead(ks, bytes(24), second.pack([bob.now_ms, bob.alice.cert.raw]), ephemeral + kct)
    return Flight(ephemeral, kct, stolen.prekey_id, sender, ratchet.seal(text(1, "I am Alice"), b"n" * 24)[0])


async def test_who_stole_a_signed_prekey_and_all_of_its_bundle_does_not_pose_as_a_contact(bob: Receiving) -> None:
    alice = await bob.knows(bob.alice)
    stolen = await bob.gives()
    assert stolen.opk is not None
    by_the_thief = [
        b"",
        bytes(32),
        second.x25519(b"e" * 32, bob.bob.cert.ik),
        second.x25519(stolen.spk.secret, bob.alice.cert.ik),
        second.x25519(stolen.spk.secret, bob.bob.cert.ik),
        second.x25519(stolen.opk.secret, bob.alice.cert.ik),
    ]
    await bob.refuses(*(posing_as_alice(bob, stolen, dh0) for dh0 in by_the_thief))
    assert await bob.texts(alice.id) == []
    dh0 = second.x25519(bob.alice.ik.secret, bob.bob.cert.ik)
    await bob.accepts(posing_as_alice(bob, stolen, dh0))  # nothing else was wrong with these
    assert await bob.texts(alice.id) == ["I am Alice"]


# --- another's device ----------------------------------------------------------------------------------------------


def listed(owner: Identity, *, device: KeyPair, ik: KeyPair, signed_by: KeyPair) -> bytes:
    """A certificate of the owner's root for what may be another's device."""
    c = second.pack([1, owner.root.public, owner.cert.epoch_ms, device.public, ik.public])
    signatures = (
        second.sign(owner.root.secret, b"p2pchat/1 device\0" + c),
        second.sign(signed_by.secret, b"p2pchat/1 member\0" + c),
    )
    return second.pack([c, *signatures])


async def test_nobody_lists_anothers_device_under_a_root_of_their_own(bob: Receiving) -> None:
    """Carol is a contact, too, and would be taken for the owner of Alice's device."""
    alice, carol = bob.alice, bob.carol
    await bob.knows(carol)
    raw = listed(carol, device=alice.device, ik=alice.ik, signed_by=carol.device)
    with pytest.raises(HandshakeError):
        open_cert(raw, bob.now_ms)
    spliced = msgpack.unpackb(raw)
    spliced[2] = msgpack.unpackb(alice.cert.raw)[2]  # Alice's device has signed that it belongs to Alice
    with pytest.raises(HandshakeError):
        open_cert(second.pack(spliced), bob.now_ms)
    for wrong in (raw, second.pack(spliced)):
        liar = replace(carol, cert=replace(carol.cert, raw=wrong))
        await bob.refuses(bob.flies(liar, (await bob.gives()).bundle)[1])


async def test_anothers_ik_under_an_own_root_and_device_opens_nothing(bob: Receiving) -> None:
    """Such a certificate is well signed: ik signs nothing. What it is good for is nothing, in either direction."""
    alice, carol = bob.alice, bob.carol
    await bob.knows(carol)
    cert = open_cert(listed(carol, device=carol.device, ik=alice.ik, signed_by=carol.device), bob.now_ms)
    liar = replace(carol, cert=cert)
    await bob.refuses(bob.flies(liar, (await bob.gives()).bundle)[1])

    secret = make_bundle(liar, SignedPrekey(carol.ik, bob.now_s), bob.entropy, bob.now_s, PRODUCTION)
    bundle = open_bundle(secret.bundle, carol.cert.root, bob.now_s, PRODUCTION)
    session = open_session(bob.bob, bundle, bob.now_ms, bob.entropy, PRODUCTION)
    assert session.flight is not None
    with pytest.raises(DecryptionError):  # it does not even learn who asks
        accept(liar, secret, session.flight, bob.now_ms, PRODUCTION)


# --- oneself -------------------------------------------------------------------------------------------------------


async def test_an_own_flight_comes_to_nothing(bob: Receiving) -> None:
    """Sent back as it was, made by the own root with an own bundle, or with the own certificate in it."""
    await bob.knows(bob.alice)
    await bob.knows(bob.bob)  # even if one's own root had got into the book
    alices = make_bundle(bob.alice, SignedPrekey(bob.alice.ik, bob.now_s), bob.entropy, bob.now_s, PRODUCTION)
    bundle = open_bundle(alices.bundle, bob.alice.cert.root, bob.now_s, PRODUCTION)
    session = open_session(bob.bob, bundle, bob.now_ms, bob.entropy, PRODUCTION)
    session, sealed = seal(session, GREETING, bob.entropy, PRODUCTION)
    own = await bob.gives()
    reflected = frame(session, sealed.envelope)
    await bob.refuses(reflected, structs.replace(reflected, prekey_id=own.prekey_id), sealed.envelope)
    with pytest.raises(HandshakeError):
        bob.flies(bob.bob, own.bundle)
    # who has all of one's keys and looks past the own check: everything else about this flight is right
    twin = replace(bob.bob, cert=replace(bob.bob.cert, root=bob.alice.cert.root))
    await bob.refuses(bob.flies(twin, own.bundle)[1])


# --- with the store, later -----------------------------------------------------------------------------------------


def stored_bytes(rows: dict[str, list[Row]]) -> bytes:
    return b"".join(value for table in rows.values() for row in table for value in row if isinstance(value, bytes))


async def test_a_store_taken_after_a_flight_was_accepted_does_not_tell_who_wrote(bob: Receiving) -> None:
    """A sealed box to ik would: its owner's keys, taken at any time, name the sender of every flight on record."""
    await bob.knows(bob.alice)
    secret = await bob.gives()
    session, flight = bob.flies(bob.alice, secret.bundle)
    assert secret.opk is not None
    assert session.flight is not None
    before = stored_bytes(await bob.everything())
    await bob.accepts(flight)
    left = stored_bytes(await bob.everything())
    assert secret.spk.secret in left  # of other bundles, too
    for key in (secret.kem_seed, secret.opk.secret):
        assert key in before
        assert key not in left
    for guess in (replace(secret, kem_seed=bytes(64)), replace(secret, kem_seed=bytes(64), opk=None)):
        with pytest.raises(DecryptionError):
            accept(bob.bob, guess, session.flight, bob.now_ms, PRODUCTION)


# --- again ---------------------------------------------------------------------------------------------------------


async def test_a_retransmission_after_a_dh_step_is_acked_again_and_shown_once(bob: Receiving) -> None:
    """Its chain is gone by then: to the ratchet it is junk, and a Nack would have ended the session."""
    await bob.knows(bob.alice)
    session, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    [contact] = (first := await bob.accepts(flight)).contacts
    session, old = sealed_by(bob, session, 1)
    first_old = await bob.accepts(old)
    for number in range(2, 5):  # round trips: DH steps at both ends
        row = await own_end(bob, contact)
        answered, sealed = seal(row.session, GREETING, bob.entropy, PRODUCTION)
        await bob.db.run(lambda tx, row=row, answered=answered: sessions.save(tx, row, answered))  # type: ignore[misc]
        session, _, _ = open_envelope(session, sealed.envelope, bob.now_s, bob.entropy, PRODUCTION)
        session, envelope = sealed_by(bob, session, number)
        await bob.accepts(envelope)
    row = await own_end(bob, contact)
    assert row.session.ratchet.step == 4
    with pytest.raises(DecryptionError):
        open_envelope(row.session, old, bob.now_s, bob.entropy, PRODUCTION)
    before = await bob.texts(contact), row.session, await bob.rows("replay_tag")
    for _ in range(2):
        again = await bob.take(old, flight)
        assert again.acks == [*first_old.acks, *first.acks]
        assert again.nacks == []
    assert (await bob.texts(contact), (await own_end(bob, contact)).session, await bob.rows("replay_tag")) == before
    assert before[0] == ["1", "2", "3", "4"]


def sealed_by(bob: Receiving, session: Session, number: int) -> tuple[Session, bytes]:
    session, sealed = seal(session, text(number, str(number)), bob.entropy, PRODUCTION)
    return session, sealed.envelope


def first_answer(bob: Receiving, secret: PrekeySecret, session: Session, envelope: bytes, *, with_kct: bool) -> bytes:
    """Alice's, by the second implementation, to Bob's first flight."""
    alice, part, sending = bob.alice, session.flight, session.ratchet.sending
    assert part is not None
    assert secret.opk is not None
    assert sending is not None
    assert sending.kem_public is not None
    person = second.Person(alice.root.secret, alice.device.secret, alice.ik.secret, alice.cert.epoch_ms)
    keys = second.Prekeys(secret.spk.secret, secret.opk.secret, secret.kem_seed)
    flight = second.Flight(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender, b"", b"")
    ratchet = second.Ratchet(*second.accept_flight(person, keys, secret.bundle, flight)[:2])
    ratchet.start_b(secret.spk.secret)
    kem = second.encapsulate(sending.kem_public) if with_kct else (b"", b"")
    ratchet.open(envelope, b"d" * 32, b"", lambda _: kem)
    return ratchet.seal(text(1, "answer"), b"n" * 24)[0]


async def test_an_answer_that_leaves_out_its_ciphertext_is_refused(bob: Receiving) -> None:
    """A missing kct: whoever makes the answer cannot talk the one who began out of the KEM step."""
    contact = await bob.knows(bob.alice)
    secret = make_bundle(bob.alice, SignedPrekey(bob.alice.ik, bob.now_s), bob.entropy, bob.now_s, PRODUCTION)
    bundle = open_bundle(secret.bundle, bob.alice.cert.root, bob.now_s, PRODUCTION)
    session = open_session(bob.bob, bundle, bob.now_ms, bob.entropy, PRODUCTION)
    session, sealed = seal(session, GREETING, bob.entropy, PRODUCTION)
    await bob.db.run(lambda tx: sessions.add(tx, contact.id, session))
    await bob.refuses(first_answer(bob, secret, session, sealed.envelope, with_kct=False))
    await bob.accepts(first_answer(bob, secret, session, sealed.envelope, with_kct=True))


async def test_a_one_time_bundle_is_used_once(bob: Receiving) -> None:
    """By two people, or by one with two flights; together or one after the other, the first has it."""
    alice, _ = await bob.knows(bob.alice), await bob.knows(bob.carol)
    secret = await bob.gives()
    flights = [bob.flies(who, secret.bundle, text(1, "one"))[1] for who in (bob.alice, bob.carol, bob.alice)]
    answer = await bob.take(*flights)
    assert [acked for acked, _ in answer.acks] == [eid(flights[0].envelope)]
    assert answer.nacks == [eid(flight.envelope) for flight in flights[1:]]
    await bob.refuses(*flights[1:])
    assert await bob.rows("prekey") == []
    assert await bob.texts(alice.id) == ["one"]
    assert (await bob.take(flights[0])).acks == answer.acks  # the same flight again is a retransmission


# --- late ----------------------------------------------------------------------------------------------------------


def reusable(bob: Receiving, spk: SignedPrekey) -> PrekeySecret:
    """A bundle for a mailbox: valid for seven days, its private half kept as long as the signed prekey."""
    person = second.Person(bob.bob.root.secret, bob.bob.device.secret, bob.bob.ik.secret, bob.bob.cert.epoch_ms)
    keys = second.Prekeys(spk.pair.secret, None, b"k" * 64)
    raw = second.bundle(person, keys, bob.now_s, bob.now_s + PRODUCTION.bundle_life_max_s)
    kept_until_s = spk.made_s + PRODUCTION.spk_kept_s
    return PrekeySecret(prekey_id(raw), raw, spk.pair, None, keys.kem_seed, kept_until_s)


async def test_a_flight_is_taken_once_as_long_as_its_key_lives(bob: Receiving) -> None:
    """With a bundle that is not used up, its eid and its session forgotten: the replay tag is what remains."""
    alice = await bob.knows(bob.alice)
    secret = await bob.gives(lambda spk: reusable(bob, spk))
    _, flight = bob.flies(bob.alice, secret.bundle, text(1, "one"))
    await bob.accepts(flight)

    def forgotten(tx: Tx) -> None:
        for table in ("received", "session", "prekey"):
            tx.execute(f"DELETE FROM {table}")  # noqa: S608  named above
        prekeys.add(tx, secret, PEER)

    for day in range(23):
        await bob.db.run(forgotten)
        await bob.refuses(flight)
        if day < 21:
            assert await bob.rows("replay_tag") != []
        await bob.days_pass(1)
    assert await bob.texts(alice.id) == ["one"]


async def test_a_bundle_fetched_on_its_last_day_delivered_14_days_later(bob: Receiving) -> None:
    """A signed prekey serves a day, its bundle seven, and a mailbox may hold the flight for 14: 22 days in all."""
    await bob.knows(bob.alice)
    spk = SignedPrekey(bob.carol.ik, bob.now_s)  # any pair
    bob.now_ms += (PRODUCTION.spk_replaced_s - 1) * 1000  # the last bundle with it
    secret = reusable(bob, spk)
    bob.now_ms += (PRODUCTION.bundle_life_max_s - 1) * 1000  # the last second in which it may be taken up
    session, flight = bob.flies(bob.alice, secret.bundle)
    part = session.flight
    assert part is not None
    bob.now_ms += 1_000
    with pytest.raises(HandshakeError):
        bob.flies(bob.alice, secret.bundle)
    bob.now_ms += 14 * DAY_S * 1000
    assert bob.now_s < secret.expires_s
    accepted = accept_session(bob.bob, secret, part, flight.envelope, bob.now_ms, bob.entropy, PRODUCTION)
    assert (accepted[0].peer_root, accepted[1]) == (bob.alice.cert.root, GREETING)
    bob.now_ms = secret.expires_s * 1000
    with pytest.raises(HandshakeError):
        accept_session(bob.bob, secret, part, flight.envelope, bob.now_ms, bob.entropy, PRODUCTION)


async def test_a_one_time_bundle_delivered_14_days_later_is_refused_and_a_new_one_is_taken(bob: Receiving) -> None:
    """Those that a node gives out itself end after a day, and so do their keys; a Nack has the sender ask anew."""
    alice = await bob.knows(bob.alice)
    raw = (await bob.gives()).bundle
    bob.now_ms += (PRODUCTION.bundle_life_s - 1) * 1000
    _, flight = bob.flies(bob.alice, raw, text(1, "late"))
    await bob.days_pass(14)
    assert await bob.rows("prekey") == []
    await bob.refuses(flight)
    _, again = bob.flies(bob.alice, (await bob.gives()).bundle, text(1, "late"))
    await bob.accepts(again)
    assert await bob.texts(alice.id) == ["late"]
