"""The child that derives roots: one line of two numbers and an era in, one line of hex root out, empty where there is
not enough memory; ends when stdin ends.

It ignores SIGINT, which a terminal sends to the whole group: its parent decides. It runs at low priority.
"""

from __future__ import annotations

import os
import signal
import sys

from p2pchat.base.errors import InternalError
from p2pchat.core.params import PRODUCTION
from p2pchat.core.slots import derive_root


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the parent was killed: a traceback would go into its log
    os.nice(10)
    for line in sys.stdin:
        own, other, era = line.split()
        try:
            answer = derive_root(own, other, int(era), PRODUCTION).hex()
        except InternalError:  # not enough memory: the parent is told by an empty line, and tries again
            answer = ""
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
