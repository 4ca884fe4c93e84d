"""What daemons have logged, counted: for whoever looks through it for what should not be there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path


def logged(log: Path) -> Counter[str]:
    """How often each thing stands in the file; what is no line of a log stands as it is, 200 characters of it."""
    kinds: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
            kinds[f"{entry['event']}" + (f" ({entry['error']})" if "error" in entry else "")] += 1
        except (ValueError, KeyError, TypeError):
            kinds[line[:200]] += 1
    return kinds
