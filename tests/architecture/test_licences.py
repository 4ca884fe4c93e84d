"""docs/DEPENDENCIES.md says of every locked package the licence that the package says of itself."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

from tests.architecture.test_lock import ROOT, normalised, pins

PAGE = (ROOT / "docs" / "DEPENDENCIES.md").read_text(encoding="utf-8")
TABLES, _, REST = PAGE.partition("## Not permissive")
LISTED, _, _ = REST.partition("\n## ")
SHIPPED = sorted(pins("requirements.lock"))
EVERYTHING = sorted(pins("requirements-dev.lock"))
LICENCE = re.compile(r"\b(?:Apache-2\.0|BSD-[23]-Clause|CC0-1\.0|ISC|LGPL|MIT|MPL-2\.0|PSF|Unlicense|Zlib)\b")
SAYS_NOTHING = {"sqlcipher3"}  # its LICENSE is the text of zlib's licence
# What older metadata have instead of an expression: a classifier, else a line of text.
FAMILIES = {
    "Apache": "Apache-2.0",
    "BSD": "BSD-",
    "CC0": "CC0-1.0",
    "LGPL": "LGPL",
    "MIT": "MIT",
    "Mozilla Public License 2.0": "MPL-2.0",
    "MPL-2.0": "MPL-2.0",
    "Python Software Foundation": "PSF",
}
SHARE_ALIKE = re.compile(r"\b[AL]?GPL|MPL|EPL|EUPL|CDDL|Mozilla|General Public|\bCC-BY-SA")


def documented() -> dict[str, set[str]]:
    """The licences in the rows of each package; a row may be of several, with as many licences."""
    found: dict[str, set[str]] = {}
    for row in re.findall(r"^\| (.+) \|$", TABLES, re.MULTILINE):
        first, *cells = row.split(" | ")
        names = [normalised(name) for name in first.split(", ")]
        for cell in cells:
            each = re.sub(r"\(.*?\)", "", cell).split(";")  # what it contains is in brackets
            if LICENCE.match(cell) and len(each) in (1, len(names)):
                for name, licence in zip(names, each * (len(names) // len(each)), strict=True):
                    found.setdefault(name, set()).add(licence.strip())
    return found


def said_by(name: str) -> tuple[str | None, list[str]]:
    """(the expression, else what stands where licences stood before there were such)"""
    about = metadata.metadata(name)
    classifiers = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    (expression,) = about.get_all("License-Expression") or [None]
    (text,) = about.get_all("License") or [""]
    return expression, classifiers or [text.partition("\n")[0]]


def terms(expression: str) -> frozenset[str]:
    return frozenset(expression.replace("(", "").replace(")", "").split())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_says_what_the_package_says(name: str) -> None:
    rows = documented()[name]
    assert len({terms(row) for row in rows}) == 1, "two rows say different things"
    (row, *_) = rows
    expression, lines = said_by(name)
    if expression is not None:
        assert terms(row) == terms(expression)
        return
    families = {family for line in lines for word, family in FAMILIES.items() if word in line}
    if name in SAYS_NOTHING:
        assert families == set()
        return
    assert families
    for family in families:
        assert family in row
    assert len(LICENCE.findall(row)) == len(families)


@pytest.mark.parametrize("name", EVERYTHING)
def test_whatever_is_not_permissive_is_listed_as_such(name: str) -> None:
    try:
        expression, lines = said_by(name)
    except metadata.PackageNotFoundError:
        pytest.skip("it is for another system")
    text = expression or " ".join(lines)
    rows = [row for row in LISTED.splitlines() if name in re.split(r"[ |,]+", row.partition(" | ")[0])]
    assert len(rows) == bool(SHARE_ALIKE.search(text))
    assert all("| unmodified" in row for row in rows)
    assert not re.search(r"\bA?GPL|(?<!Lesser )General Public", text)
