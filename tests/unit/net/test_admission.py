"""Who is let in where places are short, and who makes room (limits.py, "inbound connections")."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from p2pchat.base import limits
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net.admission import InboundGate, InboundSlot, Worth

TOTAL = 512
HOSTS = 32


class Street:
    """A gate, and who came through it."""

    def __init__(self, total: int = TOTAL) -> None:
        self.refusals = Refusals()
        self.gate = InboundGate(total, HOSTS, 128, self.refusals)
        self.worth: dict[InboundSlot, Worth] = {}

    def come(self, host: str, worth: Worth = Worth.IDLE) -> InboundSlot | None:
        """A whole handshake; who it was that is in, None: it was refused."""
        slot = self.gate.enter(host)
        return None if slot is None else self.stay(slot, worth)

    def stay(self, slot: InboundSlot, worth: Worth = Worth.IDLE) -> InboundSlot | None:
        self.worth[slot] = worth
        is_in = self.gate.admit(slot, lambda: self.worth[slot])
        self._leave()
        if not is_in:
            self.gate.leave(slot)
        return slot if is_in else None

    def flood(self, hosts: Iterable[str], worth: Worth = Worth.IDLE) -> int:
        return sum(self.come(host, worth) is not None for host in hosts)

    def _leave(self) -> None:
        """The host gives back the place of whoever was displaced."""
        for slot in [each for each in self.worth if each.scope.cancel_called]:
            del self.worth[slot]
            self.gate.leave(slot)

    def is_in(self, slot: InboundSlot | None) -> bool:
        return slot in self.worth and not slot.scope.cancel_called


def of_24(count: int, network: str = "8.8.8") -> list[str]:
    """So many addresses, four connections each."""
    return [f"{network}.{1 + index // 4}" for index in range(count)]


async def test_one_24_does_not_hold_most_places() -> None:
    street = Street()
    street.flood(of_24(1_000))
    assert len(street.worth) == limits.INBOUND_PER_PREFIX
    assert street.refusals[Refusal.CONNECTION_CROWDED] > 500
    assert street.come("8.8.9.1") is not None


async def test_one_16_does_not_hold_more_than_half() -> None:
    street = Street()
    street.flood(host for third in range(20) for host in of_24(limits.INBOUND_PER_PREFIX, f"9.9.{third}"))
    assert len(street.worth) == limits.INBOUND_PER_BLOCK
    assert street.flood(of_24(50, "8.8.8")) == 50


async def test_one_ipv6_48_and_one_32_are_bounded_as_well() -> None:
    street = Street()
    street.flood(f"2606:4700:0:{index:x}::1" for index in range(600))
    assert len(street.worth) == limits.INBOUND_PER_PREFIX
    street.flood(f"2606:4700:{index % 200:x}:{index:x}::1" for index in range(2_000))
    assert len(street.worth) == limits.INBOUND_PER_BLOCK
    assert street.come("2a00::1") is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.{}", "10.0.{}.7", "fd00::{}", "100.64.0.{}"])
async def test_the_house_leaves_room_for_the_world(host: str) -> None:
    street = Street()
    street.flood(host.format(index % 250) for index in range(1_000))
    assert len(street.worth) == limits.INBOUND_HOUSE
    assert street.flood(of_24(90)) == 90


async def test_who_lives_alone_displaces_the_oldest_idle_one_of_the_fullest_network() -> None:
    street = Street()
    networks = [f"{number}.0.0" for number in range(11, 27)]
    first = {network: street.come(f"{network}.1") for network in networks}
    for network in networks:
        street.flood(of_24(31, network))
    assert len(street.worth) == TOTAL
    fullest = street.come("11.0.0.77")
    assert fullest is None  # of 32 in its network it would be the 33rd
    assert street.come("99.0.0.1") is not None
    assert not street.is_in(first["11.0.0"])
    assert all(street.is_in(first[network]) for network in networks[1:])
    assert street.refusals[Refusal.CONNECTION_DISPLACED] == 1


@pytest.mark.parametrize("worth", [Worth.IDLE, Worth.BUSY])
async def test_a_full_table_of_eight_networks_lets_honest_newcomers_in(worth: Worth) -> None:
    """Eight /16 of an attacker take all; a hundred honest nodes, each from a network of its own, come and stay."""
    street = Street()
    attackers = [
        f"{block}.0.{third}.{last}" for block in range(50, 58) for third in range(4) for last in range(1, 200, 8)
    ]
    street.flood(attackers, worth)
    assert len(street.worth) == TOTAL
    honest = [street.come(f"{block}.7.7.7", Worth.BUSY) for block in range(60, 160)]
    street.flood(attackers, worth)  # again: nobody makes room for more of them
    assert all(map(street.is_in, honest))
    assert len(street.worth) == TOTAL


async def test_whom_this_node_wants_makes_room_for_nobody() -> None:
    street = Street(total=64)
    wanted = [street.come(f"8.8.8.{index}", Worth.WANTED) for index in range(64)]
    assert street.come("99.0.0.1") is None
    assert all(map(street.is_in, wanted))
    assert street.refusals[Refusal.CONNECTION_DISPLACED] == 0


async def test_in_a_network_the_idle_go_before_the_busy() -> None:
    street = Street(total=8)
    busy = [street.come(f"8.8.8.{index}", Worth.BUSY) for index in range(4)]
    idle = [street.come(f"8.8.8.{10 + index}") for index in range(4)]
    assert street.come("99.0.0.1") is not None
    assert [street.is_in(each) for each in idle] == [False, True, True, True]
    assert all(map(street.is_in, busy))


async def test_a_crowded_address_lets_its_next_one_in_for_one_on_which_nothing_goes_on() -> None:
    """Behind one address may be a whole town: who has left its connection behind does not keep the others out."""
    street = Street()
    slots = [street.come("8.8.8.8") for _ in range(HOSTS)]
    assert street.come("8.8.8.8") is None
    assert slots[3] is not None
    street.worth[slots[3]] = Worth.FORGOTTEN
    late: InboundSlot | None = None
    for _ in range(100):  # that nobody makes room is believed for a while
        if (late := street.come("8.8.8.8")) is not None:
            break
    assert street.is_in(late)
    assert not street.is_in(slots[3])
    assert sum(map(street.is_in, slots)) == HOSTS - 1


async def test_through_a_relay_the_forgotten_make_room_too() -> None:
    street = Street()
    relay = PeerId(b"relay")

    def come(worth: Worth) -> InboundSlot | None:
        slot = street.gate.enter_through(relay)
        return None if slot is None else street.stay(slot, worth)

    assert sum(come(Worth.FORGOTTEN) is not None for _ in range(HOSTS)) == HOSTS
    assert come(Worth.WANTED) is not None
    assert len(street.worth) == HOSTS


async def test_room_is_made_when_the_handshake_is_done_and_not_before() -> None:
    street = Street(total=4)
    crowd = [street.come("8.8.8.8") for _ in range(4)]
    newcomers = [street.gate.enter(f"9{index}.0.0.1") for index in range(4)]
    assert all(map(street.is_in, crowd))
    assert newcomers[0] is not None
    assert street.stay(newcomers[0]) is not None
    assert sum(map(street.is_in, crowd)) == 3


async def test_who_finds_no_room_any_more_when_its_handshake_is_done_is_refused() -> None:
    street = Street(total=1)
    street.come("8.8.8.8", Worth.FORGOTTEN)
    late = [street.gate.enter(host) for host in ("91.0.0.1", "92.0.0.1")]
    in_time = [slot is not None and street.stay(slot, Worth.WANTED) is not None for slot in late]
    assert in_time == [True, False]
    assert street.refusals[Refusal.CONNECTION_CROWDED] == 1


async def test_a_flood_at_a_full_gate_is_not_looked_at_one_by_one() -> None:
    """To see that nobody makes room takes time; the next ones that come from as many believe it."""
    street = Street(total=64)
    looks = 0

    def counted() -> Worth:
        nonlocal looks
        looks += 1
        return Worth.WANTED

    for index in range(64):
        slot = street.gate.enter(f"8.8.{index}.8")
        assert slot is not None
        street.gate.admit(slot, counted)
    assert street.flood(["99.0.0.1"] * 650) == 0
    assert looks <= 64 * 12


Make = Callable[[int], str]


@pytest.mark.parametrize(
    "make",
    [
        lambda index: f"8.8.8.{index % 250}",
        lambda index: f"8.8.{index % 250}.{index % 7}",
        lambda index: f"127.0.0.{1 + index % 250}",
        lambda index: f"2606:4700::{index:x}",
    ],
)
async def test_whatever_comes_and_goes_the_counts_are_those_of_who_is_there(make: Make) -> None:
    street = Street(total=96)
    for index in range(1_500):
        street.come(make(index), Worth(index % 4))
        if index % 3 == 0 and street.worth:
            slot = next(iter(street.worth))
            del street.worth[slot]
            street.gate.leave(slot)
    for slot in list(street.worth):
        street.gate.leave(slot)
    gate = street.gate
    assert (gate._held, gate.handshakes, +gate._counts, +gate._origins) == (0, 0, {}, {})
