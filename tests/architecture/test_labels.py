"""Every label that the code hashes, signs or derives with stands once in PROTOCOL.md's table, and the reverse."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LABEL = re.compile(r"(?:dcd1(?:/[a-z]+(?:\\0)?)?|p2pchat/1 [A-Za-z]+(?:\\0)?)")


def rows() -> list[tuple[str, str]]:
    """The labels, each with its paragraph."""
    text = (
        (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8").partition("\n## 9. ")[2].partition("\n## 10. ")[0]
    )
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| `") and "*(reserved)*" not in line]
    return [(label, cells[3].strip()) for cells in lines for label in re.findall(r"`([^`]+)`", cells[1])]


def table() -> list[str]:
    return [label for label, _ in rows()]


def used() -> set[str]:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "p2pchat" / "core").rglob("*.py"))
    literals = re.findall(r"b?\"((?:dcd1|p2pchat/1)[^\"]*)\"", sources)
    return {literal for literal in literals if LABEL.fullmatch(literal)}


def test_the_table_names_each_label_once() -> None:
    assert len(table()) == len(set(table()))


def test_code_and_table_have_the_same_labels() -> None:
    assert used() == set(table())
