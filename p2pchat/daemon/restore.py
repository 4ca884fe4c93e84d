"""A profile out of a backup: made whole or not at all, protected by the backup's passphrase (docs/BACKUP.md)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import StoreError
from p2pchat.core.backup import Settings
from p2pchat.core.crypto import Entropy
from p2pchat.daemon import profile as profiles
from p2pchat.services.backup_source import Source, Summary
from p2pchat.store.keyfile import sync_directory
from p2pchat.store.restore import Restoration


def restore(paths: ProfilePaths, source: Source, passphrase: bytes, entropy: Entropy, now_ms: int) -> Summary:
    """Make the profile that the backup ``source`` holds. Blocking; where it fails nothing has changed.

    The configuration file is taken from the backup where there is none.

    Raises:
        UsageError: ALREADY_EXISTS.
        WrongPassphrase: FORBIDDEN.
        Corrupt: it is no backup, cut short, damaged or altered.
        StoreError: a disk refused.
    """
    profiles.refuse_existing(paths)
    records = source.records(passphrase)
    next(records)  # a wrong passphrase makes not even a directory
    toml = b""
    with ExitStack() as undo:
        with profiles.new_database(paths, passphrase, entropy, now_ms) as tx:
            restoration = Restoration(tx, entropy)
            for record in records:
                restoration.put(record)
                if isinstance(record, Settings):
                    toml = record.toml
            if toml and not paths.config_file.exists():
                _write_settings(paths.config_file, toml)
                undo.callback(paths.config_file.unlink)
        undo.pop_all()
    return source.summary()


def _write_settings(path: Path, toml: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(toml)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"The configuration file cannot be written: {error.strerror}.") from error
