"""Schemas and real processes: one killed in the middle of a migration, one that is older than its database, and one
that is newer while scripts wait for it."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from p2pchat import __version__
from p2pchat.store import migrate
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import checkpoint, connect
from tests.e2e.daemons import Daemon, environment, p2pchat, run
from tests.e2e.services import Service
from tests.migrations.fixtures import ROWS, build


@pytest.mark.slow
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
    assert int(done.stdout) > 200


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


@pytest.mark.parametrize("schema", [1, 8])
def test_a_script_that_waits_over_an_upgrade_finds_everything(tmp_path: Path, schema: int) -> None:
    node = Daemon(tmp_path / "home", None)
    (path,) = node.home.rglob("p2pchat.db")
    path.unlink()
    connection = connect(path, read_key(path.with_name("key"), None))
    build(connection, schema)
    connection.execute("UPDATE event SET ts_ms = ?", (int(time.time() * 1000),))  # or it might be too old to be kept
    checkpoint(connection)
    connection.close()
    last_seen = cast(int, ROWS["event"]["seq"])
    systemd = Service(node)
    try:
        with ThreadPoolExecutor(1) as pool:  # it has connected before the new version runs, and is served by it
            waiting = pool.submit(node.call, "events.fetch", since=last_seen - 1)
            systemd.start()
            first, *later = waiting.result()["events"]
        assert first["seq"] == last_seen  # what the old version has told
        assert later[0]["type"] == "node.started"
        assert [row["text"] for row in node.history("Bob")] == ["How are you?"]
        assert node.call("node.status")["outbox"] == 1
        assert node.stop() == 0
    finally:
        if node.process is not None and node.process.poll() is None:
            node.kill()
        systemd.close()
