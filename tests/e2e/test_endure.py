"""``scripts/endure``, smaller: kills, a cut link, a stopped peer, clocks that are an hour off and a full disk cost
nothing but time."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.e2e.daemons import until
from tests.e2e.runs import starting
from tests.endure.link import HOST, Relay

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def printed() -> str:
    """What a run says that went well, and left nothing behind."""
    with starting() as start:
        run = start("-m", "tests.endure", "--quick")
        status, out, errors = run.finish()
        assert (status, errors) == (0, ""), out + errors
        run.leaves_nothing()
    return out


def test_all_is_there_once_and_in_order(printed: str) -> None:
    assert printed.endswith("\ngood\n")
    assert "WRONG" not in printed
    assert "kills: 4;" in printed


def test_the_disk_was_full(printed: str) -> None:
    for line in printed.splitlines():
        if line.startswith("skipped: the full disk"):
            pytest.skip(line)
    assert "fill Alice's disk" in printed


@pytest.fixture
def ends() -> Iterator[tuple[Relay, socket.socket, socket.socket]]:
    """Two that are connected through a relay."""
    with Relay() as relay, socket.create_server((HOST, 0)) as server:
        port = relay.stand_before(server.getsockname()[1])
        with socket.create_connection((HOST, port)) as near:
            far, _ = server.accept()
            with far:
                for end in (near, far):
                    end.settimeout(10)
                yield relay, near, far


def test_a_silent_cut_holds_what_is_sent_until_it_is_healed(ends: tuple[Relay, socket.socket, socket.socket]) -> None:
    relay, near, far = ends
    near.sendall(b"before")
    assert far.recv(100) == b"before"
    relay.cut(loud=False)
    near.sendall(b"held")
    far.settimeout(0.3)
    with pytest.raises(TimeoutError):
        far.recv(100)
    assert not relay.whole
    relay.heal()
    far.settimeout(10)
    assert far.recv(100) == b"held"
    far.sendall(b"answer")
    assert near.recv(100) == b"answer"


def test_a_loud_cut_ends_what_is_there_and_what_is_begun(ends: tuple[Relay, socket.socket, socket.socket]) -> None:
    relay, near, far = ends
    place = near.getpeername()
    relay.cut(loud=True)
    for end in (near, far):
        assert is_over(end)
    with socket.create_connection(place) as new:
        new.settimeout(10)
        assert is_over(new)


def test_who_leaves_takes_the_other_along_and_nothing_is_lost(
    ends: tuple[Relay, socket.socket, socket.socket],
) -> None:
    relay, near, far = ends
    near.sendall(b"x" * 300_000)
    near.close()
    received = b""
    while data := far.recv(1 << 16):
        received += data
    assert len(received) == 300_000
    until(lambda: relay.carried_bytes == 300_000, "not counted")


def is_over(end: socket.socket) -> bool:
    try:
        return end.recv(100) == b""
    except ConnectionResetError:
        return True
