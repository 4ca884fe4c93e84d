"""The daemon's socket as a command finds it: who answers there, or why nobody does."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from p2pchat.api.diagnosis import Finding, found
from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.paths import SOCKET_PATH_BYTES, ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.cli.invocation import Invocation
from p2pchat.client.blocking import Client

_REPLY_S: Final = 10.0
_PATIENCE_S: Final = 120.0


def look(invocation: Invocation) -> tuple[Client | None, Finding]:
    """A connection to the daemon, if it answers, and what is to be said of the socket."""
    try:
        path = invocation.socket_path()
    except UsageError:
        path = Path(invocation.socket) if invocation.socket else ProfilePaths(invocation.profile).socket_place
        return None, found("socket.too_long", bytes=len(os.fsencode(path)), most=SOCKET_PATH_BYTES)
    try:
        with Client(path, timeout_s=_REPLY_S) as client:
            client.call("node.hello")
        return Client(path, timeout_s=_PATIENCE_S), found("socket.ok")
    except NoDaemon:
        return None, _of_file(path, invocation)
    except ApiError as error:
        if error.error_name == "FORBIDDEN":
            return None, found("socket.foreign", folder=str(path.parent))
        return None, found("socket.silent")


def _of_file(path: Path, invocation: Invocation) -> Finding:
    """Why nothing answers."""
    try:
        folder = path.parent.stat()
        if folder.st_uid != os.geteuid():
            return found("socket.foreign", folder=str(path.parent))
        if folder.st_mode & 0o077:
            return found("socket.open", folder=str(path.parent))
        mode = path.lstat().st_mode
    except PermissionError:
        return found("socket.foreign", folder=str(path.parent))
    except OSError:
        return _of_no_file(path, invocation)
    return found("socket.stale") if stat.S_ISSOCK(mode) else found("socket.no_socket", path=str(path))


def _of_no_file(path: Path, invocation: Invocation) -> Finding:
    if invocation.socket is not None or os.environ.get("P2PCHAT_HOME"):
        return found("socket.none")
    without = ProfilePaths(invocation.profile, {**os.environ, "XDG_RUNTIME_DIR": ""}).socket_place
    usual = Path("/run/user", str(os.geteuid()), "p2pchat", path.name)
    for other in (usual, without):
        if other != path and other.is_socket():
            return found("socket.elsewhere", path=str(other))
    if path == without:
        return found("socket.no_runtime_folder", folder=str(path.parent))
    return found("socket.none")
