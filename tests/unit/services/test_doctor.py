"""What the doctor makes of what was looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.api.diagnosis import advice, text
from p2pchat.services.doctor import of_integrity
from p2pchat.services.examine import Files
from p2pchat.store.integrity import Integrity

FILES = Files(Path("/nowhere/work"), Path("/nowhere/work.toml"))
WELL = Integrity(problems=0, is_finished=True, bytes=5 << 20, took_s=0.25, schema=9, newest=9)


@pytest.mark.parametrize(
    ("seen", "code", "facts"),
    [
        (WELL, "database.ok", {"mib": 5, "ms": 250}),
        (replace(WELL, bytes=0, took_s=0.0), "database.ok", {"mib": 1, "ms": 1}),
        (replace(WELL, is_finished=False), "database.unfinished", {"mib": 5, "ms": 250}),
        (replace(WELL, schema=8), "database.older", {"schema": 8, "newest": 9}),
        (replace(WELL, schema=10), "database.newer", {"schema": 10, "newest": 9}),
        (replace(WELL, problems=3), "database.damaged", {"places": 3, "folder": "/nowhere/work"}),
        (replace(WELL, problems=3, is_finished=False), "database.damaged", {"places": 3, "folder": "/nowhere/work"}),
    ],
)
def test_what_follows_from_the_check_of_a_database(seen: Integrity, code: str, facts: dict[str, object]) -> None:
    found = of_integrity(seen, FILES)
    assert found.code == code
    assert found.facts == facts
    assert text(found, "p2pchat") + advice(found, "p2pchat")  # both sentences have all their facts
