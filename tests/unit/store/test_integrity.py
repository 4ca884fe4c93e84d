"""Whether a database is what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.base.errors import Corrupt
from p2pchat.store import integrity
from p2pchat.store.integrity import Integrity
from p2pchat.store.migrate import migrate, migrations
from p2pchat.store.sqlite import connect

KEY = bytes(range(32))
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of some hundred pages."""
    connection = connect(tmp_path / "a db?.sqlite", KEY)
    migrate(connection)
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE much (x)")
    connection.executemany("INSERT INTO much VALUES (?)", [(bytes(1000),)] * 2000)
    connection.execute("COMMIT")
    connection.close()
    return tmp_path / "a db?.sqlite"


def looked_at(path: Path, within_s: float = 60.0, *, immutable: bool = False) -> Integrity:
    with integrity.opened(path, KEY, immutable=immutable) as tx:
        return integrity.check(tx, within_s)


def scribble(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"scribble")


@pytest.mark.parametrize("immutable", [False, True])
def test_a_database_that_is_whole(path: Path, immutable: bool) -> None:
    before = path.read_bytes()
    seen = looked_at(path, immutable=immutable)
    assert (seen.problems, seen.is_finished, seen.bytes) == (0, True, path.stat().st_size)
    assert seen.schema == seen.newest == migrations()[-1][0]
    assert path.read_bytes() == before


def test_a_page_that_is_not_what_was_written_is_counted_once(path: Path) -> None:
    scribble(path, 200 * PAGE + 100)
    assert looked_at(path).problems == 1
    scribble(path, 300 * PAGE + 100)
    assert looked_at(path).problems == 2


def test_damage_at_the_beginning_or_a_wrong_key_is_corrupt(path: Path) -> None:
    with pytest.raises(Corrupt), integrity.opened(path, bytes(32), immutable=False):
        pass
    scribble(path, 20)
    with pytest.raises(Corrupt), integrity.opened(path, KEY, immutable=False):
        pass


def test_trees_that_contradict_each_other_are_found(path: Path) -> None:
    connection = connect(path, KEY)
    connection.execute("CREATE INDEX by_x ON much (x)")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'by_x'")
    connection.close()
    assert looked_at(path).problems > 0


def test_it_ends_when_its_time_is_over_or_nobody_wants_to_know(path: Path) -> None:
    seen = looked_at(path, within_s=-1.0)
    assert (seen.problems, seen.is_finished) == (0, False)
    with integrity.opened(path, KEY, immutable=False) as tx:
        assert not integrity.check(tx, 60.0, lambda: True).is_finished
        assert integrity.check(tx, 60.0).is_finished  # the connection is as it was


def test_another_schema_is_told(path: Path) -> None:
    connection = connect(path, KEY)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    assert looked_at(path).schema == 3


def test_nothing_is_written_and_a_write_ahead_log_is_read(path: Path) -> None:
    writer = connect(path, KEY)
    writer.execute("CREATE TABLE more (x)")
    log = path.with_name(path.name + "-wal").read_bytes()
    assert log
    assert looked_at(path).is_finished
    assert path.with_name(path.name + "-wal").read_bytes() == log
    writer.close()
