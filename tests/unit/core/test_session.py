"""Sessions: opened and accepted, confirmed, chosen among several, and remembered (PROTOCOL.md 4.2, 4.6)."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from itertools import permutations

import msgspec
import pytest
from msgspec import structs

from p2pchat.base.errors import Corrupt, DecryptionError, HandshakeError, InternalError, PeerError, ReplayError
from p2pchat.core import session as ss
from p2pchat.core.handshake import accept, initiate
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.session import Session
from p2pchat.core.wire import CONTENT_MAX_BYTES, ENVELOPE_MAX_BYTES, eid
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, fly, land, session_pair

NOW_MS = NOW_S * 1000


@pytest.fixture
def entropy() -> SeededEntropy:
    return SeededEntropy(11)


@pytest.fixture
def alice(entropy: SeededEntropy) -> Identity:
    return create_identity(entropy, NOW_MS - 2)


@pytest.fixture
def bob(entropy: SeededEntropy) -> Identity:
    return create_identity(entropy, NOW_MS - 1)


def deliver(
    entropy: SeededEntropy, sender: Session, receiver: Session, content: bytes = b"c"
) -> tuple[Session, Session]:
    """One envelope from ``sender`` to ``receiver``, acked."""
    sender, sealed = ss.seal(sender, content, entropy, PRODUCTION)
    receiver, opened, ack = ss.open_envelope(receiver, sealed.envelope, NOW_S, entropy, PRODUCTION)
    assert (opened, ack) == (content, sealed.ack)
    return sender, receiver


def test_both_ends_know_the_same_session(entropy: SeededEntropy, alice: Identity, bob: Identity) -> None:
    flown = fly(alice, bob, entropy, ms=NOW_MS + 7)
    a, b = flown.session, land(flown, entropy)
    assert (a.peer_root, a.peer_epoch_ms) == (bob.cert.root, NOW_MS - 1)
    assert (b.peer_root, b.peer_epoch_ms) == (alice.cert.root, NOW_MS - 2)
    assert (a.initiator, b.initiator) == (True, False)
    assert (a.ad, a.ms) == (b.ad, b.ms)
    assert a.ms == NOW_MS + 7
    assert len(a.ad) == 32
    for _ in range(3):
        b, a = deliver(entropy, b, a)
        a, b = deliver(entropy, a, b)


def test_a_session_is_confirmed_by_whatever_opens(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    assert not a.confirmed
    assert a.flight is not None
    assert b.confirmed
    assert b.flight is None
    a, _ = ss.seal(a, b"again", entropy, PRODUCTION)
    assert not a.confirmed
    b, a = deliver(entropy, b, a)
    assert a.confirmed
    assert a.flight is None


def test_a_session_is_confirmed_by_an_ack(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    confirmed = a.confirm()
    assert (confirmed.confirmed, confirmed.flight) == (True, None)
    assert confirmed.ratchet is a.ratchet
    assert b.confirm() is b


def test_sealed_tells_its_eid(entropy: SeededEntropy) -> None:
    _, sealed = ss.seal(session_pair(entropy)[0], b"c", entropy, PRODUCTION)
    assert sealed.eid == eid(sealed.envelope)


def test_the_largest_content_makes_the_largest_envelope(entropy: SeededEntropy) -> None:
    a, _ = session_pair(entropy)
    _, sealed = ss.seal(a, bytes(CONTENT_MAX_BYTES), entropy, PRODUCTION)
    assert len(sealed.envelope) == ENVELOPE_MAX_BYTES - 1088  # it advertises a KEM key and answers none
    with pytest.raises(InternalError):
        ss.seal(a, bytes(CONTENT_MAX_BYTES + 1), entropy, PRODUCTION)


def test_a_flight_whose_envelope_does_not_open_yields_nothing(
    entropy: SeededEntropy, alice: Identity, bob: Identity
) -> None:
    flown, other = fly(alice, bob, entropy), fly(alice, bob, entropy)
    with pytest.raises(DecryptionError):
        land(replace(flown, sealed=other.sealed), entropy)
    body = flown.sealed.envelope[:-1] + bytes([flown.sealed.envelope[-1] ^ 1])
    with pytest.raises(DecryptionError):
        land(replace(flown, sealed=structs.replace(flown.sealed, envelope=body)), entropy)
    land(flown, entropy)


def test_the_own_flight_is_refused(entropy: SeededEntropy, bob: Identity) -> None:
    with pytest.raises(HandshakeError):
        fly(bob, bob, entropy)


def test_a_later_envelope_may_land_with_the_flight(entropy: SeededEntropy, alice: Identity, bob: Identity) -> None:
    flown = fly(alice, bob, entropy)
    a, second = ss.seal(flown.session, b"second", entropy, PRODUCTION)
    b = land(replace(flown, sealed=second), entropy)
    b, opened, _ = ss.open_envelope(b, flown.sealed.envelope, NOW_S, entropy, PRODUCTION)
    assert opened == HELLO
    b, a = deliver(entropy, b, a)


def test_a_refused_envelope_changes_nothing(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    a, sealed = ss.seal(a, b"c", entropy, PRODUCTION)
    opened, _, _ = ss.open_envelope(b, sealed.envelope, NOW_S, entropy, PRODUCTION)
    with pytest.raises(ReplayError):
        ss.open_envelope(opened, sealed.envelope, NOW_S, entropy, PRODUCTION)
    with pytest.raises(DecryptionError):
        ss.open_envelope(a, sealed.envelope, NOW_S, entropy, PRODUCTION)


# --- several sessions ----------------------------------------------------------------------------------------------


def test_next_ms() -> None:
    assert ss.next_ms(1_000, 0, PRODUCTION) == 1_000
    assert ss.next_ms(1_000, 999, PRODUCTION) == 1_000
    assert ss.next_ms(1_000, 1_000, PRODUCTION) == 1_001
    assert ss.next_ms(1_000, 5_000, PRODUCTION) == 5_001


def test_a_clock_that_was_ahead_does_not_move_the_ms_of_new_sessions() -> None:
    skew_ms = PRODUCTION.skew_s * 1000
    assert ss.next_ms(1_000, 999 + skew_ms, PRODUCTION) == 1_000 + skew_ms  # the peer takes it still
    assert ss.next_ms(1_000, 1_000 + skew_ms, PRODUCTION) == 1_000


def test_no_session_no_choice() -> None:
    assert ss.choose_sending([]) is None


@pytest.mark.parametrize("ms_b", [NOW_MS - 1, NOW_MS, NOW_MS + 1])
def test_crossed_first_flights_converge(entropy: SeededEntropy, alice: Identity, bob: Identity, ms_b: int) -> None:
    from_a, from_b = fly(alice, bob, entropy, ms=NOW_MS), fly(bob, alice, entropy, ms=ms_b)
    of_a = [from_a.session, land(from_b, entropy)]
    of_b = [from_b.session, land(from_a, entropy)]
    chosen_a, chosen_b = ss.choose_sending(of_a), ss.choose_sending(of_b)
    assert chosen_a is not None
    assert chosen_b is not None
    assert chosen_a.ad == chosen_b.ad
    if ms_b != NOW_MS:
        assert chosen_a.ms == max(ms_b, NOW_MS)
    else:
        assert chosen_a.ad == min(session.ad for session in of_a)
    a, b = deliver(entropy, chosen_a, chosen_b)
    deliver(entropy, b, a)
    other_a, other_b = (next(s for s in of if s.ad != chosen_a.ad) for of in (of_a, of_b))
    deliver(entropy, other_a, other_b)  # the one that lost still receives


def test_the_choice_does_not_depend_on_the_order(entropy: SeededEntropy, alice: Identity, bob: Identity) -> None:
    sessions = [fly(alice, bob, entropy, ms=NOW_MS + n // 2).session for n in range(4)]
    chosen = {ss.choose_sending(order) for order in permutations(sessions)}
    assert len(chosen) == 1
    assert chosen == {min(sessions[2:], key=lambda session: session.ad)}


def test_only_the_newest_device_is_sent_to(entropy: SeededEntropy, alice: Identity, bob: Identity) -> None:
    old = fly(alice, bob, entropy, ms=NOW_MS + 500).session
    newer_bob = replace(create_identity(entropy, NOW_MS + 1), root=bob.root)
    new = structs.replace(fly(alice, newer_bob, entropy, ms=NOW_MS).session, peer_root=old.peer_root)
    assert ss.choose_sending([old, new]) is new
    assert ss.choose_sending([old], highest_epoch_ms=old.peer_epoch_ms) is old
    assert ss.choose_sending([old], highest_epoch_ms=old.peer_epoch_ms + 1) is None


# --- the disk ------------------------------------------------------------------------------------------------------


def reload(session: Session) -> Session:
    return ss.load_session(ss.dump_session(session), ss.dump_skipped(session))


def test_a_session_survives_the_disk(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    assert reload(a) == a
    assert reload(b) == b
    for _ in range(3):
        a, _ = ss.seal(reload(a), b"lost", entropy, PRODUCTION)
        a, b = deliver(entropy, reload(a), reload(b))
        b, a = deliver(entropy, reload(b), reload(a))
    assert b.ratchet.skipped != ()
    assert reload(b) == b
    assert type(reload(a).peer_root) is type(a.peer_root)


def test_a_session_that_was_stored_before_there_was_an_rdv(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    old = structs.replace(a, rdv=None)
    assert ss.dump_session(old)[1] == 1  # the version of the form: the older one
    assert reload(old) == old
    assert a.rdv is not None
    assert a.rdv == b.rdv  # at both ends of one session, and of no other
    assert session_pair(entropy)[0].rdv != a.rdv


def test_dump_session_leaves_skipped_keys_out(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    for _ in range(900):
        a, _ = ss.seal(a, b"lost", entropy, PRODUCTION)
    a, sealed = ss.seal(a, b"last", entropy, PRODUCTION)
    before = len(ss.dump_session(b))
    b, _, _ = ss.open_envelope(b, sealed.envelope, NOW_S, entropy, PRODUCTION)
    assert len(ss.dump_session(b)) < before + 16
    assert len(ss.dump_skipped(b)) > 900 * 64


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_damaged_session_is_the_disks_fault(entropy: SeededEntropy, cut: int) -> None:
    a, _ = session_pair(entropy)
    core, skipped = ss.dump_session(a), ss.dump_skipped(a)
    with pytest.raises(Corrupt):
        ss.load_session(core[:cut], skipped)
    with pytest.raises(Corrupt):
        ss.load_session(core, skipped[:0])


# --- secrecy -------------------------------------------------------------------------------------------------------


def bytes_within(value: object) -> list[bytes]:
    """Every byte string, at whatever depth, of 8 bytes or more."""
    if isinstance(value, bytes):
        return [bytes(value)] if len(value) >= 8 else []
    if isinstance(value, tuple):
        return [found for part in value for found in bytes_within(part)]
    if is_dataclass(value):
        return [found for field in fields(value) for found in bytes_within(getattr(value, field.name))]
    if isinstance(value, msgspec.Struct):
        return [found for name in value.__struct_fields__ for found in bytes_within(getattr(value, name))]
    return []


def test_no_repr_shows_bytes(entropy: SeededEntropy, alice: Identity, bob: Identity) -> None:
    spk = make_signed_prekey(entropy, NOW_S)
    secret = make_bundle(bob, spk, entropy, NOW_S, PRODUCTION)
    bundle = open_bundle(secret.bundle, bob.cert.root, NOW_S, PRODUCTION)
    initiated = initiate(alice, bundle, NOW_MS, entropy, PRODUCTION)
    accepted = accept(bob, secret, initiated.flight, NOW_MS, PRODUCTION)
    a, b = session_pair(entropy)
    a, _ = ss.seal(a, b"lost", entropy, PRODUCTION)
    a, sealed = ss.seal(a, b"canary text", entropy, PRODUCTION)
    b, _, _ = ss.open_envelope(b, sealed.envelope, NOW_S, entropy, PRODUCTION)
    for value in (alice, alice.cert, spk, secret, bundle, initiated, initiated.flight, accepted, a, b, sealed):
        found = bytes_within(value)
        assert len(found) >= 2
        for shown in (repr(value), str(value), f"{value}"):
            for secret_bytes in found:
                assert repr(secret_bytes)[2:-1] not in shown
                assert secret_bytes.hex() not in shown


def test_no_error_shows_bytes(entropy: SeededEntropy) -> None:
    a, b = session_pair(entropy)
    _, sealed = ss.seal(a, b"canary text", entropy, PRODUCTION)
    for position in range(0, len(sealed.envelope), 7):
        changed = (
            sealed.envelope[:position] + bytes([sealed.envelope[position] ^ 0x55]) + sealed.envelope[position + 1 :]
        )
        with pytest.raises(PeerError) as caught:
            ss.open_envelope(b, changed, NOW_S, entropy, PRODUCTION)
        shown = repr(caught.value)
        assert not any(repr(x)[2:-1] in shown or x.hex() in shown for x in bytes_within(b))
        assert caught.value.data == {}
