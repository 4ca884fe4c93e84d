"""Requests that are due at a rate are sent then, and who is slow is late from when they were due."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench import offered
from bench.measure import Samples
from bench.pipeline import offer
from p2pchat.api.errors import ApiError

COUNT = 1_000
PER_S = 100_000.0


@contextmanager
def serving(path: Path, reply: bytes, held: int = 0) -> Iterator[list[int]]:
    """Whoever answers each line; the first when so many are there. What is yielded: how many were there then."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    there: list[int] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):  # who has read an error goes away
            waiting = 0
            while data := connection.recv(1 << 16):
                waiting += data.count(b"\n")
                if there or waiting >= held:
                    there.append(waiting)
                    connection.sendall(reply * waiting)
                    waiting = 0

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        yield there
    thread.join()


def test_each_reply_is_late_from_when_its_request_was_due(tmp_path: Path) -> None:
    with serving(tmp_path / "s", b"{}\n"):
        found = offer(tmp_path / "s", [b"{}\n"] * COUNT, PER_S)
    assert len(found.late_ms) == len(found.due_ms) == COUNT
    assert min(found.late_ms) > 0
    assert found.due_ms[-1] - found.due_ms[0] == pytest.approx(1000 * (COUNT - 1) / PER_S, abs=0.01)
    assert found.seconds * 1000 >= found.late_ms[-1] + 1000 * (COUNT - 1) / PER_S - 0.01


def test_who_answers_nothing_is_sent_512_and_all_of_them_wait(tmp_path: Path) -> None:
    with serving(tmp_path / "s", b"{}\n", held=512) as there:
        found = offer(tmp_path / "s", [b"{}\n"] * COUNT, PER_S)
    assert there[0] == 512
    assert found.late_ms[0] > 1000 * 511 / PER_S  # it waited for the last of them


def test_an_error_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path / "s", b'{"error":1}\n'), pytest.raises(ApiError, match="refused"):
        offer(tmp_path / "s", [b"{}\n"] * COUNT, PER_S)


def test_rows_and_values_have_the_same_names() -> None:
    samples = Samples()
    for rate in offered.RATES:
        offered.add(samples, rate, 2.0, [float(each) for each in range(1, 101)])
    rows = list(offered.rows("texts", "delivered", (), ()))
    assert [samples[row.name].median for row in rows[:3]] == [50, 51, 100]
    assert all(row.name in samples for row in rows)
