"""What goes into boxes for a contact who is away, and until when they are held (PROTOCOL.md 6.3, 6.5). Pure.

- On a session that was confirmed the envelopes go in their order, in frames as large as a box allows.
- On one that was not, each goes in a Flight of its own: a box may arrive without those before it.
- A box is held until neither the owner's mailbox key nor, for a Flight, the private half of the bundle is surely there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pchat.core.handshake import FlightPart
from p2pchat.core.mailbox import BOXED_MAX_BYTES
from p2pchat.core.params import DAY_S, Params
from p2pchat.core.wire import Batch, Flight, Frame

_FRAME_OVERHEAD_BYTES: Final = 5  # of a Batch: two arrays and the tag
_BIN_OVERHEAD_BYTES: Final = 5  # of an envelope in it
_RENEWED_BEFORE_S: Final = DAY_S  # a bundle is not used to its last day


@dataclass(frozen=True, slots=True)
class Parcel:
    """One frame that fits a box. ``count``: how many of the envelopes, in their order, are in it."""

    frame: Frame = field(repr=False)
    count: int


def pack(envelopes: Sequence[bytes], flight: FlightPart | None, params: Params) -> list[Parcel]:
    """Frames that hold ``envelopes``, each once and in their order.

    Args:
        flight: of their session, as long as it is not confirmed.

    Source: PROTOCOL.md 6.5.
    """
    if flight is not None:
        part = (flight.ephemeral, flight.kem_ciphertext, flight.prekey_id, flight.sender)
        return [Parcel(Flight(*part, envelope), 1) for envelope in envelopes]
    return [Parcel(Batch(tuple(group)), len(group)) for group in _groups(envelopes, params)]


def _groups(envelopes: Sequence[bytes], params: Params) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = _FRAME_OVERHEAD_BYTES
    for envelope in envelopes:
        more = len(envelope) + _BIN_OVERHEAD_BYTES
        if group and (size + more > BOXED_MAX_BYTES or len(group) == params.batch_envelopes):
            yield group
            group, size = [], _FRAME_OVERHEAD_BYTES
        group.append(envelope)
        size += more
    if group:
        yield group


def held_until_s(now_s: int, ttl_s: int, said_s: int, kept_s: int | None, params: Params) -> int | None:
    """Until when a holder is asked to keep a box, in unix seconds; None: too short a time to be of use.

    Args:
        ttl_s: for how long the user wants it.
        said_s: seq of the presence record that told of the mailbox key.
        kept_s: iat of the bundle, of a Flight.

    Source: PROTOCOL.md 6.3, 6.5.
    """
    until_s = min(
        now_s + min(ttl_s, params.mailbox_ttl_max_s),
        said_s + params.mailbox_key_kept_s - params.mailbox_key_life_s,
    )
    if kept_s is not None:
        until_s = min(until_s, kept_s + params.spk_kept_s)
    return until_s if until_s > now_s + 2 * params.skew_s else None


def is_kept(iat_s: int | None, now_s: int, params: Params) -> bool:
    """Whether a first flight can wait in a mailbox: it was made with a bundle of a mailbox, not too long ago.

    Args:
        iat_s: of that bundle, unix seconds; None: it was made with another one.

    Source: PROTOCOL.md 6.5.
    """
    return iat_s is not None and now_s < iat_s + params.spk_kept_s - _RENEWED_BEFORE_S
