"""Two ends of a ratchet, for the tests of its rules and of its secrecy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from p2pchat.base.errors import PeerError
from p2pchat.core import ratchet as dr
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.params import PRODUCTION, Params
from p2pchat.core.ratchet import RatchetState
from p2pchat.testing.entropy import SeededEntropy

NOW_S = 1_800_000_000
DAY_S = 86_400
AD = b"a" * 32
SMALL = replace(PRODUCTION, skip_per_message=10, skip_per_session=20)


@dataclass
class End:
    """One end of a ratchet, which replaces its state as a store would."""

    state: RatchetState
    entropy: SeededEntropy
    params: Params = PRODUCTION
    now_s: int = NOW_S

    def send(self, content: bytes = b"content") -> bytes:
        self.state, envelope, self.ack = dr.encrypt(self.state, content, AD, self.entropy)
        return envelope

    def open(self, envelope: bytes) -> bytes:
        self.state, content, self.ack = dr.decrypt(self.state, envelope, AD, self.now_s, self.entropy, self.params)
        return content

    def refuses(self, envelope: bytes, error: type[PeerError]) -> None:
        before = self.state
        with pytest.raises(error) as caught:
            self.open(envelope)
        assert caught.type is error
        assert self.state is before


def ends(params: Params = PRODUCTION) -> tuple[End, End]:
    entropy = SeededEntropy(3)
    sk, spk = entropy.bytes(32), x25519_pair(entropy.bytes(32))
    a = dr.start_initiator(sk, spk.public, entropy, params)
    return End(a, entropy, params), End(dr.start_responder(sk, spk), entropy, params)


def talking(params: Params = PRODUCTION) -> tuple[End, End]:
    """Both ends have sent, so both have both chains."""
    a, b = ends(params)
    b.open(a.send())
    a.open(b.send())
    return a, b


def round_trip(a: End, b: End) -> None:
    a.open(b.send())
    b.open(a.send())
