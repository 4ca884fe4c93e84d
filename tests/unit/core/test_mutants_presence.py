"""What only a changed line of presence.py showed to be untested: the own side, week by week, and the form's bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.base.errors import DecodeError, DecryptionError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec
from p2pchat.core.crypto import blake2b, ed25519_pair
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX
from p2pchat.core.params import PRODUCTION
from p2pchat.core.presence import (
    OwnPresence,
    Presence,
    PresenceKey,
    decode_presence,
    decode_presence_key,
    encode_presence,
    open_presence,
    presence_epoch,
)
from p2pchat.core.record import RecordRefused, finish, prepare_record

WEEK = 7
OWN = OwnPresence(3, bytes(range(32)), WEEK, b"\x07" * 32, b"\x0a" * 32, 0)
PEER_ID = PEER_ID_PREFIX + bytes(32)
MAILBOX = [PEER_ID, b"m", bytes(32)]


def said(**other: object) -> bytes:
    """The data of a presence, with other fields by name."""
    fields: dict[str, object] = {
        "kind": 4, "peer_id": PEER_ID, "mailbox_key": None, "bundle_key": None, "ask": bytes(32), "n": 1,
        "addresses": [b"a"], "circuits": [], "mailboxes": [],
    }  # fmt: skip
    assert other.keys() <= fields.keys()
    return codec.encode(list((fields | other).values()))


def test_both_sides_know_the_same_place() -> None:
    given = OWN.given(WEEK, PRODUCTION)
    slot = OWN.slot(WEEK * PRODUCTION.epoch_s, PRODUCTION)
    assert OWN.loc == given.loc == slot.loc == blake2b("dcd1/loc", OWN.gate().public, 32)
    assert given == PresenceKey(3, OWN.gate().public, WEEK, OWN.key)
    assert (slot.gate, slot.kenc) == (OWN.gate(), given.key)


def test_a_later_week_has_its_number_and_the_key_that_its_records_are_sealed_with() -> None:
    later = OWN.given(WEEK, PRODUCTION).at(WEEK + 2, PRODUCTION)
    assert later.epoch == WEEK + 2
    assert later.key not in (OWN.key, OWN.given(WEEK + 1, PRODUCTION).key)
    assert later == OWN.given(WEEK + 2, PRODUCTION)
    assert later.key == OWN.slot((WEEK + 2) * PRODUCTION.epoch_s + 1, PRODUCTION).kenc
    assert later.at(WEEK + 2, PRODUCTION) == later


@pytest.mark.parametrize("steps", [-1, PRODUCTION.presence_steps + 1])
def test_there_is_no_key_of_an_earlier_week_nor_of_one_far_ahead(steps: int) -> None:
    with pytest.raises(DecryptionError):
        OWN.given(WEEK + steps, PRODUCTION)


def test_the_last_week_that_is_reached() -> None:
    assert OWN.given(WEEK + PRODUCTION.presence_steps, PRODUCTION).epoch == WEEK + PRODUCTION.presence_steps


def test_what_is_forgotten_is_gone_and_the_rest_stays() -> None:
    assert OWN.forget_before(WEEK, PRODUCTION) is OWN
    assert OWN.forget_before(WEEK - 1, PRODUCTION) is OWN
    forgot = OWN.forget_before(WEEK + 1, PRODUCTION)
    assert forgot.given(WEEK + 3, PRODUCTION) == OWN.given(WEEK + 3, PRODUCTION)
    with pytest.raises(DecryptionError):
        forgot.given(WEEK, PRODUCTION)


def test_a_week_begins_with_its_first_second() -> None:
    assert presence_epoch(WEEK * PRODUCTION.epoch_s, PRODUCTION) == WEEK
    assert presence_epoch(WEEK * PRODUCTION.epoch_s - 1, PRODUCTION) == WEEK - 1


def test_what_does_not_fit_is_left_out() -> None:
    given = (b"", b"a", b"b" * (ADDRESS_BYTES + 1), b"c" * ADDRESS_BYTES, b"d", b"e")
    told = decode_presence(encode_presence(Presence(PeerId(PEER_ID), bytes(32), 1, tuple(map(Address, given)))))
    assert [bytes(address) for address in told.addresses] == [b"a", b"c" * ADDRESS_BYTES, b"d"]


@pytest.mark.parametrize(
    "form",
    [
        said(),
        said(n=0xFFFF_FFFF),
        said(mailbox_key=bytes(32), bundle_key=bytes(32)),
        said(addresses=[b"a", b"b", b"c" * ADDRESS_BYTES], circuits=[b"a", b"b"]),
        said(mailboxes=[MAILBOX, MAILBOX]),
    ],
)
def test_all_of_its_form_is_read(form: bytes) -> None:
    assert decode_presence(form).peer_id == PEER_ID


@pytest.mark.parametrize(
    "form",
    [
        said(kind=5),
        said(n=0),
        said(n=1 << 32),
        said(addresses=[b"a"] * 4),
        said(circuits=[b"a"] * 3),
        said(mailboxes=[MAILBOX] * 3),
        said(peer_id=PEER_ID + b"\0"),
        said(peer_id=b"\x12" + PEER_ID[1:]),
    ],
)
def test_what_is_beyond_its_form_is_refused(form: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_presence(form)


def test_a_record_of_another_writer_is_refused_for_that() -> None:
    params, now_s = replace(PRODUCTION, work_bits=0), WEEK * PRODUCTION.epoch_s
    other = ed25519_pair(bytes(32))
    unmined = prepare_record(OWN.slot(now_s, params), other, said(), now_s, bytes(24), params)
    with pytest.raises(RecordRefused) as refused:
        open_presence(OWN.given(WEEK, params), finish(unmined, bytes(8)), now_s, params)
    assert refused.value.reason == "writer"


@pytest.mark.parametrize("n", [0, 1 << 32])
def test_a_presence_is_numbered_from_1(n: int) -> None:
    with pytest.raises(DecodeError):
        decode_presence_key(codec.encode([n, bytes(32), WEEK, bytes(32)]))
