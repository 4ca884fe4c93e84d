"""Where a backup may be written: looked at before a passphrase is asked for, and by the daemon again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from p2pchat.base.errors import StoreError, UsageError

PART: Final = ".part"
"""What the name of a backup that is being written ends in."""

STREAM: Final = "-"
"""What stands for a backup that comes through a pipe."""


def refuse_unfit(path: Path, own: Path | None) -> None:
    """That no backup can be written there, as far as it can be told before.

    Args:
        path: absolute.
        own: the folder of the profile; None where it is not known.

    Raises:
        UsageError: INVALID_PARAMS, a name that ends in ``.part``, a place in the profile's own folder; ALREADY_EXISTS.
        StoreError: there is no such folder, or nothing can be written in it.
    """
    if path.suffix == PART:  # it would be taken for what a backup that was killed has left
        raise UsageError("path: must not end in .part", data={"param": "path"})
    with _disk_errors():
        folder = path.parent.resolve(strict=True)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        inside = own is not None and _is_within(folder, own)
    if inside:
        raise UsageError(
            "path: is in the profile's own folder, with which it would be lost; name a file elsewhere",
            data={"param": "path"},
        )
    refuse_existing(path)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError("The backup cannot be written: nothing may be written in its folder.")
    with _disk_errors(), suppress(FileNotFoundError):
        path.with_name(path.name + PART).lstat()  # too long a name, say


def refuse_existing(path: Path) -> None:
    """That nothing has that name.

    Raises:
        UsageError: ALREADY_EXISTS, there is something, be it a link to nothing.
        StoreError: nothing can have such a name.
    """
    with _disk_errors():  # too long a name, say
        is_folder = path.is_dir()
    if is_folder:
        raise UsageError("That is a folder already: name a new file in it.", name="ALREADY_EXISTS")
    if os.path.lexists(path):
        raise UsageError("There is a file of that name already; nothing was changed.", name="ALREADY_EXISTS")


def _is_within(folder: Path, own: Path) -> bool:
    """Whether ``folder`` is ``own`` or in it, by whatever links ``own`` is named."""
    try:
        profile = own.stat()
    except FileNotFoundError:
        return False
    return any(os.path.samestat(each.stat(), profile) for each in (folder, *folder.parents))


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"The backup cannot be written: {error.strerror}.") from error
