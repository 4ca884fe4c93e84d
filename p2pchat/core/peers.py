"""What this node knows of each other peer, in a book of bounded size.

Rules:

- *Speaks* is what a peer has shown: the records protocol, the kad wire only, neither, or nothing yet. "Kad only" and
  "neither" are forgotten after ``backoff_max_s``: the peer may be newer now. What was concluded from an answer or a
  refusal, and not said by the peer itself, is to be asked about: the peer may just have been starting.
- A peer whose dial failed or hard deadline passed rests for ``backoff_min_s``, doubling to ``backoff_max_s``; an answer
  ends that. Whoever failed last time is *suspect*: asked again, it holds up nobody (its soft deadline is 0). Neither
  does one that has let a soft deadline pass: of the dead, the walks of the next two seconds need not each find out.
- Addresses: what the peer, or the user, says replaces all. What others say is taken only where there is none or a dial
  has failed, so that a liar neither spoils good addresses nor makes bad ones stay.
- Prefix: of the address at which the peer would be dialled, and once it has answered of that from which it did.
- Times are seconds of one monotonic clock, given by the caller.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from p2pchat.base import limits
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.dht_wire import TOLD_ADDRESSES
from p2pchat.core.lookup import position
from p2pchat.core.params import Params

_GAIN: Final = 1 / 8  # of srtt and var, as in RFC 6298
_GAIN_DOWN: Final = 1 / 2  # what was measured under load, while everybody joined, is soon forgotten
_VAR_GAIN: Final = 1 / 4
_OF_OWN: Final = 2
_OF_USUAL: Final = 4


class Speaks(Enum):
    """Which of the two DHT protocols a peer serves."""

    UNKNOWN = "unknown"
    RECORDS = "records"
    KAD = "kad"
    NEITHER = "neither"


@dataclass(slots=True, eq=False)
class PeerFacts:
    """One peer. ``position``: its place for distances; ``srtt`` and ``var``: round trip and its deviation, seconds;
    ``has_said``: what it speaks it has said itself; ``is_late``: its soft deadline passed, no answer yet; ``prefix``:
    shared with others of one owner, None counts singly."""

    peer: PeerId
    position: int = field(repr=False)
    addresses: tuple[Address, ...] = ()
    srtt: float | None = None
    var: float = 0.0
    failures: int = 0
    retry_at: float = 0.0
    in_table: bool = False
    has_said: bool = False
    is_late: bool = False
    prefix: bytes | None = field(default=None, repr=False)
    _has_shown_prefix: bool = False
    _speaks: Speaks = Speaks.UNKNOWN
    _doubted_at: float = 0.0
    _addresses_failed: bool = False

    def speaks(self, now: float) -> Speaks:
        """What the peer is known to serve at ``now``."""
        if now >= self._doubted_at and self._speaks in (Speaks.KAD, Speaks.NEITHER):
            return Speaks.UNKNOWN
        return self._speaks

    def is_resting(self, now: float) -> bool:
        """Whether it failed so recently that it is neither asked, learnt nor told of."""
        return now < self.retry_at

    @property
    def is_suspect(self) -> bool:
        """Whether its last attempt failed."""
        return self.failures > 0

    def soft_deadline_s(self, params: Params, usual_s: float = float("inf")) -> float:
        """How long an answer may take before the peer counts as slow.

        Args:
            params: consensus constants.
            usual_s: the median of the walk's answers so far, where it can be told. It never makes a peer slow that
                is at its own usual: quick liars would else push honest ones out.

        Source: PROTOCOL.md 3.7.
        """
        if self.is_suspect or self.is_late:
            return 0.0
        if self.srtt is None:
            return params.soft_unknown_s
        patience_s = min(self.srtt + 4 * self.var, max(_OF_OWN * self.srtt, _OF_USUAL * usual_s))
        return min(max(patience_s, params.soft_min_s), params.soft_max_s)

    def on_speaks(self, speaks: Speaks, now: float, params: Params, *, said: bool = False) -> None:
        """The peer has shown what it serves; ``said``: in its own words."""
        self.has_said = said or (self.has_said and speaks is self._speaks)
        self._speaks = speaks
        self._doubted_at = now + params.backoff_max_s

    def on_alive(self) -> None:
        """It has shown itself: its rest is over."""
        self.failures, self.retry_at, self._addresses_failed, self.is_late = 0, 0.0, False, False

    def on_late(self) -> None:
        """Its soft deadline passed: until it answers, nobody waits for it a second time."""
        self.is_late = True

    def on_answer(self, rtt_s: float) -> None:
        """It answered after ``rtt_s``."""
        self.on_alive()
        if self.srtt is None:
            self.srtt, self.var = rtt_s, rtt_s / 2
        else:
            self.var += _VAR_GAIN * (abs(rtt_s - self.srtt) - self.var)
            self.srtt += (_GAIN if rtt_s > self.srtt else _GAIN_DOWN) * (rtt_s - self.srtt)

    def on_failure(self, now: float, params: Params) -> None:
        """Its dial failed or its hard deadline passed; within one rest that counts once."""
        if self.is_resting(now):
            return
        rest_s = min(params.backoff_min_s * 2.0 ** min(self.failures, 32), params.backoff_max_s)
        self.failures += 1
        self.retry_at = now + rest_s
        self._addresses_failed = True

    def on_addresses(self, addresses: Iterable[Address], *, own: bool, prefix: bytes | None = None) -> None:
        """Addresses that are fit to be dialled, and the prefix of the first.

        ``own``: the peer itself, or the user, named them.
        """
        fresh = tuple(dict.fromkeys(addresses))
        if not fresh:
            return
        if own or self._addresses_failed or not self.addresses:
            self.addresses = fresh[:TOLD_ADDRESSES]
            self._addresses_failed = False
            if not self._has_shown_prefix:
                self.prefix = prefix

    def on_prefix(self, prefix: bytes | None) -> None:
        """It answered from there; None counts singly."""
        self.prefix, self._has_shown_prefix = prefix, True


def first_of_prefixes(peers: Iterable[PeerFacts], per_prefix: int) -> Iterator[PeerFacts]:
    """Those of ``peers`` that are among the first ``per_prefix`` of their prefix. Source: PROTOCOL.md 3.7."""
    tally = Counter[bytes]()
    for facts in peers:
        if facts.prefix is not None:
            tally[facts.prefix] += 1
            if tally[facts.prefix] > per_prefix:
                continue
        yield facts


class PeerBook:
    """The facts of at most ``limits.PEERS_REMEMBERED`` peers; the longest untouched that is in no bucket goes first."""

    def __init__(self, max_peers: int = limits.PEERS_REMEMBERED) -> None:
        self._max_peers = max_peers
        self._facts: OrderedDict[PeerId, PeerFacts] = OrderedDict()

    def __len__(self) -> int:
        return len(self._facts)

    def get(self, peer: PeerId) -> PeerFacts | None:
        """What is known of ``peer``, if anything."""
        return self._facts.get(peer)

    def of(self, peer: PeerId) -> PeerFacts:
        """The facts of ``peer``, made where there were none; it becomes the last to be forgotten."""
        facts = self._facts.get(peer)
        if facts is not None:
            self._facts.move_to_end(peer)
            return facts
        facts = self._facts[peer] = PeerFacts(peer, position(peer))
        self._forget_one(keep=peer)
        return facts

    def _forget_one(self, keep: PeerId) -> None:
        for _ in range(len(self._facts)):
            if len(self._facts) <= self._max_peers:
                return
            peer, facts = self._facts.popitem(last=False)
            if facts.in_table or peer == keep:
                self._facts[peer] = facts
