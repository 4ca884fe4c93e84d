"""Consensus constants: what both ends must share. A change is a new protocol version (PROTOCOL.md 8, 10).

:data:`PRODUCTION` is the only instance that a user can reach; tests build cheap ones with ``dataclasses.replace``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """All constants of PROTOCOL.md section 10, times in seconds, sizes in bytes."""

    # 3.1 root, epoch, slot
    era_s: int = 91 * DAY_S
    epoch_s: int = 7 * DAY_S
    read_previous_s: int = 72 * 3600
    publish_next_s: int = 2 * 3600
    idsec_kept_s: int = 10 * DAY_S
    argon2_ops: int = 3
    argon2_memory_bytes: int = 256 << 20
    # 3.2 record
    record_ttl_s: int = 72 * 3600
    skew_s: int = 600
    work_bits: int = 16
    work_bits_max: int = 22
    slot_entries: int = 16
    slot_entries_per_prefix: int = 4
    records_per_prefix: int = 10_000
    records_total: int = 50_000
    # 3.3 matching
    answering_storers: int = 10
    candidates_by_work: int = 4
    candidates_in_turn: int = 4
    republish_min_s: int = 24 * 3600
    republish_max_s: int = 36 * 3600
    poll_schedule_s: tuple[int, ...] = (0, 5, 20, 60, 300, 1800, 7200)
    poll_then_every_s: int = DAY_S
    pending_life_s: int = 28 * DAY_S
    # 3.4 presence
    presence_every_s: int = 12 * 3600
    presence_steps: int = 1_040
    presence_life_s: int = 28 * DAY_S
    presence_kept_s: int = 30 * DAY_S
    rendezvous_after_s: int = 600
    rendezvous_every_s: int = 6 * 3600
    # 3.6 ownership of a number
    proof_life_s: int = 600
    proof_tries: int = 3
    # 3.7 walk
    alpha: int = 10
    k: int = 20
    refuse_beyond_closer: int = 40
    storers_per_prefix: int = 2
    soft_min_s: float = 0.1
    soft_max_s: float = 1.0
    soft_unknown_s: float = 0.5
    hard_s: float = 2.0
    backoff_min_s: float = 5.0
    backoff_max_s: float = 600.0
    watch_max_s: int = 3600
    # 4 sessions
    bundle_life_s: int = DAY_S
    bundle_life_max_s: int = 7 * DAY_S
    spk_replaced_s: int = DAY_S
    spk_kept_s: int = 22 * DAY_S
    kem_every: int = 16
    skip_per_message: int = 1_000
    skip_per_session: int = 2_000
    skipped_kept_s: int = 45 * DAY_S
    session_kept_s: int = 45 * DAY_S
    eid_kept_s: int = 45 * DAY_S
    new_session_gap_s: int = 600
    # 4.5 content
    content_bytes: int = 65_536
    content_items: int = 1_024
    item_bytes: int = 262_144
    text_bytes: int = 65_536
    # 5 delivery
    frame_bytes: int = 1_048_576
    batch_envelopes: int = 64
    ack_entries: int = 1_024
    message_life_s: int = 30 * DAY_S
    retry_min_s: float = 1.0
    retry_max_s: float = 600.0
    # 6 mailboxes
    mailbox_ttl_s: int = 72 * 3600
    mailbox_ttl_max_s: int = 14 * DAY_S
    mailbox_key_life_s: int = 7 * DAY_S
    mailbox_key_kept_s: int = 22 * DAY_S
    mailbox_forgotten_s: int = 30 * DAY_S


PRODUCTION: Final = Params()
