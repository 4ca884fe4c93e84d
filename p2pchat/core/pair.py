"""The state of the matching machine in one slot of one pair of numbers, and its stored bytes (PROTOCOL.md 3.3).

Bounds: 64 candidates, ranked by their work alone, and the first 16 claimants, of whom none is ever taken back. Two are
enough to stop the reach, so that claimants which stronger candidates push out must not stop counting.

The stored bytes hold neither idsec nor what is derived from it: once an old idsec is deleted, its eph keys are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import Corrupt, PeerError
from p2pchat.base.ids import RootKey
from p2pchat.core import codec
from p2pchat.core.discovery import Reach, decode_reach, encode_reach
from p2pchat.core.keys import Cert, open_cert
from p2pchat.core.slots import OwnKeys, Slot, own_keys
from p2pchat.core.stored import load
from p2pchat.core.structs import U64, Bytes32, Form

CANDIDATES_MAX: Final = 64
CLAIMANTS_MAX: Final = 16
HELLO_COUNTS_S: Final = 86_400
_STATE_BYTES_MAX: Final = 1 << 18
# A stored cert was not of the future when it came; the clock may have gone back since.
_CHECKED_BEFORE_MS: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hello of the other role: perhaps the contact.

    Attributes:
        eph: 32 bytes, what tells candidates apart.
        work: the most that was proven for it, in bits.
        first_seen_s: unix seconds.
        cert: of its first valid card, or a later one of the same root with a higher epoch_ms.
        reach: the newest.
        reach_seq: unix seconds, that of the newest reach's record.
    """

    eph: bytes = field(repr=False)
    work: int
    first_seen_s: int
    cert: Cert | None = None
    reach: Reach | None = None
    reach_seq: int = 0


@dataclass(frozen=True, slots=True)
class PairState:
    """What is known in one slot of one pair of numbers.

    Attributes:
        role: mine, 0 or 1.
        root: 32 bytes, R.
        era, epoch: those of R.
        idsec: 32 bytes, that of ``era``.
        candidates: in order of rank.
        claimants: roots with a valid card, in the order in which they came.
        progress: how often something new was found, up to a bound.
        refused: how many entries were not what they should be, up to a bound.
        by_invite: ``root`` is that of an invite, which no era ends; ``era`` is then the one in which the epoch began.
        slot: that of (root, epoch).
        own: my keys in ``slot``.
    """

    role: int
    root: bytes = field(repr=False)
    era: int
    epoch: int
    idsec: bytes = field(repr=False)
    candidates: tuple[Candidate, ...] = ()
    claimants: tuple[RootKey, ...] = ()
    progress: int = 0
    refused: int = 0
    by_invite: bool = False
    slot: Slot = field(init=False, repr=False, compare=False)
    own: OwnKeys = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        slot = Slot(self.root, self.epoch)
        object.__setattr__(self, "slot", slot)
        object.__setattr__(self, "own", own_keys(slot, self.idsec))

    def candidate(self, eph: bytes) -> Candidate | None:
        """The candidate of that eph (32 bytes)."""
        return next((c for c in self.candidates if c.eph == eph), None)

    def with_candidate(self, new: Candidate) -> PairState:
        """The state with ``new`` in place of its earlier self, if it is among the strongest that are kept."""
        others = (c for c in self.candidates if c.eph != new.eph)
        return replace(self, candidates=tuple(sorted((*others, new), key=_rank)[:CANDIDATES_MAX]))

    def with_claimant(self, root: RootKey) -> PairState:
        """The state in which ``root`` has shown a valid card."""
        if root in self.claimants or len(self.claimants) >= CLAIMANTS_MAX:
            return self
        return replace(self, claimants=(*self.claimants, root))


class _StoredCandidate(Form, frozen=True):
    eph: Bytes32
    work: U64
    first_seen_s: U64
    cert: bytes | None
    reach: bytes | None
    reach_seq: U64


class _Stored(Form, frozen=True):
    version: Literal[1]
    role: Literal[0, 1]
    root: Bytes32
    era: U64
    epoch: U64
    candidates: Annotated[tuple[_StoredCandidate, ...], Meta(max_length=CANDIDATES_MAX)]
    claimants: Annotated[tuple[Bytes32, ...], Meta(max_length=CLAIMANTS_MAX)]
    progress: U64
    refused: U64


_decoder = codec.Decoder(_Stored, _STATE_BYTES_MAX)


def dump_pair(state: PairState) -> bytes:
    """``state`` without its idsec, for the database."""
    return codec.encode(
        _Stored(
            1,
            0 if state.role == 0 else 1,
            state.root,
            state.era,
            state.epoch,
            tuple(map(_dump_candidate, state.candidates)),
            tuple(map(bytes, state.claimants)),
            state.progress,
            state.refused,
        )
    )


def load_pair(raw: bytes, idsec: bytes, *, by_invite: bool = False) -> PairState:
    """The inverse of :func:`dump_pair`, with the idsec (32 bytes) of the state's era, and what its place says.

    Raises:
        Corrupt: not what :func:`dump_pair` made.
    """
    stored = load(_decoder, raw)
    return PairState(
        stored.role,
        stored.root,
        stored.era,
        stored.epoch,
        idsec,
        tuple(map(_load_candidate, stored.candidates)),
        tuple(map(RootKey, stored.claimants)),
        stored.progress,
        stored.refused,
        by_invite,
    )


def claimants_of(states: Iterable[PairState]) -> frozenset[RootKey]:
    """The claimants of a contact: the distinct roots with a valid card over all its slots. Source: PROTOCOL.md 3.3."""
    return frozenset(root for state in states for root in state.claimants)


def waiting_in(states: Iterable[PairState], now_s: int) -> int:
    """How many candidates of a contact were first seen in the last 24 h and have shown no card yet."""
    return sum(c.cert is None and now_s < c.first_seen_s + HELLO_COUNTS_S for s in states for c in s.candidates)


def waiting_in_stored(raw: bytes, now_s: int) -> int:
    """:func:`waiting_in` of one slot as the database has it."""
    return sum(c.cert is None and now_s < c.first_seen_s + HELLO_COUNTS_S for c in load(_decoder, raw).candidates)


def _rank(candidate: Candidate) -> tuple[int, int, bytes]:
    return -candidate.work, candidate.first_seen_s, candidate.eph


def _dump_candidate(c: Candidate) -> _StoredCandidate:
    cert = None if c.cert is None else c.cert.raw
    reach = None if c.reach is None else encode_reach(c.reach)
    return _StoredCandidate(c.eph, c.work, c.first_seen_s, cert, reach, c.reach_seq)


def _load_candidate(c: _StoredCandidate) -> Candidate:
    try:
        cert = None if c.cert is None else open_cert(c.cert, _CHECKED_BEFORE_MS)
        reach = None if c.reach is None else decode_reach(c.reach)
    except PeerError as error:
        raise Corrupt("a stored candidate is damaged") from error
    return Candidate(c.eph, c.work, c.first_seen_s, cert, reach, c.reach_seq)
