"""What runs on the store's thread asks nothing of trio: it would be refused there, and end the node.

A simulation does not notice, since its databases run every job in the caller's thread.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "p2pchat"


def asked_of_trio(text: str) -> list[int]:
    """The lines of the jobs, which are what takes a ``tx``, in which trio is named."""
    functions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.Lambda) and is_job(node)
    )
    bodies = (part for node in functions for part in (node.body if isinstance(node.body, list) else [node.body]))
    names = (node for part in bodies for node in ast.walk(part) if isinstance(node, ast.Name))
    return sorted({node.lineno for node in names if node.id == "trio"})


def is_job(node: ast.FunctionDef | ast.Lambda) -> bool:
    return any(argument.arg == "tx" for argument in node.args.args)


def test_no_job_asks_trio() -> None:
    found = {str(path): asked_of_trio(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_job_that_does_is_found() -> None:
    text = "import trio\nasync def f(tx): trio.sleep(0)\ndef g(self, tx):\n    return trio.current_time()\n"
    assert asked_of_trio(text) == [4]
    assert asked_of_trio("h = lambda tx: trio.current_time()") == [1]
    assert asked_of_trio("def now() -> float: return trio.current_time()") == []
