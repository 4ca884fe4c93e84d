"""The doctor's table: every code has its words, and nothing in them depends on what is not told."""

from __future__ import annotations

import re

import pytest

from p2pchat.api.diagnosis import SAID, TITLES, Finding, advice, found, in_words, places, text
from p2pchat.api.doctor_objects import shown
from p2pchat.api.text import is_safe

ROWS = sorted(SAID)


@pytest.mark.parametrize("code", ROWS)
def test_a_row_is_of_a_check_and_says_something(code: str) -> None:
    said = SAID[code]
    name, dot, rest = code.partition(".")
    assert (name in TITLES, dot, bool(re.fullmatch("[a-z_]+", rest))) == (True, ".", True)
    assert said.state in ("ok", "warning", "failed", "skipped")
    assert said.text
    assert is_safe(said.text + said.advice)
    # after a fact the sentence may end with it
    assert said.text[-1] in ".}"


@pytest.mark.parametrize("code", [code for code in ROWS if SAID[code].state in ("warning", "failed")])
def test_whatever_is_not_well_comes_with_what_to_do(code: str) -> None:
    assert SAID[code].advice or code == "fix.refused"


@pytest.mark.parametrize("code", [code for code in ROWS if SAID[code].state == "ok"])
def test_what_is_well_asks_for_nothing(code: str) -> None:
    assert SAID[code].advice == ""


def test_words_are_filled_and_a_missing_fact_is_an_error() -> None:
    finding = found("permissions.open", paths=["/a", "/b"])
    assert (finding.name, finding.state) == ("permissions", "failed")
    assert text(finding, "p2pchat").endswith(": /a, /b")
    assert advice(finding, "p2pchat --profile work") == "Close them: p2pchat --profile work doctor --fix"
    with pytest.raises(KeyError):
        text(Finding("permissions.open"), "p2pchat")
    assert places("{a} and {program}, {a}") == {"a", "program"}
    assert in_words("{n} of {l}", {"n": 1, "l": [2, 3]}, "") == "1 of 2, 3"


def test_a_finding_as_the_api_has_it() -> None:
    check = shown(found("disk.low", folder="/x", free_mib=7), "p2pchat")
    assert (check.name, check.state, check.code) == ("disk", "warning", "disk.low")
    assert check.facts == {"folder": "/x", "free_mib": 7}
    assert "7 MiB" in check.text
    assert "/x" in check.advice
    assert "/x" not in repr(check) + repr(found("disk.low", folder="/x"))
