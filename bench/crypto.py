"""``crypto``: sessions without a network and a disk, each step beside the bare operations that it cannot do without.

- A *message* is a text of 256 bytes. Sealing one is all from the text to the envelope, opening one all from the
  envelope to the text: coding, padding, ratchet and AEAD; but neither a frame nor a commit.
- Both ends are in this process and on one thread; a second is one of its CPU time. They have answered each other
  before, so that no header carries anything of ML-KEM, as in 14 of 16 chains; an envelope's size is given for both.
- *A turn* is a message that answers the one before: a DH step at its reader, every sixteenth with ML-KEM.
- Initiating begins with the bytes of a bundle, accepting with a flight and its envelope; making bundles is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.bare import Bare, rate
from bench.measure import Samples, cpu_seconds, rounds
from bench.report import Metric
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.keys import create_identity
from p2pchat.core.padding import padded_bytes
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.session import Session, dump_session, dump_skipped, open_envelope, open_session, seal
from p2pchat.core.wire import (
    TEXT,
    Flight,
    Item,
    Text,
    decode_content,
    decode_text,
    encode_content,
    encode_frame,
    encode_text,
    pack_items,
)
from p2pchat.daemon.system import SystemEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, Flown, fly, land, session_pair

GROUP: Final = 16
_MESSAGE: Final = "x" * 256
_SHORT: Final = "See you at eight?"
_ENTROPY: Final = SystemEntropy()
_KEYS: Final = "2 AEAD, 5 HMAC"


def _rate(name: str, title: str, bare: str, bar: float | None = None) -> Metric:
    return Metric(f"{name} /s", title, "/s", ((f"bare {name} /s", bare),), bar=bar, rising=True)


METRICS: Final = (
    _rate("seal", "messages sealed, one an envelope", _KEYS),
    _rate("open", "messages opened, one an envelope", _KEYS),
    _rate("both", "messages sealed and opened, one an envelope", f"twice {_KEYS}", bar=7_000),
    _rate("packed seal", f"messages sealed, {GROUP} an envelope", f"{_KEYS} for {GROUP}", bar=25_000),
    _rate("packed open", f"messages opened, {GROUP} an envelope", f"{_KEYS} for {GROUP}", bar=25_000),
    _rate("turn", "turns", f"twice {_KEYS}, 3 X25519"),
    _rate("initiate", "sessions initiated", f"{_KEYS}, 8 X25519, 3 signatures, 2 ML-KEM"),
    _rate("accept", "sessions accepted", f"{_KEYS}, 8 X25519, 2 signatures, 2 ML-KEM"),
    Metric("state B", "stored session", "B"),
    Metric("new state B", "stored session, its flight not answered", "B"),
    Metric("skipped B", "stored session with 1,000 skipped keys", "B"),
    Metric("one B", "envelope of 1 short text", "B", (("short B", "the text"),)),
    Metric("new one B", "the same in a chain that advertises a KEM key", "B", (("short B", "the text"),)),
    Metric("group B", f"envelope of {GROUP} short texts", "B", (("shorts B", "the texts"),)),
    Metric("flight B", "first flight, as a frame, with a short text", "B"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much makes one value."""

    messages: int = 8_000
    turns: int = 1_600
    flights: int = 300


QUICK: Final = Scale(messages=32, turns=8, flights=2)


def run(_sandbox: Sandbox, _folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything. A run before them warms up and is thrown away."""
    scale = QUICK if quick else Scale()
    for _, values in rounds(runs, samples, warm_up=not quick):
        _one_way(values, scale.messages)
        _packed(values, scale.messages)
        _turns(values, scale.turns)
        _flights(values, scale.flights)
        _sizes(values)


def _one_way(samples: Samples, count: int) -> None:
    sealing_s, opening_s = _poured_s(1, count)
    bare = Bare(padded_bytes(len(encode_content([_item(1, _MESSAGE)]))))
    bare_sealing, bare_opening = rate(bare.seal, count), rate(bare.open, count)
    samples.add("seal /s", count / sealing_s)
    samples.add("open /s", count / opening_s)
    samples.add("both /s", count / (sealing_s + opening_s))
    samples.add("bare seal /s", bare_sealing)
    samples.add("bare open /s", bare_opening)
    samples.add("bare both /s", 1 / (1 / bare_sealing + 1 / bare_opening))


def _packed(samples: Samples, count: int) -> None:
    sealing_s, opening_s = _poured_s(GROUP, count)
    bare = Bare(padded_bytes(len(encode_content([_item(n + 1, _MESSAGE) for n in range(GROUP)]))))
    samples.add("packed seal /s", count / sealing_s)
    samples.add("packed open /s", count / opening_s)
    samples.add("bare packed seal /s", GROUP * rate(bare.seal, count // GROUP))
    samples.add("bare packed open /s", GROUP * rate(bare.open, count // GROUP))


def _poured_s(group: int, count: int) -> tuple[float, float]:
    """How long ``count`` messages, ``group`` an envelope, take to be sealed, and then to be opened."""
    writer, reader = settled_pair()
    envelopes: list[bytes] = []
    read: list[str] = []

    def seal_all() -> None:
        nonlocal writer
        for first in range(0, count, group):
            for items in pack_items([_item(first + n + 1, _MESSAGE) for n in range(group)]):
                writer, sealed = seal(writer, encode_content(items), _ENTROPY, PRODUCTION)
                envelopes.append(sealed.envelope)

    def open_all() -> None:
        nonlocal reader
        for envelope in envelopes:
            reader, content, _ = open_envelope(reader, envelope, NOW_S, _ENTROPY, PRODUCTION)
            read.extend(decode_text(item.body).text for item in decode_content(content))

    return cpu_seconds(seal_all), cpu_seconds(open_all)


def _turns(samples: Samples, count: int) -> None:
    ends = list(settled_pair())
    content = encode_content([_item(1, _MESSAGE)])

    def converse() -> None:
        for turn in range(count):
            near, far = turn % 2, 1 - turn % 2
            ends[near], sealed = seal(ends[near], content, _ENTROPY, PRODUCTION)
            ends[far], _, _ = open_envelope(ends[far], sealed.envelope, NOW_S, _ENTROPY, PRODUCTION)

    samples.add("turn /s", count / cpu_seconds(converse))
    samples.add("bare turn /s", rate(Bare(padded_bytes(len(content))).turn, count))


def _flights(samples: Samples, count: int) -> None:
    near, far = create_identity(_ENTROPY, NOW_S * 1000), create_identity(_ENTROPY, NOW_S * 1000)
    signed = make_signed_prekey(_ENTROPY, NOW_S)
    prekeys = [make_bundle(far, signed, _ENTROPY, NOW_S, PRODUCTION) for _ in range(count)]
    flown: list[Flown] = []

    def initiate_all() -> None:
        for prekey in prekeys:
            bundle = open_bundle(prekey.bundle, far.cert.root, NOW_S, PRODUCTION)
            session = open_session(near, bundle, NOW_S * 1000, _ENTROPY, PRODUCTION)
            flown.append(Flown(*seal(session, HELLO, _ENTROPY, PRODUCTION), far, prekey))

    def accept_all() -> None:
        for each in flown:
            land(each, _ENTROPY)

    samples.add("initiate /s", count / cpu_seconds(initiate_all))
    samples.add("accept /s", count / cpu_seconds(accept_all))
    bare = Bare(padded_bytes(len(HELLO)))
    samples.add("bare initiate /s", rate(bare.initiate, count))
    samples.add("bare accept /s", rate(bare.accept, count))


def _sizes(samples: Samples) -> None:
    (new, _), (writer, reader) = session_pair(_ENTROPY), settled_pair()
    samples.add("state B", _stored_bytes(writer))
    samples.add("new state B", _stored_bytes(new))
    samples.add("skipped B", _stored_bytes(_behind(writer, reader)))
    one, group = encode_content([_item(1, _SHORT)]), encode_content([_item(n + 1, _SHORT) for n in range(GROUP)])
    for name, session, content in (("one B", writer, one), ("new one B", new, one), ("group B", writer, group)):
        samples.add(name, len(seal(session, content, _ENTROPY, PRODUCTION)[1].envelope))
    samples.add("short B", len(_SHORT))
    samples.add("shorts B", len(_SHORT) * GROUP)
    samples.add("flight B", _flight_bytes(one))


def settled_pair() -> tuple[Session, Session]:
    """Two ends that have answered each other: neither's chain has anything of ML-KEM, both sessions are confirmed."""
    ends = list(session_pair(_ENTROPY))
    for near, far in ((1, 0), (0, 1), (1, 0)):
        ends[near], sealed = seal(ends[near], HELLO, _ENTROPY, PRODUCTION)
        ends[far], _, _ = open_envelope(ends[far], sealed.envelope, NOW_S, _ENTROPY, PRODUCTION)
    return ends[0], ends[1]


def _behind(writer: Session, reader: Session) -> Session:
    """``reader`` after the last of 1,001 envelopes came first."""
    for _ in range(PRODUCTION.skip_per_message):
        writer, _ = seal(writer, HELLO, _ENTROPY, PRODUCTION)
    _, last = seal(writer, HELLO, _ENTROPY, PRODUCTION)
    reader, _, _ = open_envelope(reader, last.envelope, NOW_S, _ENTROPY, PRODUCTION)
    return reader


def _flight_bytes(content: bytes) -> int:
    near, far = create_identity(_ENTROPY, NOW_S * 1000), create_identity(_ENTROPY, NOW_S * 1000)
    flown = fly(near, far, _ENTROPY, content=content)
    part = flown.session.flight
    if part is None:
        raise ValueError("a new session has a flight")
    frame = Flight(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender, flown.sealed.envelope)
    return len(encode_frame(frame))


def _item(n: int, text: str) -> Item:
    return Item(_ENTROPY.bytes(16), TEXT, encode_text(Text(n, NOW_S * 1000, text)))


def _stored_bytes(session: Session) -> int:
    return len(dump_session(session)) + len(dump_skipped(session))
