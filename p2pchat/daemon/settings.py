"""The configuration file that a restored profile brings: it lies in the profile's folder until it is in its place.

Rules:

- A profile is there with one rename, what it brings in it: whoever is killed after that leaves the rest to the next
  start, whoever is killed before leaves nothing.
- A configuration file that is there is not replaced.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import StoreError
from p2pchat.services import config_file
from p2pchat.store.keyfile import sync_directory

_BROUGHT: Final = "settings.toml"


def bring(folder: Path, toml: bytes) -> None:
    """Lay ``toml`` into the folder of a profile that is being made.

    Raises:
        OSError: the disk refused.
    """
    _write(folder / _BROUGHT, toml)


def are_waiting(paths: ProfilePaths) -> bool:
    """Whether the profile has settings that are not in their place yet."""
    return (paths.data_dir / _BROUGHT).exists()


def put_in_place(paths: ProfilePaths) -> None:
    """Make what the profile has brought its configuration file, unless there is one. For whoever holds its lock.

    Raises:
        StoreError: the disk refused; what was brought is where it was.
    """
    brought, place = paths.data_dir / _BROUGHT, paths.config_file
    if not are_waiting(paths):
        return
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.lexists(place):
            _write(unfinished(paths), brought.read_bytes())
            unfinished(paths).rename(place)
            sync_directory(place.parent)
        unfinished(paths).unlink(missing_ok=True)
        brought.unlink()
    except OSError as error:
        raise StoreError(f"The configuration file cannot be written: {error.strerror}.") from error


def unfinished(paths: ProfilePaths) -> Path:
    """What :func:`put_in_place` leaves where it is killed; the next one finishes it."""
    return config_file.unfinished(paths.config_file)


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
