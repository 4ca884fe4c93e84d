"""Envelopes of an end that keeps its keys and breaks a rule (PROTOCOL.md 4.3, 4.4), for refusals.json."""

from __future__ import annotations

import copy
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.vectors import independent_session as ind
from tests.vectors.independent_replay import H, Json, Trace, sessions
from tests.vectors.independent_session import Ratchet
from tests.vectors.make_sessions import secret

LOW_ORDER: Final = H("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


@dataclass
class Forger:
    """The end itself stays as it is."""

    end: Ratchet

    def seal(
        self,
        *,
        header: Callable[[bytes], bytes] = ind.same,
        header_aad: Callable[[bytes], bytes] = lambda ad: b"p2pchat/1 hdr" + ad,
        body_aad: Callable[[bytes, bytes], bytes] = lambda ad, prefix: ad + prefix,
        padded: bytes | None = None,
        length: int | None = None,
        content: bytes = b"content",
        skip: int = 0,
    ) -> bytes:
        end, nonce = copy.deepcopy(self.end), secret("forged nonce", 24)
        for _ in range(skip):
            end.seal(b"", bytes(24))
        mk = hmac.new(end.cks, b"\x01", "sha256").digest()
        key = ind.hkdf(bytes(32), mk, b"p2pchat/1 msg", 48)[:32]
        eh = ind.aead(end.hks, nonce, header(end.header()), header_aad(end.ad))
        prefix = ind.hint(end.hks) + nonce + (len(eh) if length is None else length).to_bytes(2, "big") + eh
        body = ind.aead(key, nonce, ind.pad(content) if padded is None else padded, body_aad(end.ad, prefix))
        return prefix + body

    def splice(self) -> bytes:
        """The header of one, the body of the next, and nonces that are the same."""
        one, two = self.seal(), self.seal(skip=1)
        return one[: 34 + int.from_bytes(one[32:34], "big")] + two[34 + int.from_bytes(two[32:34], "big") :]

    def header_replaced(self) -> bytes:
        """By someone who has the header key alone: another pn, sealed under the same nonce."""
        one, other = self.seal(), self.seal(header=lambda h: h[:33] + b"\0\0\0\x07" + h[37:])
        prefix = 34 + int.from_bytes(one[32:34], "big")
        return other[:prefix] + one[prefix:]


def to_b(forger: Forger) -> list[tuple[str, str, bytes]]:
    seal = forger.seal
    honest = seal()
    header_bytes = int.from_bytes(honest[32:34], "big")
    other = b"\x01" * 32
    return [
        ("nothing", "decode", b""),
        ("shorter than any", "decode", honest[:362]),
        ("a byte less than the shortest body", "decode", honest[:-1]),
        ("a byte less", "decryption", seal(content=bytes(300))[:-1]),
        ("a byte more", "decryption", honest + b"\0"),
        ("body without associated data", "decryption", seal(body_aad=lambda *_: b"")),
        ("body with ad alone", "decryption", seal(body_aad=lambda ad, _: ad)),
        ("body with the prefix alone", "decryption", seal(body_aad=lambda _, prefix: prefix)),
        ("body with another ad", "decryption", seal(body_aad=lambda _, prefix: other + prefix)),
        ("header without ad", "decryption", seal(header_aad=lambda _: b"p2pchat/1 hdr")),
        ("header without its label", "decryption", seal(header_aad=lambda ad: ad)),
        ("header with another ad", "decryption", seal(header_aad=lambda _: b"p2pchat/1 hdr" + other)),
        ("all with another ad", "decryption", other_ad(forger, other)),
        ("the header of one, the body of another", "decryption", forger.splice()),
        ("a header that was replaced", "decryption", forger.header_replaced()),
        ("a header said to be empty", "decryption", seal(length=0)),
        ("a header said to be a byte shorter", "decryption", seal(length=header_bytes - 1)),
        ("a header said to be as long as may be", "decode", seal(length=0xFFFF)),
        ("a header of 40 bytes", "decode", seal(header=lambda h: h[:40], content=bytes(300))),
        ("no header", "decode", seal(header=lambda _: b"", content=bytes(300))),
        ("a header with a byte more", "decode", seal(header=lambda h: h + b"\0")),
        ("both flags and one key", "decode", seal(header=lambda h: b"\x03" + h[1:])),
        ("the highest flag", "decode", seal(header=lambda h: bytes([h[0] | 0x80]) + h[1:])),
        ("content without padding", "decode", seal(padded=b"a" * 256)),
        ("padding without its mark", "decode", seal(padded=bytes(256))),
        ("padding that is not zero", "decode", seal(padded=b"a\x80" + bytes(253) + b"\1")),
        ("257 bytes", "decode", seal(padded=b"a\x80" + bytes(255))),
        ("padded to 512 bytes", "decode", seal(padded=bytes(256) + b"\x80" + bytes(255))),
        ("the least step of padding for a shorter content", "decode", seal(padded=bytes(254) + b"\x80" + bytes(17))),
        ("too far ahead", "limit", seal(skip=1_001)),
        ("a key that was used", "replay", seal(header=lambda h: h[:37] + bytes(4) + h[41:])),
    ]


def other_ad(forger: Forger, ad: bytes) -> bytes:
    end = copy.deepcopy(forger.end)
    end.ad = ad
    return Forger(end).seal()


def to_a(b: Ratchet, before: Ratchet, opening: bytes, drawn: Json) -> list[tuple[str, str, bytes]]:
    """First answers: ``b`` has opened A's first envelope ``opening``, ``before`` has not yet."""
    kct = H(drawn["encapsulated"]["ciphertext"])

    def answered(ss: bytes, ciphertext: bytes = kct) -> Forger:
        end = copy.deepcopy(before)
        end.open(opening, H(drawn["dhs"]), b"", lambda _: (ss, ciphertext))
        return Forger(end)

    ss = H(drawn["encapsulated"]["shared"])
    assert answered(ss).end.cks == b.cks
    changed = bytes([kct[0] ^ 1]) + kct[1:]
    return [
        ("KEM secret not mixed in", "decryption", answered(b"").seal()),
        ("another KEM secret mixed in", "decryption", answered(bytes(32)).seal()),
        ("ciphertext changed on the way", "decryption", answered(ss, changed).seal()),
        ("no ciphertext", "decode", answered(b"", b"").seal()),
        ("secret mixed in, no ciphertext", "decode", answered(ss, b"").seal()),
        ("ciphertext in place of a key", "decode", answered(ss).seal(header=lambda h: b"\x01" + h[1:])),
        ("ratchet key of low order", "decryption", answered(ss).seal(header=lambda h: h[:1] + LOW_ORDER + h[33:])),
        ("another ratchet key", "decryption", answered(ss).seal(header=lambda h: h[:1] + b"\x09" + bytes(31) + h[33:])),
    ]


def envelopes() -> list[Json]:
    """Each is refused by the end ``to`` after step ``after`` of the conversation in sessions.json."""
    session = sessions()["session"]
    steps: list[Json] = session["steps"]
    first_b = next(n for n, step in enumerate(steps) if step["do"] == "open" and step["by"] == "B")
    first_a = next(n for n, step in enumerate(steps) if step["do"] == "open" and step["by"] == "A")
    drawn = steps[first_b]["drawn"]
    found: list[Json] = []
    before: list[Ratchet] = []

    def note(after: int, to: str, cases: list[tuple[str, str, bytes]]) -> None:
        found.extend(
            {"name": name, "to": to, "after": after, "expect": expect, "envelope": envelope}
            for name, expect, envelope in cases
        )

    def watch(trace: Trace, number: int) -> None:
        if number == first_b - 1:
            before.append(copy.deepcopy(trace.ends["B"]))
        elif number == first_b:
            note(number, "B", to_b(Forger(trace.ends["A"])))
            note(first_a - 1, "A", to_a(trace.ends["B"], before[0], trace.sealed[0][0], drawn))

    Trace(session, watch)
    return found
