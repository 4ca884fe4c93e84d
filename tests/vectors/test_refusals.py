"""What must be refused, by name and with the declared error, and leaves everything as it was: refusals.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pchat.base.ids import RootKey
from p2pchat.core.keys import open_cert
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import open_bundle
from p2pchat.core.session import Session, accept_session
from p2pchat.core.wire import decode_frame
from p2pchat.testing.entropy import SeededEntropy
from tests.vectors import make_refusals
from tests.vectors.test_sessions import ERRORS, SESSION, End, cases, flight_of, identity_of, prekey_secret

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(make_refusals.PATH.read_text(encoding="utf-8"))
H = bytes.fromhex


def test_the_second_implementation_makes_these() -> None:
    assert make_refusals.make() == VECTORS


@pytest.mark.parametrize("case", cases(VECTORS["certs"]))
def test_cert(case: Case) -> None:
    with pytest.raises(ERRORS[case["expect"]]) as caught:
        open_cert(H(case["cert"]), case["now_ms"])
    assert caught.type is ERRORS[case["expect"]]


@pytest.mark.parametrize("case", cases(VECTORS["bundles"]))
def test_bundle(case: Case) -> None:
    with pytest.raises(ERRORS[case["expect"]]) as caught:
        open_bundle(H(case["bundle"]), RootKey(H(case["root"])), case["now_s"], PRODUCTION)
    assert caught.type is ERRORS[case["expect"]]


@pytest.mark.parametrize("case", cases(VECTORS["flights"]))
def test_flight(case: Case) -> None:
    case = VECTORS["flights"][0] | case  # what is not named is as in the honest one
    b, secret, flight = identity_of(SESSION["b"]), prekey_secret(), flight_of(case)

    def accept() -> Session:
        return accept_session(b, secret, flight, H(case["envelope"]), case["now_ms"], SeededEntropy(1), PRODUCTION)[0]

    if case["expect"] == "ok":
        assert accept().peer_root == identity_of(SESSION["a"]).cert.root
        return
    with pytest.raises(ERRORS[case["expect"]]) as caught:
        accept()
    assert caught.type is ERRORS[case["expect"]]


@pytest.mark.parametrize("case", cases(VECTORS["frames"]))
def test_frame(case: Case) -> None:
    with pytest.raises(ERRORS[case["expect"]]):
        decode_frame(H(case["frame"]))


@pytest.mark.parametrize("name", ["A", "B"])
def test_envelopes(name: str) -> None:
    refused = [case for case in VECTORS["envelopes"] if case["to"] == name]
    assert len(refused) >= 8
    end, sealed = End(name), [step for step in SESSION["steps"] if step["do"] == "seal"]
    for number, step in enumerate(SESSION["steps"]):
        if step["by"] == name and step["do"] == "seal":
            end.seal(step)
        elif step["by"] == name and step["do"] == "open":
            end.open(step, sealed[step["number"]])
        for case in refused:
            if case["after"] == number:
                end.refuse(case)
    assert max(case["after"] for case in refused) < len(SESSION["steps"])
