"""The wheel has the same bytes wherever it is made: ``scripts/wheel`` in two clones that differ in all they can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.test_wheel import READ_BY_THE_BUILD, ROOT, shipped_folders

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("git") is None, reason="Git is not installed, and the wheel is made of a commit"),
]
COMMITTED_UNIX = 1_700_000_000
COMMITTED = (2023, 11, 14, 22, 13, 20)
SOMEBODY = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgSign=false")


def run(*command: str, cwd: Path, umask: int = 0o022, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        umask=umask,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def git(folder: Path, *arguments: str, umask: int = 0o022) -> None:
    date = f"{COMMITTED_UNIX} +0000"
    done = run("git", *arguments, cwd=folder, umask=umask, GIT_COMMITTER_DATE=date, GIT_AUTHOR_DATE=date)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel is made of, committed at a known time: this folder itself may be no checkout."""
    folder = tmp_path_factory.mktemp("origin") / "first"
    folder.mkdir()
    for name in (*READ_BY_THE_BUILD, "scripts/make_wheel.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in shipped_folders():
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, *SOMEBODY, "commit", "--quiet", "--message", "All of it")
    return folder


def make(folder: Path, umask: int, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-I", "scripts/make_wheel.py", "--out", "out", cwd=folder, umask=umask, **variables)


def test_two_clones_make_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    second = tmp_path / "another" / "second"
    second.parent.mkdir()
    git(second.parent, "clone", "--quiet", str(repository), second.name, umask=0o077)
    for path in second.rglob("*.py"):
        os.utime(path, (0, 1_000_000_000))
    (second / "p2pchat" / "left_behind.py").write_text("# of no commit\n")
    (second / "p2pchat" / "__init__.py").write_text("# changed and not committed\n")

    one = make(repository, 0o022, TZ="UTC", LC_ALL="C")
    other = make(second, 0o077, TZ="Asia/Seoul", LC_ALL="C.UTF-8", SOURCE_DATE_EPOCH="1")

    assert (one.returncode, one.stderr) == (0, "")
    assert (other.returncode, other.stderr) == (0, "scripts/wheel: what is not committed is left out\n")
    (first,), (again,) = (list((folder / "out").iterdir()) for folder in (repository, second))
    assert first.name == again.name
    assert first.read_bytes() == again.read_bytes()
    assert one.stdout.split()[0] == other.stdout.split()[0]  # the digest
    with zipfile.ZipFile(first) as wheel:
        assert {entry.date_time for entry in wheel.infolist()} == {COMMITTED}
        assert "p2pchat/left_behind.py" not in wheel.namelist()


def test_no_commit_is_told_in_a_sentence(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(repository / "scripts/make_wheel.py", tmp_path / "scripts")
    done = run(
        sys.executable, "-I", "scripts/make_wheel.py", cwd=tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent)
    )
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("scripts/wheel: Git says: ")
    assert len(done.stderr.splitlines()) == 1
