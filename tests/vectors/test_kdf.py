"""core's single steps against kdf.json: every derivation, header, hint, ack and signature (PROTOCOL.md 1.1, 4).

What sessions.json holds as a whole is here in its parts, so that a step that is wrong at both ends fails by its name.
"""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from p2pchat.base.ids import PeerId
from p2pchat.core import handshake, ratchet
from p2pchat.core.crypto import aead_open, aead_seal, kem_public, x25519_pair
from p2pchat.core.envelope import Header, decode_header, encode_header, split_envelope
from p2pchat.core.keys import open_cert
from p2pchat.core.padding import pad
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import SignedPrekey, ask_proof, make_bundle, open_bundle, prekey_id
from p2pchat.core.ratchet_state import RatchetState, SendingChain, header_key
from p2pchat.core.wire import eid
from tests.architecture.test_labels import rows
from tests.vectors import make_kdf
from tests.vectors.test_sessions import Recorded, flight_of, identity_of

Case = dict[str, Any]
VECTORS: Case = json.loads(make_kdf.PATH.read_text(encoding="utf-8"))
SESSION: Case = json.loads((Path(__file__).with_name("sessions.json")).read_text(encoding="utf-8"))["session"]
HANDSHAKE: Case = VECTORS["handshake"]
SEALED: list[Case] = [step for step in SESSION["steps"] if step["do"] == "seal"]
AD = bytes.fromhex(SESSION["ad"])
H = bytes.fromhex

by_number = pytest.mark.parametrize("case", VECTORS["envelopes"], ids=lambda case: str(case["number"]))


def test_the_second_implementation_makes_these() -> None:
    assert make_kdf.make() == VECTORS


def labels_in(value: object) -> set[str]:
    if isinstance(value, list):
        return {label for part in value for label in labels_in(part)}
    if isinstance(value, dict):
        return {label for part in value.values() for label in labels_in(part)} | (
            {str(value["label"])} if "label" in value else set()
        )
    return set()


def test_every_label_of_keys_and_sessions_has_a_vector() -> None:
    wanted = {label for label, where in rows() if where.partition(".")[0] in ("1", "4")}
    assert len(wanted) == 12
    assert labels_in(VECTORS) == wanted | {"dcd1/eid", "p2pchat/1 rdv"}  # 5.2 and 3.4, which sessions yield


# --- 1.1, 4.1 ------------------------------------------------------------------------------------------------------


def test_signatures() -> None:
    device, member, bundle = (H(case["signature"]) for case in VECTORS["signatures"])
    b = identity_of(SESSION["b"])
    assert b.cert.raw.endswith(device + b"\xc4\x40" + member)
    assert open_cert(b.cert.raw, b.cert.epoch_ms).c == H(VECTORS["signatures"][0]["signed"])
    assert H(SESSION["bundle"]).endswith(H(VECTORS["signatures"][2]["signed"]) + b"\xc4\x40" + bundle)


def test_an_own_bundle_is_made_the_same() -> None:
    entropy, prekeys = Recorded(), SESSION["prekeys"]
    entropy.expect(prekeys["opk_secret"], prekeys["kem_seed"])
    b, made_s = identity_of(SESSION["b"]), SESSION["now_s"] - 10
    spk = SignedPrekey(x25519_pair(H(prekeys["spk_secret"])), made_s)
    made = make_bundle(b, spk, entropy, made_s, PRODUCTION)
    assert made.bundle == H(SESSION["bundle"])
    assert made.prekey_id == prekey_id(made.bundle) == H(HANDSHAKE["prekey_id"])
    assert open_bundle(made.bundle, b.cert.root, made_s, PRODUCTION).exp == made.expires_s == made_s + 86_400


def test_ask() -> None:
    case = VECTORS["ask"]
    ends = PeerId(H(case["responder"])), PeerId(H(case["requester"]))
    assert ask_proof(H(case["ask"]), *ends) == H(case["proof"])


# --- 4.2 -----------------------------------------------------------------------------------------------------------


def test_transcript() -> None:
    case = HANDSHAKE["transcript"]
    assert handshake._transcript_hash(case["ms"], *map(H, case["parts"])) == H(case["hash"]) == AD


def test_session_key() -> None:
    dh = b"".join(map(H, HANDSHAKE["dh"]))
    assert handshake._session_key(dh, H(HANDSHAKE["ss"]), AD) == H(HANDSHAKE["session_key"]["sk"])


def test_sender() -> None:
    case, flight = HANDSHAKE["sender_key"], flight_of(SESSION["flight"])
    ks = handshake._sender_key(H(HANDSHAKE["dh"][2]), H(HANDSHAKE["dh"][3]), H(HANDSHAKE["ss"]))
    assert ks == H(case["ks"])
    aad = flight.ephemeral + flight.kem_ciphertext
    assert aead_open(ks, bytes(24), flight.sender, aad) == H(case["plain"])
    assert flight.sender == H(case["sealed"])


def test_rendezvous_and_replay_tag() -> None:
    assert handshake._rendezvous(H(HANDSHAKE["session_key"]["sk"])) == H(HANDSHAKE["rendezvous"]["rdv"])
    assert handshake.replay_tag(flight_of(SESSION["flight"])) == H(HANDSHAKE["replay_tag"])


# --- 4.3, 4.4 ------------------------------------------------------------------------------------------------------


def test_init() -> None:
    case, spk = VECTORS["init"], x25519_pair(H(SESSION["prekeys"]["spk_secret"]))
    b = ratchet.start_responder(H(case["sk"]), spk)
    assert (b.rk, b.nhkr.key, b.nhks) == (H(case["rk"]), H(case["hka"]), H(case["nhkb"]))
    drawn, entropy = SESSION["drawn_by_a"], Recorded()
    entropy.expect(drawn["dhs"], drawn["kem_seed"])
    a = ratchet.start_initiator(H(case["sk"]), spk.public, entropy, PRODUCTION)
    assert a.sending is not None
    assert (a.sending.header.key, a.nhkr.key) == (H(case["hka"]), H(case["nhkb"]))
    first = VECTORS["roots"][0]
    assert first["rk"] == case["rk"]
    assert (a.rk, a.sending.key, a.nhks) == tuple(H(first[n]) for n in ("rk_after", "chain_key", "next_header_key"))


@pytest.mark.parametrize("case", VECTORS["roots"], ids=lambda case: "kem" if case["kem"] else "dh")
def test_root_step(case: Case) -> None:
    after = tuple(H(case[name]) for name in ("rk_after", "chain_key", "next_header_key"))
    assert ratchet._root_step(H(case["rk"]), H(case["dh"]) + H(case["kem"])) == after


def test_root_steps_of_both_kinds_are_there() -> None:
    kem = [case for case in VECTORS["roots"] if case["kem"]]
    assert (len(kem), len(VECTORS["roots"])) == (6, 71)  # each at both ends
    assert {len(case["kem"]) for case in kem} == {64}


@by_number
def test_chain_message_and_hint(case: Case) -> None:
    chain, message, hint = case["chain"], case["message"], case["hint"]
    assert ratchet._chain_step(H(chain["chain_key"])) == (H(chain["message_key"]), H(chain["next"]))
    assert ratchet._message_keys(H(chain["message_key"])) == (H(message["body_key"]), H(message["ack"]))
    assert header_key(H(hint["header_key"])).hint == H(hint["hint"])


def header_of(case: Case) -> Header:
    plain, drawn = H(case["header"]["plain"]), case["drawn"]
    advertised = kem_public(H(drawn["kem_seed"])) if drawn["kem_seed"] else None
    answer = plain[-1088:] if plain[0] & 2 else None
    return Header(x25519_pair(H(drawn["dhs"])).public, case["header"]["pn"], case["header"]["n"], advertised, answer)


@by_number
def test_header(case: Case) -> None:
    assert encode_header(header_of(case)) == H(case["header"]["plain"])
    assert decode_header(H(case["header"]["plain"])) == header_of(case)


@by_number
def test_the_parts_of_an_envelope(case: Case) -> None:
    step = SEALED[case["number"]]
    parts, nonce = split_envelope(H(step["envelope"])), H(step["nonce"])
    assert (parts.hint, parts.nonce) == (H(case["hint"]["hint"]), nonce)
    header = aead_seal(H(case["hint"]["header_key"]), nonce, H(case["header"]["plain"]), b"p2pchat/1 hdr" + AD)
    assert parts.sealed_header == header
    assert parts.prefix == parts.hint + nonce + len(header).to_bytes(2, "big") + header
    body = aead_seal(H(case["message"]["body_key"]), nonce, pad(H(step["content"])), AD + parts.prefix)
    assert parts.sealed_body == body
    assert eid(H(step["envelope"])) == H(case["eid"]["eid"])


class Nonce:
    """An Entropy port that has one nonce."""

    def __init__(self, nonce: bytes) -> None:
        self.nonce = nonce

    def bytes(self, n: int) -> builtins.bytes:
        assert n == len(self.nonce)
        return self.nonce

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        raise AssertionError("sealing encapsulates nothing")


@by_number
def test_sealing_from_the_state_alone(case: Case) -> None:
    step, header, chain = SEALED[case["number"]], header_of(case), case["chain"]
    sending = SendingChain(
        header=header_key(H(case["hint"]["header_key"])),
        key=H(chain["chain_key"]),
        n=header.n,
        pn=header.pn,
        kem_seed=H(case["drawn"]["kem_seed"]) or None,
        kem_public=header.kem_public,
        kem_ciphertext=header.kem_ciphertext,
    )
    dhs, other = x25519_pair(H(case["drawn"]["dhs"])), header_key(bytes(32))
    state = RatchetState(rk=bytes(32), dhs=dhs, nhks=bytes(32), nhkr=other, step=0, sending=sending, receiving=None)
    after, envelope, ack = ratchet.encrypt(state, H(step["content"]), AD, Nonce(H(step["nonce"])))
    assert (envelope, ack) == (H(step["envelope"]), H(step["ack"]))
    assert after.sending is not None
    assert (after.sending.key, after.sending.n) == (H(chain["next"]), header.n + 1)
