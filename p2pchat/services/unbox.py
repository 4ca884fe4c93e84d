"""What came in boxes is taken as from a stream, in one commit (PROTOCOL.md 6.6).

Boxes say who sealed them no more than their holder does: what is in them proves itself to a session, or is of no use.
Nothing is answered but envelopes that were opened: no Nack leaves, and an Ack settles what it settles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from p2pchat.base.errors import PeerError
from p2pchat.core.crypto import KeyPair
from p2pchat.core.mailbox import open_box
from p2pchat.core.wire import Ack, Batch, Flight, Frame, decode_frame
from p2pchat.services import deliver, receive
from p2pchat.services.context import Context
from p2pchat.store import own_mailbox, sessions
from p2pchat.store.db import Tx

Acks = dict[int, list[tuple[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Unboxed:
    """What came of some boxes.

    Attributes:
        acks: by contact, what is to be acknowledged to it, repeats included.
        new: something had not come before.
        begun: contacts with which a session may be open that was not before.
    """

    acks: Acks = field(repr=False)
    new: bool
    begun: frozenset[int]


def unbox(tx: Tx, context: Context, boxes: Sequence[bytes]) -> Unboxed:
    """Take what is in ``boxes``, in their order."""
    keys = own_mailbox.kept_keys(tx)
    arrivals: list[Flight | bytes] = []
    settled = False
    for box in boxes:
        match _frame(box, keys):
            case Flight() as flight:
                arrivals.append(flight)
            case Batch() as batch:
                arrivals.extend(batch.envelopes)
            case Ack() as ack:
                settled = any(sessions.sent(tx, eid) is not None for eid, _ in ack.entries) or settled
                deliver.settle(tx, ack, there=False)
            case _:
                pass  # of no use, like what does not open
    answer = receive.receive(tx, context, arrivals, None)
    acks: Acks = {}
    for contact, entry in zip(answer.whose, answer.acks, strict=True):
        if contact is not None:
            acks.setdefault(contact, []).append(entry)
    flew = any(isinstance(arrival, Flight) for arrival in arrivals)
    return Unboxed(acks, settled or bool(answer.contacts), frozenset(answer.contacts if flew else ()))


def _frame(box: bytes, keys: Sequence[KeyPair]) -> Frame | None:
    for key in keys:
        try:
            return decode_frame(open_box(box, key))
        except PeerError:
            continue  # sealed for another key, or by nobody who keeps to the form
    return None
