"""What can be said of the Containerfile without building it: no container engine runs in the tests."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "contrib/container/Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def said(instruction: str) -> list[str]:
    """The arguments of every line of this kind."""
    return [line.split(None, 1)[1] for line in LINES if line.startswith(f"{instruction} ")]


def test_whatever_is_copied_exists() -> None:
    for line in said("COPY"):
        if not line.startswith("--from="):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_whatever_the_build_reads_is_copied() -> None:
    """A folder of data that was named in pyproject.toml alone once made the image impossible to build."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, setuptools = pyproject["project"], pyproject["tool"]["setuptools"]
    data = [path for paths in setuptools["data-files"].values() for path in paths]
    packages = [pattern.removesuffix("*") for pattern in setuptools["packages"]["find"]["include"]]
    copied = {source for line in said("COPY") for source in line.split()[:-1]}
    for path in ("pyproject.toml", project["readme"], *project["license-files"], *data, *packages):
        assert copied & {path, *map(str, Path(path).parents)}, path


def test_it_is_a_python_for_which_every_locked_package_has_a_wheel() -> None:
    bases = {re.match(r"docker\.io/library/python:(3\.\d+)-slim", base) for base in said("FROM")}
    assert {base[1] if base else None for base in bases} <= {"3.11", "3.12", "3.13"}


def test_what_has_no_hash_is_not_installed() -> None:
    installed = re.findall(r"pip install ([^&]*)", " && ".join(said("RUN")))
    assert len(installed) == 3
    for arguments in installed:
        assert "--no-deps" in arguments
        assert "--require-hashes" in arguments or arguments.split()[-1] == "."


def test_the_daemon_is_process_1_and_not_root() -> None:
    assert said("USER") == ["10001:10001"]
    assert said("ENTRYPOINT") == ['["p2pchat"]']  # a shell in between would get the signals, and keep them
    assert said("CMD") == ['["daemon"]']
