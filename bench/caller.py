"""``python -m bench.caller SOCKET CALL``: one client that calls all the while, in a process of its own.

Several in one process would measure each other: whoever decodes 500 contacts holds up who waits for a word. It says
``ready`` once connected, and when its input ends prints how long each call took, in ms, as one JSON list.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from bench.limits import unix_echo
from p2pchat.client.blocking import Client

ECHO: Final = "echo"
CALLS: Final[dict[str, Callable[[Client], object]]] = {
    "node.status": lambda client: client.call("node.status"),
    "contacts.list": lambda client: client.call("contacts.list"),
    "message.send": lambda client: client.call("message.send", to="Person 1", text="x" * 100),
}
_PAUSE_S: Final = 0.1


def main(socket: str, name: str) -> None:
    """Call until the input ends."""
    taken_ms: list[float] = []
    with ExitStack() as stack:
        if name == ECHO:
            once = stack.enter_context(unix_echo())
        else:
            client = stack.enter_context(Client(socket))

            def once() -> None:
                CALLS[name](client)

        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], _PAUSE_S)[0]:
            began = time.perf_counter()
            once()
            taken_ms.append((time.perf_counter() - began) * 1000)
    print(json.dumps(taken_ms))


if __name__ == "__main__":
    main(*sys.argv[1:])
