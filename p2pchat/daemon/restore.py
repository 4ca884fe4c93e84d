"""A profile out of a backup: made whole or not at all, protected by the backup's passphrase (docs/BACKUP.md)."""

from __future__ import annotations

from contextlib import suppress

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.core.backup import Settings
from p2pchat.core.crypto import Entropy
from p2pchat.daemon import profile as profiles
from p2pchat.daemon import settings
from p2pchat.daemon.system import profile_lock
from p2pchat.services.backup_source import Source, Summary
from p2pchat.store.restore import Restoration


def restore(paths: ProfilePaths, source: Source, passphrase: bytes, entropy: Entropy, now_ms: int) -> Summary:
    """Make the profile that the backup ``source`` holds. Blocking; where it fails nothing has changed.

    The configuration file is taken from the backup where there is none.

    Raises:
        UsageError: ALREADY_EXISTS.
        WrongPassphrase: FORBIDDEN.
        Corrupt: it is cut short, damaged or altered.
        StoreError: a disk refused.
    """
    profiles.refuse_existing(paths)
    records = source.records(passphrase)
    next(records)  # a wrong passphrase makes not even a directory
    with profiles.new_database(paths, passphrase, entropy, now_ms) as (tx, folder):
        restoration = Restoration(tx, entropy)
        for record in records:
            restoration.put(record)
            if isinstance(record, Settings):
                settings.bring(folder, record.toml)
    _settle(paths)
    return source.summary()


def _settle(paths: ProfilePaths) -> None:
    """The profile is there; its configuration file follows, or the profile goes again."""
    if not settings.are_waiting(paths):
        return
    with suppress(UsageError), profile_lock(paths.lock_file):  # else a daemon was started meanwhile, and sees to it
        try:
            settings.put_in_place(paths)
        except BaseException:
            profiles.unmake(paths)
            raise
