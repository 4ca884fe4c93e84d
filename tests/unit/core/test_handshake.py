"""The first flight: both ends derive the same, and whatever is changed on the way is refused (PROTOCOL.md 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pchat.base.errors import DecodeError, DecryptionError, HandshakeError
from p2pchat.core.crypto import Entropy, kem_encapsulate, x25519_pair
from p2pchat.core.handshake import Accepted, FlightPart, Initiated, accept, initiate, replay_tag
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import PrekeySecret, make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.ratchet import decrypt, encrypt
from p2pchat.testing.entropy import SeededEntropy

NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000
REFUSED = (HandshakeError, DecodeError, DecryptionError)


class World:
    """Two people, a bundle of Bob, and one source of entropy."""

    def __init__(self) -> None:
        self.entropy: Entropy = SeededEntropy(7)
        self.alice = create_identity(self.entropy, NOW_MS - 5)
        self.bob = create_identity(self.entropy, NOW_MS - 9)
        self.spk = make_signed_prekey(self.entropy, NOW_S)
        self.secret = make_bundle(self.bob, self.spk, self.entropy, NOW_S, PRODUCTION)

    def initiate(self, *, identity: Identity | None = None, ms: int = NOW_MS) -> Initiated:
        bundle = open_bundle(self.secret.bundle, self.bob.cert.root, NOW_S, PRODUCTION)
        return initiate(identity or self.alice, bundle, ms, self.entropy, PRODUCTION)

    def accept(self, flight: FlightPart, *, secret: PrekeySecret | None = None, now_ms: int = NOW_MS) -> Accepted:
        return accept(self.bob, secret or self.secret, flight, now_ms, PRODUCTION)

    def agrees(self, initiated: Initiated, accepted: Accepted) -> bool:
        """Whether the acceptor opens what the initiator seals."""
        _, envelope, ack = encrypt(initiated.ratchet, b"content", initiated.ad, self.entropy)
        opened = decrypt(accepted.ratchet, envelope, accepted.ad, NOW_S, self.entropy, PRODUCTION)
        return opened[1:] == (b"content", ack)


@pytest.fixture
def world() -> World:
    return World()


def test_both_ends_agree(world: World) -> None:
    initiated = world.initiate()
    accepted = world.accept(initiated.flight)
    assert accepted.ad == initiated.ad
    assert accepted.cert == world.alice.cert
    assert accepted.ms == NOW_MS
    assert accepted.replay_tag == replay_tag(initiated.flight)
    assert world.agrees(initiated, accepted)


def test_both_ends_agree_without_a_one_time_key(world: World) -> None:
    bundle = open_bundle(world.secret.bundle, world.bob.cert.root, NOW_S, PRODUCTION)
    initiated = initiate(world.alice, replace(bundle, opk=None), NOW_MS, world.entropy, PRODUCTION)
    assert world.agrees(initiated, world.accept(initiated.flight, secret=replace(world.secret, opk=None)))
    with pytest.raises(DecryptionError):
        world.agrees(initiated, world.accept(initiated.flight))


def test_two_flights_share_nothing(world: World) -> None:
    one, two = world.initiate(), world.initiate()
    assert one.flight.ephemeral != two.flight.ephemeral
    assert one.flight.sender != two.flight.sender
    assert one.ad != two.ad
    assert replay_tag(one.flight) != replay_tag(two.flight)


Change = Callable[[FlightPart], FlightPart]


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


CHANGES: dict[str, Change] = {
    "ephemeral": lambda f: replace(f, ephemeral=flip(f.ephemeral, 0)),
    "unused bit of ephemeral": lambda f: replace(f, ephemeral=f.ephemeral[:31] + bytes([f.ephemeral[31] ^ 0x80])),
    "all-zero agreement": lambda f: replace(f, ephemeral=bytes(32)),
    "kem_ciphertext": lambda f: replace(f, kem_ciphertext=flip(f.kem_ciphertext, 500)),
    "kem_ciphertext length": lambda f: replace(f, kem_ciphertext=f.kem_ciphertext[1:]),
    "prekey_id": lambda f: replace(f, prekey_id=flip(f.prekey_id, 0)),
    "sender": lambda f: replace(f, sender=flip(f.sender, 3)),
    "no sender": lambda f: replace(f, sender=b""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_flight_is_refused(world: World, name: str) -> None:
    with pytest.raises(REFUSED):
        world.accept(CHANGES[name](world.initiate().flight))


def test_a_flight_with_the_sender_of_another_is_refused(world: World) -> None:
    with pytest.raises(DecryptionError):
        world.accept(replace(world.initiate().flight, sender=world.initiate().flight.sender))


def test_a_flight_for_another_bundle_is_refused(world: World) -> None:
    other = make_bundle(world.bob, world.spk, world.entropy, NOW_S, PRODUCTION)
    flight = world.initiate().flight
    with pytest.raises(HandshakeError):
        world.accept(flight, secret=other)
    with pytest.raises(DecryptionError):
        world.accept(replace(flight, prekey_id=other.prekey_id), secret=other)


def test_a_flight_is_refused_once_its_bundle_has_expired(world: World) -> None:
    flight = world.initiate().flight
    expires_ms = world.secret.expires_s * 1000
    world.accept(flight, now_ms=expires_ms - 1)
    with pytest.raises(HandshakeError):
        world.accept(flight, now_ms=expires_ms)


def test_the_own_root_is_refused_at_both_ends(world: World) -> None:
    with pytest.raises(HandshakeError):
        world.initiate(identity=world.bob)
    twin = replace(world.bob, cert=world.alice.cert)  # deceives its own check, and then shows Bob's certificate
    initiated = world.initiate(identity=twin)
    assert world.accept(initiated.flight).cert.root == world.alice.cert.root
    deceived = replace(world.alice, cert=replace(world.alice.cert, raw=world.bob.cert.raw))
    with pytest.raises(HandshakeError):
        world.accept(world.initiate(identity=deceived).flight)


def test_time_may_be_ten_minutes_ahead_and_no_more(world: World) -> None:
    assert world.accept(world.initiate(ms=NOW_MS + 600_000).flight).ms == NOW_MS + 600_000
    with pytest.raises(HandshakeError):
        world.accept(world.initiate(ms=NOW_MS + 600_001).flight)


def test_a_device_from_the_future_is_refused(world: World) -> None:
    with pytest.raises(HandshakeError):
        world.accept(world.initiate(identity=create_identity(world.entropy, NOW_MS + 600_001)).flight)


def test_time_is_bound_into_the_session(world: World) -> None:
    initiated = world.initiate()
    accepted = world.accept(initiated.flight)
    later = accept(world.bob, world.secret, initiated.flight, NOW_MS + 1, PRODUCTION)
    assert later == accepted  # the receiver's clock is not


def test_who_stole_the_signed_prekey_cannot_pose_as_the_initiator(world: World) -> None:
    """DH0 and DH1 need Alice's ik: with Bob's spk and her certificate alone nothing opens."""
    mallory = replace(create_identity(world.entropy, NOW_MS), cert=world.alice.cert)
    initiated = world.initiate(identity=mallory)
    accepted = world.accept(initiated.flight)
    assert accepted.cert == world.alice.cert
    with pytest.raises(DecryptionError):
        world.agrees(initiated, accepted)


def test_a_bundle_spliced_from_two_does_not_open(world: World) -> None:
    other = make_bundle(world.bob, world.spk, world.entropy, NOW_S, PRODUCTION)
    initiated = world.initiate()
    for wrong in (
        replace(world.secret, bundle=other.bundle),
        replace(world.secret, opk=other.opk),
    ):
        with pytest.raises(DecryptionError):
            world.agrees(initiated, world.accept(initiated.flight, secret=wrong))
    for wrong in (replace(world.secret, kem_seed=other.kem_seed), replace(world.secret, spk=x25519_pair(b"s" * 32))):
        with pytest.raises(DecryptionError):
            world.accept(initiated.flight, secret=wrong)


@pytest.mark.parametrize("field", ["spk", "opk"])
def test_a_bundle_with_a_low_order_key_is_refused(world: World, field: str) -> None:
    bundle = open_bundle(world.secret.bundle, world.bob.cert.root, NOW_S, PRODUCTION)
    bad = replace(bundle, spk=bytes(32)) if field == "spk" else replace(bundle, opk=bytes(32))
    with pytest.raises(HandshakeError):
        initiate(world.alice, bad, NOW_MS, world.entropy, PRODUCTION)


def test_a_bundle_with_a_malformed_kem_key_is_refused(world: World) -> None:
    bundle = open_bundle(world.secret.bundle, world.bob.cert.root, NOW_S, PRODUCTION)
    with pytest.raises(HandshakeError):
        initiate(world.alice, replace(bundle, kem=b"\xff" * 1184), NOW_MS, world.entropy, PRODUCTION)


def test_the_replay_tag_survives_every_change_that_keeps_the_agreement(world: World) -> None:
    flight = world.initiate().flight
    assert replay_tag(replace(flight, sender=b"", prekey_id=bytes(16))) == replay_tag(flight)
    assert replay_tag(CHANGES["unused bit of ephemeral"](flight)) != replay_tag(flight)  # and such a one is refused


def test_the_sender_is_not_visible(world: World) -> None:
    flight = world.initiate().flight
    wire = flight.ephemeral + flight.kem_ciphertext + flight.prekey_id + flight.sender
    for public in (world.alice.root.public, world.alice.device.public, world.alice.ik.public):
        assert public not in wire


def test_kem_is_needed(world: World) -> None:
    """With every X25519 key broken, the KEM secret still keeps sender and session apart."""
    flight = world.initiate().flight
    _, other = kem_encapsulate(open_bundle(world.secret.bundle, world.bob.cert.root, NOW_S, PRODUCTION).kem)
    with pytest.raises(DecryptionError):
        world.accept(replace(flight, kem_ciphertext=other))
