"""The second implementation, which the vectors come from, has no line of ours in it, nor have their makers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
SECOND = sorted([*FOLDER.glob("independent_*.py"), *FOLDER.glob("make_*.py")])
OURS = ("p2pchat", "tests")


def imported(text: str) -> set[str]:
    """The modules of this repository that are imported anywhere in ``text``, in full."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] in OURS}


@pytest.mark.parametrize("path", SECOND, ids=lambda path: path.stem)
def test_the_second_implementation_shares_no_code(path: Path) -> None:
    allowed = {f"tests.vectors.{other.stem}" for other in SECOND}
    text = path.read_text(encoding="utf-8")
    assert [name for name in imported(text) if not any(f"{name}.".startswith(f"{module}.") for module in allowed)] == []
    assert "importlib" not in text
    assert "__import__" not in text


def test_everything_is_looked_at() -> None:
    names = {path.stem for path in SECOND}
    assert {"independent_session", "independent_discovery", "make_sessions", "make_kdf"} <= names


def test_an_import_is_found_wherever_it_stands() -> None:
    text = "import json\ndef f():\n    from p2pchat.core import ratchet\n    import p2pchat.core.crypto as c\n"
    assert imported(text) == {"p2pchat.core.ratchet", "p2pchat.core.crypto"}
