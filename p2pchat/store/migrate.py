"""Numbered, forward-only SQL, one transaction each; ``user_version`` is the number of the last that was applied."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from p2pchat import __version__
from p2pchat.base.errors import SchemaTooNew
from p2pchat.store.sqlite import Connection, driver_error

_WRITTEN_BY: Final = "schema_by"  # the version that brought the database to its schema


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(number, SQL) of every migration, in order."""
    folder = resources.files("p2pchat.store").joinpath("migrations")
    found = [
        (int(entry.name.split("_", 1)[0]), entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found))


def migrate(connection: Connection) -> None:
    """Bring the database to the newest schema. A crash in the middle leaves the last whole one.

    Raises:
        SchemaTooNew: a newer p2pchat has written this database; nothing was changed.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    known = migrations()
    if version > known[-1][0]:
        raise SchemaTooNew(
            f"The database has schema {version}; this is p2pchat {__version__}, which knows up to {known[-1][0]}. "
            f"{_needed(connection)} Nothing was changed."
        )
    for number, sql in known:
        if number <= version:
            continue
        # executescript would commit first: the statements run one by one inside a transaction of their own
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(sql):
                connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_WRITTEN_BY, __version__.encode()))
            connection.execute(f"PRAGMA user_version = {number:d}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _needed(connection: Connection) -> str:
    """What to use instead. Of a schema that is not known no table need be as it was."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (_WRITTEN_BY,)).fetchone()
    except driver_error:
        row = None
    return f"Use p2pchat {row[0].decode()} or a newer one." if row else "Use a newer p2pchat."


def statements(sql: str) -> list[str]:
    """The single statements of a migration."""
    without_comments = "\n".join(line.split("--", 1)[0] for line in sql.splitlines())
    return [statement for statement in (part.strip() for part in without_comments.split(";")) if statement]
