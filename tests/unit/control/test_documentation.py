"""docs/CONTROL-API.md against what it is made of, and against what the node tells of."""

from __future__ import annotations

import re
from pathlib import Path

from control_api.page import made, sections
from p2pchat.api.event_table import EVENTS
from p2pchat.base.refusals import Refusal
from p2pchat.core.events import EventKind

DOCUMENT = Path(__file__).parents[3] / "docs" / "CONTROL-API.md"


def test_the_page_is_what_the_schema_says() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    assert made(page) == page, "run scripts/control-api"
    assert sections(page) == ["methods", "objects", "events", "errors"]


def test_the_table_has_every_event_that_the_node_tells_of_once() -> None:
    assert sorted(name for each in EVENTS for name in each.types) == sorted(kind.value for kind in EventKind)


def test_every_kind_of_refusal_is_documented() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("| kind | what happened |")[2].partition("## Events")[0]
    assert re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE) == [kind.value for kind in Refusal]
