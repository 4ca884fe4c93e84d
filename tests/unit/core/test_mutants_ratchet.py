"""What only a changed line of ratchet.py showed to be untested."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecryptionError
from p2pchat.core.params import PRODUCTION
from p2pchat.core.session import Session, open_envelope, seal
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import NOW_S, session_pair

ENTROPY = SeededEntropy(1)


def sealed(writer: Session, *contents: bytes) -> tuple[Session, list[bytes]]:
    envelopes: list[bytes] = []
    for content in contents:
        writer, one = seal(writer, content, ENTROPY, PRODUCTION)
        envelopes.append(one.envelope)
    return writer, envelopes


def opened(reader: Session, envelope: bytes) -> tuple[Session, bytes]:
    reader, content, _ = open_envelope(reader, envelope, NOW_S, ENTROPY, PRODUCTION)
    return reader, content


def test_what_no_key_fits_is_refused_before_anything_is_tried_on_it() -> None:
    _, reader = session_pair(ENTROPY)
    with pytest.raises(DecryptionError, match="no header key fits"):
        opened(reader, bytes(400))


def test_envelopes_of_two_chains_with_the_same_number_open_each_with_its_own_key() -> None:
    writer, reader = session_pair(ENTROPY)
    writer, (old, newer) = sealed(writer, b"old", b"newer")
    reader, _ = opened(reader, newer)
    for near, far in ((0, 1), (1, 0)):
        ends = [reader, writer]
        ends[near], (answer,) = sealed(ends[near], b"answer")
        ends[far], _ = opened(ends[far], answer)
        reader, writer = ends
    writer, (fresh, _, last) = sealed(writer, b"fresh", b"between", b"last")
    reader, _ = opened(reader, last)
    assert len({skipped.header.key for skipped in reader.ratchet.skipped}) == 2
    for envelope, content in ((fresh, b"fresh"), (old, b"old")):
        reader, read = opened(reader, envelope)
        assert read == content


def test_opening_one_that_was_overtaken_leaves_the_others_in_their_order() -> None:
    writer, reader = session_pair(ENTROPY)
    _, envelopes = sealed(writer, *(b"%d" % n for n in range(5)))
    reader, _ = opened(reader, envelopes[4])
    assert [skipped.n for skipped in reader.ratchet.skipped] == [1, 2, 3, 4]
    reader, _ = opened(reader, envelopes[1])
    assert [skipped.n for skipped in reader.ratchet.skipped] == [1, 3, 4]
