"""Modules are small, say what they are, and are finished."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "p2pchat").rglob("*.py"))
LARGEST_LINES = 400
MEDIAN_LINES = 150
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_is_not_over_the_size_limit(path: Path) -> None:
    assert lines(path) <= LARGEST_LINES


def test_median_module_is_small() -> None:
    sizes = [lines(path) for path in MODULES if path.name != "__init__.py"]
    assert statistics.median(sizes) <= MEDIAN_LINES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_has_a_docstring_and_nothing_unfinished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert not UNFINISHED.search(text)


def test_every_package_is_a_package() -> None:
    folders = {path.parent for path in MODULES}
    assert {name(folder) for folder in folders if not (folder / "__init__.py").exists()} == set()
