"""Reading the event log from somewhere: after an event, from now on, or where a consumer known by name has come to.

Who asks for events of some types misses nothing while no such event was dropped, however many others were. A consumer
that was away for so long that something was dropped which it reads and had not done with is told so, each time, until
it says that it goes on behind that: ``events.ack`` of the last one that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from p2pchat.api.schema import type_matches
from p2pchat.base.errors import UsageError
from p2pchat.base.limits import EVENT_CONSUMERS
from p2pchat.store import consumers, eventlog
from p2pchat.store.consumers import ConsumerRow
from p2pchat.store.db import Tx
from p2pchat.store.log_ends import LogEnds


def after(tx: Tx, since: int | None, types: Sequence[str] | None) -> int:
    """The seq after which is read what of ``types`` came after ``since``; None: from now on.

    Raises:
        UsageError: CURSOR_EXPIRED with ``oldest``.
    """
    head = eventlog.head(tx)
    if since is None:
        return head
    refuse_if_gone(tx, since, types)
    if since > head:
        oldest = eventlog.oldest(tx)
        sentence = "No event has that seq yet: it is of another log, as a profile has that was restored from a backup."
        raise UsageError(sentence, name="CURSOR_EXPIRED", data={"oldest": oldest})
    return since


def refuse_another(known: LogEnds, log: str | None) -> None:
    """Nothing, if ``log`` is what is known, or none is said.

    Raises:
        UsageError: CURSOR_EXPIRED with ``oldest``.
    """
    if log not in (None, known.log):
        sentence = "That is of another event log, as a profile has that was restored from a backup."
        raise UsageError(sentence, name="CURSOR_EXPIRED", data={"oldest": known.oldest})


def refuse_if_gone(tx: Tx, seq: int, types: Sequence[str] | None) -> None:
    """Nothing, if what of ``types`` came after ``seq`` is all there.

    Raises:
        UsageError: CURSOR_EXPIRED with ``oldest``.
    """
    if eventlog.has_lost(tx, seq, partial(type_matches, types)):
        oldest = eventlog.oldest(tx)
        raise UsageError("Events that old are gone.", name="CURSOR_EXPIRED", data={"oldest": oldest})


def enter(tx: Tx, name: str, start: int | None, types: Sequence[str] | None) -> int:
    """The seq after which ``name`` reads; it is made, and begins after ``start``, if it is not known yet.

    Args:
        start: None: from now on.
        types: what it reads.

    Raises:
        UsageError: CURSOR_EXPIRED with ``oldest``; INVALID_PARAMS, there are too many.
        StoreError: it is not known yet, and the disk takes nothing new.
    """
    known = consumers.get(tx, name)
    if known is None:
        begins = after(tx, start, types)
        if consumers.count(tx) >= EVENT_CONSUMERS:
            sentence = f"consumer: there are {EVENT_CONSUMERS}, and no room for more; see: events.consumers"
            raise UsageError(sentence, data={"param": "consumer"})
        tx.need_room()
        consumers.make(tx, name, begins)
        known = _known(tx, name)
    else:
        refuse_if_gone(tx, known.seq, types)
    wanted = None if types is None else tuple(types)
    if known.types != wanted:
        consumers.read_types(tx, name, wanted)
    return known.seq


def acknowledge(tx: Tx, name: str, seq: int) -> ConsumerRow:
    """``name`` has done with everything up to ``seq``. What it has said before changes nothing, and writes nothing.

    Raises:
        UsageError: INVALID_PARAMS, nobody has that name, or no event that ``seq``.
    """
    known = _known(tx, name)
    if seq > eventlog.head(tx):
        raise UsageError("seq: no event has that seq yet", data={"param": "seq"})
    if seq <= known.seq:
        return known
    consumers.ack(tx, name, seq)
    return _known(tx, name)


def forget(tx: Tx, name: str) -> ConsumerRow:
    """Forget ``name``; what it was.

    Raises:
        UsageError: INVALID_PARAMS, nobody has that name.
    """
    known = _known(tx, name)
    consumers.forget(tx, name)
    return known


def _known(tx: Tx, name: str) -> ConsumerRow:
    known = consumers.get(tx, name)
    if known is None:
        raise UsageError("consumer: nobody has that name; see: events.consumers", data={"param": "consumer"})
    return known
