"""Where two who both changed while they were apart find each other again: slots of a session's rdv (PROTOCOL.md 3.4).

Both ends of a session know its rdv and nobody else does; each writes there, under a writer of its own, the key of its
newest presence, until the other has acknowledged that presence inside a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from p2pchat.base.errors import PeerError
from p2pchat.core import codec
from p2pchat.core.params import Params
from p2pchat.core.presence import Count, PresenceKey
from p2pchat.core.record import open_record
from p2pchat.core.slots import Slot, active_epochs, era_of_epoch, own_writer
from p2pchat.core.structs import U32, Bytes32, Form

_DATA_BYTES: Final = 128


class _Given(Form, frozen=True):
    kind: Literal[5]
    n: Count
    gate: Bytes32
    epoch: U32
    key: Bytes32


_given = codec.Decoder(_Given, _DATA_BYTES)


def rendezvous_slots(rdv: bytes, now_s: int, params: Params) -> tuple[tuple[Slot, bool], ...]:
    """The slots of ``rdv`` (32 bytes) in use at unix second ``now_s``, oldest first, each with whether it is written.

    Source: PROTOCOL.md 3.1, 3.4.
    """
    return tuple((Slot(rdv, epoch), publish) for epoch, publish in active_epochs(rdv, now_s, params))


def era_of(slot: Slot, params: Params) -> int:
    """The era in which the slot's epoch begins: its idsec makes the writer."""
    return era_of_epoch(slot.root, slot.epoch, params)


def encode_rendezvous(key: PresenceKey) -> bytes:
    """The data of a record there. Source: PROTOCOL.md 3.4."""
    return codec.encode((5, key.n, key.gate, key.epoch, key.key))


def read_rendezvous(
    slot: Slot, records: Sequence[bytes], idsec: bytes, now_s: int, params: Params
) -> list[PresenceKey]:
    """What the other end has written, the newest last; what is not of its form is passed over.

    Args:
        idsec: 32 bytes, the own one of :func:`era_of`: own entries are no news.
        now_s: unix seconds.
    """
    own = own_writer(slot, idsec).public
    found: list[tuple[int, bytes, PresenceKey]] = []
    for raw in records:
        try:
            record, data = open_record(slot, raw, now_s, params)
            given = _given.decode(data)
        except PeerError:  # hides a storer's junk, or that of the one other who can write here
            continue
        if record.writer != own:
            found.append((record.seq, record.raw, PresenceKey(given.n, given.gate, given.epoch, given.key)))
    return [key for _, _, key in sorted(found, key=lambda entry: entry[:2])]
