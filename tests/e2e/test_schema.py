"""Schemas and real processes: one killed in the middle of a migration, and one that is older than its database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from p2pchat import __version__
from p2pchat.store import migrate
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import checkpoint, connect
from tests.e2e.daemons import Daemon, environment, p2pchat, run


def test_killed_before_any_statement_of_any_migration(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.migrations.killed", str(tmp_path)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


@pytest.mark.parametrize("known", [True, False])
def test_a_newer_database_is_refused_by_name_and_left_as_it_is(tmp_path: Path, known: bool) -> None:
    daemon = Daemon(tmp_path / "home", None)
    (path,) = daemon.home.rglob("p2pchat.db")
    newest = migrate.migrations()[-1][0]
    connection = connect(path, read_key(path.with_name("key"), None))
    connection.execute(f"PRAGMA user_version = {newest + 1:d}")
    if known:
        connection.execute("UPDATE meta SET value = CAST('9.8.7' AS BLOB) WHERE key = 'schema_by'")
    else:
        connection.execute("ALTER TABLE meta RENAME TO other")
    checkpoint(connection)
    connection.close()
    before = path.read_bytes()
    for done in (run(daemon.home, "run"), p2pchat(daemon.home, "daemon")):
        assert done.returncode == 74
        wanted = "p2pchat 9.8.7 or a newer one" if known else "a newer p2pchat"
        said = done.stderr.decode()
        assert f"schema {newest + 1}" in said
        assert f"this is p2pchat {__version__}, which knows up to {newest}. Use {wanted}." in said
        assert "Traceback" not in said
        assert path.read_bytes() == before
