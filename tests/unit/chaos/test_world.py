"""What a world has mounted is gone when it could not be built, and is no larger than memory allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import world
from chaos.world import World
from p2pchat.cli.sandbox import Interrupted, Interrupts, Sandbox


class FakeDisk:
    """Mounted from the moment it is made, as the real one is."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder = folder
        self.size_mib = size_mib
        self.is_mounted = True
        MADE.append(self)

    def __enter__(self) -> FakeDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_mounted = False


MADE: list[FakeDisk] = []


def interrupted() -> str:
    raise Interrupted(2)


def built(folder: Path, texts: int, monkeypatch: pytest.MonkeyPatch) -> list[FakeDisk]:
    """The disks of three nodes; a signal comes as soon as they are there."""
    MADE.clear()
    monkeypatch.setattr(world, "Disk", FakeDisk)
    monkeypatch.setattr(world, "free_network", interrupted)
    with pytest.raises(Interrupted):
        World(Sandbox(Interrupts(), "never made"), folder, 3, 1, texts, lambda _: None)
    return MADE


def test_a_signal_while_it_is_built_unmounts_the_small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (disk,) = built(tmp_path, 3_000, monkeypatch)
    assert (disk.folder, disk.is_mounted) == (tmp_path / "small", False)


@pytest.mark.parametrize(("texts", "sizes_mib"), [(0, [32]), (9_000, [125]), (90_000, [969]), (100_000, [])])
def test_a_small_disk_grows_with_the_texts_up_to_a_bound(
    texts: int, sizes_mib: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [disk.size_mib for disk in built(tmp_path, texts, monkeypatch)] == sizes_mib
