"""The wheel: it holds whatever the program reads of itself, and what is unpacked from it runs without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

from p2pchat import __version__
from tests.e2e.daemons import ALICE, environment, until

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
READ_BY_THE_BUILD = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy: the build leaves files beside what it reads."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in READ_BY_THE_BUILD:
        shutil.copy(ROOT / name, folder)
    for name in shipped_folders():
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as built:
        yield built


def shipped_folders() -> list[str]:
    """The package, and the folders of whatever is shipped beside it (``data-files``)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    beside = project["tool"]["setuptools"].get("data-files", {})
    return sorted({"p2pchat", *(pattern.split("/")[0] for patterns in beside.values() for pattern in patterns)})


def test_it_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "p2pchat").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".po"  # what a .mo is made of
    }
    assert {name for name in wheel.namelist() if name.startswith("p2pchat/")} == here
    for needed in ("p2pchat/py.typed", "p2pchat/store/migrations/0001_first.sql", "p2pchat/cli/__main__.py"):
        assert needed in here
    assert any(name.endswith("ko/LC_MESSAGES/p2pchat.mo") for name in here)


def test_it_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    (about,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = Parser().parsestr(wheel.read(about).decode())
    assert (said["Name"], said["Version"]) == ("p2pchat-node", __version__)
    assert said["Requires-Python"] == ">=3.11"
    assert "libp2p==0.8.1" in (said.get_all("Requires-Dist") or [])
    entry = wheel.read(about.replace("METADATA", "entry_points.txt")).decode()
    assert "p2pchat = p2pchat.cli.__main__:main" in entry
    assert about.replace("METADATA", "licenses/LICENSE") in wheel.namelist()


def test_it_runs_without_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    wheel.extractall(installed)
    variables = environment(tmp_path / "home") | {
        "PYTHONPATH": str(installed),
        "P2PCHAT_LISTEN": "/ip4/127.0.0.1/tcp/0",
    }

    def p2pchat(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "p2pchat.cli", *arguments],
            env=variables,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    found = subprocess.run(
        [sys.executable, "-c", "import p2pchat; print(p2pchat.__file__)"],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == os.fspath(installed / "p2pchat" / "__init__.py")
    assert p2pchat("init", "--number", ALICE, "--name", "Alice", "--no-passphrase").returncode == 0
    with subprocess.Popen([sys.executable, "-m", "p2pchat.cli", "daemon"], env=variables, cwd=tmp_path) as daemon:
        try:
            until(lambda: p2pchat("status").returncode == 0, "it does not answer")
            assert p2pchat("send", "self", "milk").returncode == 0
            assert "milk" in p2pchat("history", "self").stdout
            assert p2pchat("stop").returncode == 0
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()
