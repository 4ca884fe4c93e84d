"""What a walk's replies add up to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from p2pchat.base.errors import PeerError
from p2pchat.base.ids import PeerId
from p2pchat.core.dht_wire import Reply
from p2pchat.core.findings import Findings, WalkResult
from p2pchat.core.params import PRODUCTION

LOC = b"l" * 32
PEERS = [PeerId(bytes([i])) for i in range(30)]


@dataclass(frozen=True)
class Fake:
    writer: bytes
    seq: int
    expiry: int = 0
    work: int = 0


def check(loc: bytes, data: bytes, now_s: int) -> Fake:
    if data == b"junk":
        raise PeerError("no record")
    return Fake(data[:1], data[1])


def result(findings: Findings, answered: int, known: int, failed: int = 0, own: bool = False) -> WalkResult:
    records = findings.records(LOC, check, 0)
    return findings.result(
        own_stored=own, answered=PEERS[:answered], known=known, failed=failed, records=records, params=PRODUCTION
    )


def test_of_each_writer_the_newest_valid_record_counts_once() -> None:
    findings = Findings()
    findings.add(PEERS[0], Reply(1, None, 0, (b"a\x01", b"b\x05", b"junk"), ()))
    findings.add(PEERS[1], Reply(1, None, 0, (b"a\x02", b"b\x05", b"b\x04"), ()))
    findings.add_records([b"c\x01", b"b\x05 a second one of the same seq"])
    assert set(findings.records(LOC, check, 0)) == {b"a\x02", b"b\x05", b"c\x01"}


def test_holders_count_among_those_that_answered_and_so_does_the_own_node() -> None:
    findings = Findings()
    for index, stored in enumerate([True, False, None, True]):
        findings.add(PEERS[index], Reply(1, stored, 0, (), ()))
    assert result(findings, answered=3, known=3).stored == 1
    assert result(findings, answered=4, known=4, own=True).stored == 3
    assert result(findings, answered=4, known=4).answered == 5


def test_each_storer_that_granted_a_watch_counts_once() -> None:
    findings = Findings()
    for peer, granted_s in ((PEERS[0], 0), (PEERS[1], 60), (PEERS[1], 60)):
        findings.add(peer, Reply(1, None, granted_s, (), ()))
    assert result(findings, answered=2, known=2).watched == 1


@pytest.mark.parametrize(("known", "needed"), [(0, 0), (1, 1), (2, 1), (3, 2), (5, 3), (18, 9), (19, 10), (20, 10)])
def test_nothing_there_needs_ten_answers_or_half_of_the_known_rounded_up(known: int, needed: int) -> None:
    assert result(Findings(), answered=needed, known=known).complete
    if needed:
        assert not result(Findings(), answered=needed - 1, known=known).complete
