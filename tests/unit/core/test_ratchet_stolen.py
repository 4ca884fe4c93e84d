"""What a stolen state is worth: nothing of the past, and little of the future (PROTOCOL.md 4.3).

The thief has copied everything that one end has, once, and sees every envelope ever after. A stronger one can also
break X25519, but not ML-KEM.
"""

from __future__ import annotations

import builtins

import pytest

from p2pchat.base.errors import PeerError
from p2pchat.core import ratchet as dr
from p2pchat.core.crypto import hmac_sha256
from p2pchat.core.params import PRODUCTION
from p2pchat.core.ratchet import RatchetState
from p2pchat.testing.entropy import SeededEntropy
from tests.unit.core.ratchet_ends import AD, DAY_S, NOW_S, End, round_trip, talking

ROUNDS = range(18)  # of the conversation before the theft: every position within the period of the KEM steps
VICTIMS = pytest.mark.parametrize("victim_is_initiator", [True, False])


def can_open(stolen: RatchetState, envelope: bytes, now_s: int = NOW_S) -> bool:
    try:
        dr.decrypt(stolen, envelope, AD, now_s, SeededEntropy(99), PRODUCTION)
    except PeerError:
        return False
    return True


def victim_and_peer(victim_is_initiator: bool, rounds: int) -> tuple[End, End]:
    """Two who have talked for so many rounds."""
    a, b = talking()
    for _ in range(rounds):
        round_trip(a, b)
    return (a, b) if victim_is_initiator else (b, a)


def secrets_of(state: RatchetState) -> set[bytes]:
    """All that could open anything, but for the skipped keys."""
    found = {state.rk, state.dhs.secret, state.nhks, state.nhkr.key}
    if state.sending is not None:
        found |= {state.sending.key, state.sending.header.key, state.sending.kem_seed or state.rk}
    if state.receiving is not None:
        found |= {state.receiving.key, state.receiving.header.key}
    return found


def dumped(state: RatchetState) -> bytes:
    return dr.dump_core(state) + dr.dump_skipped(state)


# --- the past ------------------------------------------------------------------------------------------------------


@VICTIMS
def test_forward_secrecy_a_stolen_state_opens_nothing_of_the_past(victim_is_initiator: bool) -> None:
    victim, peer = victim_and_peer(victim_is_initiator, 0)
    past: list[bytes] = []
    for _ in range(5):
        for sender, receiver in ((peer, victim), (victim, peer)):
            envelopes = [sender.send(), sender.send()]
            assert all(can_open(receiver.state, envelope) for envelope in envelopes)
            for envelope in envelopes:
                receiver.open(envelope)
            past += envelopes
        assert not any(can_open(victim.state, envelope) for envelope in past)


def test_of_the_past_a_stolen_state_opens_what_was_overtaken_until_its_keys_are_forgotten() -> None:
    a, b = talking()
    envelopes = [a.send() for _ in range(4)]
    b.open(envelopes[3])
    b.open(envelopes[1])
    assert [can_open(b.state, envelope) for envelope in envelopes] == [True, False, True, False]
    later_s = NOW_S + 45 * DAY_S
    assert not any(can_open(dr.forget_expired(b.state, later_s), envelope) for envelope in envelopes)


def test_a_message_key_is_gone_with_its_message() -> None:
    """And the chain key that it came from, at both ends."""
    a, b = talking()
    b.open(a.send())
    for _ in range(3):
        assert a.state.sending is not None
        assert b.state.receiving is not None
        chain_key = a.state.sending.key
        assert b.state.receiving.key == chain_key
        message_key = hmac_sha256(chain_key, b"\x01")
        envelope = a.send()
        assert chain_key not in dumped(a.state)
        assert message_key not in dumped(a.state)
        assert chain_key in dumped(b.state)
        b.open(envelope)
        assert chain_key not in dumped(b.state)
        assert message_key not in dumped(b.state)


def test_the_key_of_an_overtaken_message_is_gone_once_it_has_come() -> None:
    a, b = talking()
    envelopes = [a.send() for _ in range(3)]
    b.open(envelopes[2])
    keys = [skipped.key for skipped in b.state.skipped]
    assert all(key in dumped(b.state) for key in keys)
    b.open(envelopes[0])
    assert keys[0] not in dumped(b.state)
    assert keys[1] in dumped(b.state)
    b.open(envelopes[1])
    assert keys[1] not in dumped(b.state)


@VICTIMS
@pytest.mark.parametrize("rounds", ROUNDS)
def test_after_two_round_trips_nothing_is_left_of_an_old_state(victim_is_initiator: bool, rounds: int) -> None:
    victim, peer = victim_and_peer(victim_is_initiator, rounds)
    old = secrets_of(victim.state)
    for secret in old:
        assert secret in dumped(victim.state)
    for _ in range(2):
        round_trip(victim, peer)
        round_trip(peer, victim)
    assert [secret for secret in old if secret in dumped(victim.state)] == []


# --- the future ----------------------------------------------------------------------------------------------------


@VICTIMS
@pytest.mark.parametrize("rounds", ROUNDS)
def test_healing_a_stolen_state_is_worth_nothing_after_two_round_trips(victim_is_initiator: bool, rounds: int) -> None:
    victim, peer = victim_and_peer(victim_is_initiator, rounds)
    stolen = victim.state
    envelope = peer.send()
    assert can_open(stolen, envelope)
    victim.open(envelope)
    for _ in range(2):
        peer.open(victim.send())
        victim.open(peer.send())
    for _ in range(3):
        to_victim, to_peer = peer.send(), victim.send()
        assert not can_open(stolen, to_victim)
        assert not can_open(stolen, to_peer)
        victim.open(to_victim)
        peer.open(to_peer)


class Logged(SeededEntropy):
    """Notes the ratchet keys that were drawn from it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.ratchet_keys: list[bytes] = []

    def bytes(self, n: int) -> builtins.bytes:
        drawn = super().bytes(n)
        if n == 32:
            self.ratchet_keys.append(drawn)
        return drawn


class Broken(SeededEntropy):
    """What an attacker has who can break X25519 but not ML-KEM: the victim's ratchet keys, and KEM keys of its own."""

    def __init__(self, victim: Logged) -> None:
        super().__init__(98)
        self._victim = victim

    def bytes(self, n: int) -> builtins.bytes:
        return self._victim.ratchet_keys[-1] if n == 32 else super().bytes(n)


def steps_followed(victim: End, peer: End) -> int:
    """How many DH steps of the victim a thief who breaks X25519 takes with it before it loses the conversation."""
    victim.entropy = keys = Logged(5)
    thief = End(victim.state, Broken(keys))
    first = victim.state.step
    while True:
        envelope = peer.send()
        victim.open(envelope)
        try:
            thief.open(envelope)
        except PeerError:
            return thief.state.step - first
        peer.open(victim.send())


@VICTIMS
def test_healing_from_one_who_breaks_x25519_takes_at_most_16_steps(victim_is_initiator: bool) -> None:
    followed = [steps_followed(*victim_and_peer(victim_is_initiator, rounds)) for rounds in ROUNDS]
    # The worst moment is when a KEM key was just advertised: the thief has its private half, and the next one heals.
    assert max(followed) == (16 if victim_is_initiator else 15)
    assert min(followed) == 1
