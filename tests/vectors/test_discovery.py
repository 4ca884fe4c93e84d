"""core against the vectors of PROTOCOL.md 3.1 to 3.3, which a second implementation made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core.crypto import ed25519_pair, x25519_pair
from p2pchat.core.discovery import (
    Reach,
    decode_hello,
    decode_reach,
    encode_hello,
    encode_reach,
    make_card,
    open_card,
    reach_root,
    reply_root,
)
from p2pchat.core.keys import Cert, Identity
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import RecordRefused, check_record, finish, open_record, prepare_record, work_bits
from p2pchat.core.slots import Slot, derive_root, epoch, era, next_idsec, offset, own_keys, own_writer, role
from p2pchat.core.work import mine, work_of
from tests.vectors import independent_discovery

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_discovery.PATH.read_text(encoding="utf-8"))


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=str(case.get("name", i))) for i, case in enumerate(VECTORS[kind])]


def unhex(case: Case, *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_discovery.make() == VECTORS


@pytest.mark.parametrize("case", cases("era"))
def test_era(case: Case) -> None:
    assert era(case["t"], PRODUCTION) == case["era"]


@pytest.mark.parametrize("case", cases("root"))
def test_root_with_production_argon2id(case: Case) -> None:
    assert derive_root(case["own"], case["other"], case["era"], PRODUCTION).hex() == case["root"]
    assert role(case["own"], case["other"]) == case["role"]


@pytest.mark.parametrize("case", cases("idsec"))
def test_era_ratchet(case: Case) -> None:
    assert next_idsec(bytes.fromhex(case["idsec"])).hex() == case["next"]


@pytest.mark.parametrize("case", cases("slot"))
def test_slot_and_own_keys(case: Case) -> None:
    root, idsec = unhex(case, "root", "idsec")
    assert offset(root, PRODUCTION) == case["offset"]
    assert epoch(root, case["t"], PRODUCTION) == case["epoch"]
    slot = Slot(root, case["epoch"])
    keys = own_keys(slot, idsec)
    assert {
        "gate_pk": slot.gate.public.hex(),
        "loc": slot.loc.hex(),
        "kenc": slot.kenc.hex(),
        "writer_pk": keys.writer.public.hex(),
        "eph_sk": keys.eph.secret.hex(),
        "eph_pk": keys.eph.public.hex(),
    }.items() <= case.items()


@pytest.mark.parametrize("case", cases("record"))
def test_record_is_sealed_and_opened(case: Case) -> None:
    root, idsec, nonce24, data, nonce8, raw = unhex(case, "root", "idsec", "nonce24", "data", "nonce8", "record")
    slot = Slot(root, case["epoch"])
    unmined = prepare_record(slot, own_writer(slot, idsec), data, case["seq"], nonce24, PRODUCTION)
    assert unmined.digest.hex() == case["digest"]
    assert mine(unmined.digest, PRODUCTION.work_bits) == nonce8
    assert work_of(unmined.digest, nonce8) == case["work"] == work_bits(raw)
    assert finish(unmined, nonce8) == raw
    for now_s in case["accepted_at"]:
        record, opened = open_record(slot, raw, now_s, PRODUCTION)
        assert (opened, record.work, record.seq) == (data, case["work"], case["seq"])


@pytest.mark.parametrize("case", cases("record_refused"))
def test_record_is_refused(case: Case) -> None:
    loc, raw = unhex(case, "loc", "record")
    with pytest.raises(RecordRefused) as refused:
        check_record(loc, raw, case["now_s"], PRODUCTION)
    assert refused.value.reason == case["expect"]


@pytest.mark.parametrize("case", cases("record_unreadable"))
def test_record_that_a_storer_keeps_but_no_reader_takes(case: Case) -> None:
    root, raw = unhex(case, "root", "record")
    slot = Slot(root, case["epoch"])
    check_record(slot.loc, raw, case["now_s"], PRODUCTION)
    with pytest.raises(PeerError) as refused:
        open_record(slot, raw, case["now_s"], PRODUCTION)
    assert refused.value.error_name == case["expect"]


@pytest.mark.parametrize("case", cases("hello"))
def test_hello(case: Case) -> None:
    eph, data = unhex(case, "eph", "data")
    assert encode_hello(case["role"], eph) == data
    assert decode_hello(data) == (case["role"], eph)


@pytest.mark.parametrize("case", cases("hello_refused"))
def test_hello_is_refused(case: Case) -> None:
    with pytest.raises(PeerError) as refused:
        decode_hello(bytes.fromhex(case["data"]))
    assert refused.value.error_name == case["expect"]


@pytest.mark.parametrize("case", cases("reply"))
def test_both_sides_derive_the_same_roots(case: Case) -> None:
    root, secret_a, secret_b = unhex(case, "root", "eph_sk_a", "eph_sk_b")
    a, b = x25519_pair(secret_a), x25519_pair(secret_b)
    q = reply_root(root, case["epoch"], a, b.public)
    assert q == reply_root(root, case["epoch"], b, a.public)
    assert q.hex() == case["reply_root"]
    assert reach_root(q).hex() == case["reach_root"]


def opened(case: Case) -> Cert:
    root, data, own_root = unhex(case, "root", "data", "own_root")
    return open_card(Slot(root, case["epoch"]), data, case["their_role"], RootKey(own_root), case["now_s"])


@pytest.mark.parametrize("case", cases("card"))
def test_card_is_accepted(case: Case) -> None:
    assert opened(case).raw in bytes.fromhex(case["data"])


@pytest.mark.parametrize("case", cases("card_made"))
def test_card_is_made(case: Case) -> None:
    root_seed, device_seed, ik_secret, their_root, data = unhex(
        case, "root_seed", "device_seed", "ik_secret", "their_root", "data"
    )
    cert = opened(case)
    assert (cert.root, cert.epoch_ms) == (RootKey(their_root), case["epoch_ms"])
    bob = Identity(ed25519_pair(root_seed), ed25519_pair(device_seed), x25519_pair(ik_secret), cert)
    slot = Slot(bytes.fromhex(case["root"]), case["epoch"])
    assert make_card(bob, slot, case["their_role"], case["ts"]) == data


@pytest.mark.parametrize("case", cases("card_refused"))
def test_card_is_refused(case: Case) -> None:
    with pytest.raises(PeerError) as refused:
        opened(case)
    assert refused.value.error_name == case["expect"]


@pytest.mark.parametrize("case", cases("reach"))
def test_reach_keeps_the_first_addresses_that_fit(case: Case) -> None:
    peer_id, ask, data = unhex(case, "peer_id", "ask", "data")
    addresses = tuple(Address(bytes.fromhex(text)) for text in case["addresses"])
    assert encode_reach(Reach(PeerId(peer_id), addresses, ask)) == data
    assert decode_reach(data) == Reach(PeerId(peer_id), addresses[: case["kept"]], ask)


@pytest.mark.parametrize("case", cases("reach_refused"))
def test_reach_is_refused(case: Case) -> None:
    with pytest.raises(PeerError) as refused:
        decode_reach(bytes.fromhex(case["data"]))
    assert refused.value.error_name == case["expect"]
