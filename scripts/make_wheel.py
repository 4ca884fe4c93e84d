"""``scripts/wheel``: make the wheel of the last commit, the same bytes wherever and whenever it is made.

What would tell one place from another is set here: the files are those of the commit and not of the folder, their
modes do not depend on a umask, and every time in the wheel is the commit's. What is left is the Python (its zlib
compresses) and setuptools, which the lock pins.

Exit status 2 for a wrong option, 69 where there is no Git or no commit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from setuptools import build_meta

ROOT: Final = Path(__file__).resolve().parents[1]
EX_UNAVAILABLE: Final = 69


class Failed(Exception):
    """It cannot be made; the message says why."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="scripts/wheel", description="Make the wheel of the last commit.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder it is put into; default: dist")
    folder: Path = parser.parse_args().out
    try:
        if git("status", "--porcelain", "--untracked-files=no"):
            print("scripts/wheel: what is not committed is left out", file=sys.stderr)
        made = wheel(folder.absolute())
    except (Failed, OSError) as error:
        print(f"scripts/wheel: {error}", file=sys.stderr)
        return EX_UNAVAILABLE
    print(f"{hashlib.sha256(made.read_bytes()).hexdigest()}  {made}")
    return 0


def wheel(folder: Path) -> Path:
    """Make it in ``folder``, which is made too.

    Raises:
        Failed: there is no Git, or no commit.
        OSError: the folder cannot be written.
    """
    os.umask(0o022)
    os.environ["SOURCE_DATE_EPOCH"] = git("log", "-1", "--format=%ct").decode().strip()
    files = git("-c", "tar.umask=0022", "archive", "--format=tar", "HEAD")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as source:
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            # of our own commit; Python 3.11.3 and older know no filters
            archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
            archive.extractall(source)  # noqa: S202
        said = io.StringIO()
        with contextlib.chdir(source), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                return folder / build_meta.build_wheel(os.fspath(folder))
            except (Exception, SystemExit) as error:
                raise Failed(f"setuptools says: {error}\n{said.getvalue()}") from error


def git(*arguments: str) -> bytes:
    """What Git says of this checkout.

    Raises:
        Failed: it is not there, or refuses.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        raise Failed("Git is needed: the wheel is made of a commit") from None
    if done.returncode != 0:
        raise Failed(f"Git says: {done.stderr.decode(errors='replace').strip().partition(chr(10))[0]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
