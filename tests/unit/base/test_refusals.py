"""What was refused is counted by kind, and told when it has doubled."""

from __future__ import annotations

from p2pchat.base.refusals import Refusal, Refusals


def test_each_kind_is_counted_by_its_name() -> None:
    refusals = Refusals()
    refusals.note(Refusal.STREAM_STALLED)
    refusals.note(Refusal.STREAM_STALLED)
    assert refusals[Refusal.STREAM_STALLED] == 2
    assert refusals.counts() == {kind.value: 2 * (kind is Refusal.STREAM_STALLED) for kind in Refusal}


def test_who_had_to_wait_was_refused_nothing() -> None:
    paced = {kind for kind in Refusal if kind.is_paced}
    assert paced == {Refusal.HANDSHAKE_PACED, Refusal.STRANGER_PACED, Refusal.REQUEST_PACED}


def test_a_thousand_are_told_of_ten_times() -> None:
    told: list[int] = []
    refusals = Refusals(lambda _, count: told.append(count))
    for _ in range(1_000):
        refusals.note(Refusal.STREAM_EXCESSIVE)
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
