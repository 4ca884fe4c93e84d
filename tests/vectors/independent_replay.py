"""The conversation of sessions.json, played again by the second implementation from what its ends drew.

sessions.json is frozen, because ML-KEM draws its own randomness; whatever is derived from it is the same in every run.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors import independent_session as ind
from tests.vectors.independent_session import Kem, Person, Prekeys, Ratchet

SESSIONS: Final = Path(__file__).with_name("sessions.json")
Json = dict[str, Any]
H = bytes.fromhex


def sessions() -> Json:
    made: Json = json.loads(SESSIONS.read_text(encoding="utf-8"))
    return made


def hexed(value: object) -> object:
    """Bytes as hex, at any depth."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: hexed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [hexed(part) for part in value]
    return value


class Traced(Ratchet):
    """An end that notes its root steps."""

    def __init__(self, sk: bytes, ad: bytes, roots: list[Json]) -> None:
        super().__init__(sk, ad)
        self.roots = roots

    def root_step(self, ikm: bytes) -> tuple[bytes, bytes, bytes]:
        before = self.rk
        after = super().root_step(ikm)
        names = ("rk_after", "chain_key", "next_header_key")
        made = dict(zip(names, after, strict=True))
        self.roots.append({"label": "p2pchat/1 ratchet", "rk": before, "dh": ikm[:32], "kem": ikm[32:]} | made)
        return after


class Trace:
    """The conversation, step by step; ``watch`` is called with the number of each step after it."""

    def __init__(self, session: Json, watch: Callable[[Trace, int], None] = lambda *_: None) -> None:
        self.session = session
        self.roots: list[Json] = []
        self.envelopes: list[Json] = []
        self.sealed: list[tuple[bytes, bytes, bytes]] = []
        self.a, self.b = (self.person(session[name]) for name in ("a", "b"))
        prekeys = session["prekeys"]
        self.prekeys = Prekeys(*(H(prekeys[name]) for name in ("spk_secret", "opk_secret", "kem_seed")))
        drawn = session["drawn_by_a"]
        self.e = H(drawn["e"])
        self.kem: Kem = H(drawn["encapsulated"]["shared"]), H(drawn["encapsulated"]["ciphertext"])
        self.bundle = H(session["bundle"])
        self.flight = ind.first_flight(self.a, self.b, self.prekeys, self.bundle, session["ms"], self.e, self.kem)
        self.ends = {name: Traced(self.flight.sk, self.flight.ad, self.roots) for name in "AB"}
        spk = ind.x_public(self.prekeys.spk_secret)
        self.ends["A"].start_a(spk, H(drawn["dhs"]), H(drawn["kem_seed"]))
        self.ends["B"].start_b(self.prekeys.spk_secret)
        for number, step in enumerate(session["steps"]):
            self.play(step)
            watch(self, number)

    def person(self, secrets: Json) -> Person:
        root, device, ik = (H(secrets[name]) for name in ("root_seed", "device_seed", "ik_secret"))
        return Person(root, device, ik, secrets["epoch_ms"])

    def play(self, step: Json) -> None:
        end = self.ends[step["by"]]
        if step["do"] == "seal":
            self.seal(end, step)
        elif step["do"] == "open":
            self.open(end, step)

    def seal(self, end: Traced, step: Json) -> None:
        mk = hmac.new(end.cks, b"\x01", "sha256").digest()
        okm = ind.hkdf(bytes(32), mk, b"p2pchat/1 msg", 48)
        seen: Json = {
            "number": step["number"],
            "chain": {"chain_key": end.cks, "message_key": mk},
            "message": {"label": "p2pchat/1 msg", "body_key": okm[:32], "ack": okm[32:]},
            "hint": {"label": "p2pchat/1 hint", "header_key": end.hks, "hint": ind.hint(end.hks)},
            "header": {"label": "p2pchat/1 hdr", "plain": end.header(), "pn": end.pn, "n": end.ns},
            "drawn": {"dhs": end.dhs, "kem_seed": end.kem_seed},
        }
        envelope, ack = end.seal(H(step["content"]), H(step["nonce"]))
        assert (envelope, ack) == (H(step["envelope"]), H(step["ack"])), "not the conversation of sessions.json"
        seen["chain"]["next"] = end.cks
        seen["eid"] = {"label": "dcd1/eid", "eid": ind.blake2b(envelope, 16, b"dcd1/eid")}
        self.envelopes.append(seen)
        self.sealed.append((envelope, ack, H(step["content"])))

    def open(self, end: Traced, step: Json) -> None:
        drawn = step.get("drawn") or {}
        recorded = drawn.get("encapsulated") or {}

        def encapsulated(public: bytes) -> Kem:
            assert public == H(recorded["public"])
            return H(recorded["shared"]), H(recorded["ciphertext"])

        envelope, ack, content = self.sealed[step["number"]]
        dhs, seed = H(drawn.get("dhs", "")), H(drawn.get("kem_seed") or "")
        assert end.open(envelope, dhs, seed, encapsulated) == (content, ack)
