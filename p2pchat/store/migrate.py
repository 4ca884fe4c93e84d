"""Numbered, forward-only SQL, one transaction each; ``user_version`` is the number of the last that was applied."""

from __future__ import annotations

from importlib import resources

from p2pchat.base.errors import SchemaTooNew
from p2pchat.store.sqlite import Connection


def migrations() -> list[tuple[int, str]]:
    """(number, SQL) of every migration, in order."""
    folder = resources.files("p2pchat.store").joinpath("migrations")
    found = [
        (int(entry.name.split("_", 1)[0]), entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def migrate(connection: Connection) -> None:
    """Bring the database to the newest schema. A crash in the middle leaves the last whole one.

    Raises:
        SchemaTooNew: a newer p2pchat has written this database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    known = migrations()
    if version > known[-1][0]:
        raise SchemaTooNew(
            f"The database has schema {version}; this p2pchat knows up to {known[-1][0]}. Use a newer p2pchat."
        )
    for number, sql in known:
        if number <= version:
            continue
        # executescript would commit first: the statements run one by one inside a transaction of their own
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(sql):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number:d}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _statements(sql: str) -> list[str]:
    without_comments = "\n".join(line.split("--", 1)[0] for line in sql.splitlines())
    return [statement for statement in (part.strip() for part in without_comments.split(";")) if statement]
