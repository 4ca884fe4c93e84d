"""Our ratchet and the package DoubleRatchet side by side under the same schedules: who sends, what is lost, overtaken,
repeated or damaged (PROTOCOL.md 4.3).

Compared after every step, at both ends, with no difference allowed:

- every envelope, byte for byte: hint, sealed header (ratchet key, pn, n, KEM key, ciphertext), padded and sealed body;
- every opening: the content and the ack, or that both refuse; what we call too far ahead, they do too;
- the state: root key, DH step counter, ratchet key, KEM seed, the key and length of both chains, pn, the four header
  keys, and the skipped keys in their order: header key, position, message key.

The package knows neither KEM steps nor encrypted headers; how they are joined to it stands in ``ratchet_oracle``. For
these two, what is compared is our code with a second reading of the document, not with an implementation of other
origin. The primitives are those of ``tests/vectors/independent_session.py``.

Not compared, because the package has nothing of the kind: the 45 days of a skipped key, the end of a counter, the
recognition by hint (the package is told which header an envelope has), and why an envelope is refused: to the package,
one of a chain long gone looks like a DH step and does not open.
"""

from __future__ import annotations

import builtins
import warnings
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import ClassVar

import doubleratchet
from doubleratchet import DiffieHellmanRatchetModel, EncryptedMessage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from p2pchat.base.errors import DecodeError, DecryptionError, LimitError, ReplayError
from p2pchat.core import ratchet as dr
from p2pchat.core.crypto import KeyPair
from p2pchat.core.envelope import split_envelope
from p2pchat.core.params import PRODUCTION, Params
from tests.property.ratchet_oracle import AD, Oracle, Private, Shared, drawn, kem_parts, private_of

NOW_S = 1_800_000_000
ENDS = st.sampled_from([0, 1])
PICKS = st.integers(0, 2**16)


class Refusal(Enum):
    TOO_FAR_AHEAD = "too far ahead in its chain"
    OTHER = "for another reason"


class Draws:
    """An Entropy port that gives what the oracle of that end draws too."""

    def __init__(self, name: str, shared: Shared) -> None:
        self.seed, self.shared = shared.seed + name.encode(), shared
        self.step = -1 if name == "a" else 0
        self.nonces = 0

    def bytes(self, n: int) -> builtins.bytes:
        if n == 32:
            self.step += 1
            return drawn(self.seed, "dhs", self.step, 32)
        if n == 64:
            return drawn(self.seed, "kem", self.step, 64)
        self.nonces += 1
        return drawn(self.seed, "nonce", self.nonces, n)

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        return self.shared.encapsulate(kem_public)


@dataclass
class Sent:
    """An envelope on the way, and what the package needs to know of it."""

    envelope: bytes = field(repr=False)
    message: EncryptedMessage = field(repr=False)
    content: bytes


class Both:
    """One end in both implementations."""

    def __init__(self, name: str, shared: Shared, params: Params) -> None:
        self.params = params
        self.entropy = Draws(name, shared)
        self.oracle = Oracle(name, shared, params.skip_per_message, params.skip_per_session)
        spk = KeyPair(shared.spk.secret, shared.spk.public[1:])
        self.state = (
            dr.start_initiator(shared.sk, spk.public, self.entropy, params)
            if name == "a"
            else dr.start_responder(shared.sk, spk)
        )

    def seal(self, content: bytes) -> Sent:
        self.state, envelope, ack = dr.encrypt(self.state, content, AD, self.entropy)
        prefix = split_envelope(envelope).prefix
        message = self.oracle.seal(content, prefix)
        assert self.oracle.envelope(message, prefix) == envelope
        assert message.ciphertext[-16:] == ack
        return Sent(envelope, message, content)

    def open(self, sent: Sent) -> bytes | None:
        """The content, or None where both refuse."""
        ours, theirs = self.open_ours(sent), self.open_theirs(sent)
        if isinstance(ours, Refusal):
            assert isinstance(theirs, Refusal)
            assert theirs is ours or ours is Refusal.OTHER
        else:
            assert ours == theirs
        if self.oracle.ratchet is not None:
            self.compare()
        return ours[:-16] if isinstance(ours, bytes) else None

    def open_ours(self, sent: Sent) -> bytes | Refusal:
        step = self.entropy.step
        try:
            state, content, ack = dr.decrypt(self.state, sent.envelope, AD, NOW_S, self.entropy, self.params)
        except LimitError:
            assert self.entropy.step == step
            return Refusal.TOO_FAR_AHEAD
        except (DecodeError, DecryptionError, ReplayError):
            assert self.entropy.step == step
            return Refusal.OTHER
        self.state = state
        return content + ack

    def open_theirs(self, sent: Sent) -> bytes | Refusal:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "More than .* message keys skipped", UserWarning)
                return self.oracle.open(sent.message, split_envelope(sent.envelope).prefix)
        except doubleratchet.DoSProtectionException:
            return Refusal.TOO_FAR_AHEAD
        except (doubleratchet.AuthenticationFailedException, doubleratchet.DuplicateMessageException):
            return Refusal.OTHER

    def compare(self) -> None:
        ours, oracle, model = self.state, self.oracle, self.oracle.model
        theirs = model.diffie_hellman_ratchet
        key, rk = private_of(theirs.own_ratchet_priv), theirs.root_chain.key
        assert (ours.rk, ours.dhs.secret, ours.step) == (rk, key.secret, key.step)
        assert (ours.nhks, ours.nhkr.key) == (oracle.next_header_key(rk), oracle.next_header_key(oracle.before[rk]))
        self.compare_sending(theirs, key)
        self.compare_receiving(theirs)
        of_chain = oracle.header_key_of_ratchet_key
        assert [(skipped.header.key, skipped.n, skipped.key) for skipped in ours.skipped] == [
            (of_chain[skipped.ratchet_pub], skipped.index, skipped.message_key)
            for skipped in model.skipped_message_keys
        ]

    def compare_sending(self, theirs: DiffieHellmanRatchetModel, key: Private) -> None:
        ours, chain = self.state.sending, theirs.symmetric_key_ratchet.sending_chain
        assert ours is not None
        assert chain is not None
        assert (ours.key, ours.n) == (chain.key, chain.length)
        assert ours.pn == (theirs.symmetric_key_ratchet.previous_sending_chain_length or 0)
        assert ours.header.key == self.oracle.header_key(theirs.root_chain.key)
        assert (ours.kem_seed or b"") == key.kem_seed
        assert (ours.kem_public or b"", ours.kem_ciphertext or b"") == kem_parts(key.public)

    def compare_receiving(self, theirs: DiffieHellmanRatchetModel) -> None:
        ours, chain = self.state.receiving, theirs.symmetric_key_ratchet.receiving_chain
        if ours is None:
            assert chain is None
            return
        assert chain is not None
        assert (ours.key, ours.n) == (chain.key, chain.length)
        header_key = self.oracle.header_key(self.oracle.before[theirs.root_chain.key])
        assert ours.header.key == header_key
        self.oracle.header_key_of_ratchet_key[theirs.other_ratchet_pub] = header_key


class DifferentialMachine(RuleBasedStateMachine):
    """Limits that are never reached, and a KEM key in every sixteenth chain."""

    params: ClassVar[Params] = PRODUCTION

    def __init__(self) -> None:
        super().__init__()
        shared = Shared(b"seed", self.params.kem_every)
        self.ends = [Both(name, shared, self.params) for name in "ab"]
        self.on_the_way: list[list[Sent]] = [[], []]
        self.opened: list[set[bytes]] = [set(), set()]
        self.count = 0
        self.seal(0, 1)

    def can_seal(self, end: int) -> bool:
        return self.ends[end].state.sending is not None

    def deliver(self, end: int, sent: Sent) -> None:
        content = self.ends[end].open(sent)
        assert content in (None, sent.content)
        assert sent.content not in self.opened[end] or content is None
        if content is not None:
            self.opened[end].add(content)

    @rule(end=ENDS, count=st.integers(1, 7))
    def seal(self, end: int, count: int) -> None:
        if not self.can_seal(end):
            return
        for _ in range(count):
            self.count += 1
            self.on_the_way[1 - end].append(self.ends[end].seal(b"%d/" % self.count + bytes(self.count % 300)))
        self.ends[end].compare()

    @precondition(lambda self: any(self.on_the_way))
    @rule(end=ENDS, pick=PICKS, kept=st.booleans())
    def arrive(self, end: int, pick: int, kept: bool) -> None:
        way = self.on_the_way[end] or self.on_the_way[1 - end]
        end = end if self.on_the_way[end] else 1 - end
        sent = way[pick % len(way)]
        if not kept:
            way.remove(sent)
        self.deliver(end, sent)

    @precondition(lambda self: any(self.on_the_way))
    @rule(end=ENDS, pick=PICKS)
    def lose(self, end: int, pick: int) -> None:
        way = self.on_the_way[end] or self.on_the_way[1 - end]
        del way[pick % len(way)]

    @precondition(lambda self: any(self.on_the_way))
    @rule(end=ENDS, pick=PICKS, position=st.integers(0, 271), bit=st.integers(0, 7))
    def damage(self, end: int, pick: int, position: int, bit: int) -> None:
        """A copy with a bit of the body flipped arrives first."""
        end = end if self.on_the_way[end] else 1 - end
        sent = self.on_the_way[end][pick % len(self.on_the_way[end])]
        prefix, body = split_envelope(sent.envelope).prefix, bytearray(split_envelope(sent.envelope).sealed_body)
        body[position % len(body)] ^= 1 << bit
        message = sent.message._replace(ciphertext=bytes(body) + sent.message.ciphertext[-16:])
        assert self.ends[end].open(Sent(prefix + body, message, b"")) is None

    @rule(rounds=st.integers(1, 20), lost=st.integers(0, 3))
    def converse(self, rounds: int, lost: int) -> None:
        """Turn by turn, some at the head of each turn staying behind."""
        for _ in range(rounds):
            for end in (0, 1):
                before = len(self.on_the_way[1 - end])
                self.seal(end, lost + 1)
                if len(self.on_the_way[1 - end]) > before:
                    self.deliver(1 - end, self.on_the_way[1 - end].pop())


class SmallMachine(DifferentialMachine):
    """Limits so small that envelopes are too far ahead and keys are dropped, and a KEM key in every other chain."""

    params = replace(PRODUCTION, kem_every=2, skip_per_message=7, skip_per_session=12)


SETTINGS = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestDifferential = DifferentialMachine.TestCase
TestDifferential.settings = SETTINGS
TestSmallDifferential = SmallMachine.TestCase
TestSmallDifferential.settings = settings(SETTINGS, max_examples=8)  # its chains are the long ones
