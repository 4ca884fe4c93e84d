"""The matching machine: how two nodes that added each other find each other (PROTOCOL.md 3.3).

One :class:`~p2pchat.core.pair.PairState` stands for one (own number, contact's number) pair in one (era, epoch). The
shell asks :func:`walks` what to publish and read, does it, hands each slot's records to :func:`observe`, and saves the
new state together with what it made of the findings. A state is begun only in a slot that hellos are published in.

A *poll* is three rounds over all states of a contact: HELLO, CARD, REACH. ``walks`` is called before each round, and
the round runs those of its kind, so that what one round finds the next one uses::

    HELLO  publish mine in (R, e)        read theirs  ─▶ CandidateSeen, Impersonation
    CARD   publish mine in (Q, e)        read theirs  ─▶ Claimed     for each candidate whose turn it is
    REACH  publish mine, if it may be    read theirs  ─▶ Reached     for each of those with a valid card

Rules that close attacks:

- Who knows both numbers can write hellos and cards: a reach is published only to those that :func:`may_reach` names.
- Candidates are ranked by work alone and bounded; besides the strongest, the others have their turn.
- Of each writer the entry with the highest seq counts, and none of my own writer; copies of my eph are no candidates.
- Progress starts the poll schedule again, but only so often in one slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import islice
from typing import Final

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import RootKey
from p2pchat.core.crypto import KeyPair
from p2pchat.core.discovery import Reach, decode_hello, decode_reach, open_card, reach_root, reply_root
from p2pchat.core.keys import Cert
from p2pchat.core.pair import Candidate, PairState, waiting_in
from p2pchat.core.params import Params
from p2pchat.core.record import Record, open_record
from p2pchat.core.slots import Slot, active_epochs, active_eras, own_writer

PROGRESS_MAX: Final = 128
RECORDS_MAX: Final = 1024
REFUSED_MAX: Final = 1 << 32


class WalkKind(IntEnum):
    """The three rounds of a poll, in their order."""

    HELLO = 1
    CARD = 2
    REACH = 3


@dataclass(frozen=True, slots=True)
class Walk:
    """A slot to read and, where ``publish``, to publish in.

    What to publish there, sealed by ``writer``: ``encode_hello(state.role, state.own.eph.public)``,
    ``make_card(identity, slot, state.role, now_s)`` or ``encode_reach(reach)``.

    Attributes:
        writer: my own Ed25519 pair in ``slot``.
        their_eph: the candidate that it is about, 32 bytes; None for HELLO.
    """

    kind: WalkKind
    slot: Slot
    writer: KeyPair
    publish: bool
    their_eph: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CandidateSeen:
    """A new eph (32 bytes) of the other role."""

    their_eph: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A valid card of a root that this candidate, or this slot, had not shown, or with a higher epoch_ms."""

    cert: Cert
    their_eph: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reached:
    """A claimant's reach, new or changed. It may be dialled only if :func:`may_reach` names that root."""

    root: RootKey
    reach: Reach


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Somebody else wrote in my own role. For 72 h after a reinstallation that is the earlier me."""


Finding = CandidateSeen | Claimed | Reached | Impersonation
Step = tuple[PairState, tuple[Finding, ...]]


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """When a contact that is not yet matched is polled. Source: PROTOCOL.md 3.3."""

    params: Params

    def next_poll_s(self, count: int, now_s: float, jitter: float) -> float:
        """When to poll next, on the clock of ``now_s``.

        Args:
            count: polls since the schedule began, or began again.
            now_s: when the last of these was made; for ``count`` 0 when the schedule began.
            jitter: 0 to 1, fresh for each call.
        """
        at = self.params.poll_schedule_s
        if count < len(at):
            return now_s + at[count] - (at[count - 1] if count else 0)
        return now_s + self.params.poll_then_every_s * (0.9 + 0.2 * jitter)


def may_reach(
    claimants: frozenset[RootKey],
    chosen: RootKey | None,
    answered: int,
    failed: int,
    known: int,
    params: Params,
    *,
    waiting: int = 0,
) -> frozenset[RootKey]:
    """The roots that my reach is published to, and whose reach may be dialled.

    Args:
        claimants: of the contact, over all its slots.
        chosen: whom the user chose, or whom the reach was given to before.
        answered: storers that answered, in the slot with the fewest.
        failed: those of the ``known`` ones that failed there.
        known: storers known there.
        params: the consensus constants.
        waiting: :func:`~p2pchat.core.pair.waiting_in`, for a contact whose real hello may stand beside an impostor's
            quicker card.

    Source: PROTOCOL.md 3.3.
    """
    if chosen is not None:
        return claimants & {chosen}
    enough = max(1, min(params.answering_storers, known - failed))
    alone = len(claimants) == 1 and waiting == 0
    return claimants if alone and answered >= enough else frozenset()


def made_progress(before: PairState, after: PairState) -> bool:
    """Whether the poll schedule starts again."""
    return after.progress > before.progress


def walks(
    state: PairState,
    now_s: int,
    poll: int,
    reach_for: frozenset[RootKey],
    publish_hello: bool,
    params: Params,
    *,
    only: RootKey | None = None,
) -> tuple[Walk, ...]:
    """What this poll reads and publishes, as far as it is known yet, HELLO first, then CARDs, then REACHes.

    Args:
        state: not changed by this.
        now_s: unix seconds; nothing is walked any more once the epoch is no longer read.
        poll: rises by one with every poll and is never set back: it decides whose turn it is.
        reach_for: of :func:`may_reach`.
        publish_hello: as ``active_eras`` and ``active_epochs`` say. Besides, while a card is awaited there.
        params: the consensus constants.
        only: the one root that gets my card, after its own was seen: that of an invite's link (PROTOCOL.md 3.5).

    Source: PROTOCOL.md 3.1, 3.3.
    """
    if not _is_read(state, now_s, params):
        return ()
    # a hello whose card is awaited holds the match up: its writer, too, must see mine, where that has expired meanwhile
    publish = publish_hello or waiting_in((state,), now_s) > 0
    hello = Walk(WalkKind.HELLO, state.slot, state.own.writer, publish)
    cards: list[Walk] = []
    reaches: list[Walk] = []
    for candidate in _whose_turn(state, poll, reach_for, params):
        q = reply_root(state.root, state.epoch, state.own.eph, candidate.eph)
        known = candidate.cert.root if candidate.cert is not None else None
        cards.append(_walk(state, WalkKind.CARD, q, only is None or only == known, candidate))
        if candidate.cert is not None:
            publish = candidate.cert.root in reach_for
            reaches.append(_walk(state, WalkKind.REACH, reach_root(q), publish, candidate))
    return (hello, *cards, *reaches)


def observe(
    state: PairState, walk: Walk, records: Sequence[bytes], now_s: int, own_root: RootKey, params: Params
) -> Step:
    """What the records that a walk found change, and the findings.

    Whatever the records are, nothing is raised: entries that are not what they should be are counted in ``refused``.

    Source: PROTOCOL.md 3.3.
    """
    entries, refused = _entries(walk, records, now_s, params)
    findings: list[Finding] = []
    for record, data in entries:
        try:
            state, found = _see(state, walk, record, data, now_s, own_root)
        except PeerError:  # hides one writer's junk: whoever knows both numbers can write it, and it is counted
            refused += 1
            continue
        findings += (finding for finding in found if finding not in findings)
    news = any(not isinstance(finding, Impersonation) for finding in findings)
    progress = min(state.progress + news, PROGRESS_MAX)
    state = replace(state, progress=progress, refused=min(state.refused + refused, REFUSED_MAX))
    return state, tuple(findings)


def _is_read(state: PairState, now_s: int, params: Params) -> bool:
    eras = (era for era, _ in active_eras(now_s, params))
    epochs = (epoch for epoch, _ in active_epochs(state.root, now_s, params))
    return (state.by_invite or state.era in eras) and state.epoch in epochs


def _walk(state: PairState, kind: WalkKind, root: bytes, publish: bool, candidate: Candidate) -> Walk:
    slot = Slot(root, state.epoch)
    return Walk(kind, slot, own_writer(slot, state.idsec), publish, candidate.eph)


def _whose_turn(state: PairState, poll: int, reach_for: frozenset[RootKey], params: Params) -> tuple[Candidate, ...]:
    """The strongest, those whose turn it is among the others, and the strongest of those that get the reach."""
    ranked = state.candidates
    strongest = ranked[: params.candidates_by_work]
    others = sorted(ranked[params.candidates_by_work :], key=lambda c: (c.first_seen_s, c.eph))
    count = min(params.candidates_in_turn, len(others))
    first = poll * params.candidates_in_turn
    in_turn = (others[(first + i) % len(others)] for i in range(count))
    trusted = [c for c in ranked if c.cert is not None and c.cert.root in reach_for][: params.candidates_by_work]
    return tuple({c.eph: c for c in (*strongest, *in_turn, *trusted)}.values())


def _entries(
    walk: Walk, records: Sequence[bytes], now_s: int, params: Params
) -> tuple[list[tuple[Record, bytes]], int]:
    """Of each writer but my own the newest entry, oldest first, and how many were refused."""
    newest: dict[bytes, tuple[Record, bytes]] = {}
    refused = 0
    for raw in islice(dict.fromkeys(records), RECORDS_MAX):
        try:
            record, data = open_record(walk.slot, raw, now_s, params)
        except PeerError:  # hides what a storer made up or did not check; it is counted
            refused += 1
            continue
        held = newest.get(record.writer)
        if record.writer != walk.writer.public and (held is None or _age(record) > _age(held[0])):
            newest[record.writer] = record, data
    return sorted(newest.values(), key=lambda entry: _age(entry[0])), refused


def _age(record: Record) -> tuple[int, bytes]:
    """Orders by seq; two entries of one writer with one seq are a liar's, and then the bytes decide for all readers."""
    return record.seq, record.raw


def _see(state: PairState, walk: Walk, record: Record, data: bytes, now_s: int, own_root: RootKey) -> Step:
    if walk.their_eph is None:
        return _see_hello(state, record, data, now_s)
    candidate = state.candidate(walk.their_eph)
    if candidate is None:  # stronger ones pushed it out while the walk was under way
        return state, ()
    if walk.kind is WalkKind.CARD:
        return _see_card(state, candidate, open_card(walk.slot, data, 1 - state.role, own_root, now_s))
    return _see_reach(state, candidate, record.seq, decode_reach(data))


def _see_hello(state: PairState, record: Record, data: bytes, now_s: int) -> Step:
    role, eph = decode_hello(data)
    if eph == state.own.eph.public:
        return state, ()
    if role == state.role:
        return state, (Impersonation(),)
    known = state.candidate(eph)
    if known is not None:
        # a clock that was ahead must not make it count for longer than 24 h
        seen_s = min(known.first_seen_s, now_s)
        return state.with_candidate(replace(known, work=max(known.work, record.work), first_seen_s=seen_s)), ()
    reply_root(state.root, state.epoch, state.own.eph, eph)  # refuses an eph that no shared secret can be made with
    state = state.with_candidate(Candidate(eph, record.work, now_s))
    return state, (CandidateSeen(eph),) if state.candidate(eph) else ()


def _see_card(state: PairState, candidate: Candidate, cert: Cert) -> Step:
    after = state.with_claimant(cert.root)
    held = candidate.cert
    if held is None or (held.root == cert.root and held.epoch_ms < cert.epoch_ms):
        return after.with_candidate(replace(candidate, cert=cert)), (Claimed(cert, candidate.eph),)
    return after, (Claimed(cert, candidate.eph),) if after != state else ()


def _see_reach(state: PairState, candidate: Candidate, seq: int, reach: Reach) -> Step:
    if candidate.cert is None or seq <= candidate.reach_seq:
        return state, ()
    after = state.with_candidate(replace(candidate, reach=reach, reach_seq=seq))
    return after, (Reached(candidate.cert.root, reach),) if reach != candidate.reach else ()
