"""What ``p2pchat doctor`` finds: a code with its facts, and the words for them.

Rules:

- A code is the name of a check and what it found (``disk.full``). How bad that is, and the words, stand in one table
  (:mod:`machine` and :mod:`network`), in English; other languages translate what stands there.
- Facts are numbers, words of ours, and paths and addresses of the user's own machine: no number, name, key or full id.
- Whoever reads the words has never heard of p2pchat's parts: a sentence says what is so, the next what to do, with the
  command to be typed. Nothing is promised that was not looked at; ``skipped`` says why it was not.
- ``{program}`` in the words is how the user calls p2pchat for this profile, and no fact.

Source: docs/CONTROL-API.md, "Objects".
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from p2pchat.api.diagnosis import machine, network
from p2pchat.api.diagnosis.said import Said, State

__all__ = ["SAID", "TITLES", "Fact", "Finding", "Said", "State", "advice", "found", "in_words", "places", "text"]

Fact = int | str | list[str]

TITLES: Final = machine.TITLES | network.TITLES
"""The checks in the order in which they are told, and what they are called."""

_NOT_LOOKED_AT: Final = {
    "no_daemon": "Not looked at: no daemon is running.",
    "locked": "Not looked at: the daemon is locked.",
    "replaced": "Not looked at: this device was replaced.",
    "broken": "Not looked at: the check itself failed. {reason}",
}

SAID: Final[Mapping[str, Said]] = {
    **{f"{name}.{why}": Said("skipped", text) for name in TITLES for why, text in _NOT_LOOKED_AT.items()},
    **machine.SAID,
    **network.SAID,
}
"""Everything that can be found."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``code`` is one of the table's, ``facts`` has what its words need."""

    code: str = field(repr=False)
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact], repr=False)

    @property
    def name(self) -> str:
        """Of the check."""
        return self.code.partition(".")[0]

    @property
    def state(self) -> State:
        """How bad it is."""
        return SAID[self.code].state


def found(code: str, **facts: int | str | Sequence[str]) -> Finding:
    """The finding ``code`` with these facts."""
    return Finding(code, {name: fact if isinstance(fact, int | str) else list(fact) for name, fact in facts.items()})


def text(finding: Finding, program: str) -> str:
    """What is so, in English."""
    return in_words(SAID[finding.code].text, finding.facts, program)


def advice(finding: Finding, program: str) -> str:
    """What to do, in English; empty where there is nothing to do."""
    return in_words(SAID[finding.code].advice, finding.facts, program)


def in_words(template: str, facts: Mapping[str, object], program: str) -> str:
    """A template with its places filled.

    Raises:
        KeyError: a fact is missing.
    """
    shown = {
        name: ", ".join(map(str, cast("list[object]", fact))) if isinstance(fact, list) else fact
        for name, fact in facts.items()
    }
    return template.format_map({**shown, "program": program})


def places(template: str) -> frozenset[str]:
    """The facts that a template needs, ``program`` among them."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)
