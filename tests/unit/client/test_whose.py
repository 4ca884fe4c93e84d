"""A client talks to its own user's daemon, and to root's: another user's gets not a byte."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.client.blocking import Client

STRANGER, SOMEBODY = 12_345, 54_321

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


@contextmanager
def becoming(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def listening_as(uid: int) -> Iterator[tuple[Path, socket.socket]]:
    """A socket on which that user listens, where everybody may connect."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o777)
        path = Path(folder, "default.sock")
        with becoming(uid):
            listener.bind(str(path))
            listener.listen()
            path.chmod(0o666)
        yield path, listener


def test_another_users_is_refused_before_anything_is_sent() -> None:
    with listening_as(STRANGER) as (path, listener):
        with becoming(SOMEBODY), pytest.raises(ApiError, match="another user's") as caught:
            Client(path)
        assert caught.value.error_name == "FORBIDDEN"
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b""


@pytest.mark.parametrize(("daemon", "client"), [(SOMEBODY, SOMEBODY), (0, SOMEBODY), (STRANGER, 0)])
def test_ones_own_and_roots_are_talked_to_and_root_talks_to_all(daemon: int, client: int) -> None:
    with listening_as(daemon) as (path, _), becoming(client), Client(path):
        pass
