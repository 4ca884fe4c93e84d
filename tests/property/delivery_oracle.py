"""What must hold between two nodes whatever happens on the way, looked at after every transaction of either.

It reads the committed rows and the log of events, and what leaves; it asks nothing of the code that is tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from p2pchat.core.wire import Ack, Batch, Flight, Frame, eid
from p2pchat.store import eventlog, messages
from p2pchat.store.messages import MessageRow
from tests.property.delivery_node import CONTACT, PARAMS, Node

_ALL: Final = 1 << 62

_OUT: Final = {
    "": {"queued"},
    "queued": {"sent", "cancelled", "expired", "failed"},
    "sent": {"delivered", "expired", "failed"},
    "delivered": {"read", "deleted"},
    "read": {"deleted"},
    "cancelled": {"deleted"},
    "expired": {"deleted"},
    "failed": {"deleted"},
    "deleted": set[str](),
}
"""What a node may tell of an own message after what it has told last."""

_IN: Final = {
    "": {"received"},
    "received": {"read", "deleted"},
    "read": {"deleted"},
    "deleted": set[str](),
}
"""And of one that came."""

_ENDED: Final = {"cancelled", "expired", "failed"}


@dataclass
class Told:
    """One node's side: what it has told of each message, by row, and what it has sealed."""

    lives: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    events: Counter[str] = field(default_factory=Counter[str])
    seq: int = 0
    texts: dict[bytes, str] = field(default_factory=dict[bytes, str])  # of own messages, by wire id
    rows: dict[bytes, int] = field(default_factory=dict[bytes, int])
    shown: dict[bytes, str] = field(default_factory=dict[bytes, str])  # that came, by wire id
    bytes_of: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])  # what was sealed, by eid
    held: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict[bytes, tuple[bytes, ...]])  # and is in it
    proofs: set[bytes] = field(default_factory=set[bytes])  # each stands for a message key
    acked: dict[bytes, tuple[bytes, int]] = field(default_factory=dict[bytes, tuple[bytes, int]])  # and until when
    eid_of: dict[int, bytes] = field(default_factory=dict[int, bytes])
    in_session: dict[int, set[bytes]] = field(default_factory=dict[int, set[bytes]])


class Oracle:
    """Both nodes' sides, held against each other.

    Args:
        ordered: nothing overtakes anything on the way, so that all is shown in the order in which it was sent.
    """

    def __init__(self, nodes: tuple[Node, Node], *, ordered: bool) -> None:
        self.nodes = nodes
        self.told = {node.name: Told() for node in nodes}
        self.counts: Counter[str] = Counter()
        self._ordered = ordered
        for node in nodes:
            node.after_commit = partial(self.look, node)

    def other(self, node: Node) -> Node:
        return self.nodes[self.nodes[0] is node]

    # -- after a transaction ------------------------------------------------------------------------------------------

    def look(self, node: Node) -> None:
        """Hold what is committed now against all that was seen before."""
        told = self.told[node.name]
        shown = conversation(node)
        self._hear(node, told, {row.id: row for row in shown})
        for row in shown:
            self._message(node, told, row)
        if self._ordered:
            numbers = [row.n for row in shown if row.incoming]
            assert numbers == sorted(numbers), "shown in another order than they were sent in"
        self._envelopes(node, told, {row.n: row for row in shown if not row.incoming and row.state == "sent"})

    def _hear(self, node: Node, told: Told, rows: dict[int, MessageRow]) -> None:
        """The log goes on by what subscribers were told, and for each message as it may."""
        fresh = eventlog.after(node.look(), told.seq, _ALL)
        for event in fresh:
            assert event.seq == told.seq + 1, "an event is missing from the log"
            told.seq = event.seq
            if event.subject is None or not event.kind.startswith("message."):
                continue
            kind = event.kind.removeprefix("message.")
            life = told.lives.setdefault(event.subject, [])
            allowed = (_IN if rows[event.subject].incoming else _OUT)[life[-1] if life else ""]
            assert kind in allowed, f"{kind} was told after {life}"
            life.append(kind)
            told.events[kind] += 1
        heard = [(event.kind.value, subject) for event in node.told if event.subject for subject in event.subjects]
        if heard:
            assert heard == [(event.kind, event.subject) for event in fresh if event.subject], "told and not committed"
        node.told.clear()

    def _message(self, node: Node, told: Told, row: MessageRow) -> None:
        life = told.lives.get(row.id)
        assert life, "a message of which nothing was told"
        assert row.state == life[-1], f"it is {row.state}, and {life} was told"
        peer = self.told[self.other(node).name]
        if not row.incoming:
            if row.wire_id not in told.rows:
                assert row.text is not None
                told.rows[row.wire_id], told.texts[row.wire_id] = row.id, row.text
            if "delivered" in life:
                assert row.wire_id in peer.shown, "told as delivered, and not there"
        elif row.wire_id not in told.shown:
            assert row.wire_id in peer.texts, "nobody has sent this"
            assert row.text is not None
            assert row.text == peer.texts[row.wire_id], "it is not what was sent"
            assert row.text not in told.shown.values(), "shown twice"
            sent = messages.get(self.other(node).look(), peer.rows[row.wire_id])
            assert sent is not None
            assert row.n == sent.n, "it has another number than it was sent under"
            assert "sent" in peer.lives[peer.rows[row.wire_id]], "it came and has never left"
            told.shown[row.wire_id] = row.text

    def _envelopes(self, node: Node, told: Told, out: dict[int, MessageRow]) -> None:
        """What is sealed stays as it is, and no session holds a message twice.

        Args:
            out: what is sent and not settled, by number.
        """
        for row_id, session, sealed, name, proof, n0, n1 in node.look().all(
            "SELECT id, session, bytes, eid, ack, n0, n1 FROM envelope WHERE bytes IS NOT NULL ORDER BY id"
        ):
            if row_id in told.eid_of:
                assert (told.eid_of[row_id], told.bytes_of[name]) == (name, sealed), "a sealed envelope has changed"
                continue
            assert eid(sealed) == name
            assert proof not in told.proofs, "two were sealed with one key"
            told.proofs.add(proof)
            members = tuple(out[n].wire_id for n in range(n0, n1 + 1) if n1 and n in out)
            assert bool(members) == bool(n1)
            in_session = told.in_session.setdefault(session, set())
            assert in_session.isdisjoint(members), "sealed twice in one session"
            in_session.update(members)
            told.eid_of[row_id], told.bytes_of[name], told.held[name] = name, sealed, members
            self.counts["sealed"] += 1

    # -- on the way ---------------------------------------------------------------------------------------------------

    def leaves(self, node: Node, frame: Frame) -> None:
        """``frame`` goes onto a stream: only what is committed does, and nothing that was said to have ended."""
        told = self.told[node.name]
        for envelope in envelopes(frame):
            name = eid(envelope)
            assert told.bytes_of.get(name) == envelope, "it leaves and is not committed"
            self.counts["envelopes"] += 1
            for wire_id in told.held[name]:
                ended = _ENDED.intersection(told.lives[told.rows[wire_id]])
                assert not ended, f"it leaves after it was said to be {ended}"
        if isinstance(frame, Ack):
            peer = self.told[self.other(node).name]
            for name, _ in frame.entries:
                for wire_id in peer.held.get(name, ()):
                    assert wire_id in told.shown, "acknowledged, and not there"

    def answered(self, node: Node, arrived: Sequence[bytes], acks: Sequence[tuple[bytes, bytes]]) -> None:
        """``acks`` answer the envelopes that have ``arrived``: each one that was acked before is, by the same."""
        known, now_s = self.told[node.name].acked, node.now_ms // 1000
        for name in map(eid, arrived):
            if name in known:
                assert (name, known[name][0]) in acks, "what is known is not acknowledged as it was"
                self.counts["repeats"] += 1
        for name, ack in acks:
            known.setdefault(name, (ack, now_s + PARAMS.eid_kept_s))

    def forget(self, node: Node, *, all_of_it: bool) -> None:
        """What was acked long ago, or all, need not be known any more."""
        known, now_s = self.told[node.name].acked, node.now_ms // 1000
        for name, (_, until_s) in list(known.items()):
            if all_of_it or until_s < now_s:
                del known[name]

    def unsettled(self, node: Node) -> dict[bytes, bytes]:
        """The own envelopes that wait for an ack, and what it has to say."""
        return dict(node.look().all("SELECT eid, ack FROM envelope WHERE bytes IS NOT NULL ORDER BY id"))

    def settles(self, node: Node, ack: Ack, before: dict[bytes, bytes]) -> None:
        """``ack`` was taken: it has settled what it proves, and nothing else."""
        settled = {(name, proof) for name, proof in before.items() if name not in self.unsettled(node)}
        assert settled == set(before.items()) & set(ack.entries), "an ack settles what it proves"
        self.counts["settled"] += len(settled)

    # -- at the end ---------------------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Nothing is lost any more, and all has left: each message is at the other end, or has ended."""
        for node in self.nodes:
            told, peer = self.told[node.name], self.told[self.other(node).name]
            assert messages.outbox_size(node.look()) == 0, "something waits for ever"
            for wire_id, row in told.rows.items():
                life = told.lives[row]
                if "delivered" in life:
                    assert wire_id in peer.shown
                else:
                    assert len(_ENDED.intersection(life)) == 1, f"nothing was said of its end: {life}"
                if "sent" not in life:
                    assert wire_id not in peer.shown, "it never left, and was shown"


def conversation(node: Node) -> list[MessageRow]:
    """All messages with the other node, deleted ones too, in the order in which they are shown."""
    return list(messages.between(node.look(), CONTACT, 1, _ALL, rising=True))


def envelopes(frame: Frame) -> tuple[bytes, ...]:
    if isinstance(frame, Flight):
        return (frame.envelope,)
    return frame.envelopes if isinstance(frame, Batch) else ()
