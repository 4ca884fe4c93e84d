"""What only a changed line of session.py showed to be untested: bounds of what is stored, and times in seconds."""

from __future__ import annotations

import pytest
from msgspec import structs

from p2pchat.base.errors import Corrupt
from p2pchat.core.handshake import FlightPart
from p2pchat.core.keys import create_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.core.session import Session, accept_session, dump_session, dump_skipped, load_session, seal
from p2pchat.core.wire import SENDER_MAX_BYTES
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, fly, session_pair


def with_flight(sender_bytes: int) -> Session:
    """A session all of whose parts are as large as its forms allow, but for the sender part of its flight."""
    session, _ = session_pair(SeededEntropy(1))
    sending = session.ratchet.sending
    assert sending is not None
    full = structs.replace(sending, kem_ciphertext=bytes(1_088))
    flight = FlightPart(bytes(32), bytes(1_088), bytes(16), bytes(sender_bytes))
    return structs.replace(session, flight=flight, ratchet=structs.replace(session.ratchet, sending=full))


def test_the_largest_session_is_stored_and_loaded() -> None:
    largest = with_flight(SENDER_MAX_BYTES)
    core = dump_session(largest)
    assert 4_096 < len(core) <= 6_144
    assert load_session(core, dump_skipped(largest)) == largest


def test_a_stored_flight_with_a_sender_part_beyond_its_bound_is_damage() -> None:
    damaged = with_flight(SENDER_MAX_BYTES + 1)
    with pytest.raises(Corrupt):
        load_session(dump_session(damaged), dump_skipped(damaged))


def test_what_was_overtaken_by_the_first_envelope_is_kept_for_45_days() -> None:
    entropy = SeededEntropy(2)
    alice, bob = create_identity(entropy, NOW_S * 1000), create_identity(entropy, NOW_S * 1000)
    flown = fly(alice, bob, entropy)
    assert flown.session.flight is not None
    _, second = seal(flown.session, HELLO, entropy, PRODUCTION)
    session, *_ = accept_session(
        bob, flown.secret, flown.session.flight, second.envelope, NOW_S * 1000 + 999, entropy, PRODUCTION
    )
    assert [skipped.until_s for skipped in session.ratchet.skipped] == [NOW_S + PRODUCTION.skipped_kept_s]
