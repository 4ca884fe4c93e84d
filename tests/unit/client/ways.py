"""The three clients behind one face, so that one scenario holds for all: what is awaited blocks in the blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import trio

from p2pchat.api.errors import ApiError
from p2pchat.client.blocking import Client, Events
from p2pchat.client.following import Since
from p2pchat.client.on_asyncio import AsyncioClient
from p2pchat.client.on_trio import TrioClient
from p2pchat.client.protocol import Event


class _Context(Protocol):
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Reader(_Context, Protocol):
    @property
    def log(self) -> str | None: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> Event: ...
    async def ack(self, event: Event) -> None: ...
    def close(self) -> None: ...


class AnyClient(_Context, Protocol):
    async def call(self, method: str, /, **params: object) -> dict[str, object]: ...
    async def insist(self, method: str, /, **params: object) -> dict[str, object]: ...
    def events(
        self,
        *,
        since: Since = "now",
        consumer: str | None = None,
        types: Sequence[str] | None = None,
        log: str | None = None,
        ack: Literal["auto", "manual"] = "auto",
        reconnect: bool = True,
        on_lost: Callable[[ApiError], object] | None = None,
    ) -> Reader: ...


class BlockingReader:
    def __init__(self, events: Events) -> None:
        self._events = events

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._events.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        for event in self._events:
            return event
        raise StopAsyncIteration

    @property
    def log(self) -> str | None:
        return self._events.log

    async def ack(self, event: Event) -> None:
        self._events.ack(event)

    def close(self) -> None:
        self._events.close()


class BlockingFace:
    def __init__(self, path: Path) -> None:
        self._client = Client(path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def call(self, method: str, /, **params: object) -> dict[str, object]:
        return self._client.call(method, **params)

    async def insist(self, method: str, /, **params: object) -> dict[str, object]:
        return self._client.insist(method, **params)

    def events(
        self,
        *,
        since: Since = "now",
        consumer: str | None = None,
        types: Sequence[str] | None = None,
        log: str | None = None,
        ack: Literal["auto", "manual"] = "auto",
        reconnect: bool = True,
        on_lost: Callable[[ApiError], object] | None = None,
    ) -> Reader:
        return BlockingReader(
            self._client.events(
                since=since, consumer=consumer, types=types, log=log, ack=ack, reconnect=reconnect, on_lost=on_lost
            )
        )


Scenario = Callable[[Callable[[], AnyClient]], Awaitable[None]]


def blocking(path: Path, scenario: Scenario) -> None:
    coroutine = scenario(lambda: BlockingFace(path))
    assert isinstance(coroutine, Coroutine)
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("what blocks was suspended")


def on_trio(path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        with trio.fail_after(20):
            await scenario(lambda: TrioClient(path))

    trio.run(main)


def on_asyncio(path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario(lambda: AsyncioClient(path))

    asyncio.run(main())


WAYS = {"blocking": blocking, "trio": on_trio, "asyncio": on_asyncio}
