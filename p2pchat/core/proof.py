"""Ownership of a number, by SMS: the code, the proof that it was received, and the three items (PROTOCOL.md 3.6).

Whoever asks (the *verifier*) draws 80 bits and texts them to the number by ordinary SMS. Whoever received them (the
*prover*) types them in and answers in the session with a MAC over both roots and the own number.

Rules:

- The code never crosses our wire, and after it was shown it is nowhere: what is kept is the key that comes from it.
- Both roots are bound: who sits between the two has two sessions with other roots, and can pass on nothing.
- 80 bits: the MAC could be guessed against without limit by whoever asked for it under a false name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import RootKey
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import blake2b
from p2pchat.core.structs import Bytes16, Bytes32, Form
from p2pchat.core.verify import without_separators

CODE_BYTES: Final = 10
VID_BYTES: Final = 16

_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I, O, 0, 1: and none of them is read as another
_CODE_CHARS: Final = 16
_GROUP_CHARS: Final = 4
_BITS: Final = 5
_BODY_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class SmsCode:
    """80 random bits. ``secret``: 10 bytes."""

    secret: bytes = field(repr=False)

    @property
    def key(self) -> bytes:
        """32 bytes: what a proof is made and checked with."""
        return blake2b("dcd1/smsk", self.secret, 32)

    def shown(self) -> str:
        """16 characters in four groups, such as ``ABCD-EFGH-JKLM-NPQR``."""
        bits = int.from_bytes(self.secret, "big")
        places = range(_BITS * (_CODE_CHARS - 1), -1, -_BITS)
        characters = "".join(_ALPHABET[bits >> place & 31] for place in places)
        return "-".join(characters[at : at + _GROUP_CHARS] for at in range(0, _CODE_CHARS, _GROUP_CHARS))

    def sms(self) -> str:
        """What is to be texted: ASCII and at most 70 characters, one SMS in whatever encoding it leaves."""
        return f"p2pchat {self.shown()}: type only into your p2pchat, tell nobody"


def parse_code(text: str) -> SmsCode:
    """The code that a person has typed: either case, spaces and dashes do not count.

    Raises:
        UsageError: INVALID_PARAMS, it is not 16 characters of the alphabet.
    """
    characters = without_separators(text)
    values = [_ALPHABET.find(character) for character in characters.upper()] if characters.isascii() else []
    if len(values) != _CODE_CHARS or -1 in values:
        raise UsageError("code: has 16 characters, letters but I and O and digits but 0 and 1", data={"param": "code"})
    bits = 0
    for value in values:
        bits = bits << _BITS | value
    return SmsCode(bits.to_bytes(CODE_BYTES, "big"))


def proof_mac(key: bytes, vid: bytes, verifier: RootKey, prover: RootKey, number: str) -> bytes:
    """The 32 bytes that prove to ``verifier`` that ``prover`` received the code at ``number``.

    Args:
        key: of the code, 32 bytes.
        vid: 16 bytes, names the question.
        number: the prover's, E.164.

    Source: PROTOCOL.md 3.6.
    """
    e164 = number.encode("ascii")
    return blake2b("dcd1/sms", vid + verifier + prover + len(e164).to_bytes(4, "big") + e164, 32, key)


class ProofAsk(Form, frozen=True):
    """Body of an item *proof-ask*. ``vid``: 16 random bytes that name the question."""

    vid: Bytes16


class Proof(Form, frozen=True):
    """Body of an item *proof*: the answer to ``vid``."""

    vid: Bytes16
    mac: Bytes32


class ProofResult(Form, frozen=True):
    """Body of an item *proof-result*: what came of the answer, for the prover's user to see."""

    vid: Bytes16
    ok: bool


ProofItem = ProofAsk | Proof | ProofResult

_asks: Decoder[ProofAsk] = Decoder(ProofAsk, _BODY_BYTES)
_proofs: Decoder[Proof] = Decoder(Proof, _BODY_BYTES)
_results: Decoder[ProofResult] = Decoder(ProofResult, _BODY_BYTES)


def encode_proof(item: ProofItem) -> bytes:
    """The body of one of the three items."""
    return encode(item)


def decode_ask(body: bytes) -> ProofAsk:
    """Raises: DecodeError: not of its form."""
    return _asks.decode(body)


def decode_proof(body: bytes) -> Proof:
    """Raises: DecodeError: not of its form."""
    return _proofs.decode(body)


def decode_result(body: bytes) -> ProofResult:
    """Raises: DecodeError: not of its form."""
    return _results.decode(body)
