"""Nodes that a DNS name tells of: ``/dnsaddr/NAME``, with or without ``/p2p/PEERID`` (PROTOCOL.md 7.6).

Rules:

- The TXT records of ``_dnsaddr.NAME`` hold ``dnsaddr=MULTIADDR``. Of them those count that this node can dial and that
  name whom (TCP over ip4, ip6, dns4, dns6, with a final ``/p2p/…``), and other names, up to a depth.
- A PeerID behind the name leaves the records that end in it.
- Names are looked up anew each time, in a worker thread, under a deadline and a count; what was found of some counts
  where others fail.

Source: the libp2p addressing specification and the multiaddr "dnsaddr" protocol.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import dialable, is_name, parse_address, parse_peer_id

NodeAddress = tuple[PeerId, tuple[Address, ...]]

Texts = Callable[[str], Awaitable[list[str]]]
"""The TXT records of a DNS name; raises NetError."""

_RECORD: Final = "dnsaddr="
_DNSADDR: Final = "/dnsaddr/"
_TEXT_CHARS: Final = 1_024
_BAD: Final = "This is not an entry like /dnsaddr/example.org or /dnsaddr/example.org/p2p/PEERID."


@dataclass(frozen=True, slots=True)
class DnsName:
    """A name that tells of nodes; ``peer``: of this one alone."""

    name: str = field(repr=False)
    peer: PeerId | None = None


Entry = NodeAddress | DnsName
"""What a user names to start from."""


def parse_entry(text: str) -> Entry:
    """Read an address with ``/p2p/PEERID``, or a ``/dnsaddr``.

    Raises:
        UsageError: it is neither.
    """
    if text.startswith(_DNSADDR):
        return _parse_name(text)
    address, peer = parse_address(text)
    if peer is None:
        raise UsageError("The address of a node ends in /p2p/ and the node's PeerID, as `p2pchat net addrs` prints it.")
    return peer, (address,)


async def resolved(entries: Iterable[Entry], texts: Texts) -> list[NodeAddress]:
    """The nodes of ``entries``, each once with all its addresses; a name that leads nowhere is left out.

    Args:
        texts: how a name is looked up.
    """
    found: dict[PeerId, dict[Address, None]] = {}
    level: list[DnsName] = []
    for entry in entries:
        if isinstance(entry, DnsName):
            level.append(entry)
        else:
            found.setdefault(entry[0], {}).update(dict.fromkeys(entry[1]))
    asked: set[DnsName] = set()
    for _ in range(limits.DNS_DEPTH):
        fresh = [name for name in dict.fromkeys(level) if name not in asked][: limits.DNS_NAMES - len(asked)]
        asked.update(fresh)
        level = []
        for entry in await _records_of_all(fresh, texts):
            if isinstance(entry, DnsName):
                level.append(entry)
            elif entry[0] in found or len(found) < limits.DNS_NODES:
                found.setdefault(entry[0], {}).update(dict.fromkeys(entry[1]))
    return [(peer, tuple(addresses)[: limits.ADDRESSES_PER_PEER]) for peer, addresses in found.items()]


async def system_texts(name: str) -> list[str]:
    """The TXT records of ``name`` as this machine's resolver has them.

    Raises:
        NetError: there is none, or nobody answered.
    """
    with trio.move_on_after(limits.DNS_S):
        return await trio.to_thread.run_sync(_look_up, name, abandon_on_cancel=True)
    raise NetError("No name server answered in time.")


def _look_up(name: str) -> list[str]:
    from dns.exception import DNSException
    from dns.resolver import Resolver

    try:
        answer = Resolver().resolve(name, "TXT", lifetime=limits.DNS_S, search=False)
        texts = [b"".join(record.strings) for record in list(answer)[: limits.DNS_TEXTS]]
    except (DNSException, OSError, ValueError):
        raise NetError("The name is not known, or no name server answered.") from None
    return [text.decode("ascii", "replace") for text in texts]


async def _records_of_all(names: Sequence[DnsName], texts: Texts) -> list[Entry]:
    """What the records of ``names`` say, in their order; they are looked up at the same time."""
    found: list[list[Entry]] = [[] for _ in names]

    async def one(index: int) -> None:
        found[index] = await _records(names[index], texts)

    async with trio.open_nursery() as nursery:
        for index in range(len(names)):
            nursery.start_soon(one, index)
    return [entry for each in found for entry in each]


async def _records(name: DnsName, texts: Texts) -> list[Entry]:
    """What the records of ``name`` say that is of use."""
    try:
        told = await texts(f"_dnsaddr.{name.name}")
    except NetError:
        return []  # as if it had no records: others may lead further, and who asks sees that nobody was found
    found: list[Entry] = []
    for text in told[: limits.DNS_TEXTS]:
        if not text.startswith(_RECORD) or len(text) > _TEXT_CHARS:
            continue
        try:
            entry = parse_entry(text.removeprefix(_RECORD))
        except UsageError:
            continue  # of a transport that this node does not dial: names list all that their nodes speak
        peer, is_of_use = (entry.peer, True) if isinstance(entry, DnsName) else (entry[0], dialable(entry[1][0]))
        if is_of_use and name.peer in (None, peer):
            found.append(entry)
    return found


def _parse_name(text: str) -> DnsName:
    match = re.fullmatch(r"/dnsaddr/([^/]+)(?:/p2p/([^/]+))?", text)
    if match is None or not is_name(match[1]):
        raise UsageError(_BAD)
    return DnsName(match[1].rstrip(".").lower(), None if match[2] is None else parse_peer_id(match[2]))
