"""The import contracts of pyproject.toml hold, and what they cannot see does too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
PURE = ("base", "core")
IMPURE = {"click", "libp2p", "os", "random", "secrets", "socket", "sqlcipher3", "structlog", "time", "trio"}
ENTROPY_AND_CLOCK = {"nacl.utils.random", "PrivateKey.generate", "SigningKey.generate", "datetime.now", "date.today"}


def imported(tree: ast.AST) -> set[str]:
    """The top-level names of all modules imported anywhere in ``tree``, functions included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.partition(".")[0])
    return names


def pure_modules() -> list[Path]:
    return [path for layer in PURE for path in sorted((ROOT / "p2pchat" / layer).rglob("*.py"))]


def test_import_contracts_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_module_imports_nothing_impure(path: Path) -> None:
    assert not imported(ast.parse(path.read_text(encoding="utf-8"))) & IMPURE


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_module_takes_clock_and_entropy_as_arguments(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not {name for name in used for banned in ENTROPY_AND_CLOCK if name.endswith(banned)}


def test_imported_sees_imports_in_functions() -> None:
    assert imported(ast.parse("def f():\n    import os.path\n    from time import time\n")) == {"os", "time"}


def test_command_line_starts_without_the_heavy_libraries() -> None:
    program = """
import pkgutil, sys
import p2pchat.cli, p2pchat.client
for package in (p2pchat.cli, p2pchat.client):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "p2pchat.client.on_trio":
            __import__(module.name)
print(*sorted({"trio", "libp2p", "sqlcipher3", "rich", "phonenumbers"} & set(sys.modules)))
"""
    # not -I: the interpreter of a developer's own environment finds the package by the current folder
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
