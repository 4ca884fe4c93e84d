"""A profile is removed: its key first, so that whatever is left when it is interrupted can be read by nobody.

Rules:

- Nothing of another profile is touched, nor a folder that profiles share, nor a backup: none is written into the
  profile's own folder, all of which goes.
- The profile's own folder goes last: as long as it is there a second wipe finds the profile, and finishes.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.daemon import profile as profiles
from p2pchat.daemon import settings
from p2pchat.daemon.system import profile_lock
from p2pchat.services import config_file
from p2pchat.store.keyfile import remove_unfinished, shred


def wipe(paths: ProfilePaths, socket: Path | None, wait_s: float) -> None:
    """Remove the profile. Blocking.

    Args:
        socket: where its daemon had its socket, if not at the profile's own place.
        wait_s: how long to wait for a daemon that is ending.

    Raises:
        UsageError: NO_PROFILE; ALREADY_RUNNING, a daemon has it.
        StoreError: the disk refused; another wipe goes on from there.
    """
    profiles.require(paths)
    with profile_lock(paths.lock_file, wait_s):
        for key_file in (paths.key_file, *(folder / paths.key_file.name for folder in profiles.unfinished(paths))):
            shred(key_file)
            remove_unfinished(key_file)
        try:
            _remove_files(paths, socket or _own_socket(paths))
            _remove_folder(paths.data_dir)
        except OSError as error:
            raise StoreError(
                f"The key is gone, but not everything could be removed: {error.strerror}. Try it again."
            ) from error


def _own_socket(paths: ProfilePaths) -> Path | None:
    try:
        return paths.socket
    except UsageError:  # its path is too long for a socket, so there never was one
        return None


def _remove_files(paths: ProfilePaths, socket: Path | None) -> None:
    begun = config_file.unfinished(Path(os.path.realpath(paths.config_file)))  # beside what a link leads to
    for file in (begun, paths.config_file, settings.unfinished(paths)):
        file.unlink(missing_ok=True)
    for folder in profiles.unfinished(paths):
        shutil.rmtree(folder)
    if socket is not None and socket.is_socket():
        socket.unlink()


def _remove_folder(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if folder.is_symlink():  # to another disk
        with suppress(OSError):  # the root of that disk, or in a folder of somebody else: it is empty, and may stay
            folder.resolve().rmdir()
        folder.unlink()
    else:
        folder.rmdir()
