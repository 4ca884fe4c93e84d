"""Own records: the content of a slot becomes a signed, mined record; one walk puts it and reads the slot.

seq is committed before the record leaves; a record is renewed after 24 to 36 h, or when its content changed, or with
two bits more work when more than half of the storers did not keep it (PROTOCOL.md 3.2).
"""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.crypto import KeyPair
from p2pchat.core.record import finish, next_seq, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.net.dht import WalkResult
from p2pchat.services.context import Context
from p2pchat.store import pairs
from p2pchat.store.pairs import Published


async def publish_and_read(
    context: Context, contact: int, slot: Slot, writer: KeyPair, data: bytes, watch_s: int
) -> WalkResult:
    """Put ``data`` under my own writer into ``slot`` and read everything there, in one walk."""
    entry = await current_record(context, contact, slot, writer, data)
    result = await context.dht.walk(slot.loc, put=entry.record, watch_s=watch_s)
    if result.answered > 1:
        # this node always stores its own: when nobody else does, its clock is the likeliest reason
        context.health.clock_ok = result.stored > 1
    if result.stored * 2 < result.answered and entry.bits < context.params.work_bits_max:
        harder = replace(entry, bits=entry.bits + 2, record=None)
        await context.db.run(lambda tx: pairs.save_published(tx, contact, harder))
    return result


async def current_record(context: Context, contact: int, slot: Slot, writer: KeyPair, data: bytes) -> Published:
    """The record to put now: the one that is there, or a new one with its work done."""
    known = await context.db.run(lambda tx: pairs.published(tx, slot.loc))
    now_s = int(context.now())
    if known is not None and known.record is not None and known.data == data and known.republish_s > now_s:
        return known
    params = context.params
    bits = known.bits if known is not None else params.work_bits
    seq = next_seq(now_s, known.seq if known is not None else None)
    spread = params.republish_max_s - params.republish_min_s
    republish_s = now_s + params.republish_min_s + int(spread * context.jitter())
    entry = Published(slot.loc, data, seq, bits, None, republish_s)
    await context.db.run(lambda tx: pairs.save_published(tx, contact, entry))
    unmined = prepare_record(slot, writer, data, seq, context.entropy.bytes(24), params)
    nonce = await context.miner.mine(unmined.digest, bits)
    entry = replace(entry, record=finish(unmined, nonce))
    await context.db.run(lambda tx: pairs.save_published(tx, contact, entry))
    return entry
