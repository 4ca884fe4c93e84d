"""One decoder under atheris, in a process of its own: ``… -m tests.fuzz.decoders.guided MODULE NAME OPTION… FOLDER``.

The options are libFuzzer's. It ends the process itself, whatever comes of it; an input that fails is written where
``-artifact_prefix`` says.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from tests.fuzz.decoders.target import Target


class _Atheris(Protocol):
    """What is used of the package, which has no types and is seldom installed."""

    def instrument_imports(self, include: list[str]) -> AbstractContextManager[object]: ...

    def Setup(self, arguments: list[str], take: Callable[[bytes], None]) -> object: ...  # noqa: N802

    def Fuzz(self) -> None: ...  # noqa: N802


class _Module(Protocol):
    TARGETS: tuple[Target, ...]


def main() -> None:
    """Never returns."""
    atheris = cast("_Atheris", importlib.import_module("atheris"))
    with atheris.instrument_imports(include=["p2pchat"]):  # before anything of it is loaded
        module = cast("_Module", importlib.import_module(sys.argv[1]))
    (target,) = (each for each in module.TARGETS if each.name == sys.argv[2])

    def take(data: bytes) -> None:
        target.take(data)

    atheris.Setup([sys.argv[0], *sys.argv[3:]], take)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
