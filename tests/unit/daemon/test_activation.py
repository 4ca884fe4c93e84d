"""What a service manager hands over: taken where it is the control socket, refused by one sentence where it is not."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.daemon import activation
from p2pchat.daemon.activation import handed_over


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Short enough for a socket, however deep the temporary folder is."""
    return tmp_path / "s"


@pytest.fixture
def listener(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.chdir(path.parent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind("s")
        made.listen()
        yield made


class Manager:
    """Puts copies of descriptors where a service finds them; ``given`` are their numbers."""

    def __init__(self, first: int) -> None:
        self.given: list[int] = []
        self._first = first

    def environment(self, *handed: int, names: str | None = "control", owner: int | None = None) -> dict[str, str]:
        for number, descriptor in enumerate(handed):
            os.dup2(descriptor, self._first + number, inheritable=True)
            self.given.append(self._first + number)
        told = {"LISTEN_PID": str(owner or os.getpid()), "LISTEN_FDS": str(len(handed)), "HOME": "/"}
        return told if names is None else told | {"LISTEN_FDNAMES": names}

    def close(self) -> None:
        for descriptor in self.given:
            if is_open(descriptor):
                os.close(descriptor)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    first = fcntl.fcntl(0, fcntl.F_DUPFD, 400)  # where nobody else has anything
    os.close(first)
    monkeypatch.setattr(activation, "_FIRST", first)
    made = Manager(first)
    yield made
    made.close()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_the_listening_socket_is_taken_and_no_child_gets_it(
    manager: Manager, listener: socket.socket, path: Path
) -> None:
    environment = manager.environment(listener.fileno(), names=None)
    with handed_over(path, environment) or pytest.fail("it was not taken") as taken:
        assert taken.getsockname() == "s"
        assert not taken.get_inheritable()
    assert environment == {"HOME": "/"}


def test_of_several_the_one_of_that_name_is_taken_and_the_others_closed(
    manager: Manager, listener: socket.socket, path: Path
) -> None:
    with socket.socket() as other:
        environment = manager.environment(other.fileno(), listener.fileno(), names="http:control")
        with handed_over(path, environment) or pytest.fail("it was not taken") as taken:
            assert taken.fileno() == manager.given[1]
        assert not is_open(manager.given[0])


@pytest.mark.parametrize(
    "change",
    [{"LISTEN_PID": "1"}, {"LISTEN_FDS": "0"}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "65"}, {"LISTEN_FDS": "1" * 5000}],
)
def test_what_is_meant_for_another_process_is_left_alone(
    manager: Manager, listener: socket.socket, path: Path, change: dict[str, str]
) -> None:
    environment = manager.environment(listener.fileno()) | change
    assert handed_over(path, environment) is None
    assert is_open(manager.given[0])
    assert environment == {"HOME": "/"}


def test_nothing_is_found_where_there_is_no_manager(path: Path) -> None:
    assert handed_over(path, {}) is None


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("a pipe", "something that is no socket"),
        ("datagrams", "no Unix stream socket"),
        ("TCP", "no Unix stream socket"),
        ("not listening", "does not listen"),
        ("elsewhere", "listens elsewhere than at"),
        ("abstract", "listens elsewhere than at"),
        ("two", "has made 2 sockets, and none alone is named control"),
    ],
)
def test_what_is_no_control_socket_is_refused(
    manager: Manager, listener: socket.socket, path: Path, kind: str, sentence: str
) -> None:
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other = socket.socket(socket.AF_INET if kind == "TCP" else socket.AF_UNIX, socket.SOCK_STREAM)
    pipe = os.pipe()
    handed = [other.fileno()]
    if kind == "a pipe":
        handed = [pipe[0]]
    elif kind == "datagrams":
        handed = [datagrams.fileno()]
    elif kind in ("elsewhere", "abstract"):
        other.bind("other" if kind == "elsewhere" else f"\0p2pchat-test-{os.getpid()}")
        other.listen()
    elif kind == "two":
        handed = [listener.fileno(), listener.fileno()]
    try:
        with pytest.raises(UsageError) as refused:
            handed_over(path, manager.environment(*handed, names="control:control"))
        assert sentence in refused.value.message
        assert refused.value.data == {"param": "socket"}
        assert not any(map(is_open, manager.given))
    finally:
        datagrams.close()
        other.close()
        for end in pipe:
            os.close(end)


def test_a_descriptor_that_is_closed_is_refused(manager: Manager, listener: socket.socket, path: Path) -> None:
    environment = manager.environment(listener.fileno())
    os.close(manager.given[0])
    with pytest.raises(UsageError) as refused:
        handed_over(path, environment)
    assert "the descriptor is closed" in refused.value.message


def test_a_directory_that_others_may_write_is_refused(manager: Manager, listener: socket.socket, path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(UsageError) as refused:
        handed_over(path, manager.environment(listener.fileno()))
    assert refused.value.error_name == "FORBIDDEN"
