"""A small file system for one home, which can be filled and freed.

It is a tmpfs in a mount namespace of this process, so that nothing of it outlives the process, whatever ends it. Who is
not root makes a user namespace for that; where neither is allowed there is no such disk.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Final, Self

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_MNT_DETACH: Final = 2
_CHUNK: Final = bytes(1 << 16)
_TOP_UP_S: Final = 0.02


class NotAllowed(Exception):
    """This user, or this kernel, cannot do that."""


class Disk:
    """The file system, mounted at ``folder``, which is made.

    Concurrency: this process must not have threads yet.

    Raises:
        NotAllowed: no file system can be mounted here.
    """

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        self._freed = threading.Event()
        self._freed.set()
        self._filling: threading.Thread | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._leave_namespace()
        folder.mkdir()
        self._do("mount", b"none", b"/", None, _MS_REC_PRIVATE, None)
        self._do("mount", b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size_mib}m".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()
        self._do("umount2", os.fsencode(self.folder), _MNT_DETACH)

    @property
    def full(self) -> bool:
        """Whether it was filled and not freed since."""
        return not self._freed.is_set()

    def fill(self, *, watched: bool = True) -> None:
        """Leave no byte free, nor any that somebody gives back later: ``watched`` by a thread, or else by whoever calls
        :meth:`top_up` all the while."""
        self._freed.clear()
        self.top_up()
        if watched:
            self._filling = threading.Thread(target=self._keep_full, daemon=True)
            self._filling.start()

    def free(self) -> None:
        """Give all that back."""
        self._freed.set()
        if self._filling is not None:
            self._filling.join()
            self._filling = None
        self._ballast.unlink(missing_ok=True)

    def _keep_full(self) -> None:
        while not self._freed.wait(_TOP_UP_S):
            self.top_up()

    def top_up(self) -> None:
        """Take what was given back."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while not file.write(_CHUNK) < len(_CHUNK):
                    pass
            except OSError:  # full, to the last page
                return

    def _leave_namespace(self) -> None:
        if self._libc.unshare(_CLONE_NEWNS) == 0:
            return
        user, group = os.geteuid(), os.getegid()
        self._do("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")

    def _do(self, call: str, *arguments: object) -> None:
        if getattr(self._libc, call)(*arguments) != 0:
            raise NotAllowed(f"{call}: {os.strerror(ctypes.get_errno())}")
