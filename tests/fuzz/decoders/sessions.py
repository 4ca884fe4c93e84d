"""Decoders of frames, envelopes and sessions, and of what a node itself has stored of them.

What stands behind an AEAD is fuzzed behind it: the bytes are sealed with the right key first, as a contact could.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

from msgspec import structs

from p2pchat.base.errors import Corrupt, DecodeError, DecryptionError, HandshakeError, LimitError, ReplayError
from p2pchat.core import ratchet, receipt, wire
from p2pchat.core.codec import encode
from p2pchat.core.crypto import NONCE_BYTES, aead_seal, hkdf, kem_decapsulate, x25519, x25519_pair
from p2pchat.core.envelope import Header, decode_header, encode_header, join_prefix, split_envelope
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.handshake import FlightPart
from p2pchat.core.keys import Identity, create_identity, dump_identity, load_identity, open_cert
from p2pchat.core.padding import pad, unpad
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import dump_prekey, load_prekey, make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.session import (
    Session,
    accept_session,
    dump_session,
    dump_skipped,
    load_session,
    open_envelope,
    seal,
)
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, Flown, fly, session_pair
from tests.fuzz.decoders.target import Target, exactly, joined, parted

NOW_MS: Final = NOW_S * 1000
_READER_BYTES: Final = 256
_NONCE: Final = bytes(NONCE_BYTES)
_FEW: Final = replace(PRODUCTION, skip_per_message=20)  # a gap costs time, which is bounded elsewhere


@cache
def someone() -> Identity:
    """The same person each time."""
    return create_identity(SeededEntropy(1), NOW_MS)


@cache
def _pair() -> tuple[Session, Session]:
    """The reader has skipped keys and a chain, the writer a chain that advertises nothing."""
    ends = list(session_pair(SeededEntropy(2)))
    for near, far, lost in ((1, 0, 2), (0, 1, 1), (1, 0, 3), (0, 1, 2)):
        for _ in range(lost):
            ends[near], _ = seal(ends[near], HELLO, SeededEntropy(3), PRODUCTION)
        ends[near], sealed = seal(ends[near], HELLO, SeededEntropy(4), PRODUCTION)
        ends[far], _, _ = open_envelope(ends[far], sealed.envelope, NOW_S, SeededEntropy(5), PRODUCTION)
    return ends[0], ends[1]


@cache
def _flown() -> Flown:
    return fly(create_identity(SeededEntropy(6), NOW_MS), someone(), SeededEntropy(7))


# -- frames and contents ---------------------------------------------------------------------------------------------


def _frame(data: bytes) -> None:
    exactly(data, wire.encode_frame(wire.decode_frame(data)))


def _frames() -> list[bytes]:
    flown, id16 = _flown(), bytes(range(16))
    part = flown.session.flight
    if part is None:
        raise ValueError("a new session has a flight")
    flight = wire.Flight(part.ephemeral, part.kem_ciphertext, part.prekey_id, part.sender, flown.sealed.envelope)
    frames: list[wire.Frame] = [
        wire.Hello(0), wire.BundleRequest(bytes(32)), wire.Bundle(flown.secret.bundle), flight,
        wire.Batch((flown.sealed.envelope,)), wire.Ack(((id16, id16),)), wire.Nack(id16), wire.Ping(1 << 63),
        wire.Pong(7), wire.Bye(), wire.Device(flown.responder.cert.raw),
    ]  # fmt: skip
    return [wire.encode_frame(frame) for frame in frames]


def _content(data: bytes) -> None:
    exactly(data, wire.encode_content(wire.decode_content(data)))


def _contents() -> list[bytes]:
    items = [wire.Item(bytes(16), wire.TEXT, _texts()[0]), wire.Item(b"\xff" * 16, 999, b"")]
    return [HELLO, wire.encode_content(items)]


def _text(data: bytes) -> None:
    exactly(data, wire.encode_text(wire.decode_text(data)))


def _texts() -> list[bytes]:
    return [wire.encode_text(wire.Text(1, NOW_MS, text)) for text in ("x", "잘 지내?\0", "\U0010ffff" * 9)]


def _read(data: bytes) -> None:
    exactly(data, receipt.encode_read(receipt.decode_read(data)))


def _reads() -> list[bytes]:
    return [receipt.encode_read(receipt.Read(bytes(range(16)), run)) for run in (1, 127, 128, 255)]


def _stream(data: bytes) -> None:
    """In the pieces in which a stream could deliver it."""
    reader, frames = FrameReader(_READER_BYTES), list[bytes]()
    for at in range(0, len(data), 7):
        reader.feed(data[at : at + 7])
        while (frame := reader.next_frame()) is not None:
            frames.append(frame)
    read = b"".join(map(with_length, frames))
    exactly(data[: len(read)], read)


# -- envelopes -------------------------------------------------------------------------------------------------------


def _envelope(data: bytes) -> None:
    parts = split_envelope(data)
    exactly(data, join_prefix(parts.hint, parts.nonce, parts.sealed_header) + parts.sealed_body)


def _envelopes() -> list[bytes]:
    ends = (*_pair(), *session_pair(SeededEntropy(9)))
    return [seal(end, HELLO, SeededEntropy(8), PRODUCTION)[1].envelope for end in ends]


def _header(data: bytes) -> None:
    exactly(data, encode_header(decode_header(data)))


def _headers() -> list[bytes]:
    dhs, kem, answer = bytes(range(32)), bytes(1184), bytes(1088)
    kinds = (Header(dhs, 0, 0), Header(dhs, 1, 2, kem), Header(dhs, 3, 4, None, answer), Header(dhs, 5, 6, kem, answer))
    return [encode_header(header) for header in kinds]


def _padding(data: bytes) -> None:
    exactly(data, pad(unpad(data)))


def _paddings() -> list[bytes]:
    return [pad(b""), pad(b"x" * 255), pad(b"x" * 256), pad(b"x" * 3_000)]


def _ratchet(data: bytes) -> None:
    """A header as the peer could seal it: in the chain that is open, as a DH step, or in one that was left."""
    writer, reader = _pair()
    keys = [reader.ratchet.nhkr, *(skipped.header for skipped in reader.ratchet.skipped[:1])]
    if reader.ratchet.receiving is not None:
        keys.append(reader.ratchet.receiving.header)
    key = keys[data[0] % len(keys)] if data else keys[0]
    prefix = join_prefix(key.hint, _NONCE, aead_seal(key.key, _NONCE, data[1:], b"p2pchat/1 hdr" + writer.ad))
    envelope = prefix + aead_seal(bytes(32), _NONCE, pad(b""), writer.ad + prefix)
    before = dump_session(reader)
    try:
        ratchet.decrypt(reader.ratchet, envelope, reader.ad, NOW_S, SeededEntropy(10), _FEW)
    finally:
        exactly(before, dump_session(reader))


def _ratchet_headers() -> list[bytes]:
    dhs = x25519_pair(bytes(range(32))).public
    plain = [encode_header(Header(dhs, 0, n)) for n in (0, 1, 3, 19, 999)]
    kem = [encode_header(Header(dhs, 2, 0, bytes(1184))), encode_header(Header(dhs, 2, 0, None, bytes(1088)))]
    return [bytes([which]) + header for which in range(3) for header in plain + kem]


# -- flights, bundles and certificates -------------------------------------------------------------------------------


def _flight(data: bytes) -> None:
    """The part that is sealed for the responder, as any stranger could seal it."""
    flown, part = _flown(), _part()
    key = _sender_key()
    sender = aead_seal(key, _NONCE, data, part.ephemeral + part.kem_ciphertext)
    flight = FlightPart(part.ephemeral, part.kem_ciphertext, part.prekey_id, sender)
    accept_session(someone(), flown.secret, flight, flown.sealed.envelope, NOW_MS, SeededEntropy(11), PRODUCTION)


def _part() -> FlightPart:
    part = _flown().session.flight
    if part is None:
        raise ValueError("a new session has a flight")
    return part


@cache
def _sender_key() -> bytes:
    part, secret = _part(), _flown().secret
    agreed = x25519(someone().ik.secret, part.ephemeral) + x25519(secret.spk.secret, part.ephemeral)
    shared = agreed + kem_decapsulate(secret.kem_seed, part.kem_ciphertext)
    return hkdf(bytes(32), b"\xff" * 32 + shared, b"p2pchat/1 sender", 32)


def _senders() -> list[bytes]:
    cert = create_identity(SeededEntropy(6), NOW_MS).cert.raw
    return [encode([NOW_MS, cert]), encode([1, cert]), encode([NOW_MS, someone().cert.raw])]


def _bundle(data: bytes) -> None:
    exactly(data, open_bundle(data, someone().cert.root, NOW_S, PRODUCTION).raw)


def _bundles() -> list[bytes]:
    entropy = SeededEntropy(12)
    made = make_bundle(someone(), make_signed_prekey(entropy, NOW_S), entropy, NOW_S, PRODUCTION).bundle
    return [made, made[:-1] + b"\0"]


def _cert(data: bytes) -> None:
    exactly(data, open_cert(data, NOW_MS).raw)


def _certs() -> list[bytes]:
    return [someone().cert.raw, create_identity(SeededEntropy(13), NOW_MS + 10**9).cert.raw]


# -- what is stored --------------------------------------------------------------------------------------------------


def _session(data: bytes) -> None:
    core, skipped = parted(data)
    loaded = load_session(core, skipped)
    exactly(core, dump_session(loaded))
    exactly(skipped, dump_skipped(loaded))


def _sessions() -> list[bytes]:
    earlier = structs.replace(_pair()[0], rdv=None)
    return [joined(dump_session(each), dump_skipped(each)) for each in (*_pair(), earlier, _flown().session)]


def _ratchet_state(data: bytes) -> None:
    core, skipped = parted(data)
    loaded = ratchet.load(core, skipped)
    exactly(core, ratchet.dump_core(loaded))
    exactly(skipped, ratchet.dump_skipped(loaded))


def _ratchet_states() -> list[bytes]:
    states = [each.ratchet for each in (*_pair(), _flown().session)]
    return [joined(ratchet.dump_core(state), ratchet.dump_skipped(state)) for state in states]


def _identity(data: bytes) -> None:
    exactly(data, dump_identity(load_identity(data)))


def _prekey(data: bytes) -> None:
    exactly(data, dump_prekey(load_prekey(data)))


def _prekeys() -> list[bytes]:
    secret = _flown().secret
    return [dump_prekey(secret), dump_prekey(replace(secret, opk=None))]


_REFUSED: Final = (DecodeError, DecryptionError, ReplayError, LimitError)

TARGETS: Final = (
    Target("frame", _frame, (DecodeError,), _frames),
    Target("content", _content, (DecodeError,), _contents),
    Target("text", _text, (DecodeError,), _texts, 512),
    Target("read", _read, (DecodeError,), _reads, 64),
    Target("stream", _stream, (DecodeError,), lambda: [with_length(b"x") + with_length(bytes(200)), bytes(4)], 1_024),
    Target("envelope", _envelope, (DecodeError,), _envelopes),
    Target("header", _header, (DecodeError,), _headers),
    Target("padding", _padding, (DecodeError,), _paddings),
    Target("ratchet", _ratchet, _REFUSED, _ratchet_headers),
    Target("flight", _flight, (HandshakeError, DecodeError, DecryptionError, LimitError), _senders, 512),
    Target("bundle", _bundle, (DecodeError, HandshakeError), _bundles),
    Target("cert", _cert, (DecodeError, HandshakeError), _certs, 512),
    Target("session", _session, (Corrupt,), _sessions, 8_192),
    Target("ratchet-state", _ratchet_state, (Corrupt,), _ratchet_states, 8_192),
    Target("identity", _identity, (Corrupt,), lambda: [dump_identity(someone())], 512),
    Target("prekey", _prekey, (Corrupt,), _prekeys),
)
