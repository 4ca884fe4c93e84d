"""What 200 contacts cost a node, from the sizes and schedules of PROTOCOL.md 3.3, 3.4 and 3.7 and a simulated walk.

Every node is thought to have the same contacts in the same state, so that a node keeps for others what others keep for
it, and serves as many requests as it makes: what it sends is what it gets. Counted are requests, replies and records,
not what libp2p and TCP put around them.

*Walks a day*, of one contact:

- *looked for*: a poll a day and one more where a slot begins; each reads the slots of 3.1, of which one is published
  in; four watches are prolonged as often as the daemon does. Its slot holds one record.
- *matched, number not verified*, in the first four epochs: each begins with the schedule of 3.3, three walks a poll.
- *matched and connected*: nothing. The presence is one record a node, put every 12 h.
- *matched, offline*: the presence is read every 6 h. After 3 days the contact is looked for, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from p2pchat.base import limits
from p2pchat.core import codec
from p2pchat.core.dht_wire import Reply, Request, ToldPeer
from p2pchat.core.framing import with_length
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.record import RECORD_BYTES

CONTACTS: Final = 200
_RENEW_WATCH_S: Final = 0.8 * PRODUCTION.watch_max_s
_READ_PRESENCE_S: Final = 6 * 3600
_LOC: Final = bytes(32)
_TOLD: Final = ToldPeer(bytes(38), (bytes(8), bytes(20)))  # an ip4 and an ip6 address

ASK_BYTES: Final = len(with_length(codec.encode(Request(1 << 16, _LOC, None, True, 0))))
REPLY_BYTES: Final = len(with_length(codec.encode(Reply(1 << 16, None, 0, (), (_TOLD,) * PRODUCTION.k))))
SLOTS_READ: Final = 1 + PRODUCTION.read_previous_s / PRODUCTION.epoch_s
SLOTS_HELD: Final = 1 + PRODUCTION.record_ttl_s / PRODUCTION.epoch_s


@dataclass(frozen=True, slots=True)
class State:
    """What one contact costs a day.

    Args:
        puts: walks that put a record, too.
        reads: walks that only read.
        watches: single requests that prolong a watch.
        records: own ones that others keep at a time.
        found: entries in a reply of a storer.
    """

    title: str
    puts: float = 0.0
    reads: float = 0.0
    watches: float = 0.0
    records: float = 0.0
    found: int = 0

    def kept_mb(self) -> float:
        """Megabytes of records that a node keeps, for others with as many contacts."""
        return CONTACTS * self.records * PRODUCTION.k * RECORD_BYTES / 1e6

    def sent_mb(self, requests: float) -> float:
        """Megabytes a day that a node sends, and that it gets; ``requests`` of a walk."""
        walks = self.puts + self.reads
        asked = walks * requests + self.watches
        entries = (walks * PRODUCTION.k + self.watches) * self.found
        put = self.puts * requests
        return CONTACTS * (asked * (ASK_BYTES + REPLY_BYTES) + (entries + put) * RECORD_BYTES) / 1e6


def states() -> tuple[State, ...]:
    """One contact in each state, and the presence, of which there is one a node."""
    epoch_days = PRODUCTION.epoch_s / DAY_S
    polls = 1 + 1 / epoch_days
    watches = limits.WATCHES_PER_WALK * DAY_S / _RENEW_WATCH_S
    anew = 3 * len(PRODUCTION.poll_schedule_s) / epoch_days
    presence_reads = DAY_S / _READ_PRESENCE_S
    return (
        State("looked for", polls, polls * (SLOTS_READ - 1), watches, SLOTS_HELD, 1),
        State("matched, not verified", anew, 0, 0, 3 * (SLOTS_HELD - 1), 2),
        State("matched, connected"),
        State("matched, offline", 0, presence_reads, 0, 0, 1),
        State(
            "matched, offline for days",
            polls,
            presence_reads + polls * (SLOTS_READ - 1),
            watches,
            SLOTS_HELD,
            1,
        ),
        State("own presence", DAY_S / PRODUCTION.presence_every_s / CONTACTS, 0, 0, 1 / CONTACTS, 1),
    )


HEADINGS: Final = (f"{CONTACTS} contacts", "walks a day", "watches prolonged a day", "kept for others, MB")


def table(requests: Mapping[int, float]) -> list[list[str]]:
    """Cells, a line a state; the last columns are the traffic where a walk has so many requests among so many nodes."""
    sizes = [f"sent a day at {nodes:,} nodes, MB" for nodes in requests]
    lines = [
        [
            state.title,
            f"{CONTACTS * (state.puts + state.reads):,.0f}",
            f"{CONTACTS * state.watches:,.0f}",
            f"{state.kept_mb():.2f}",
            *(f"{state.sent_mb(each):.1f}" for each in requests.values()),
        ]
        for state in states()
    ]
    return [[*HEADINGS, *sizes], *lines]
