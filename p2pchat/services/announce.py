"""Own records: the content of a slot becomes a signed, mined record; one walk puts it and reads the slot.

seq is committed before the record leaves; a record is renewed after a while, or when its content changed, or with two
bits more work when more than half of the storers did not keep it, or with seq = now where nobody keeps it since a clock
was ahead (PROTOCOL.md 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from p2pchat.core.crypto import KeyPair
from p2pchat.core.record import Place, finish, next_seq, prepare_record
from p2pchat.net.dht import WalkResult
from p2pchat.services.context import Context
from p2pchat.store import pairs
from p2pchat.store.pairs import Published


@dataclass(frozen=True, slots=True)
class Draft:
    """What shall stand in a slot under one of my writers.

    Attributes:
        loc: 32 bytes, of the slot.
        place: what a record of that seq (unix seconds) is sealed for.
        writer: my Ed25519 pair in the slot.
        data: at most 702 bytes.
        contact: whose the slot is, or None for one that serves all.
        renew_s: after how many seconds at least, and at most, it is written anew.
        dated: ``data`` says when it was made, and is another each time: it is written anew with its record only.
    """

    loc: bytes = field(repr=False)
    place: Callable[[int], Place] = field(repr=False)
    writer: KeyPair = field(repr=False)
    data: bytes = field(repr=False)
    contact: int | None
    renew_s: tuple[int, int]
    dated: bool = False


async def publish_and_read(context: Context, draft: Draft, watch_s: int) -> WalkResult:
    """Put ``draft`` into its slot and read everything there, in one walk, or in two after a clock was ahead."""
    entry = await current_record(context, draft)
    result = await context.dht.walk(draft.loc, put=entry.record, watch_s=watch_s)
    if result.stored > 1:
        context.health.clock_ok = True
    elif result.answered > 1 and len(result.records) < context.params.slot_entries_per_prefix:
        # its own node keeps it: where nobody else does, though the slot has room, the likeliest reason is its clock
        context.health.clock_ok = False
        if not result.elsewhere and entry.seq > int(context.now()) + context.params.skew_s:
            # it is dated later than anybody takes. Had the clock been right then and were it behind now, others would
            # have it; so it was ahead, nobody knows that seq, and nobody need wait until its time has come
            await context.db.run(lambda tx: pairs.forget_published(tx, draft.loc))
            return await publish_and_read(context, draft, watch_s)
    if result.stored * 2 < result.answered and entry.bits < context.params.work_bits_max:
        harder = replace(entry, bits=entry.bits + 2, record=None)
        await context.db.run(lambda tx: pairs.save_published(tx, draft.contact, harder))
    return result


async def current_record(context: Context, draft: Draft) -> Published:
    """The record to put now: the one that is there, or a new one with its work done."""
    known = await context.db.run(lambda tx: pairs.published(tx, draft.loc))
    now_s = int(context.now())
    least_s, most_s = draft.renew_s
    if (
        known is not None
        and known.record is not None
        and (draft.dated or known.data == draft.data)
        and now_s < min(known.republish_s, known.seq + least_s)  # when one has to be, all that are old enough are
    ):
        return known
    bits = known.bits if known is not None else context.params.work_bits
    seq = next_seq(now_s, known.seq if known is not None else None)
    republish_s = now_s + least_s + int((most_s - least_s) * context.jitter())
    entry = Published(draft.loc, draft.data, seq, bits, None, republish_s)
    await context.db.run(lambda tx: pairs.save_published(tx, draft.contact, entry))
    nonce24 = context.entropy.bytes(24)
    unmined = prepare_record(draft.place(seq), draft.writer, draft.data, seq, nonce24, context.params)
    nonce = await context.miner.mine(unmined.digest, bits)
    entry = replace(entry, record=finish(unmined, nonce))
    await context.db.run(lambda tx: pairs.save_published(tx, draft.contact, entry))
    return entry
