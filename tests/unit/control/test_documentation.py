"""docs/CONTROL-API.md against the events that the node has."""

from __future__ import annotations

import re
from pathlib import Path

from p2pchat.base.refusals import Refusal
from p2pchat.core.events import EventKind

DOCUMENT = Path(__file__).parents[3] / "docs" / "CONTROL-API.md"


def test_every_event_that_the_node_tells_of_is_documented() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("| type | data |")[2].partition("## Errors")[0]
    documented = {name for row in table.splitlines() for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", row)}
    assert documented == {kind.value for kind in EventKind}


def test_every_kind_of_refusal_is_documented() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("| kind | what happened |")[2].partition("## Events")[0]
    assert re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE) == [kind.value for kind in Refusal]
