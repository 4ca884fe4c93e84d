"""DNS-SD as it is on the wire, and interfaces that change: each scenario in a network namespace that is made for it."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.net import lan_scenarios

ROOT = Path(__file__).parents[2]
SCENARIOS = [
    name
    for name, each in vars(lan_scenarios).items()
    if inspect.iscoroutinefunction(each) and each.__module__ == lan_scenarios.__name__ and name[0] != "_"
]

pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
        reason="network namespaces need root, unshare and ip",
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    command = ["unshare", "--net", sys.executable, "-W", "error", "-m", lan_scenarios.__name__, scenario]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
