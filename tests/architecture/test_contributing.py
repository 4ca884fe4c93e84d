"""CONTRIBUTING.md names every script and every suite, and none that is not there; slow suites by their commands."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_it_names_every_script() -> None:
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK)}
    assert scripts
    assert set(re.findall(r"`?\./scripts/([a-z0-9-]+)", PAGE)) == scripts


def test_it_names_every_suite() -> None:
    suites = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`tests/([a-z0-9]+)`", PAGE))
    assert suites <= named
    assert all((ROOT / "tests" / name).is_dir() for name in named)


def test_it_names_every_switch_that_makes_a_test_take_longer() -> None:
    switches = {
        switch
        for path in (ROOT / "tests").rglob("test_*.py")
        for switch in re.findall(r"(?m)^[A-Z_]+.*\bos\.environ\.get\(\"([A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert switches == set(re.findall(r"`([A-Z_]+)=\w+ \./scripts/test ", PAGE))
    options = re.findall(r"addoption\(\"([a-z-]+)\"", (ROOT / "tests/e2e/conftest.py").read_text(encoding="utf-8"))
    assert options
    assert all(option in PAGE for option in options)


def test_what_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / target).exists(), target
