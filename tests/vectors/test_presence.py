"""core against the vectors of PROTOCOL.md 3.4, which a second implementation made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pchat.base.errors import DecodeError, PeerError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.params import PRODUCTION
from p2pchat.core.presence import (
    OwnPresence,
    Presence,
    PresenceKey,
    decode_presence,
    decode_presence_key,
    encode_presence,
    encode_presence_key,
    open_presence,
)
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.rendezvous import encode_rendezvous, era_of, read_rendezvous, rendezvous_slots
from p2pchat.core.slots import Slot
from p2pchat.core.work import mine
from tests.vectors import independent_presence

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_presence.PATH.read_text(encoding="utf-8"))


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=str(case.get("name", i))) for i, case in enumerate(VECTORS[kind])]


def held(case: Case) -> PresenceKey:
    return PresenceKey(1, bytes.fromhex(case["gate"]), case["week"], bytes.fromhex(case["key"]))


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_presence.make() == VECTORS


@pytest.mark.parametrize("case", cases("step"))
def test_the_key_of_a_later_week(case: Case) -> None:
    key = PresenceKey(1, bytes(32), 7, bytes.fromhex(case["key"]))
    assert key.at(7 + case["steps"], PRODUCTION).key.hex() == case["next"]


@pytest.mark.parametrize("case", cases("content"))
def test_content(case: Case) -> None:
    read = decode_presence(bytes.fromhex(case["data"]))
    addresses = tuple(Address(bytes.fromhex(address)) for address in case["addresses"])
    circuits = tuple(Address(bytes.fromhex(circuit)) for circuit in case["circuits"])
    if "peer_id" in case:
        ask = bytes.fromhex(case["ask"])
        said = Presence(PeerId(bytes.fromhex(case["peer_id"])), ask, case["n"], addresses, circuits=circuits)
        assert encode_presence(said).hex() == case["data"]
    assert (read.n, read.addresses) == (case["n"], addresses[: case.get("kept", 3)])
    assert read.circuits == circuits[: case.get("circuits_kept", 2)]


@pytest.mark.parametrize("case", cases("content_refused"))
def test_content_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_presence(bytes.fromhex(case["data"]))


@pytest.mark.parametrize("case", cases("key"))
def test_the_item_that_gives_the_key(case: Case) -> None:
    key = PresenceKey(case["n"], bytes.fromhex(case["gate"]), case["week"], bytes.fromhex(case["key"]))
    assert encode_presence_key(key).hex() == case["body"]
    assert decode_presence_key(bytes.fromhex(case["body"])) == key


@pytest.mark.parametrize("case", cases("key_refused"))
def test_the_item_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_presence_key(bytes.fromhex(case["body"]))


@pytest.mark.parametrize("case", cases("sighting"))
def test_a_record_is_made_and_read(case: Case) -> None:
    raw = bytes.fromhex(case["record"])
    if "pseed" in case:
        own = OwnPresence(1, bytes.fromhex(case["pseed"]), case["week"], bytes.fromhex(case["key"]), bytes(32), 0)
        place = own.slot(case["seq"], PRODUCTION)
        data, nonce24 = bytes.fromhex(case["data"]), bytes.fromhex(case["nonce24"])
        unmined = prepare_record(place, own.gate(), data, case["seq"], nonce24, PRODUCTION)
        assert finish(unmined, mine(unmined.digest, PRODUCTION.work_bits)) == raw
        assert own.given(own.epoch, PRODUCTION) == held(case)
    seen = open_presence(held(case), raw, case["now_s"], PRODUCTION)
    assert encode_presence(seen.presence).hex() == case["data"]
    assert seen.key == held(case).at(seen.seq // 604_800, PRODUCTION)


@pytest.mark.parametrize("case", cases("sighting_refused"))
def test_a_record_is_refused(case: Case) -> None:
    with pytest.raises(PeerError) as refused:
        open_presence(held(case), bytes.fromhex(case["record"]), case["now_s"], PRODUCTION)
    assert refused.value.error_name == case["expect"]


@pytest.mark.parametrize("case", cases("rendezvous"))
def test_a_rendezvous(case: Case) -> None:
    begins_s, rdv, idsec = case["begins_s"], bytes.fromhex(case["rdv"]), bytes.fromhex(case["idsec"])
    slot = Slot(rdv, case["epoch"])
    assert slot.loc.hex() == case["loc"]
    assert era_of(slot, PRODUCTION) == case["era"]
    hour_s = 3600
    active = {at: rendezvous_slots(rdv, begins_s + at * hour_s, PRODUCTION) for at in (-3, -1, 0, 71, 73, 165, 167)}
    before, after = Slot(rdv, case["epoch"] - 1), Slot(rdv, case["epoch"] + 1)
    assert active == {
        -3: ((before, True),),
        -1: ((before, True), (slot, True)),
        0: ((before, False), (slot, True)),
        71: ((before, False), (slot, True)),
        73: ((slot, True),),
        165: ((slot, True),),
        167: ((slot, True), (after, True)),
    }
    n, gate, week, key = case["key"]
    assert encode_rendezvous(PresenceKey(n, bytes.fromhex(gate), week, bytes.fromhex(key))).hex() == case["data"]
    records = [bytes.fromhex(raw) for raw in case["records"]]
    assert [read.n for read in read_rendezvous(slot, records, idsec, case["now_s"], PRODUCTION)] == case["read"]


def test_secrets_are_not_shown() -> None:
    own = OwnPresence(1, b"s" * 32, 7, b"k" * 32, bytes(32), 0)
    shown = repr([own, own.given(7, PRODUCTION), own.slot(7 * 604_800, PRODUCTION)])
    assert "sss" not in shown
    assert "kkk" not in shown
