"""Inputs that are kept: the fewest that reach what all of them reach, replayed by tests/fuzz/test_corpus.py.

An input is kept where a shorter one does not take the same steps from line to line through our own code. What once
failed is kept by hand, in a file whose name says what it was.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Final

from tests.fuzz.decoders.target import Target

if TYPE_CHECKING:
    from _typeshed import TraceFunction

FOLDER: Final = Path(__file__).parents[1] / "corpus"
_OURS: Final = str(Path(__file__).parents[3] / "p2pchat")

Step = tuple[CodeType | None, int, int]


def kept(target: Target) -> list[bytes]:
    """What is in the folder of ``target``."""
    return [path.read_bytes() for path in sorted((FOLDER / target.name).glob("*"))]


def keep(target: Target, inputs: Iterable[bytes]) -> int:
    """Write the fewest of ``inputs`` into the folder of ``target``, in place of those that have no name; how many."""
    folder = FOLDER / target.name
    folder.mkdir(parents=True, exist_ok=True)
    chosen = fewest(target, inputs)
    for path in folder.glob("x*"):
        path.unlink()
    for data in chosen:
        (folder / f"x{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    return len(chosen)


def fewest(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """Those of ``inputs`` that take a step which no shorter one took."""
    seen: set[Step] = set()
    chosen: list[bytes] = []
    for data in sorted(set(inputs), key=lambda each: (len(each), each)):
        steps = _steps(target, data)
        if not steps <= seen:
            seen |= steps
            chosen.append(data)
    return chosen


def _steps(target: Target, data: bytes) -> set[Step]:
    """From which line to which, in each function of ours; and whether it was accepted in the end."""
    steps: set[Step] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction | None:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        last = frame.f_lineno

        def line(inner: FrameType, event: str, _argument: object) -> TraceFunction:
            nonlocal last
            steps.add((inner.f_code, last, inner.f_lineno))
            last = inner.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        accepted = target.take(data)
    finally:
        sys.settrace(None)
    steps.add((None, accepted, 0))
    return steps
