"""Where the socket may lie: whatever others could have a hand in is refused, with one sentence, and left as it is."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.api.errors import exit_status, reply_name
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import P2PChatError
from p2pchat.control.socket_file import claim

STRANGER = 12_345


def elsewhere(directory: Path) -> Path:
    made = directory.with_name("elsewhere")
    made.mkdir(mode=0o700)
    return made


def as_foreign(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, STRANGER, STRANGER)


def as_link(path: Path) -> None:
    path.parent.symlink_to(elsewhere(path.parent))


def as_open(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)


def as_file(path: Path) -> None:
    path.parent.touch()


def below_file(path: Path) -> None:
    path.parent.parent.rmdir()
    path.parent.parent.touch()


def with_link(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    (path.parent / "target").write_text("kept")
    path.symlink_to("target")


def with_loose_link(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to("nowhere")


def with_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("kept")


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "runtime").mkdir()
    return tmp_path / "runtime" / "p2pchat" / "default.sock"


def found_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Mode and owner of all that is there."""
    return {str(path): (path.lstat().st_mode, path.lstat().st_uid) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("prepare", "sentence", "status"),
    [
        pytest.param(as_foreign, "belongs to another user", 77, marks=only_root),
        (as_link, "is not a directory but a link", 77),
        (as_open, "is open to other users; close it with chmod 700", 77),
        (as_file, "is not a directory", 77),
        (below_file, "cannot be made: Not a directory", 74),
        (with_link, "socket: something that is no socket lies at its path.", 65),
        (with_loose_link, "socket: something that is no socket lies at its path.", 65),
        (with_file, "socket: something that is no socket lies at its path.", 65),
    ],
)
def test_a_place_that_is_not_safe_is_refused(
    place: Path, prepare: Callable[[Path], None], sentence: str, status: int
) -> None:
    prepare(place)
    before = found_in(place.parents[2])
    with pytest.raises(P2PChatError) as caught:
        claim(place)
    assert caught.value.message.endswith(sentence)
    assert exit_status(reply_name(caught.value) or "") == status
    assert found_in(place.parents[2]) == before


def test_in_a_runtime_directory_that_everybody_may_write_there_is_one_of_our_own(place: Path) -> None:
    place.parents[1].chmod(0o777)
    before = os.umask(0)
    try:
        with claim(place):
            assert stat.S_IMODE(place.parent.lstat().st_mode) == 0o700
            assert stat.S_IMODE(place.lstat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_no_runtime_dir(tmp_path: Path) -> None:
    """The socket lies beside the data then. A longer name would make a path that is too long."""
    place = ProfilePaths(environ={"HOME": str(tmp_path)}).socket
    with claim(place), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))
        assert stat.S_IMODE(place.parent.lstat().st_mode) == 0o700
    assert place.is_relative_to(tmp_path)
