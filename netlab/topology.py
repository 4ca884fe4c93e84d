"""The networks that there are: segments, hosts, and the boxes between segments.

Rules:

- A segment is what one switch joins; the hosts of a segment reach each other, multicast and broadcast included. The
  segment ``internet`` is no switch: every host there is alone on its line, and nothing floods.
- A box joins an inside segment to an outside one. It translates IPv4 if it has an outside address, else it only
  routes; ``firewall`` admits nothing unsolicited in either family.
- A home is ``192.168.N.0/24`` with its router at ``.1``; the internet's addresses are of networks that everybody takes
  for public ones (a documentation network would be taken for a private one). Nothing of it leaves the namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_interface, ip_network
from typing import Final

from netlab.nat import Kind

INTERNET: Final = "internet"
NAMES: Final = ("alice", "bob")
_PUBLIC: Final = (IPv4Network("45.77.101.0/24"), IPv6Network("2a0e:b107:65::/64"))
"""From which a host that comes to the internet has its addresses."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a topology can be asked for.

    Args:
        hosts: of ``lan`` and ``internet``, from 2.
        public: hosts on the internet: ``relay``, ``relay2`` and so on, from 1.
        both: in ``random-nat``, both homes have such a router, not only Alice's.
        natpmp: home routers that translate map ports by NAT-PMP.
        upnp: the same by UPnP IGD.
        hosts_at_home: in each home: ``alice``, ``alice2`` and so on.
    """

    hosts: int = 2
    public: int = 1
    both: bool = False
    natpmp: bool = False
    upnp: bool = False
    hosts_at_home: int = 1


@dataclass(frozen=True, slots=True)
class Segment:
    """A network; the families that it has are those that have a prefix. The internet's have none: it has both."""

    name: str
    prefixes: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one interface. ``addresses``: with prefix lengths. ``gateways``: for everything else."""

    name: str
    segment: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...] = ()
    is_router: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """What joins two segments. ``address``: the outside one, of a box that translates IPv4."""

    name: str
    inside: str
    outside: str
    address: IPv4Address | None = None
    nat: Kind = "preserving"
    firewall: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    name: str
    segments: tuple[Segment, ...]
    hosts: tuple[Host, ...]
    boxes: tuple[Box, ...] = ()
    options: Options = field(default_factory=Options)


def build(name: str, options: Options | None = None) -> Topology:
    """The topology of this name.

    Raises:
        KeyError: there is none.
    """
    chosen = options or Options()
    return replace(_BUILDERS[name](chosen), name=name, options=chosen)


def names() -> tuple[str, ...]:
    return tuple(_BUILDERS)


def _lan(options: Options) -> Topology:
    hosts = [Host(host_name(index), "lan", (f"192.168.7.{index + 2}/24",)) for index in range(options.hosts)]
    return Topology("", (Segment("lan", (IPv4Network("192.168.7.0/24"),)),), tuple(hosts))


def _internet(options: Options) -> Topology:
    plan = _Plan(options, (4,))
    for index in range(options.hosts):  # of different networks, as the relays are
        plan.hosts.append(Host(host_name(index), INTERNET, (f"46.{10 + index}.100.1/32",), ("",)))
    return plan.done()


def host_name(index: int) -> str:
    """What people of ``lan`` and ``internet`` are called."""
    return NAMES[index] if index < len(NAMES) else f"host{index + 1}"


@dataclass(slots=True)
class _Plan:
    """A topology that grows. Homes are numbered from 1."""

    options: Options
    families: tuple[int, ...]
    segments: list[Segment] = field(default_factory=lambda: [Segment(INTERNET)])
    hosts: list[Host] = field(default_factory=list[Host])
    boxes: list[Box] = field(default_factory=list[Box])

    def public(self) -> None:
        for index in range(self.options.public):
            # of different networks, since a node takes those of one for one voice
            addresses = {4: f"45.{77 + index}.100.1/32", 6: f"2a0e:{0xB107 + index:x}:64::1/128"}
            name = "relay" if index == 0 else f"relay{index + 1}"
            self.hosts.append(Host(name, INTERNET, tuple(addresses[each] for each in self.families), ("",)))

    def home(self, owner: str, *, nat: Kind | None = "preserving", firewall: bool = False, behind: str = "") -> None:
        """A home; ``behind``: the segment of a carrier's NAT. Without ``nat`` its addresses are public."""
        number = NAMES.index(owner) + 1
        name = f"{owner}-home"
        net = f"192.168.{number}" if nat else f"45.77.{number}"
        prefixes = {4: f"{net}.0/24", 6: f"2a0e:b107:{number}::/64"}
        self.segments.append(Segment(name, tuple(ip_network(prefixes[each]) for each in self.families)))
        routers = {4: f"{net}.1", 6: "fe80::1"}
        own = {4: f"{net}.1/24", 6: f"2a0e:b107:{number}::1/64"}
        self.hosts.append(Host(f"{owner}-router", name, tuple(own[each] for each in self.families), is_router=True))
        for index in range(self.options.hosts_at_home):
            addresses = {4: f"{net}.{index + 2}/24", 6: f"2a0e:b107:{number}::{index + 2:x}/64"}
            self.hosts.append(
                Host(
                    owner if index == 0 else f"{owner}{index + 1}",
                    name,
                    tuple(addresses[each] for each in self.families),
                    tuple(routers[each] for each in self.families),
                )
            )
        outside = IPv4Address(f"100.64.{number}.1" if behind else f"45.77.{number}.1")
        translates = nat is not None and 4 in self.families
        self.boxes.append(
            Box(
                name,
                name,
                behind or INTERNET,
                outside if translates else None,
                nat or "preserving",
                firewall,
            )
        )

    def carrier(self) -> str:
        self.segments.append(Segment("carrier", (IPv4Network("100.64.0.0/10"),)))
        self.boxes.append(Box("carrier", "carrier", INTERNET, IPv4Address("45.77.50.1"), "random"))
        return "carrier"

    def done(self) -> Topology:
        self.public()
        return Topology("", tuple(self.segments), tuple(self.hosts), tuple(self.boxes))


def _two_nats(options: Options) -> Topology:
    plan = _Plan(options, (4,))
    plan.home("alice")
    plan.home("bob")
    return plan.done()


def _random_nat(options: Options) -> Topology:
    plan = _Plan(options, (4,))
    plan.home("alice", nat="random")
    plan.home("bob", nat="random" if options.both else "preserving")
    return plan.done()


def _carrier(options: Options) -> Topology:
    plan = _Plan(options, (4,))
    plan.home("alice", behind=plan.carrier())
    plan.home("bob")
    return plan.done()


def _ipv6(options: Options) -> Topology:
    plan = _Plan(options, (6,))
    plan.home("alice", nat=None)
    plan.home("bob", nat=None)
    return plan.done()


def _dual(options: Options) -> Topology:
    plan = _Plan(options, (4, 6))
    plan.home("alice")
    plan.home("bob")
    return plan.done()


def _firewall(options: Options) -> Topology:
    plan = _Plan(options, (4, 6))
    plan.home("alice", nat=None, firewall=True)
    plan.home("bob", nat=None)
    return plan.done()


_BUILDERS: Final[dict[str, Callable[[Options], Topology]]] = {
    "lan": _lan,
    "internet": _internet,
    "two-nats": _two_nats,
    "random-nat": _random_nat,
    "carrier": _carrier,
    "ipv6": _ipv6,
    "dual": _dual,
    "firewall": _firewall,
}


def has_ipv4(topology: Topology) -> bool:
    return any(ip_interface(each).version == 4 for host in topology.hosts for each in host.addresses)


def has_ipv6(topology: Topology) -> bool:
    return any(ip_interface(each).version == 6 for host in topology.hosts for each in host.addresses)


def moved(topology: Topology, name: str, segment: str | None, addresses: tuple[str, ...]) -> Host:
    """The host ``name`` as it is in ``segment`` (None: its own) with ``addresses``, or with the next free ones there.

    Raises:
        KeyError: there is no such host, or no such segment.
        ValueError: an address is malformed, or another host's.
    """
    host = next((each for each in topology.hosts if each.name == name), None)
    place = next((each for each in topology.segments if each.name == (segment or (host and host.segment))), None)
    if host is None or place is None:
        raise KeyError(name if host is None else segment)
    taken = {ip_interface(each).ip for other in topology.hosts for each in other.addresses}
    taken |= {box.address for box in topology.boxes if box.address is not None}
    if not addresses:
        prefixes = place.prefixes or _PUBLIC[:1] * has_ipv4(topology) + _PUBLIC[1:] * has_ipv6(topology)
        free = [next(ip for ip in prefix.hosts() if ip not in taken) for prefix in prefixes]
        lengths = [prefix.prefixlen if place.prefixes else prefix.max_prefixlen for prefix in prefixes]
        addresses = tuple(f"{ip}/{length}" for ip, length in zip(free, lengths, strict=True))
    own = {ip_interface(each).ip for each in host.addresses}
    if any(ip_interface(each).ip in taken - own for each in addresses):
        raise ValueError("This address is taken.")
    if place.name == INTERNET:
        gateways: tuple[str, ...] = ("",)
    else:
        routers = [each for each in topology.hosts if each.segment == place.name and each.is_router]
        gateways = tuple(
            "fe80::1" if ip_interface(each).version == 6 else str(ip_interface(each).ip)
            for router in routers
            for each in router.addresses
        )
    return replace(host, segment=place.name, addresses=addresses, gateways=gateways)
