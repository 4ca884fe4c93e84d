"""``scripts/manual``: write ``man/p2pchat.1``, which goes into the wheel; a test holds it to the commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from manual.page import page

FILE: Final = Path(__file__).parent.parent / "man" / "p2pchat.1"


def main() -> int:
    """The exit status."""
    FILE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
