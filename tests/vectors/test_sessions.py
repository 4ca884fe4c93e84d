"""core against the vectors of PROTOCOL.md 1, 4 and 5.1, which a second implementation made.

The conversation is played twice, once with each end being ours: what the other end sealed must open, and what ours
seals, drawing what was recorded, must be the recorded bytes.
"""

from __future__ import annotations

import builtins
import json
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pchat.base.errors import DecodeError, DecryptionError, HandshakeError, LimitError, PeerError, ReplayError
from p2pchat.base.ids import PeerId, RootKey
from p2pchat.core import wire
from p2pchat.core.codec import encode
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.handshake import FlightPart, replay_tag
from p2pchat.core.keys import Identity, dump_identity, load_identity, open_cert
from p2pchat.core.padding import padded_bytes
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import PrekeySecret, ask_proof, open_bundle
from p2pchat.core.ratchet import hints
from p2pchat.core.session import (
    Session,
    accept_session,
    dump_session,
    dump_skipped,
    load_session,
    open_envelope,
    open_session,
    seal,
)
from p2pchat.testing.entropy import SeededEntropy

Case = dict[str, Any]
VECTORS: Case = json.loads((Path(__file__).with_name("sessions.json")).read_text(encoding="utf-8"))
SESSION: Case = VECTORS["session"]
NOW_S: int = SESSION["now_s"]
H = bytes.fromhex

ERRORS: dict[str, type[PeerError]] = {
    "decode": DecodeError,
    "decryption": DecryptionError,
    "handshake": HandshakeError,
    "limit": LimitError,
    "replay": ReplayError,
}


def cases(part: list[Case]) -> list[Any]:
    return [pytest.param(case, id=str(case.get("name", number))) for number, case in enumerate(part)]


class Recorded:
    """An Entropy port that gives what was recorded, by kind: keys, seeds, nonces and encapsulations."""

    def __init__(self) -> None:
        self.drawn: defaultdict[int, deque[bytes]] = defaultdict(deque)
        self.encapsulated: deque[Case] = deque()

    def expect(self, *values: str | None, encapsulated: Case | None = None) -> None:
        for value in values:
            if value is not None:
                self.drawn[len(H(value))].append(H(value))
        if encapsulated is not None:
            self.encapsulated.append(encapsulated)

    def bytes(self, n: int) -> builtins.bytes:
        return self.drawn[n].popleft()

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        recorded = self.encapsulated.popleft()
        assert kem_public == H(recorded["public"])
        return H(recorded["shared"]), H(recorded["ciphertext"])

    @property
    def is_used_up(self) -> bool:
        return not self.encapsulated and not any(self.drawn.values())


def identity_of(secrets: Case) -> Identity:
    """Through the stored form, which the test thereby fixes too."""
    stored = [1, H(secrets["root_seed"]), secrets["epoch_ms"], H(secrets["device_seed"]), H(secrets["ik_secret"])]
    identity = load_identity(encode(stored))
    assert dump_identity(identity) == encode(stored)
    return identity


def prekey_secret() -> PrekeySecret:
    prekeys, raw = SESSION["prekeys"], H(SESSION["bundle"])
    spk, opk = x25519_pair(H(prekeys["spk_secret"])), x25519_pair(H(prekeys["opk_secret"]))
    bundle = open_bundle(raw, identity_of(SESSION["b"]).cert.root, NOW_S, PRODUCTION)
    assert (bundle.spk, bundle.opk) == (spk.public, opk.public)
    return PrekeySecret(bundle.prekey_id, raw, spk, opk, H(prekeys["kem_seed"]), bundle.exp)


def flight_of(case: Case) -> FlightPart:
    return FlightPart(*(H(case[name]) for name in ("ephemeral", "kem_ciphertext", "prekey_id", "sender")))


@pytest.mark.parametrize("case", cases(VECTORS["certs"]))
def test_cert(case: Case) -> None:
    if case["expect"] != "ok":
        with pytest.raises(ERRORS[case["expect"]]):
            open_cert(H(case["cert"]), case["now_ms"])
        return
    cert = open_cert(H(case["cert"]), case["now_ms"])
    assert (bytes(cert.root), cert.epoch_ms) == (H(case["root"]), case["epoch_ms"])
    assert (cert.device, cert.ik, cert.c) == (H(case["device"]), H(case["ik"]), H(case["c"]))


def test_an_own_cert_is_made_the_same() -> None:
    assert identity_of(SESSION["a"]).cert.raw == H(VECTORS["certs"][0]["cert"])


@pytest.mark.parametrize("case", cases(VECTORS["bundles"]))
def test_bundle(case: Case) -> None:
    raw, root = H(case["bundle"]), RootKey(H(case["root"]))
    if case["expect"] == "ok":
        assert open_bundle(raw, root, case["now_s"], PRODUCTION).prekey_id == H(case["prekey_id"])
    else:
        with pytest.raises(ERRORS[case["expect"]]):
            open_bundle(raw, root, case["now_s"], PRODUCTION)


@pytest.mark.parametrize("case", cases(VECTORS["ask_proofs"]))
def test_ask_proof(case: Case) -> None:
    responder, requester = PeerId(H(case["responder"])), PeerId(H(case["requester"]))
    assert ask_proof(H(case["ask"]), responder, requester) == H(case["proof"])


@pytest.mark.parametrize("case", cases(SESSION["refused_flights"]))
def test_flight(case: Case) -> None:
    b, secret, flight = identity_of(SESSION["b"]), prekey_secret(), flight_of(case)

    def accept() -> Session:
        envelope, entropy = H(case["envelope"]), SeededEntropy(1)
        return accept_session(b, secret, flight, envelope, NOW_S * 1000, entropy, PRODUCTION)[0]

    if case["expect"] == "ok":
        assert accept().peer_root == identity_of(SESSION["a"]).cert.root
    else:
        with pytest.raises(ERRORS[case["expect"]]):
            accept()


class End:
    """Our end of the recorded conversation, reloaded from its dump before every step."""

    def __init__(self, name: str) -> None:
        self.name, self.entropy = name, Recorded()
        self.session: Session | None = None
        if name == "A":
            drawn = SESSION["drawn_by_a"]
            self.entropy.expect(drawn["e"], drawn["dhs"], drawn["kem_seed"], encapsulated=drawn["encapsulated"])
            a, secret = identity_of(SESSION["a"]), prekey_secret()
            bundle = open_bundle(secret.bundle, identity_of(SESSION["b"]).cert.root, NOW_S, PRODUCTION)
            self.session = open_session(a, bundle, SESSION["ms"], self.entropy, PRODUCTION)
            assert self.session.flight == flight_of(SESSION["flight"])
            assert (self.session.ad, self.session.rdv) == (H(SESSION["ad"]), H(SESSION["rdv"]))

    def reload(self) -> Session:
        assert self.session is not None
        self.session = load_session(dump_session(self.session), dump_skipped(self.session))
        return self.session

    def seal(self, step: Case) -> None:
        self.entropy.expect(step["nonce"])
        self.session, sealed = seal(self.reload(), H(step["content"]), self.entropy, PRODUCTION)
        assert sealed.envelope == H(step["envelope"])
        assert (sealed.eid, sealed.ack) == (H(step["eid"]), H(step["ack"]))

    def open(self, step: Case, sealed: Case) -> None:
        drawn = step.get("drawn", {})
        self.entropy.expect(drawn.get("dhs"), drawn.get("kem_seed"), encapsulated=drawn.get("encapsulated"))
        envelope = H(sealed["envelope"])
        if self.session is None:
            flight = flight_of(SESSION["flight"])
            assert replay_tag(flight) == H(SESSION["replay_tag"])
            b = identity_of(SESSION["b"])
            accepted = accept_session(b, prekey_secret(), flight, envelope, NOW_S * 1000, self.entropy, PRODUCTION)
            self.session, content, ack, cert = accepted
            assert cert.raw == identity_of(SESSION["a"]).cert.raw
            session = self.session
            assert (session.ad, session.rdv, session.ms) == (H(SESSION["ad"]), H(SESSION["rdv"]), SESSION["ms"])
        else:
            assert envelope[:8] in hints(self.session.ratchet)
            self.session, content, ack = open_envelope(self.reload(), envelope, NOW_S, self.entropy, PRODUCTION)
        assert (content, ack) == (H(sealed["content"]), H(sealed["ack"]))

    def refuse(self, step: Case) -> None:
        before, error = self.session, ERRORS[step["expect"]]
        with pytest.raises(error) as caught:
            self.try_to_open(H(step["envelope"]))
        assert caught.type is error, step["name"]
        assert self.session == before

    def try_to_open(self, envelope: bytes) -> None:
        if self.session is None:
            b, secret, flight = identity_of(SESSION["b"]), prekey_secret(), flight_of(SESSION["flight"])
            accept_session(b, secret, flight, envelope, NOW_S * 1000, SeededEntropy(1), PRODUCTION)
        else:
            open_envelope(self.reload(), envelope, NOW_S, SeededEntropy(1), PRODUCTION)


@pytest.mark.parametrize("name", ["A", "B"])
def test_conversation(name: str) -> None:
    end = End(name)
    sealed: list[Case] = []
    for step in SESSION["steps"]:
        ours = step["by"] == name
        if step["do"] == "seal":
            sealed.append(step)
            if ours:
                end.seal(step)
        elif step["do"] == "open":
            if ours:
                end.open(step, sealed[step["number"]])
        elif ours:
            end.refuse(step)
    assert end.entropy.is_used_up
    assert end.session is not None
    assert end.session.ratchet.skipped == ()
    assert end.session.ratchet.step >= 17


def test_the_conversation_holds_what_it_should() -> None:
    steps = SESSION["steps"]
    drawn = [(step["by"], step["drawn"]) for step in steps if "drawn" in step]
    assert sum(d["kem_seed"] is not None for _, d in drawn) == 2  # A16, B16; A0 is in the flight
    assert [by for by, d in drawn if d["encapsulated"] is not None] == ["B", "A", "B"]
    assert {step["expect"] for step in steps if step["do"] == "refuse"} == {"decode", "decryption", "limit", "replay"}


@pytest.mark.parametrize("case", VECTORS["paddings"])
def test_padding(case: Case) -> None:
    assert padded_bytes(case["content_bytes"]) == case["padded_bytes"]


FORMS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "frame": (wire.decode_frame, wire.encode_frame),
    "content": (wire.decode_content, wire.encode_content),
    "text": (wire.decode_text, wire.encode_text),
}


@pytest.mark.parametrize(
    ("form", "case"),
    [pytest.param(form, case, id=f"{form}: {case['name']}") for form in FORMS for case in VECTORS[form + "s"]],
)
def test_form(form: str, case: Case) -> None:
    decode_form, encode_form = FORMS[form]
    if case["expect"] == "ok":
        assert encode_form(decode_form(H(case[form]))) == H(case[form])
    else:
        with pytest.raises(ERRORS[case["expect"]]):
            decode_form(H(case[form]))
