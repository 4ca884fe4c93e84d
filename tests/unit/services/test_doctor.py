"""What the doctor of a daemon says of its database where it cannot look."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.base.errors import Corrupt, StoreError
from p2pchat.services import doctor
from p2pchat.services.examine import Files
from p2pchat.store.db import Database
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, connect


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("The database cannot be used: unable to open database file."), "database.refused"),
        (Corrupt("The database is damaged."), "database.unreadable"),
    ],
)
async def test_a_second_look_at_the_database_that_is_refused_is_a_finding(
    tmp_path: Path, error: StoreError, code: str
) -> None:
    def again() -> Connection:
        raise error

    connection = connect(None, bytes(32))
    migrate(connection)
    database = Database(connection, lambda: 0, threaded=False, again=again)
    finding = await doctor._database(database, Files(tmp_path, tmp_path / "work.toml"))
    assert finding.code == code
    connection.close()
