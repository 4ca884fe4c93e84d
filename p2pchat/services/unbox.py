"""What came in boxes is taken as from a stream, in one commit (PROTOCOL.md 6.6).

Boxes say who sealed them no more than their holder does: what is in them proves itself to a session, or is of no use.
Nothing is answered but envelopes that were opened: no Nack leaves, and an Ack settles what it settles.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from p2pchat.base.errors import PeerError
from p2pchat.core.crypto import KeyPair
from p2pchat.core.mailbox import open_box
from p2pchat.core.wire import Ack, Batch, Flight, Frame, decode_frame
from p2pchat.core.wire import eid as envelope_eid
from p2pchat.services import deliver, receive
from p2pchat.services.context import Context
from p2pchat.services.receive import Answer
from p2pchat.store import own_mailbox, sessions
from p2pchat.store.db import Tx


@dataclass(slots=True)
class Due:
    """What is to be acknowledged to one contact, by eid: the acks of what is new, and of what had come before."""

    new: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes], repr=False)
    repeats: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes], repr=False)

    def add(self, other: Due) -> None:
        """As well; an eid stands there once."""
        self.new.update(other.new)
        self.repeats.update((eid, ack) for eid, ack in other.repeats.items() if eid not in self.new)

    def cut(self, most: int) -> None:
        """Let go of what is beyond ``most`` entries, of the repeats first."""
        while len(self) > most:
            (self.repeats or self.new).popitem()

    def __len__(self) -> int:
        return len(self.new) + len(self.repeats)


Acks = dict[int, Due]  # by contact


@dataclass(frozen=True, slots=True)
class Unboxed:
    """What came of some boxes.

    Attributes:
        acks: what is to be acknowledged.
        useless_bytes: of the boxes that brought nothing new.
        new: a box did.
        begun: contacts with which a session may be open that was not before.
    """

    acks: Acks = field(repr=False)
    useless_bytes: int
    new: bool
    begun: frozenset[int]


def unbox(tx: Tx, context: Context, boxes: Sequence[bytes]) -> Unboxed:
    """Take what is in ``boxes``, in their order."""
    keys = own_mailbox.kept_keys(tx)
    arrivals: list[Flight | bytes] = []
    eids: list[tuple[int, list[bytes]]] = []  # of each box that has envelopes, with its size
    useful_bytes = 0
    for box in boxes:
        match _frame(box, keys):
            case Flight() as flight:
                arrivals.append(flight)
                eids.append((len(box), [envelope_eid(flight.envelope)]))
            case Batch() as batch:
                arrivals.extend(batch.envelopes)
                eids.append((len(box), list(map(envelope_eid, batch.envelopes))))
            case Ack() as ack:
                waiting = [eid for eid, _ in ack.entries if sessions.sent(tx, eid) is not None]
                deliver.settle(tx, ack.entries, there=False)
                if any(sessions.sent(tx, eid) is None for eid in waiting):
                    useful_bytes += len(box)
            case _:
                pass  # of no use, like what does not open
    known = {eid for _, each in eids for eid in each if sessions.received_ack(tx, eid) is not None}
    answer = receive.receive(tx, context, arrivals, None)
    new = {eid for eid, _ in answer.acks} - known
    acks = _due(answer, new)
    for size, each in eids:
        useful_bytes += 0 if new.isdisjoint(each) else size
        new.difference_update(each)  # the same once more, in another box, is a repeat
    begun = answer.contacts if any(isinstance(arrival, Flight) for arrival in arrivals) else ()
    return Unboxed(acks, sum(map(len, boxes)) - useful_bytes, useful_bytes > 0, frozenset(begun))


def _due(answer: Answer, new: Collection[bytes]) -> Acks:
    acks: Acks = {}
    for contact, (eid, ack) in zip(answer.whose, answer.acks, strict=True):
        if contact is not None:
            due = acks.setdefault(contact, Due())
            (due.new if eid in new else due.repeats)[eid] = ack
    return acks


def _frame(box: bytes, keys: Sequence[KeyPair]) -> Frame | None:
    for key in keys:
        try:
            return decode_frame(open_box(box, key))
        except PeerError:
            continue  # sealed for another key, or by nobody who keeps to the form
    return None
