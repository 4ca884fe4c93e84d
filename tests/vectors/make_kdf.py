"""Writes kdf.json: every single step behind sessions.json, by the second implementation. Each run makes the same file::

python -m tests.vectors.make_kdf
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgpack

from tests.vectors import independent_session as ind
from tests.vectors.independent_replay import Json, Trace, hexed, sessions
from tests.vectors.independent_session import lp

PATH: Final = Path(__file__).with_name("kdf.json")


def handshake(trace: Trace) -> Json:
    spk, opk = ind.x_public(trace.prekeys.spk_secret), ind.x_public(trace.prekeys.opk_secret or b"")
    ik_a, ik_b, flight = trace.a.ik_secret, ind.x_public(trace.b.ik_secret), trace.flight
    dh = [
        ind.x25519(ik_a, ik_b),
        ind.x25519(ik_a, spk),
        ind.x25519(trace.e, ik_b),
        ind.x25519(trace.e, spk),
        ind.x25519(trace.e, opk),
    ]
    ones, ss = b"\xff" * 32, trace.kem[0]
    parts = [trace.a.c, trace.b.c, trace.bundle, flight.ephemeral, flight.kem_ciphertext]
    tr = b"p2pchat/1 x\0" + trace.session["ms"].to_bytes(8, "big") + b"".join(map(lp, parts))
    return {
        "transcript": {
            "label": "p2pchat/1 x\\0",
            "ms": trace.session["ms"],
            "parts": parts,
            "hash": ind.blake2b(tr, 32),
        },
        "dh": dh,
        "ss": ss,
        "session_key": {"label": "p2pchat/1 PQXDH", "sk": flight.sk},
        "sender_key": {
            "label": "p2pchat/1 sender",
            "ks": ind.hkdf(bytes(32), ones + dh[2] + dh[3] + ss, b"p2pchat/1 sender", 32),
            "plain": ind.pack([trace.session["ms"], trace.a.cert]),
            "sealed": flight.sender,
        },
        "rendezvous": {"label": "p2pchat/1 rdv", "rdv": ind.hkdf(bytes(32), flight.sk, b"p2pchat/1 rdv", 32)},
        "replay_tag": ind.blake2b(flight.ephemeral + flight.kem_ciphertext, 16),
        "prekey_id": ind.blake2b(trace.bundle, 16),
    }


def signatures(trace: Trace) -> list[Json]:
    b = trace.b
    body = msgpack.unpackb(trace.bundle)[1]
    made = [
        ("p2pchat/1 device\\0", "root_seed", b.root_seed, b"p2pchat/1 device\0", b.c),
        ("p2pchat/1 member\\0", "device_seed", b.device_seed, b"p2pchat/1 member\0", b.c),
        ("p2pchat/1 bundle\\0", "device_seed", b.device_seed, b"p2pchat/1 bundle\0", body),
    ]
    return [
        {"label": name, "by": by, "signed": signed, "signature": ind.sign(seed, label + signed)}
        for name, by, seed, label, signed in made
    ]


def init(trace: Trace) -> Json:
    okm = ind.hkdf(bytes(32), trace.flight.sk, b"p2pchat/1 init", 96)
    return {"label": "p2pchat/1 init", "sk": trace.flight.sk, "rk": okm[:32], "hka": okm[32:64], "nhkb": okm[64:]}


def make() -> object:
    frozen = sessions()
    trace = Trace(frozen["session"])
    ask = {"label": "dcd1/ask"} | frozen["ask_proofs"][0]
    return hexed(
        {
            "about": "Every step behind the conversation in sessions.json (PROTOCOL.md 1.1, 4), by a second "
            "implementation. label: the row of PROTOCOL.md 9 that the step is made with.",
            "signatures": signatures(trace),
            "ask": ask,
            "handshake": handshake(trace),
            "init": init(trace),
            "roots": trace.roots,
            "envelopes": trace.envelopes,
        }
    )


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
