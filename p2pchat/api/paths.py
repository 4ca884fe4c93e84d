"""Where a profile lives on disk: one pure mapping from a name and the environment to paths.

Rules:

- With ``P2PCHAT_HOME`` set everything lies under it: ``data/<profile>/``, ``config/<profile>.toml``,
  ``run/<profile>.sock``. Otherwise the XDG base directories are used.
- Where ``XDG_RUNTIME_DIR`` is missing the socket lies in ``.run/`` beside the data (no profile can have that name):
  never in a directory that another user could have made first.
- A directory that holds a socket or a secret belongs to this user and is closed to all others (0700), or is refused.
- A relative path in an XDG variable is ignored, as its specification says; an empty variable counts as unset.

Source: docs/CONTROL-API.md, "Transport".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from p2pchat.base.errors import StoreError, UsageError

DEFAULT_PROFILE: Final = "default"
SOCKET_PATH_BYTES: Final = 107
"""Longest path of a Unix socket: ``sun_path`` has 108 bytes, the last one 0."""

_PROFILE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class ProfilePaths:
    """The files of one profile.

    Args:
        profile: 1 to 32 of ``a-z 0-9 _ -``, a letter or digit first.
        environ: the environment; the process's own where omitted.

    Raises:
        UsageError: the name is none.
    """

    def __init__(self, profile: str = DEFAULT_PROFILE, environ: Mapping[str, str] | None = None) -> None:
        if _PROFILE.fullmatch(profile) is None:
            raise UsageError(
                "profile: must be 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit",
                data={"param": "profile"},
            )
        env = os.environ if environ is None else environ
        home = env.get("P2PCHAT_HOME")
        if home:
            root = Path(os.path.abspath(home))
            data, config, run = root / "data", root / "config", root / "run"
        else:
            user = Path(env.get("HOME") or os.path.expanduser("~"))
            data = (_xdg(env, "XDG_DATA_HOME") or user / ".local" / "share") / "p2pchat"
            config = (_xdg(env, "XDG_CONFIG_HOME") or user / ".config") / "p2pchat"
            runtime = _xdg(env, "XDG_RUNTIME_DIR")
            run = runtime / "p2pchat" if runtime else data / ".run"
        self.profile = profile
        self.data_dir = data / profile
        self.config_file = config / f"{profile}.toml"
        self.database = self.data_dir / "p2pchat.db"
        self.key_file = self.data_dir / "key"
        self.lock_file = self.data_dir / "lock"
        self.socket_place = run / f"{profile}.sock"

    @property
    def socket(self) -> Path:
        """The control socket.

        Raises:
            UsageError: the path is longer than the kernel allows for a socket.
        """
        return checked_socket(self.socket_place)


def program_of(profile: str) -> str:
    """How a user calls p2pchat for ``profile``."""
    return "p2pchat" if profile == DEFAULT_PROFILE else f"p2pchat --profile {profile}"


def checked_socket(path: Path) -> Path:
    """``path``, if a Unix socket can have it.

    Raises:
        UsageError: it is longer than ``SOCKET_PATH_BYTES``.
    """
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_BYTES:
        raise UsageError(
            f"socket: its path has {size} bytes and the system allows {SOCKET_PATH_BYTES}; "
            "set P2PCHAT_HOME or --socket to something shorter",
            data={"param": "socket"},
        )
    return path


def private_directory(directory: Path) -> Path:
    """Make ``directory`` (0700, parents too), or check that an existing one is private.

    Raises:
        UsageError: FORBIDDEN; it is no directory, another user's, or open to others.
        StoreError: it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = directory.lstat()
    except FileExistsError:
        raise _not_private(directory, "is not a directory") from None
    except OSError as error:
        raise StoreError(f"{directory} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(info.st_mode):
        link = " but a link" if stat.S_ISLNK(info.st_mode) else ""
        raise _not_private(directory, "is not a directory" + link)
    if info.st_uid != os.geteuid():
        raise _not_private(directory, "belongs to another user")
    if info.st_mode & 0o077:
        raise _not_private(directory, "is open to other users; close it with chmod 700")
    return directory


def _not_private(directory: Path, why: str) -> UsageError:
    return UsageError(f"{directory} {why}", name="FORBIDDEN")


def _xdg(env: Mapping[str, str], variable: str) -> Path | None:
    value = env.get(variable)
    return Path(value) if value and os.path.isabs(value) else None
