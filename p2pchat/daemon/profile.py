"""A profile on disk: made whole or not at all, opened with its passphrase.

``init`` builds the profile in a directory beside its place and renames it there: whatever goes wrong before, nothing
half-written is left.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from p2pchat.api.paths import ProfilePaths, program_of
from p2pchat.base.errors import DiskFull, StoreError, UsageError, WrongPassphrase
from p2pchat.core.crypto import Entropy
from p2pchat.core.keys import create_identity, dump_identity
from p2pchat.core.numbers import Number, region_of
from p2pchat.store import meta
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import (
    KEY_BYTES,
    needs_passphrase,
    read_key,
    remove_unfinished,
    shred,
    sync_directory,
    write_key,
)
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import checkpoint, connect, store_errors

CREDENTIAL: Final = "p2pchat.passphrase"


class Handover:
    """A database key on its way: whoever takes it is the only one who has it."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key: bytes | None = key

    def take(self) -> bytes:
        """The 32 bytes, once."""
        key, self._key = self._key, None
        assert key is not None  # noqa: S101  it is taken where the store is opened, and there alone
        return key


def start_command(paths: ProfilePaths) -> str:
    """What its owner types to start this profile's node."""
    return f"{program_of(paths.profile)} daemon"


def refuse_existing(paths: ProfilePaths) -> None:
    """Raises: UsageError: ALREADY_EXISTS, there is a profile of that name."""
    if paths.data_dir.exists():
        raise UsageError(f"The profile {paths.profile} exists already; nothing was changed.", name="ALREADY_EXISTS")


def create(
    paths: ProfilePaths,
    *,
    name: str,
    number: Number | None,
    region: str | None,
    passphrase: bytes | None,
    entropy: Entropy,
    now_ms: int,
) -> meta.Profile:
    """Make a new profile with new keys. Blocking; with a passphrase half a second more.

    Raises:
        UsageError: ALREADY_EXISTS.
        StoreError: the disk refused; nothing is left behind.
    """
    profile = meta.Profile(
        name=name,
        number=number.e164 if number is not None else "",
        region=region or (region_of(number) if number is not None else None) or "",
        identity=dump_identity(create_identity(entropy, now_ms)),
        node_seed=entropy.bytes(32),
        ask=entropy.bytes(32),
        store_id=entropy.bytes(8),
    )
    with new_database(paths, passphrase, entropy, now_ms) as (tx, _):
        meta.save_profile(tx, profile)
    return profile


@contextmanager
def new_database(
    paths: ProfilePaths, passphrase: bytes | None, entropy: Entropy, now_ms: int
) -> Iterator[tuple[Tx, Path]]:
    """A profile in the making: its database, in one transaction, and its folder.

    Where the block ends well, the profile is there, with whatever was laid into the folder.

    Raises:
        UsageError: ALREADY_EXISTS.
        StoreError: the disk refused; nothing is left behind, as after whatever the block raises.
    """
    refuse_existing(paths)
    with _disk_errors():
        paths.data_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        building = _beside(paths)
    try:
        key = entropy.bytes(KEY_BYTES)
        write_key(building / paths.key_file.name, key, passphrase, entropy.bytes)
        with _written(building / paths.database.name, key, now_ms) as tx, _disk_errors():
            yield tx, building
        with _disk_errors():
            sync_directory(building)
            try:
                building.rename(paths.data_dir)
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                    refuse_existing(paths)
                raise
            sync_directory(paths.data_dir.parent)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def unmake(paths: ProfilePaths) -> None:
    """Remove a profile that was made just now and that nobody has used: at once, so that no half of it is ever there.

    Raises:
        StoreError: the disk refused.
    """
    with _disk_errors():
        aside = _beside(paths)
        paths.data_dir.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)  # what stays is removed as that of a restore that was killed


def _beside(paths: ProfilePaths) -> Path:
    """A new folder that is no profile."""
    return Path(mkdtemp(prefix=f".{paths.profile}.new-", dir=paths.data_dir.parent))


def unfinished(paths: ProfilePaths) -> list[Path]:
    """The folders that a :func:`create` or a restore which was cut off has left behind."""
    left = sorted(paths.data_dir.parent.glob(f".{paths.profile}.new-*"))
    return [folder for folder in left if not folder.is_symlink()]  # the key behind a link is not theirs


@contextmanager
def _written(path: Path, key: bytes, now_ms: int) -> Iterator[Tx]:
    with store_errors():
        path.touch(mode=0o600)
        connection = connect(path, key)
        try:
            migrate(connection)
            connection.execute("BEGIN IMMEDIATE")
            yield Tx(connection, now_ms)
            connection.execute("COMMIT")
            checkpoint(connection)
        finally:
            connection.close()


def require(paths: ProfilePaths) -> None:
    """Raises: UsageError: NO_PROFILE, there is nothing of a profile of that name."""
    if not paths.data_dir.exists():
        raise UsageError(
            f"There is no profile {paths.profile}; make one with: p2pchat --profile {paths.profile} init",
            name="NO_PROFILE",
        )


def is_protected(paths: ProfilePaths) -> bool:
    """Whether the profile needs a passphrase.

    Raises:
        UsageError: NO_PROFILE, it was never made.
        StoreError: its key file cannot be read or is damaged.
    """
    require(paths)
    if not paths.key_file.exists():
        raise UsageError(
            f"The profile {paths.profile} has no key file, so nothing in it can be read; "
            f"remove the rest with: p2pchat --profile {paths.profile} wipe",
            name="NO_PROFILE",
        )
    return needs_passphrase(paths.key_file)


def unlock(paths: ProfilePaths, passphrase: bytes | None) -> Handover:
    """The database key. Blocking: half a second where there is a passphrase.

    Raises:
        WrongPassphrase: FORBIDDEN.
        StoreError: the key file cannot be read or is damaged.
    """
    return Handover(read_key(paths.key_file, passphrase))


def credential() -> Path | None:
    """The file in which systemd gives this service its passphrase (``LoadCredential=p2pchat.passphrase:…``).

    The directory is the service's own, closed to other users and there from its start to its end.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory, CREDENTIAL) if directory else None
    return path if path is not None and path.exists() else None


def tidy(paths: ProfilePaths) -> None:
    """Remove what a change of the passphrase, an ``init`` or a restore that was killed has left, its key first.

    For whoever holds the lock of the profile: as it is there, nobody makes it.

    Raises:
        StoreError: the disk refused.
    """
    remove_unfinished(paths.key_file)
    for folder in unfinished(paths):
        with suppress(StoreError, OSError):  # another user's, say: no reason not to start, and a wipe says so
            shred(folder / paths.key_file.name)
            shutil.rmtree(folder)


def change_passphrase(paths: ProfilePaths, old: bytes | None, new: bytes | None, entropy: Entropy) -> None:
    """Wrap the database key anew; after a crash at any moment either passphrase opens, whole. Blocking: up to a second.

    Args:
        old: the passphrase until now, None where there was none.
        new: the passphrase from now on, None for none.

    Raises:
        WrongPassphrase: FORBIDDEN; nothing was changed.
        StoreError: the disk refused.
    """
    if old is not None and not needs_passphrase(paths.key_file):
        raise WrongPassphrase("This profile has no passphrase yet; leave the old one out.")
    write_key(paths.key_file, read_key(paths.key_file, old), new, entropy.bytes)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("The disk is full: no profile was made.") from error
        raise StoreError(f"The profile cannot be written: {error.strerror}.") from error
