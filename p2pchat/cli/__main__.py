"""The command ``p2pchat``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line that this process was started with, and exit with its status."""
    try:
        from p2pchat.cli.app import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are loaded
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
