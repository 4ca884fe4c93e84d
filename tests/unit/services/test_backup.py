"""Writing and reading the file: of one moment, whole or not there, in the way of nobody."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import trio

from p2pchat.base.errors import Corrupt, DiskFull, P2PChatError, StoreError, UsageError, WrongPassphrase
from p2pchat.core.backup import Message, Record, Settings
from p2pchat.core.backup_file import Cost
from p2pchat.core.keys import create_identity, dump_identity
from p2pchat.services import backup
from p2pchat.services.backup_source import Summary, opened
from p2pchat.store import messages, meta
from p2pchat.store.backup import read
from p2pchat.store.db import Database, Tx
from p2pchat.store.messages import Incoming
from p2pchat.testing.entropy import SeededEntropy

CHEAP = Cost(1, 8192)
PASSPHRASE = b"correct horse"
NOW_MS = 1_800_000_000_000
COUNT = 3_000


def fill(tx: Tx) -> None:
    identity = dump_identity(create_identity(SeededEntropy(1), NOW_MS))
    meta.save_profile(tx, meta.Profile("Alice", "", "", identity, bytes(32), bytes(32), bytes(8)))
    tx.execute("INSERT INTO contact (uid, name, state, trust) VALUES (zeroblob(8), 'Bob', 'matched', 'claimed')")
    for n in range(COUNT):
        receive(tx, n)


def receive(tx: Tx, n: int) -> None:
    messages.receive(tx, 1, 1, [Incoming(n, n.to_bytes(16, "big"), 1, f"text {n}", None, NOW_MS)])


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    (tmp_path / "home").mkdir()
    db = Database.open(tmp_path / "home" / "x.db", bytes(32), lambda: NOW_MS)
    await db.run(fill)
    yield db
    await db.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "backup"


async def create(database: Database, path: Path, settings: Path | None = None) -> Summary:
    return await backup.create(database, path, PASSPHRASE, settings, SeededEntropy(2), cost=CHEAP)


def records(path: Path) -> list[Record]:
    with opened(path) as source:
        return list(source.records(PASSPHRASE))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def replace(path: Path, content: bytes | None) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def left_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


async def test_a_backup_is_a_new_file_of_its_owner_alone(database: Database, path: Path) -> None:
    made = await create(database, path)
    assert made == Summary(NOW_MS, len(content_of(path)), 1, COUNT)
    assert mode(path) == 0o600
    assert left_in(path) == ["backup"]
    assert await backup.verify(path, PASSPHRASE) == made
    content = content_of(path)
    assert not any(word in content for word in (b"Alice", b"Bob", b"text 1", PASSPHRASE))
    with pytest.raises(UsageError) as again:
        await create(database, path)
    assert again.value.error_name == "ALREADY_EXISTS"
    assert content_of(path) == content
    assert left_in(path) == ["backup"]


async def test_the_settings_are_in_it_where_there_are_some(database: Database, path: Path, tmp_path: Path) -> None:
    settings = tmp_path / "default.toml"
    await create(database, path, settings)
    assert not any(isinstance(record, Settings) for record in records(path))
    settings.write_bytes(b"log_level = 'debug'\n")
    replace(path, None)
    await create(database, path, settings)
    found = [record.toml for record in records(path) if isinstance(record, Settings)]
    assert found == [b"log_level = 'debug'\n"]


@pytest.mark.parametrize("toml", [b"log_lovel = 'info'\n", b"log_level = 5\n", b"listen = 'x'\n", b"[", b"\xff"])
async def test_settings_that_could_not_be_restored_are_not_written(
    toml: bytes, database: Database, path: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "default.toml"
    settings.write_bytes(toml)
    with pytest.raises(UsageError, match="configuration file"):
        await create(database, path, settings)
    assert left_in(path) == []


async def test_it_is_of_one_moment_while_the_node_goes_on(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, written = trio.Event(), trio.Event()

    def held_up(tx: Tx, settings: bytes) -> Iterator[Record]:
        records = read(tx, settings)
        yield next(records)
        yield next(records)
        trio.from_thread.run_sync(begun.set)
        trio.from_thread.run(written.wait)  # what is committed now comes before the rest is read
        yield from records

    monkeypatch.setattr(backup, "read", held_up)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(create, database, path)
        await begun.wait()

        def go_on(tx: Tx) -> None:
            receive(tx, COUNT)
            tx.execute("DELETE FROM message WHERE n < 100")
            tx.execute("UPDATE contact SET name = 'Robert'")

        with trio.fail_after(20):
            await database.run(go_on)
        written.set()
    monkeypatch.undo()
    found = [record.n for record in records(path) if isinstance(record, Message)]
    assert found == list(range(COUNT))
    rows = await database.run(lambda tx: tx.one("SELECT count(*), max(n) FROM message"))
    assert rows == (COUNT - 99, COUNT)


async def test_a_backup_that_is_cancelled_leaves_nothing(database: Database, path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await create(database, path)
    assert scope.cancelled_caught
    assert left_in(path) == []


async def test_a_reader_that_leaves_in_the_middle_stops_it(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = trio.Event()

    def endless(tx: Tx, settings: bytes) -> Iterator[Record]:
        records = list(read(tx, settings))
        yield from records
        trio.from_thread.run_sync(begun.set)
        while True:
            yield records[-1]

    monkeypatch.setattr(backup, "read", endless)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(create, database, path)
            await begun.wait()
            nursery.cancel_scope.cancel()
    assert left_in(path) == []


@pytest.mark.parametrize("left", [b"", b"p2pchat backup\n\1 and half of it"])
async def test_what_a_killed_one_has_left_is_in_nobodys_way(left: bytes, database: Database, path: Path) -> None:
    part = path.with_name("backup.part")
    part.write_bytes(left)
    part.chmod(0o644)
    await create(database, path)
    assert left_in(path) == ["backup"]
    assert mode(path) == 0o600


async def test_what_is_not_left_by_one_that_was_killed_stays(database: Database, path: Path, tmp_path: Path) -> None:
    part = path.with_name("backup.part")
    with pytest.raises(UsageError) as refused:
        await create(database, part)  # the next backup into the file without .part would remove it
    assert refused.value.data == {"param": "path"}
    assert left_in(path) == []
    part.write_bytes(b"somebody's own")
    with pytest.raises(UsageError) as refused:
        await create(database, path)
    assert refused.value.error_name == "ALREADY_EXISTS"
    assert content_of(part) == b"somebody's own"
    replace(part, None)
    (tmp_path / "elsewhere").write_bytes(b"")
    part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        await create(database, path)
    assert left_in(path) == ["backup.part"]
    assert (tmp_path / "elsewhere").exists()


async def test_of_two_that_write_the_same_file_one_is_refused(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two profiles: in one daemon there is one backup at a time anyway."""
    begun, go_on = trio.Event(), trio.Event()
    monkeypatch.setattr(backup, "_at_once", trio.CapacityLimiter(2))

    def held_up(tx: Tx, settings: bytes) -> Iterator[Record]:
        records = read(tx, settings)
        yield next(records)
        if not begun.is_set():
            trio.from_thread.run_sync(begun.set)
            trio.from_thread.run(go_on.wait)
        yield from records

    monkeypatch.setattr(backup, "read", held_up)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(create, database, path)
        await begun.wait()
        try:
            with pytest.raises(UsageError) as refused:
                await backup.create(database, path, b"another's", None, SeededEntropy(3), cost=CHEAP)
        finally:
            go_on.set()
    assert refused.value.error_name == "ALREADY_EXISTS"
    assert left_in(path) == ["backup"]
    assert (await backup.verify(path, PASSPHRASE)).messages == COUNT


async def test_a_place_in_the_profiles_own_folder_is_refused(database: Database, tmp_path: Path) -> None:
    own = tmp_path / "home"
    (own / "below").mkdir()
    (tmp_path / "link").symlink_to(own / "below")
    (tmp_path / "other").symlink_to(own)
    before = {each.name for each in own.rglob("*")}
    for place in ("home/backup", "home/below/backup", "link/backup", "other/below/backup", "out/../home/backup"):
        (tmp_path / "out").mkdir(exist_ok=True)
        for named in (own, tmp_path / "other"):
            with pytest.raises(UsageError, match="own folder") as refused:
                await backup.create(
                    database, tmp_path / place, PASSPHRASE, None, SeededEntropy(2), own=named, cost=CHEAP
                )
            assert refused.value.data == {"param": "path"}
            assert refused.value.error_name == "INVALID_PARAMS"
    assert {each.name for each in own.rglob("*")} == before
    (tmp_path / "home2").mkdir()
    for own_folder in (own, tmp_path / "nowhere"):
        path = tmp_path / "home2" / own_folder.name
        await backup.create(database, path, PASSPHRASE, None, SeededEntropy(2), own=own_folder, cost=CHEAP)


async def test_the_root_of_all_files_is_there_already(database: Database) -> None:
    with pytest.raises(UsageError) as refused:
        await create(database, Path("/"))
    assert refused.value.error_name == "ALREADY_EXISTS"


class FullDisk:
    """A file that takes nothing more after a while."""

    def __init__(self, file: BinaryIO, code: int) -> None:
        self._file, self._code, self._left = file, code, 100_000

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise OSError(self._code, os.strerror(self._code))
        return self._file.write(data)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, StoreError)]
)
async def test_a_disk_that_refuses_leaves_nothing(
    code: int, kind: type[P2PChatError], database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(descriptor: int, mode: str) -> FullDisk:
        assert mode == "wb"
        return FullDisk(open(descriptor, "wb"), code)

    monkeypatch.setattr(backup, "open", opened, raising=False)
    with pytest.raises(kind) as refused:
        await create(database, path)
    assert type(refused.value) is kind
    assert left_in(path) == []


async def test_a_place_that_is_none(database: Database, path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await create(database, tmp_path / "nowhere" / "backup")
    with pytest.raises(StoreError, match=r"cannot be written: File name too long\."):
        await create(database, tmp_path / "out" / ("x" * 300))
    with pytest.raises(UsageError, match="already"):
        await create(database, tmp_path / "out")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="already"):
        await create(database, tmp_path / "out" / "link")
    assert not (tmp_path / "elsewhere").exists()


def cut(content: bytes) -> bytes:
    return content[:-1]


def altered(content: bytes) -> bytes:
    return content[:-40] + bytes((content[-40] ^ 1,)) + content[-39:]


@pytest.mark.parametrize("damage", [cut, altered, lambda _: b"", lambda content: content[:50]])
async def test_what_is_not_whole_is_refused_in_one_sentence(
    damage: Callable[[bytes], bytes], database: Database, path: Path
) -> None:
    await create(database, path)
    replace(path, damage(content_of(path)))
    with pytest.raises(Corrupt) as refused:
        await backup.verify(path, PASSPHRASE)
    assert refused.value.message.endswith(".")


async def test_a_wrong_passphrase_and_files_that_are_none(database: Database, path: Path, tmp_path: Path) -> None:
    await create(database, path)
    with pytest.raises(WrongPassphrase):
        await backup.verify(path, b"battery staple")
    os.mkfifo(tmp_path / "pipe")
    for none in (tmp_path / "nothing", tmp_path / "pipe", tmp_path):
        with trio.fail_after(5), pytest.raises(StoreError):
            await backup.verify(none, PASSPHRASE)
