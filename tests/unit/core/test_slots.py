"""Era, root, epoch and slot (PROTOCOL.md 3.1); the values themselves are in tests/vectors."""

from __future__ import annotations

from dataclasses import replace

import nacl.exceptions
import pytest
from nacl.pwhash import argon2id

from p2pchat.base.errors import InternalError, UsageError
from p2pchat.core.params import PRODUCTION
from p2pchat.core.slots import (
    Slot,
    active_epochs,
    active_eras,
    derive_root,
    epoch,
    era,
    next_idsec,
    offset,
    own_keys,
    own_writer,
    role,
)

CHEAP = replace(PRODUCTION, argon2_ops=1, argon2_memory_bytes=8192)
A, B = "+821012345678", "+821098765432"
ROOT = bytes(range(32))
HOUR = 3600


def test_root_belongs_to_the_pair_and_the_era_not_to_the_order() -> None:
    root = derive_root(A, B, 228, CHEAP)
    assert len(root) == 32
    assert derive_root(B, A, 228, CHEAP) == root
    assert derive_root(A, B, 229, CHEAP) != root
    assert derive_root(A, B + "0", 228, CHEAP) != root


def test_length_prefixes_keep_shifted_pairs_apart() -> None:
    assert derive_root("+12", "+123", 1, CHEAP) != derive_root("+1", "2+123", 1, CHEAP)


def test_numbers_are_sorted_as_bytes() -> None:
    assert (role(A, B), role(B, A)) == (0, 1)
    assert role("+10", "+9") == 0  # by bytes, not by value
    assert role("+1", "+10") == 0


def test_a_number_with_itself_is_refused_without_naming_it() -> None:
    for call in (lambda: role(A, A), lambda: derive_root(A, A, 1, CHEAP)):
        with pytest.raises(UsageError) as refused:
            call()
        assert A not in str(refused.value)


def test_memory_that_cannot_be_had_is_a_declared_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr(argon2id, "kdf", refuse)
    with pytest.raises(InternalError, match="memory"):
        derive_root(A, B, 1, CHEAP)


def test_own_keys_differ_by_slot_and_by_idsec() -> None:
    slots = [Slot(ROOT, 1), Slot(ROOT, 2), Slot(bytes(32), 1)]
    found = [own_keys(slot, idsec) for slot in slots for idsec in (bytes(32), b"\1" * 32)]
    assert len({keys.writer.public for keys in found}) == len({keys.eph.public for keys in found}) == 6
    assert own_writer(slots[0], bytes(32)) == found[0].writer
    assert len({slot.loc for slot in slots}) == 3


def test_idsec_ratchets_one_way() -> None:
    first = bytes(32)
    assert len({first, next_idsec(first), next_idsec(next_idsec(first))}) == 3


@pytest.mark.parametrize(
    ("since_boundary", "expected"),
    [
        (0, [(-1, False), (0, True)]),
        (72 * HOUR - 1, [(-1, False), (0, True)]),
        (72 * HOUR, [(0, True)]),
        (7 * 24 * HOUR - 2 * HOUR - 1, [(0, True)]),
        (7 * 24 * HOUR - 2 * HOUR, [(0, True), (1, True)]),
        (7 * 24 * HOUR - 1, [(0, True), (1, True)]),
    ],
)
def test_active_epochs_around_a_boundary(since_boundary: int, expected: list[tuple[int, bool]]) -> None:
    number = 2976
    t = number * PRODUCTION.epoch_s - offset(ROOT, PRODUCTION) + since_boundary
    assert epoch(ROOT, t, PRODUCTION) == number
    assert active_epochs(ROOT, t, PRODUCTION) == tuple((number + step, publish) for step, publish in expected)


@pytest.mark.parametrize(
    ("since_boundary", "expected"),
    [
        (0, [(-1, False), (0, True)]),
        (72 * HOUR - 1, [(-1, False), (0, True)]),
        (72 * HOUR, [(0, True)]),
        (91 * 24 * HOUR - 2 * HOUR, [(0, True), (1, True)]),
    ],
)
def test_active_eras_around_a_boundary(since_boundary: int, expected: list[tuple[int, bool]]) -> None:
    t = 228 * PRODUCTION.era_s + since_boundary
    assert era(t, PRODUCTION) == 228
    assert active_eras(t, PRODUCTION) == tuple((228 + step, publish) for step, publish in expected)


def test_before_the_first_era_there_is_none() -> None:
    assert active_eras(0, PRODUCTION) == ((0, True),)


def test_reprs_show_no_secret() -> None:
    slot = Slot(ROOT, 7)
    assert repr(slot) == "Slot(epoch=7)"
    assert repr(own_keys(slot, bytes(32))) == "OwnKeys()"
