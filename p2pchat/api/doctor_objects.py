"""Objects of ``node.doctor``: as those of :mod:`p2pchat.api.objects`."""

from __future__ import annotations

from msgspec import Struct

from p2pchat.api.diagnosis import Finding, State, advice, text
from p2pchat.base.silent import Silent


class Check(Silent, Struct, kw_only=True):
    """What one check found. ``code`` and ``facts`` are what ``text`` and ``advice``, which is empty where there is
    nothing to do, say in English."""

    name: str
    state: State
    code: str
    facts: dict[str, int | str | list[str]]
    text: str
    advice: str


class Diagnosis(Silent, Struct, kw_only=True):
    """The reply of ``node.doctor``, in the order in which it is to be read."""

    checks: list[Check]


def shown(finding: Finding, program: str) -> Check:
    """A finding as the API has it; ``program``: how the user calls p2pchat for this profile."""
    return Check(
        name=finding.name,
        state=finding.state,
        code=finding.code,
        facts=dict(finding.facts),
        text=text(finding, program),
        advice=advice(finding, program),
    )
