"""The double ratchet's rules one by one (PROTOCOL.md 4.3); the state machine is in tests/property."""

from __future__ import annotations

import pytest
from msgspec import structs

from p2pchat.base.errors import Corrupt, DecodeError, DecryptionError, InternalError, LimitError, ReplayError
from p2pchat.core import ratchet as dr
from p2pchat.core.crypto import KeyPair, aead_open, x25519_pair
from p2pchat.core.envelope import COUNTER_MAX, Header, decode_header, encode_header, split_envelope
from p2pchat.core.params import PRODUCTION
from tests.unit.core.ratchet_ends import AD, DAY_S, NOW_S, SMALL, End, ends, round_trip, talking


def header_of(receiver: End, envelope: bytes) -> Header:
    """What the receiver will read in it."""
    parts = split_envelope(envelope)
    keys = [receiver.state.nhkr]
    if receiver.state.receiving is not None:
        keys.append(receiver.state.receiving.header)
    key = next(key.key for key in keys if key.hint == parts.hint)
    return decode_header(aead_open(key, parts.nonce, parts.sealed_header, b"p2pchat/1 hdr" + AD))


def test_contents_arrive_and_acks_agree() -> None:
    a, b = talking()
    for n in range(20):
        for sender, receiver in ((a, b), (b, a)):
            for k in range(1 + n % 4):
                content = b"%d/%d" % (n, k) * 50
                assert receiver.open(sender.send(content)) == content
                assert receiver.ack == sender.ack
                assert len(sender.ack) == 16


def test_a_responder_cannot_send_first() -> None:
    with pytest.raises(InternalError):
        ends()[1].send()


def test_no_nonce_and_no_ack_comes_twice() -> None:
    a, b = talking()
    envelopes, acks = [], []
    for sender in (a, b) * 20:
        envelopes.append(sender.send())
        acks.append(sender.ack)
    assert len({split_envelope(envelope).nonce for envelope in envelopes}) == 40
    assert len(set(acks)) == 40


def test_a_state_rolled_back_uses_another_nonce() -> None:
    a, _ = ends()
    before = a.state
    first = a.send()
    a.state = before
    assert split_envelope(first).nonce != split_envelope(a.send()).nonce


def test_any_order() -> None:
    a, b = talking()
    old = [a.send(b"old %d" % n) for n in range(5)]
    b.open(old[0])
    a.open(b.send())
    new = [a.send(b"new %d" % n) for n in range(3)]
    assert [b.open(envelope) for envelope in (new[2], old[3], new[0], old[1])] == [
        b"new 2",
        b"old 3",
        b"new 0",
        b"old 1",
    ]
    assert [b.open(envelope) for envelope in (old[4], old[2], new[1])] == [b"old 4", b"old 2", b"new 1"]
    assert b.state.skipped == ()


def test_a_replay_is_refused() -> None:
    a, b = talking()
    first, second, third = a.send(), a.send(), a.send()
    b.open(first)
    b.open(third)
    b.refuses(first, ReplayError)
    b.open(second)
    b.refuses(second, ReplayError)
    round_trip(b, a)
    round_trip(b, a)
    b.refuses(first, DecryptionError)  # its chain is forgotten: no key even recognises it


def test_an_envelope_of_another_session_is_refused() -> None:
    a, b = talking()
    envelope = a.send()
    with pytest.raises(DecryptionError):
        dr.decrypt(b.state, envelope, b"b" * 32, NOW_S, b.entropy, PRODUCTION)
    other = End(dr.start_responder(b"x" * 32, x25519_pair(b"y" * 32)), b.entropy)
    other.refuses(envelope, DecryptionError)


def test_no_bit_of_an_envelope_may_change() -> None:
    a, b = talking()
    envelope = a.send()
    for position in range(len(envelope)):
        changed = envelope[:position] + bytes([envelope[position] ^ 0x80]) + envelope[position + 1 :]
        before = b.state
        with pytest.raises((DecryptionError, DecodeError)):
            b.open(changed)
        assert b.state is before
    b.open(envelope)


@pytest.mark.parametrize("cut", [0, 1, 33, 34, 100, -1])
def test_a_cut_envelope_is_refused(cut: int) -> None:
    a, b = talking()
    before = b.state
    with pytest.raises((DecryptionError, DecodeError)):
        b.open(a.send()[:cut])
    assert b.state is before


def test_header_and_body_of_two_envelopes_do_not_fit() -> None:
    a, b = talking()
    one, two = split_envelope(a.send(b"1")), split_envelope(a.send(b"2"))
    b.refuses(one.prefix + two.sealed_body, DecryptionError)


def test_the_counter_ends() -> None:
    a, _ = talking()
    assert a.state.sending is not None
    a.state = structs.replace(a.state, sending=structs.replace(a.state.sending, n=COUNTER_MAX))
    a.send()
    with pytest.raises(LimitError):
        a.send()


# --- KEM steps -----------------------------------------------------------------------------------------------------


def test_kem_keys_are_advertised_and_answered_in_exactly_the_chains_of_the_rule() -> None:
    a, b = ends()
    seen: dict[str, tuple[bool, bool]] = {}
    for step in range(35):
        for name, sender, receiver in ((f"A{step}", a, b), (f"B{step + 1}", b, a)):
            first, second = sender.send(), sender.send()
            header = header_of(receiver, first)
            seen[name] = (header.kem_public is not None, header.kem_ciphertext is not None)
            receiver.open(second)
            receiver.open(first)
            again = header_of(receiver, sender.send())
            assert (again.kem_public, again.kem_ciphertext) == (header.kem_public, header.kem_ciphertext)
            assert again.n == 2
    advertises = {name for name, flags in seen.items() if flags[0]}
    answers = {name for name, flags in seen.items() if flags[1]}
    assert advertises == {"A0", "A16", "A32", "B16", "B32"}
    assert answers == {"B1", "B17", "B33", "A16", "A32"}


def without_answer(end: End) -> None:
    assert end.state.sending is not None
    assert end.state.sending.kem_ciphertext is not None
    end.state = structs.replace(end.state, sending=structs.replace(end.state.sending, kem_ciphertext=None))


def test_an_advertised_key_must_be_answered() -> None:
    a, b = ends()
    b.open(a.send())
    without_answer(b)
    a.refuses(b.send(), DecodeError)


def test_a_key_that_was_not_advertised_must_not_be_answered() -> None:
    a, b = talking()
    b.open(a.send())
    assert b.state.sending is not None
    b.state = structs.replace(b.state, sending=structs.replace(b.state.sending, kem_ciphertext=bytes(1088)))
    a.refuses(b.send(), DecodeError)


def test_the_first_chain_answers_nothing() -> None:
    a, b = ends()
    assert a.state.sending is not None
    a.state = structs.replace(a.state, sending=structs.replace(a.state.sending, kem_ciphertext=bytes(1088)))
    b.refuses(a.send(), DecodeError)


def test_a_wrong_answer_does_not_open() -> None:
    a, b = ends()
    b.open(a.send())
    assert b.state.sending is not None
    b.state = structs.replace(b.state, sending=structs.replace(b.state.sending, kem_ciphertext=bytes(1088)))
    a.refuses(b.send(), DecryptionError)


def test_a_malformed_kem_key_is_refused_before_any_change() -> None:
    a, b = ends()
    assert a.state.sending is not None
    a.state = structs.replace(a.state, sending=structs.replace(a.state.sending, kem_public=b"\xff" * 1184))
    b.refuses(a.send(), DecryptionError)


def test_a_low_order_ratchet_key_is_refused() -> None:
    a, b = ends()
    a.state = structs.replace(a.state, dhs=KeyPair(a.state.dhs.secret, bytes(32)))
    b.refuses(a.send(), DecryptionError)


@pytest.mark.parametrize("flags", [4, 0x80])
def test_unknown_header_flags_are_refused(monkeypatch: pytest.MonkeyPatch, flags: int) -> None:
    a, b = talking()

    def flagged(header: Header) -> bytes:
        data = encode_header(header)
        return bytes([data[0] | flags]) + data[1:]

    monkeypatch.setattr(dr, "encode_header", flagged)
    b.refuses(a.send(), DecodeError)


@pytest.mark.parametrize("padded", [bytes(256), b"x\x80" + bytes(270), b"x" * 256])
def test_wrong_padding_is_refused(monkeypatch: pytest.MonkeyPatch, padded: bytes) -> None:
    a, b = talking()
    monkeypatch.setattr(dr, "pad", lambda _: padded)
    b.refuses(a.send(), DecodeError)


# --- skipped keys --------------------------------------------------------------------------------------------------


def test_production_limits() -> None:
    assert (PRODUCTION.skip_per_message, PRODUCTION.skip_per_session, PRODUCTION.kem_every) == (1_000, 2_000, 16)
    assert PRODUCTION.skipped_kept_s == 45 * DAY_S


def test_a_thousand_may_be_skipped_and_no_more() -> None:
    a, b = talking()
    envelopes = [a.send(b"%d" % n) for n in range(1_002)]
    b.refuses(envelopes[1_001], LimitError)
    assert b.open(envelopes[1_000]) == b"1000"
    assert len(b.state.skipped) == 1_000
    assert [b.open(envelopes[n]) for n in (0, 999, 500)] == [b"0", b"999", b"500"]
    assert b.open(envelopes[1_001]) == b"1001"


def test_a_session_keeps_so_many_and_drops_the_oldest() -> None:
    a, b = talking(SMALL)
    envelopes = [a.send(b"%d" % n) for n in range(33)]
    for n in (10, 21, 32):
        b.open(envelopes[n])
    assert len(b.state.skipped) == 20
    assert [skipped.n for skipped in b.state.skipped] == [*range(11, 21), *range(22, 32)]
    b.refuses(envelopes[9], ReplayError)
    assert b.open(envelopes[11]) == b"11"


def test_what_an_envelope_passes_over_is_known_before_it_is_opened() -> None:
    a, b = talking(SMALL)

    def passed(envelope: bytes) -> int:
        return dr.passed_over(b.state, envelope, AD, SMALL)

    late = [a.send() for _ in range(4)]
    assert [passed(envelope) for envelope in late] == [0, 1, 2, 3]
    assert passed(late[3][:-16] + bytes(16)) == 3  # its body does not open
    b.open(late[3])
    assert [passed(envelope) for envelope in late[:3]] == [0, 0, 0]
    ends_the_chain = [a.send() for _ in range(5)][-1]
    a.open(b.send())
    begins_the_next = [a.send() for _ in range(3)][-1]
    before = len(b.state.skipped)
    assert passed(begins_the_next) == 5 + 2
    b.open(begins_the_next)
    assert len(b.state.skipped) - before == 5 + 2
    assert passed(ends_the_chain) == 0
    assert passed([a.send() for _ in range(12)][-1]) == 0  # refused for it: none is derived
    assert passed(b"") == passed(bytes(363)) == 0


def test_skipped_keys_expire() -> None:
    a, b = talking()
    early, late, last = a.send(b"early"), a.send(b"late"), a.send()
    b.open(late)
    b.now_s += 10
    b.open(last)
    b.now_s = NOW_S + 45 * DAY_S - 1
    state = b.state
    assert b.open(early) == b"early"
    b.state, b.now_s = state, NOW_S + 45 * DAY_S
    b.refuses(early, ReplayError)
    assert dr.forget_expired(state, NOW_S + 45 * DAY_S).skipped == ()
    assert dr.forget_expired(state, NOW_S + 45 * DAY_S - 1) is state


def test_the_end_of_an_old_chain_is_kept() -> None:
    a, b = talking(SMALL)
    old = [a.send(b"%d" % n) for n in range(11)]
    b.open(old[0])
    a.open(b.send())
    b.open(a.send())
    assert len(b.state.skipped) == 10
    assert [b.open(envelope) for envelope in old[1:]] == [b"%d" % n for n in range(1, 11)]


def test_the_end_of_an_old_chain_is_kept_as_long_as_other_skipped_keys() -> None:
    a, b = talking()
    old = [a.send(b"%d" % n) for n in range(3)]
    b.open(old[0])
    a.open(b.send())
    b.open(a.send())
    b.now_s = NOW_S + 45 * DAY_S - 1
    assert b.open(old[1]) == b"1"
    b.now_s += 1
    b.refuses(old[2], DecryptionError)


def test_too_long_an_end_of_an_old_chain_is_forgotten_and_never_blocks() -> None:
    a, b = talking(SMALL)
    old = [a.send() for _ in range(12)]
    b.open(old[0])
    a.open(b.send())
    assert b.open(a.send(b"new")) == b"new"
    assert b.state.skipped == ()
    b.refuses(old[5], DecryptionError)
    assert a.open(b.send(b"answer")) == b"answer"


def test_a_false_length_of_the_old_chain_never_blocks() -> None:
    a, b = talking(SMALL)
    b.open(a.send())
    a.open(b.send())
    assert a.state.sending is not None
    a.state = structs.replace(a.state, sending=structs.replace(a.state.sending, pn=2**32 - 1))
    assert b.open(a.send(b"new")) == b"new"


def test_a_step_whose_first_message_is_too_far_ahead_is_refused() -> None:
    a, b = talking(SMALL)
    b.open(a.send())
    a.open(b.send())
    envelopes = [a.send() for _ in range(12)]
    b.refuses(envelopes[11], LimitError)
    b.open(envelopes[10])


def test_skipped_keys_stay_the_same_object_when_nothing_changed() -> None:
    a, b = talking()
    envelopes = [a.send() for _ in range(5)]
    b.open(envelopes[1])
    kept = b.state.skipped
    b.open(envelopes[2])
    b.send()
    assert b.state.skipped is kept
    round_trip(b, a)
    assert b.state.skipped[:1] == kept


# --- hints and dumps -----------------------------------------------------------------------------------------------


def test_hints_are_those_of_all_that_it_would_open() -> None:
    a, b = talking()
    old = [a.send() for _ in range(3)]
    b.open(old[1])
    for envelope in old:
        assert envelope[:8] in dr.hints(b.state)
    a.open(b.send())
    new = a.send()
    assert new[:8] in dr.hints(b.state)
    assert new[:8] != old[0][:8]
    b.open(new)
    assert {old[0][:8], old[2][:8], new[:8]} < dr.hints(b.state)
    assert len(dr.hints(b.state)) == 3  # the old chain's skipped keys, this chain, the next
    b.open(old[0])
    b.open(old[2])
    assert old[0][:8] not in dr.hints(b.state)
    assert a.send()[:8] not in dr.hints(a.state)


def test_a_state_survives_the_disk() -> None:
    a, b = ends()
    states = [a.state, b.state]
    envelopes = [a.send() for _ in range(3)]
    b.open(envelopes[2])
    states += [a.state, b.state]
    a.open(b.send())
    states += [a.state, b.state]
    for state in states:
        assert dr.load(dr.dump_core(state), dr.dump_skipped(state)) == state


def test_a_full_state_fits_its_bounds() -> None:
    a, b = talking()
    for last in (1_000, 2_001):
        while (sent := a.send()) and a.state.sending is not None and a.state.sending.n <= last:
            pass
        b.open(sent)
    assert len(b.state.skipped) == 2_000
    assert dr.load(dr.dump_core(b.state), dr.dump_skipped(b.state)) == b.state


@pytest.mark.parametrize("part", [0, 1])
def test_a_damaged_state_is_the_disks_fault(part: int) -> None:
    state = talking()[0].state
    parts = [dr.dump_core(state), dr.dump_skipped(state)]
    parts[part] = parts[part] + b"\x00"
    with pytest.raises(Corrupt):
        dr.load(parts[0], parts[1])


# --- secrecy -------------------------------------------------------------------------------------------------------


def test_reprs_show_no_secret() -> None:
    a, b = talking()
    envelopes = [a.send() for _ in range(3)]
    b.open(envelopes[2])
    assert repr(b.state) == "RatchetState(…)"
    assert b.state.receiving is not None
    assert b.state.sending is not None
    assert repr(b.state.receiving) == "ReceivingChain(…)"
    assert repr(b.state.sending) == "SendingChain(…)"
    assert repr(b.state.skipped[0]) == "SkippedKey(…)"
    assert repr(b.state.nhkr) == "HeaderKey(…)"
    assert repr(split_envelope(envelopes[0])) == "Parts(…)"
    assert repr(Header(b"d" * 32, 1, 2, b"k" * 1184, b"c" * 1088)) == "Header(…)"
