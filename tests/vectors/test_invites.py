"""core against the vectors of the invites of PROTOCOL.md 3.5, which a second implementation made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core.invite import Invite, decode_invite, encode_invite, invite_root
from p2pchat.core.params import PRODUCTION
from p2pchat.core.slots import Slot, epoch, era_of_epoch
from tests.vectors import independent_invites

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_invites.PATH.read_text(encoding="utf-8"))


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=str(case.get("name", i))) for i, case in enumerate(VECTORS[kind])]


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_invites.make() == VECTORS


@pytest.mark.parametrize("case", cases("link"))
def test_a_link(case: Case) -> None:
    invite = Invite(
        bytes.fromhex(case["secret"]),
        RootKey(bytes.fromhex(case["root"])),
        case["expires_s"],
        PeerId(bytes.fromhex(case["peer_id"])),
        tuple(Address(bytes.fromhex(address)) for address in case["addresses"]),
    )
    assert encode_invite(invite) == case["link"]
    assert decode_invite(case["link"]) == decode_invite(f"<{case['link'].upper()}>\n") == invite
    assert case["secret"] not in repr(invite)


@pytest.mark.parametrize("case", cases("link_refused"))
def test_a_link_is_refused_without_being_quoted(case: Case) -> None:
    with pytest.raises(UsageError) as refused:
        decode_invite(case["link"])
    assert refused.value.error_name == "INVALID_PARAMS"
    assert case["link"][-12:] not in str(refused.value)


@pytest.mark.parametrize("case", cases("place"))
def test_where_the_two_meet(case: Case) -> None:
    root = invite_root(bytes.fromhex(case["secret"]))
    assert root.hex() == case["root"]
    at = epoch(root, case["now_s"], PRODUCTION)
    assert (at, era_of_epoch(root, at, PRODUCTION)) == (case["epoch"], case["era"])
    assert Slot(root, at).loc.hex() == case["loc"]


def test_addresses_beyond_four_or_too_long_are_left_out() -> None:
    peer = PeerId(bytes.fromhex("002408011220") + bytes(32))
    many = tuple(Address(bytes([n]) * 128) for n in range(1, 7))
    read = decode_invite(encode_invite(Invite(bytes(32), RootKey(bytes(32)), 1, peer, (Address(b"x" * 129), *many))))
    assert read.addresses == many[:3]  # as many as the payload's 512 bytes hold
