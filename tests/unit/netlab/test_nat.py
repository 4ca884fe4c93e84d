"""What translators and firewalls let through, and under which port, by their rules and a clock of the test."""

from __future__ import annotations

from random import Random

from netlab import natpmp
from netlab.firewall import Firewall
from netlab.icmp import unreachable
from netlab.nat import Kind, Lifetimes, Nat
from netlab.packets import TCP, UDP, Flow, flow_of, quoted
from tests.unit.netlab.built import echo, packed, segment

INSIDE, OTHER_INSIDE, OUTSIDE = "192.168.1.2", "192.168.1.3", "45.77.1.1"
ONE, TWO = "45.77.100.1", "45.77.100.2"


def nat(kind: Kind = "preserving") -> Nat:
    return Nat(packed(OUTSIDE), kind, Lifetimes(), Random(1))


def sent(
    box: Nat, port: int, to: str, to_port: int, now: float = 0.0, inside: str = INSIDE, protocol: int = UDP
) -> int:
    """The outside port under which a packet goes out."""
    out = box.outbound(segment(protocol, inside, port, to, to_port), now)
    flow = None if out is None else flow_of(out)
    assert flow is not None
    assert (flow.source, flow.destination, flow.destination_port) == (packed(OUTSIDE), packed(to), to_port)
    return flow.source_port


def got(box: Nat, sender: str, port: int, to_port: int, now: float = 0.0, protocol: int = UDP) -> Flow | None:
    """What comes in of a packet to the outside address."""
    packet = box.inbound(segment(protocol, sender, port, OUTSIDE, to_port), now)
    return None if packet is None else flow_of(packet)


def test_preserving_keeps_the_port_for_every_destination() -> None:
    box = nat()
    assert [sent(box, 4001, ONE, 80), sent(box, 4001, TWO, 80), sent(box, 4001, ONE, 81)] == [4001] * 3


def test_preserving_gives_a_taken_port_to_nobody_else() -> None:
    box = nat()
    assert sent(box, 4001, ONE, 80) == 4001
    assert sent(box, 4001, ONE, 80, inside=OTHER_INSIDE) == 4002
    assert sent(box, 4001, ONE, 80, inside=OTHER_INSIDE, protocol=TCP) == 4001
    assert got(box, ONE, 80, 4002) == Flow(UDP, packed(ONE), 80, packed(OTHER_INSIDE), 4001)


def test_random_has_a_port_for_each_destination() -> None:
    box = nat("random")
    ports = [sent(box, 4001, ONE, 80), sent(box, 4001, TWO, 80), sent(box, 4001, ONE, 81)]
    assert len({4001, *ports}) == 4
    assert sent(box, 4001, ONE, 80) == ports[0]
    assert got(box, TWO, 80, ports[1]) == Flow(UDP, packed(TWO), 80, packed(INSIDE), 4001)


def test_what_nobody_asked_for_stays_out() -> None:
    for kind in ("preserving", "random"):
        box = nat(kind)
        port = sent(box, 4001, ONE, 80)
        assert got(box, ONE, 80, port) is not None
        assert (got(box, ONE, 81, port), got(box, TWO, 80, port), got(box, ONE, 80, port ^ 1)) == (None, None, None)
        assert box.refused == 3


def test_a_mapping_ends_by_time_alone() -> None:
    box = nat()
    sent(box, 4001, ONE, 80, 0.0)
    assert got(box, ONE, 80, 4001, 119.0) is not None
    assert got(box, ONE, 80, 4001, 238.0) is not None, "what comes in keeps it as well"
    assert got(box, ONE, 80, 4001, 358.0) is None
    sent(box, 4001, ONE, 80, 0.0, protocol=TCP)
    assert got(box, ONE, 80, 4001, 241.0, TCP) is None
    sent(box, 4001, ONE, 80, 0.0, protocol=TCP)
    assert got(box, ONE, 80, 4001, 1.0, TCP) is not None
    assert got(box, ONE, 80, 4001, 7000.0, TCP) is not None, "answered once, it lasts two hours"


def test_a_forgetful_box_lets_nobody_in() -> None:
    box = nat()
    sent(box, 4001, ONE, 80)
    box.forget_all()
    assert got(box, ONE, 80, 4001) is None


def test_an_echo_comes_back() -> None:
    box = nat("random")
    out = flow_of(box.outbound(echo(INSIDE, ONE, 7), 0.0) or b"")
    assert out is not None
    back = box.inbound(echo(ONE, OUTSIDE, out.source_port, reply=True), 0.0)
    assert back == echo(ONE, INSIDE, 7, reply=True)
    assert box.inbound(echo(ONE, OUTSIDE, out.source_port), 0.0) is None


def test_an_error_finds_its_sender_and_nothing_else_does() -> None:
    box = nat("random")
    for protocol in (TCP, UDP):
        out = box.outbound(segment(protocol, INSIDE, 4001, TWO, 80), 0.0)
        assert out is not None
        error = unreachable(out, packed(ONE), on_link=False)
        assert error is not None
        came = box.inbound(error, 0.0)
        assert came is not None
        assert came[16:20] == packed(INSIDE)
        assert flow_of(quoted(came) or b"") == Flow(protocol, packed(INSIDE), 4001, packed(TWO), 80)
    stray = unreachable(segment(UDP, OUTSIDE, 9, TWO, 80), packed(ONE), on_link=False)
    assert stray is not None
    assert box.inbound(stray, 0.0) is None


def test_a_hosts_error_goes_out_under_the_outside_address() -> None:
    box = nat()
    port = sent(box, 4001, ONE, 80)
    came = box.inbound(segment(UDP, ONE, 80, OUTSIDE, port), 0.0)
    assert came is not None
    error = unreachable(came, packed(INSIDE), on_link=True)
    assert error is not None
    out = box.outbound(error, 0.0)
    assert out is not None
    assert out[12:16] == packed(OUTSIDE)
    assert flow_of(quoted(out) or b"") == Flow(UDP, packed(ONE), 80, packed(OUTSIDE), port)


def test_an_opened_port_lets_everybody_in_and_their_answers_out() -> None:
    for kind in ("preserving", "random"):
        box = nat(kind)
        assert box.open(TCP, packed(INSIDE), 4001, 5000, 60.0, 0.0) == 5000
        assert got(box, TWO, 99, 5000, 1.0, TCP) == Flow(TCP, packed(TWO), 99, packed(INSIDE), 4001)
        assert sent(box, 4001, TWO, 99, 1.0, protocol=TCP) == 5000
        assert got(box, ONE, 99, 5000, 61.0, TCP) is None


def request(opcode: int, inside_port: int, wanted: int, lifetime_s: int) -> bytes:
    return (
        bytes((0, opcode, 0, 0))
        + inside_port.to_bytes(2, "big")
        + wanted.to_bytes(2, "big")
        + lifetime_s.to_bytes(4, "big")
    )


def test_natpmp_tells_the_address_and_opens_and_closes() -> None:
    box = nat()
    assert natpmp.answer(b"\0\0", packed(INSIDE), box, 5, 0.0) == b"\0\x80\0\0\0\0\0\x05" + packed(OUTSIDE)
    opened = natpmp.answer(request(2, 4001, 5000, 3600), packed(INSIDE), box, 5, 0.0)
    assert opened == b"\0\x82\0\0\0\0\0\x05" + bytes.fromhex("0fa1 1388 00000e10")
    assert got(box, TWO, 9, 5000, 1.0, TCP) is not None
    other = natpmp.answer(request(2, 4001, 5000, 60), packed(OTHER_INSIDE), box, 5, 0.0)
    assert other is not None
    assert other[10:12] == (5001).to_bytes(2, "big"), "taken: the next one"
    closed = natpmp.answer(request(2, 4001, 0, 0), packed(INSIDE), box, 5, 1.0)
    assert closed == b"\0\x82\0\0\0\0\0\x05" + bytes.fromhex("0fa1 0000 00000000")
    assert got(box, TWO, 9, 5000, 1.0, TCP) is None


def test_natpmp_refuses_what_it_does_not_know() -> None:
    box = nat()
    assert natpmp.answer(b"\x02\x01" + bytes(58), packed(INSIDE), box, 0, 0.0) == b"\0\x81\0\x01\0\0\0\0"
    assert natpmp.answer(b"\0\x07", packed(INSIDE), box, 0, 0.0) == b"\0\x87\0\x05\0\0\0\0"
    assert natpmp.answer(b"\0\x80", packed(INSIDE), box, 0, 0.0) is None
    assert natpmp.answer(b"\0", packed(INSIDE), box, 0, 0.0) is None


def test_a_firewall_lets_answers_in_and_nothing_else() -> None:
    for inside, outside, other in ((INSIDE, ONE, TWO), ("2a0e:b107:1::2", "2a0e:b107:64::1", "2a0e:b107:64::2")):
        wall = Firewall(Lifetimes())
        out, back = segment(TCP, inside, 4001, outside, 80), segment(TCP, outside, 80, inside, 4001)
        assert wall.inbound(back, 0.0) is None
        assert wall.outbound(out, 0.0) == out
        assert wall.inbound(back, 1.0) == back
        assert wall.inbound(segment(TCP, other, 80, inside, 4001), 1.0) is None
        assert wall.inbound(segment(UDP, outside, 80, inside, 4001), 1.0) is None
        error = unreachable(out, packed(other), on_link=False)
        assert error is not None
        assert wall.inbound(error, 1.0) == error
        assert wall.inbound(back, 7000.0) == back
        assert wall.inbound(back, 20_000.0) is None
        assert wall.refused == 4
