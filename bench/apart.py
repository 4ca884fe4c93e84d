"""Who gets which core, so that who attacks takes no time from those whose delays are measured.

On two cores that are shared by all, an attacker's own work delays whoever is honest, at whatever priority it runs: the
kernel lets it finish a slice of 3 ms. In the world it has a machine of its own; here it has a core of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_FIRST: Final = os.sched_param(1)


def set_apart(attacker: int, attacked: int, honest: Sequence[int]) -> bool:
    """Give the attacker's process one core, and all others another, on which the honest come before the attacked.

    Returns:
        whether this machine has two cores and lets this process (as root) do that; otherwise nothing has changed.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return False
    try:
        for thread in (each for process in honest for each in _threads(process)):
            os.sched_setscheduler(thread, os.SCHED_RR, _FIRST)
    except PermissionError:
        return False
    for process in (attacker, attacked, *honest):
        for thread in _threads(process):
            os.sched_setaffinity(thread, {cores[process == attacker]})
    return True


def _threads(process: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{process}/task").iterdir()]
