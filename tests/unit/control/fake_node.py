"""A fake node, whose handlers the tests can hold up, and a client of its socket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import trio

from p2pchat.base.errors import UsageError
from p2pchat.control import jsonrpc
from p2pchat.control.dispatch import Given
from p2pchat.control.server import Connection


class FakeNode:
    """Carries out a few methods; ``begun`` and ``ended`` record the order."""

    def __init__(self) -> None:
        self.begun: list[object] = []
        self.ended: list[object] = []
        self.gates: dict[object, trio.Event] = {}
        self.notified = 0
        self.stopped: list[str] = []
        self.joined: list[list[object]] = []

    def ready(self, value: object) -> jsonrpc.Ready | None:
        """None is made ready."""

    def may_join(self, method: object, params: object) -> bool:
        return method == "add" and isinstance(params, dict)

    async def together(self, params: Sequence[Given]) -> list[object]:
        numbers = [each.get("n") for each in params if isinstance(each, dict)]
        self.begun += numbers
        self.joined.append(numbers)
        if "break" in numbers:
            raise ValueError(numbers)
        await trio.lowlevel.checkpoint()
        return [UsageError("no", name="BLOCKED") if n == "refused" else {"n": n} for n in numbers]

    def open(self, n: object) -> None:
        self.gates.setdefault(n, trio.Event()).set()

    async def dispatch(self, method: str, params: dict[str, object], connection: Connection) -> object:
        n = params.get("n")
        self.begun.append(n)
        match method:
            case "echo" | "add":
                await trio.lowlevel.checkpoint()
                self.ended.append(n)
                return params
            case "wait":
                await self.gates.setdefault(n, trio.Event()).wait()
                self.ended.append(n)
                return params
            case "follow":
                count, size = (int(str(params[key])) for key in ("count", "size"))
                connection.after_reply(self._notify, connection, count, "x" * size)
                if params.get("fail"):
                    raise UsageError("no", name="FORBIDDEN")
                return {"subscription": "s"}
            case "follow_and_fail":
                connection.after_reply(self._fail)
                return {}
            case "refuse":
                raise UsageError("No contact has that name.", name="CONTACT_NOT_FOUND", data={"near": ["Bob"]})
            case "break":
                raise ValueError(params["secret"])
            case "strange":
                return object()
            case "big" | "message.list" | "message.get":
                return "x" * int(str(params["size"]))
            case _:
                raise UsageError("there is no such method", name="METHOD_NOT_FOUND")

    async def _notify(self, connection: Connection, count: int, body: str) -> None:
        try:
            for i in range(count):
                await connection.notify("event", {"seq": i, "data": body})
                self.notified += 1
            await trio.sleep_forever()
        finally:
            self.stopped.append("notify")

    async def _fail(self) -> None:
        raise UsageError("Events that old are gone.", name="CURSOR_EXPIRED", data={"oldest": 7})


class JsonClient:
    """One connection, newline JSON."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, *values: object) -> None:
        await self.stream.send_all(b"".join(json.dumps(value).encode() + b"\n" for value in values))

    async def call(self, method: str, request_id: object = 1, **params: object) -> dict[str, object]:
        await self.send(request(method, request_id, **params))
        return await self.receive()

    async def receive(self) -> dict[str, object]:
        value: dict[str, object] = json.loads(await self._line())
        return value

    async def receive_list(self) -> list[dict[str, object]]:
        value: list[dict[str, object]] = json.loads(await self._line())
        return value

    async def _line(self) -> bytes:
        parts = [self._buffer]
        while b"\n" not in parts[-1]:
            parts.append(await self.stream.receive_some(1 << 20))
            assert parts[-1], "the server closed the connection"
        line, _, self._buffer = b"".join(parts).partition(b"\n")
        return line

    async def ended(self) -> bool:
        return self._buffer == b"" and await self.stream.receive_some(1) == b""


def request(method: str, request_id: object = 1, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


async def connect(path: Path) -> JsonClient:
    return JsonClient(await trio.open_unix_socket(str(path)))
