"""How much of the disk the database has."""

from __future__ import annotations

from pathlib import Path

from p2pchat.store.db import Tx


def on_disk(tx: Tx) -> tuple[int, int]:
    """Bytes of the database's file and of its write-ahead log; 0 where it is in memory alone."""
    path = next((str(row[2]) for row in tx.all("PRAGMA database_list") if row[1] == "main"), "")
    return (_size(Path(path)), _size(Path(f"{path}-wal"))) if path else (0, 0)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
