"""What the doctor found, as the API has it."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.api.diagnosis import Finding
from p2pchat.api.doctor_objects import Diagnosis, shown
from p2pchat.api.paths import program_of


def diagnosis(findings: Iterable[Finding], profile: str) -> Diagnosis:
    """The reply of ``node.doctor``, in words."""
    program = program_of(profile)
    return Diagnosis(checks=[shown(each, program) for each in findings])
