"""Every byte of a first flight and of an envelope changed, parts of two put together, and keys that are not enough
(PROTOCOL.md 4.2 to 4.4): refused with a declared error, and the stored bytes stay what they were.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Final

import pytest
from msgspec import structs

from p2pchat.base.errors import DecodeError, DecryptionError, HandshakeError, PeerError
from p2pchat.core import handshake
from p2pchat.core import ratchet as dr
from p2pchat.core import session as ss
from p2pchat.core.crypto import aead_open, aead_seal, kem_public, x25519_pair
from p2pchat.core.envelope import Header, decode_header, encode_header, join_prefix, split_envelope
from p2pchat.core.handshake import FlightPart, accept
from p2pchat.core.keys import create_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import dump_prekey, open_bundle
from p2pchat.core.session import Session
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, Flown, fly, land, session_pair
from tests.unit.core.ratchet_ends import AD, End, ends, talking

NOW_MS: Final = NOW_S * 1000
OF_FLIGHTS: Final = (DecodeError, DecryptionError, HandshakeError)
OF_ENVELOPES: Final = (DecodeError, DecryptionError)
LABEL: Final = b"p2pchat/1 hdr"


def flips(data: bytes, bits: int = 8) -> Iterator[bytes]:
    """``data`` with one bit changed, in every byte: all 8, or one whose place goes round."""
    for position in range(len(data)):
        for bit in range(8) if bits == 8 else (position % 8,):
            yield data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]


def stored(session: Session) -> tuple[bytes, bytes]:
    return ss.dump_session(session), ss.dump_skipped(session)


class World:
    """Alice's first flight to Bob, on the way."""

    def __init__(self) -> None:
        self.entropy = SeededEntropy(31)
        self.alice, self.bob, self.carol = (create_identity(self.entropy, NOW_MS - n) for n in range(3))
        self.flown = fly(self.alice, self.bob, self.entropy)
        assert self.flown.session.flight is not None
        self.flight = self.flown.session.flight

    def refused(self, flight: FlightPart, envelope: bytes, *errors: type[PeerError]) -> None:
        bundle = dump_prekey(self.flown.secret)
        with pytest.raises(errors or OF_FLIGHTS) as caught:
            self.accept(flight, envelope)
        assert caught.type in (errors or OF_FLIGHTS)  # itself, and no class below it
        assert dump_prekey(self.flown.secret) == bundle

    def accept(self, flight: FlightPart, envelope: bytes) -> Session:
        bob, secret = self.bob, self.flown.secret
        return ss.accept_session(bob, secret, flight, envelope, NOW_MS, self.entropy, PRODUCTION)[0]

    @property
    def envelope(self) -> bytes:
        return self.flown.sealed.envelope


@pytest.fixture
def world() -> World:
    return World()


# --- every byte ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "bits"), [("ephemeral", 8), ("kem_ciphertext", 1), ("prekey_id", 8), ("sender", 8)], ids=str
)
def test_no_bit_of_a_flight_may_change(world: World, part: str, bits: int) -> None:
    for changed in flips(getattr(world.flight, part), bits):
        world.refused(replace(world.flight, **{part: changed}), world.envelope)
    world.accept(world.flight, world.envelope)


def test_no_part_of_a_flight_is_left_out() -> None:
    assert {field.name for field in fields(FlightPart)} == {"ephemeral", "kem_ciphertext", "prekey_id", "sender"}


def test_no_bit_of_a_flights_envelope_may_change(world: World) -> None:
    accepted = accept(world.bob, world.flown.secret, world.flight, NOW_MS, PRODUCTION)
    before = dr.dump_core(accepted.ratchet)
    for changed in flips(world.envelope):
        with pytest.raises(OF_ENVELOPES):
            dr.decrypt(accepted.ratchet, changed, accepted.ad, NOW_S, world.entropy, PRODUCTION)
    assert dr.dump_core(accepted.ratchet) == before
    for changed in flips(world.envelope[-300:], 1):
        world.refused(world.flight, world.envelope[:-300] + changed)


@pytest.mark.parametrize("kem", [False, True], ids=["plain", "with KEM key and ciphertext"])
def test_no_bit_of_an_envelope_may_change_and_none_be_cut_or_added(kem: bool) -> None:
    entropy = SeededEntropy(32)
    params = replace(PRODUCTION, kem_every=1 if kem else 16)
    a, b = session_pair(entropy, params)
    for _ in range(2):
        b, sealed = ss.seal(b, b"to a", entropy, params)
        a, _, _ = ss.open_envelope(a, sealed.envelope, NOW_S, entropy, params)
        a, sealed = ss.seal(a, b"to b", entropy, params)
        b, _, _ = ss.open_envelope(b, sealed.envelope, NOW_S, entropy, params)
    for step in (True, False):  # a DH step, then a message within its chain
        receiver, sender = (a, b) if step else (b, a)
        sender, sealed = ss.seal(sender, b"content", entropy, params)
        assert (len(sealed.envelope) > 2_000) is kem
        before = stored(receiver)
        cuts = (sealed.envelope[:length] for length in range(len(sealed.envelope)))
        for changed in (*flips(sealed.envelope, 1 if kem else 8), *cuts, sealed.envelope + b"\0"):
            with pytest.raises(OF_ENVELOPES) as caught:
                ss.open_envelope(receiver, changed, NOW_S, entropy, params)
            assert caught.type in OF_ENVELOPES
        assert stored(receiver) == before
        ss.open_envelope(receiver, sealed.envelope, NOW_S, entropy, params)


# --- splices -------------------------------------------------------------------------------------------------------


def parts_of(envelope: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    parts = split_envelope(envelope)
    return parts.hint, parts.nonce, parts.sealed_header, parts.sealed_body


@pytest.mark.parametrize("kind", ["one chain", "two chains", "two sessions"])
def test_no_envelope_is_made_of_two(kind: str) -> None:
    """Every choice of hint, nonce, header and body from two that would both open."""
    a, b = talking()
    first = a.send(b"first")
    if kind == "two sessions":
        other = dr.start_initiator(b"o" * 32, x25519_pair(b"p" * 32).public, SeededEntropy(8), PRODUCTION)
        second = End(other, SeededEntropy(8)).send(b"second")
    else:
        if kind == "two chains":
            b.open(a.send(b"between"))
            a.open(b.send())
        second = a.send(b"second")
    of_each, before = (parts_of(first), parts_of(second)), b.state
    spliced = {
        join_prefix(*(of_each[choice >> n & 1][n] for n in range(3))) + of_each[choice >> 3][3] for choice in range(16)
    }
    assert len(spliced - {first, second}) == (6 if kind == "one chain" else 14)  # where the hint is the same
    for envelope in spliced - {first, second}:
        with pytest.raises(OF_ENVELOPES):
            b.open(envelope)
        assert b.state is before
    assert b.open(first) == b"first"


def test_an_envelope_opens_under_its_own_ad_alone() -> None:
    a, b = talking()
    envelope = a.send()
    for ad in (*flips(AD, 1), b"", AD + b"\0"):
        with pytest.raises(DecryptionError):
            dr.decrypt(b.state, envelope, ad, NOW_S, b.entropy, PRODUCTION)


def test_no_part_of_a_flight_goes_with_another(world: World) -> None:
    """From Alice and from Carol, to one and the same bundle: every choice of parts but the two honest ones."""
    bundle = open_bundle(world.flown.secret.bundle, world.bob.cert.root, NOW_S, PRODUCTION)
    carols = ss.open_session(world.carol, bundle, NOW_MS, world.entropy, PRODUCTION)
    carols, sealed = ss.seal(carols, HELLO, world.entropy, PRODUCTION)
    assert carols.flight is not None
    flights, envelopes = (world.flight, carols.flight), (world.envelope, sealed.envelope)
    for choice in range(1, 15):
        e, kct, sender, envelope = (choice >> n & 1 for n in range(4))
        part = FlightPart(
            flights[e].ephemeral, flights[kct].kem_ciphertext, world.flight.prekey_id, flights[sender].sender
        )
        world.refused(part, envelopes[envelope], DecryptionError)
    assert world.accept(*(flights[1], envelopes[1])).peer_root == world.carol.cert.root


def test_a_flight_with_another_cert_is_refused_whoever_puts_it_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even who can seal the sender part anew, as Alice herself or a thief of Bob's prekeys can."""
    keys: list[bytes] = []
    sender_key = handshake._sender_key

    def noted(*args: bytes) -> bytes:
        keys.append(sender_key(*args))
        return keys[-1]

    monkeypatch.setattr(handshake, "_sender_key", noted)
    world.accept(world.flight, world.envelope)
    aad = world.flight.ephemeral + world.flight.kem_ciphertext
    plain = aead_open(keys[-1], bytes(24), world.flight.sender, aad)
    assert world.alice.cert.raw in plain
    other = plain.replace(world.alice.cert.raw, world.carol.cert.raw)
    assert other != plain
    world.refused(
        replace(world.flight, sender=aead_seal(keys[-1], bytes(24), other, aad)), world.envelope, DecryptionError
    )


# --- keys that are not enough --------------------------------------------------------------------------------------


Change = Callable[[Header], Header]


def resealed(end: End, envelope: bytes, change: Change = lambda header: header, ad: bytes = AD) -> bytes:
    """What one makes who has the header key and not the body's: another header under the same nonce."""
    assert end.state.sending is not None
    key, parts = end.state.sending.header.key, split_envelope(envelope)
    header = decode_header(aead_open(key, parts.nonce, parts.sealed_header, LABEL + AD))
    sealed = aead_seal(key, parts.nonce, encode_header(change(header)), LABEL + ad)
    return join_prefix(parts.hint, parts.nonce, sealed) + parts.sealed_body


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header: structs.replace(header, pn=7), id="pn"),
        pytest.param(lambda header: structs.replace(header, kem_public=None), id="no KEM key"),
        pytest.param(lambda header: structs.replace(header, kem_public=kem_public(bytes(64))), id="another KEM key"),
    ],
)
def test_a_body_is_bound_to_its_header(change: Change) -> None:
    """Without associated data who holds a header key could choose the KEM key that the answer is encapsulated to."""
    a, b = ends()
    envelope = a.send()
    assert resealed(a, envelope) == envelope
    b.refuses(resealed(a, envelope, change), DecryptionError)
    b.open(envelope)


def test_a_body_is_bound_to_its_session() -> None:
    """A header sealed anew under another ad does not take the body along."""
    a, b = talking()
    other = b"b" * 32
    with pytest.raises(DecryptionError):
        dr.decrypt(b.state, resealed(a, a.send(), ad=other), other, NOW_S, b.entropy, PRODUCTION)


# --- the KEM secret ------------------------------------------------------------------------------------------------


class WrongSecret(SeededEntropy):
    """Encapsulates well and gives another secret: who has broken X25519, but not ML-KEM."""

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        _, ciphertext = super().encapsulate(kem_public)
        return bytes(32), ciphertext


def flight_without_kem(world: World) -> tuple[Flown, FlightPart]:
    bundle = open_bundle(world.flown.secret.bundle, world.bob.cert.root, NOW_S, PRODUCTION)
    session = ss.open_session(world.alice, bundle, NOW_MS, WrongSecret(5), PRODUCTION)
    session, sealed = ss.seal(session, HELLO, world.entropy, PRODUCTION)
    assert session.flight is not None
    return Flown(session, sealed, world.bob, world.flown.secret), session.flight


def test_the_sender_part_needs_the_kem_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_session_key", lambda dh, ss, ad: dh[:32])
    flown, flight = flight_without_kem(world)
    with pytest.raises(DecryptionError):
        accept(world.bob, flown.secret, flight, NOW_MS, PRODUCTION)


def test_the_session_needs_the_kem_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_sender_key", lambda dh2, dh3, ss: dh2)
    flown, flight = flight_without_kem(world)
    accept(world.bob, flown.secret, flight, NOW_MS, PRODUCTION)  # the sender part opens; the envelope must not
    with pytest.raises(DecryptionError):
        land(flown, world.entropy)


def test_a_dh_step_needs_the_kem_secret_at_the_end_that_answers() -> None:
    a, b = ends()
    b.entropy = WrongSecret(6)
    b.open(a.send())
    a.refuses(b.send(), DecryptionError)


def test_a_dh_step_needs_the_kem_secret_at_the_end_that_asked() -> None:
    a, b = ends()
    b.open(a.send())
    assert a.state.sending is not None
    a.state = structs.replace(a.state, sending=structs.replace(a.state.sending, kem_seed=bytes(64)))
    a.refuses(b.send(), DecryptionError)
