"""``python -m tests.e2e.killed_restore FOLDER BACKUP PASSPHRASE``: a restore that is killed at every step in turn.

Step n is the n-th time that the restore opens, makes, renames or removes something in its home, ``FOLDER/n``; the
process ends just before, as by SIGKILL: nothing is caught, flushed or tidied up. Prints the number of the last step, at
which the restore went through.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from p2pchat.api.paths import ProfilePaths
from p2pchat.daemon import restore as restoring
from p2pchat.daemon.system import SystemEntropy
from p2pchat.services.backup_source import opened
from p2pchat.store import keyfile

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
KILLED = 9


def main(folder: Path, backup: Path, passphrase: bytes) -> int:
    keyfile._OPS, keyfile._MEMORY = 1, 8192  # type: ignore[misc]  # half a second at every step else
    step = 0
    while True:
        step += 1
        home = folder / str(step)
        home.mkdir()
        child = os.fork()
        if child == 0:
            _restore(home, backup, passphrase, step)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return step
        if code != KILLED:
            raise RuntimeError(f"step {step} ended with {code}")


def _restore(home: Path, backup: Path, passphrase: bytes, step: int) -> None:
    left = step

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(f"{home}/"):
            left -= 1
            if not left:
                os._exit(KILLED)

    paths = ProfilePaths("default", {"P2PCHAT_HOME": str(home)})
    sys.addaudithook(count)
    try:
        with opened(backup) as source:
            restoring.restore(paths, source, passphrase, SystemEntropy(), 1_800_000_000_000)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].encode()))
