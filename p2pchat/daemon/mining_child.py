"""The child that mines: one line of hex digest and bits in, one line of hex nonce out; ends when stdin ends.

It ignores SIGINT, which a terminal sends to the whole group: its parent decides. It runs at low priority.
"""

from __future__ import annotations

import os
import signal
import sys

from p2pchat.core.work import mine


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the parent was killed: a traceback would go into its log
    os.nice(10)
    for line in sys.stdin:
        digest, bits = line.split()
        sys.stdout.write(mine(bytes.fromhex(digest), int(bits)).hex() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
