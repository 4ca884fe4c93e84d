"""core against the vectors of PROTOCOL.md 3.5 and 3.6, which a second implementation made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import RootKey
from p2pchat.core.links import decode_link, encode_link
from p2pchat.core.proof import (
    Proof,
    ProofAsk,
    ProofItem,
    ProofResult,
    SmsCode,
    decode_ask,
    decode_proof,
    decode_result,
    encode_proof,
    parse_code,
    proof_mac,
)
from p2pchat.core.verify import Shown, is_safety_number, read_verify_link, safety_number, verify_link
from p2pchat.core.wire import PROOF, PROOF_ASK, PROOF_RESULT
from tests.vectors import independent_verify

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_verify.PATH.read_text(encoding="utf-8"))
DECODE: dict[int, Callable[[bytes], ProofItem]] = {
    PROOF_ASK: decode_ask,
    PROOF: decode_proof,
    PROOF_RESULT: decode_result,
}


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=str(case.get("name", i))) for i, case in enumerate(VECTORS[kind])]


def root(text: str) -> RootKey:
    return RootKey(bytes.fromhex(text))


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_verify.make() == VECTORS


@pytest.mark.parametrize("case", cases("link"))
def test_a_link(case: Case) -> None:
    payload = bytes.fromhex(case["payload"])
    assert decode_link(case["link"]) == payload
    assert encode_link(payload) == "".join(case["link"].split()).strip("<>").lower()


@pytest.mark.parametrize("case", cases("link_refused"))
def test_a_link_is_refused(case: Case) -> None:
    with pytest.raises(UsageError):
        decode_link(case["link"])


@pytest.mark.parametrize("case", cases("verify"))
def test_a_verify_link(case: Case) -> None:
    shown = Shown(root(case["root"]), root(case["to"]) if case["to"] is not None else None)
    assert verify_link(shown.root, shown.to) == case["link"]
    assert read_verify_link(case["link"], "scanned") == shown


@pytest.mark.parametrize("case", cases("verify_refused"))
def test_a_verify_link_is_refused(case: Case) -> None:
    decode_link(case["link"])
    with pytest.raises(UsageError, match="not one to verify with"):
        read_verify_link(case["link"], "scanned")


@pytest.mark.parametrize("case", cases("safety"))
def test_a_safety_number(case: Case) -> None:
    assert safety_number(*map(root, case["roots"])) == case["number"]
    assert is_safety_number(case["number"].replace(" ", "-"), case["number"])
    assert sorted(case["halves"]) == [case["number"].replace(" ", "")[at : at + 30] for at in (0, 30)]


@pytest.mark.parametrize("case", cases("code"))
def test_a_code_is_shown_and_typed(case: Case) -> None:
    code = SmsCode(bytes.fromhex(case["code"]))
    assert code.shown() == case["shown"]
    assert code.sms() == case["sms"]
    assert [parse_code(text) for text in case["typed"]] == [code] * len(case["typed"])


@pytest.mark.parametrize("case", cases("code_refused"))
def test_a_code_is_refused(case: Case) -> None:
    with pytest.raises(UsageError, match="code: "):
        parse_code(case["typed"])


@pytest.mark.parametrize("case", cases("mac"))
def test_the_proof(case: Case) -> None:
    key = SmsCode(bytes.fromhex(case["code"])).key
    assert key.hex() == case["key"]
    roots = root(case["verifier"]), root(case["prover"])
    assert proof_mac(key, bytes.fromhex(case["vid"]), *roots, case["number"]).hex() == case["mac"]


def test_each_thing_that_is_bound_changes_the_proof() -> None:
    assert len({case["mac"] for case in VECTORS["mac"]}) == len(VECTORS["mac"])


@pytest.mark.parametrize("case", cases("item"))
def test_an_item(case: Case) -> None:
    vid = bytes.fromhex(case["vid"])
    made: dict[int, Callable[[], ProofItem]] = {
        PROOF_ASK: lambda: ProofAsk(vid),
        PROOF: lambda: Proof(vid, bytes.fromhex(case["mac"])),
        PROOF_RESULT: lambda: ProofResult(vid, case["ok"]),
    }
    item = made[case["type"]]()
    assert encode_proof(item).hex() == case["body"]
    assert DECODE[case["type"]](bytes.fromhex(case["body"])) == item


@pytest.mark.parametrize("case", cases("item_refused"))
def test_an_item_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        DECODE[case["type"]](bytes.fromhex(case["body"]))
