"""Where contacts can be reached: the nodes that they named, or that something of theirs came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.ids import Address, PeerId
from p2pchat.base.limits import NODES_PER_CONTACT
from p2pchat.store.db import Row, Tx
from p2pchat.store.meta import decode_addresses, encode_addresses

_MATCHED: Final = (
    "FROM contact_peer JOIN contact ON contact.id = contact_peer.contact WHERE proven AND contact.state = 'matched'"
)


@dataclass(frozen=True, slots=True)
class ContactPeer:
    """A node of a contact.

    ``published``: its PeerID stood in the contact's own Reach or presence, so its Nacks are believed.
    """

    contact: int
    peer: PeerId
    addresses: tuple[Address, ...]
    ask: bytes | None = field(repr=False)
    published: bool


def save(tx: Tx, contact: int, peer: PeerId, addresses: tuple[Address, ...], ask: bytes, seq: int) -> bool:
    """A node that a Reach or presence of the contact names; whether that is new. Beyond the bound unproven ones go.

    Args:
        seq: unix seconds, of the record that said so: of two that tell of one node the later one counts.
    """
    rows = of_contact(tx, contact)
    if ContactPeer(contact, peer, addresses, ask, published=True) in rows:
        tx.execute(
            "UPDATE contact_peer SET seq = max(seq, ?) WHERE contact = ? AND peer = ?", (seq, contact, bytes(peer))
        )
        return False
    known = tx.one("SELECT seq FROM contact_peer WHERE contact = ? AND peer = ?", (contact, bytes(peer)))
    if known is not None and known[0] > seq:
        return False
    if known is None and len(rows) >= NODES_PER_CONTACT:
        tx.execute("DELETE FROM contact_peer WHERE contact = ? AND NOT proven", (contact,))
    if known is None and len(of_contact(tx, contact)) >= NODES_PER_CONTACT:
        tx.execute("DELETE FROM contact_peer WHERE contact = ?", (contact,))
    tx.execute(
        "INSERT INTO contact_peer (contact, peer, addresses, ask, published, seq) VALUES (?, ?, ?, ?, 1, ?) "
        "ON CONFLICT DO UPDATE SET addresses = excluded.addresses, ask = excluded.ask, published = 1, "
        "seq = excluded.seq",
        (contact, bytes(peer), encode_addresses(addresses), ask, seq),
    )
    return True


def prove(tx: Tx, contact: int, peer: PeerId) -> None:
    """Something of the contact's sessions came from ``peer``, perhaps before its Reach was read.

    Anybody can publish anybody's PeerID, so this decides whose a stream is. It makes no Nack believed.
    """
    known = {
        bytes(row[0]): row[1] for row in tx.all("SELECT peer, proven FROM contact_peer WHERE contact = ?", (contact,))
    }
    if known.get(bytes(peer)) == 0 or (bytes(peer) not in known and len(known) < NODES_PER_CONTACT):
        tx.execute(
            "INSERT INTO contact_peer (contact, peer, addresses, published, proven) VALUES (?, ?, x'90', 0, 1) "
            "ON CONFLICT DO UPDATE SET proven = 1",
            (contact, bytes(peer)),
        )


def of_contact(tx: Tx, contact: int) -> list[ContactPeer]:
    """Where a contact can be reached, what was learnt last first."""
    rows = tx.all(
        "SELECT contact, peer, addresses, ask, published FROM contact_peer WHERE contact = ? ORDER BY seq DESC, peer",
        (contact,),
    )
    return [_peer(row) for row in rows]


def of_node(tx: Tx, peer: PeerId) -> list[ContactPeer]:
    """The contacts that name ``peer`` as theirs, the proven first; several if somebody lies."""
    rows = tx.all(
        "SELECT contact, peer, addresses, ask, published FROM contact_peer WHERE peer = ? "
        "ORDER BY proven DESC, contact",
        (bytes(peer),),
    )
    return [_peer(row) for row in rows]


def owners(tx: Tx) -> dict[PeerId, int]:
    """Every node of a contact, and whose it is: of several who name it, the one that has proven it.

    A contact that is blocked has none.
    """
    rows = tx.all("SELECT peer, contact FROM contact_peer ORDER BY proven, contact DESC")
    return {PeerId(row[0]): row[1] for row in rows}


def is_of_matched(tx: Tx, peer: PeerId) -> bool:
    """Whether something of a matched contact's sessions has come from ``peer``."""
    return tx.one(f"SELECT 1 {_MATCHED} AND peer = ? LIMIT 1", (bytes(peer),)) is not None


def save_met(tx: Tx, peer: PeerId, address: Address) -> list[int]:
    """A matched contact's node was met at ``address``; the contacts whose it has shown to be."""
    contacts = [row[0] for row in tx.all(f"SELECT contact {_MATCHED} AND peer = ? ORDER BY contact", (bytes(peer),))]
    row = (bytes(address), bytes(peer))
    tx.many("UPDATE contact_peer SET met = ? WHERE peer = ? AND contact = ?", [(*row, each) for each in contacts])
    return contacts


def met(tx: Tx) -> dict[PeerId, tuple[int, Address]]:
    """The nodes of matched contacts that were met half way: whose they are, and where that was last."""
    rows = tx.all(f"SELECT peer, contact, met {_MATCHED} AND met IS NOT NULL ORDER BY contact DESC")
    return {PeerId(peer): (contact, Address(address)) for peer, contact, address in rows}


def blocked(tx: Tx) -> set[PeerId]:
    """The nodes that those had who are blocked now, when they were."""
    rows = tx.all("SELECT peer FROM blocked_peer JOIN contact ON contact.id = contact WHERE state = 'blocked'")
    return {PeerId(row[0]) for row in rows}


def _peer(row: Row) -> ContactPeer:
    ask = bytes(row[3]) if row[3] is not None else None
    return ContactPeer(row[0], PeerId(row[1]), decode_addresses(row[2]), ask, bool(row[4]))
