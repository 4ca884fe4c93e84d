"""A process of its own that migrates databases of every schema, and is killed before each single statement.

From the first schema on it is killed in all migrations, from each other one in the first alone: what later ones find
is what they find on that way. It prints how often it was killed. What it finds afterwards must be one whole schema with
all that was in the first one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from p2pchat.store import migrate
from p2pchat.store.sqlite import Connection, Cursor, connect
from tests.migrations.fixtures import build, columns

KEY = bytes(32)
NEWEST = migrate.migrations()[-1][0]


class Doomed:
    """A connection whose process dies before its statement of number ``last``."""

    def __init__(self, connection: Connection, last: int) -> None:
        self._connection = connection
        self._left = last

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> Cursor:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return self._connection.execute(sql, values)


def die(path: Path, last: int) -> bool:
    """Migrate ``path`` in a child that dies before statement ``last``; False if it had no such statement."""
    child = os.fork()
    if child == 0:
        migrate.migrate(Doomed(connect(path, KEY), last))  # type: ignore[arg-type]
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _first(schema: int) -> int:
    """The number of the statement with which the second migration begins that ``schema`` takes."""
    sql = dict(migrate.migrations())[schema + 1]
    return len(migrate.statements(sql)) + 5  # what asks for the version; BEGIN, what was written by whom, what, COMMIT


def shape(connection: Connection) -> list[tuple[object, ...]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return [(version,), *rows]


def contents(connection: Connection, there: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1").fetchall()  # noqa: S608  ours
        for table, names in there.items()
        if table != "meta"  # who wrote the schema is noted there
    }


def main(folder: Path) -> int:
    shapes = []
    for schema in range(1, NEWEST + 1):
        connection = connect(folder / f"{schema}.db", KEY)
        build(connection, schema)
        shapes.append(shape(connection))
        connection.close()
    kills = 0
    for schema in range(1, NEWEST):
        connection = connect(folder / f"{schema}.db", KEY)
        there = columns(connection)
        before = contents(connection, there)
        connection.close()
        last, path = 0, folder / "killed.db"
        while True:
            for each in folder.glob("killed.db*"):
                each.unlink()
            shutil.copy(folder / f"{schema}.db", path)
            killed = die(path, last)
            connection = connect(path, KEY)
            assert shape(connection) in shapes[schema - 1 :], (schema, last)
            assert contents(connection, there) == before, (schema, last)
            migrate.migrate(connection)
            assert shape(connection) == shapes[-1], (schema, last)
            assert contents(connection, there) == before, (schema, last)
            connection.close()
            if not killed:
                break
            kills += 1
            last += 1
            if schema > 1 and last > _first(schema):
                break
    return kills


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
