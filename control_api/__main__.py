"""``scripts/control-api``: write the sections of docs/CONTROL-API.md that are made; with ``--check`` only look.

Exit status 1 where ``--check`` finds that a section is not as it is made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from control_api.page import made

PAGE: Final = Path(__file__).parents[1] / "docs" / "CONTROL-API.md"


def main(arguments: list[str]) -> int:
    """The exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: scripts/control-api [--check]", file=sys.stderr)
        return 2
    before = PAGE.read_text("utf-8")
    after = made(before)
    if before == after:
        return 0
    if arguments:
        print("docs/CONTROL-API.md is not what the schema says: run scripts/control-api", file=sys.stderr)
        return 1
    PAGE.write_text(after, "utf-8")
    print("docs/CONTROL-API.md: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
