"""What the clients of all nodes saw: every text with its fate, and the event logs as they were followed."""

from __future__ import annotations

from typing import Any

import msgspec


class Said(msgspec.Struct):
    """One text.

    Attributes:
        number: among all; the text holds it.
        writer, reader: nodes.
        asked: how often ``message.send`` was called for it, first at ``asked_s``.
        id: of the reply, which came at ``accepted_s``.
        delivered_s, received_s: of each such event at the writer's and the reader's.
        held: how many ``message.held`` the writer told.
    """

    number: int
    writer: int
    reader: int
    text: str
    asked: int = 0
    asked_s: float = 0.0
    accepted_s: float = 0.0
    id: str | None = None
    delivered_s: list[float] = msgspec.field(default_factory=list[float])
    received_s: list[float] = msgspec.field(default_factory=list[float])
    held: int = 0

    @property
    def settled(self) -> bool:
        """Whether nothing is awaited for it any more."""
        return self.id is not None and bool(self.delivered_s) and bool(self.received_s)


class Seen(msgspec.Struct):
    """All of it.

    Attributes:
        name: how every text, and every idempotency key, begins.
        cursors: by node, the ``seq`` of the last event that was read.
        complaints: what must not be, as it was met.
        refusals: error replies that pass, by name.
        presence: (when, node, whether) a node began to answer, or ceased to.
    """

    name: str
    nodes: int
    said: list[Said] = msgspec.field(default_factory=list[Said])
    cursors: list[int] = msgspec.field(default_factory=list[int])
    events: int = 0
    keys_changed: int = 0
    complaints: list[str] = msgspec.field(default_factory=list[str])
    refusals: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    presence: list[tuple[float, int, bool]] = msgspec.field(default_factory=list[tuple[float, int, bool]])

    def __post_init__(self) -> None:
        self.cursors = self.cursors or [0] * self.nodes

    def forget(self, node: int) -> int:
        """Its log begins anew; where it was."""
        before, self.cursors[node] = self.cursors[node], 0
        return before

    def note(self, node: int, event: dict[str, Any], now_s: float) -> None:
        """Take an event of ``node``'s log."""
        seq = event["seq"]
        if seq is None:
            return
        self.events += 1
        if seq != self.cursors[node] + 1:
            self.complaints.append(f"node {node}: event {seq} came after {self.cursors[node]}")
        self.cursors[node] = seq
        kind, data = event["type"], event["data"]
        if kind in ("message.received", "message.delivered", "message.held"):
            self._message(node, kind, data, now_s)
        elif kind in ("message.failed", "message.expired", "message.cancelled"):
            self.complaints.append(f"node {node}: {kind} {data.get('id')}")
        elif kind == "contact.key_changed":
            self.keys_changed += 1
        elif kind in ("contact.claimed", "contact.expired"):
            self.complaints.append(f"node {node}: {kind}")

    def _message(self, node: int, kind: str, data: dict[str, Any], now_s: float) -> None:
        said = self.of(data.get("text", ""))
        incoming = kind == "message.received"
        if said is None or data["text"] != said.text or node != (said.reader if incoming else said.writer):
            self.complaints.append(f"node {node}: {kind} of what was never said to it: {data.get('text', '')[:60]}")
        elif incoming:
            said.received_s.append(now_s)
        elif kind == "message.held":
            said.held += 1
        else:
            said.delivered_s.append(now_s)

    def of(self, text: str) -> Said | None:
        """Which text it is, if any."""
        name, _, rest = text.partition(" ")
        number = rest.partition(" ")[0]
        if name != self.name or not number.isdecimal() or int(number) >= len(self.said):
            return None
        return self.said[int(number)]
