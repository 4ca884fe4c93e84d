"""Files of packets, as tcpdump writes them."""

from __future__ import annotations

import struct

from netlab.packets import PCAP_HEAD, pcap_record, read_pcap

PACKETS = [b"\x45" + bytes(19), b"\x60" + bytes(1_279), b""]


def test_what_is_written_is_read() -> None:
    data = PCAP_HEAD + b"".join(pcap_record(packet, 1_800_000_000.25) for packet in PACKETS)
    assert read_pcap(data) == PACKETS
    assert read_pcap(data + pcap_record(b"half", 0.0)[:-1]) == PACKETS  # it is being written
    assert read_pcap(PCAP_HEAD) == []


def test_the_form_is_that_of_others() -> None:
    """https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: little-endian, microseconds, LINKTYPE_RAW."""
    assert PCAP_HEAD.hex() == "d4c3b2a1020004000000000000000000ffff000065000000"
    assert struct.unpack("<IIII", pcap_record(b"abc", 1.5)[:16]) == (1, 500_000, 3, 3)
