"""Writes down the text of every exception that passes through p2pchat's code, caught or not, in any thread.

Python imports this at its start where the folder is on PYTHONPATH; ``EXCEPTION_TEXTS`` names the folder to write to,
one file a process. What is written: type, str, repr, args and notes, and the same of causes, contexts and members of
groups. Frames of other packages are not looked at: what they raise is seen where it reaches one of ours.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, cast

FOLDER = os.environ.get("EXCEPTION_TEXTS")
OURS = f"{os.sep}p2pchat{os.sep}"
RESULTS = (StopIteration, StopAsyncIteration)  # how a coroutine returns its value: caught by the interpreter itself


def everything(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """What an exception and all that hang on it would print."""
    if error is None or id(error) in seen or isinstance(error, RESULTS):
        return
    seen.add(id(error))
    notes = getattr(error, "__notes__", ())
    yield f"{type(error).__module__}.{type(error).__qualname__} {error!s} {error!r} {error.args!r} {notes!r}"
    group = cast("BaseExceptionGroup[BaseException]", error) if isinstance(error, BaseExceptionGroup) else None
    for other in (error.__cause__, error.__context__, *(group.exceptions if group is not None else ())):
        yield from everything(other, seen)


class Recorder:
    """The file of this process. What was written once is not written again."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, f"{os.getpid()}.txt")
        self._known: set[str] = set()
        self._ours: dict[CodeType, bool] = {}

    def called(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        """The trace function of a thread."""
        ours = self._ours.get(frame.f_code)
        if ours is None:
            ours = self._ours[frame.f_code] = OURS in frame.f_code.co_filename
        if not ours:
            return None
        frame.f_trace_lines = False
        return self._happened

    def _happened(self, _frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        if event == "exception":
            _, error, _ = cast("tuple[object, BaseException, object]", argument)
            self._record(error)
        return self._happened

    def _record(self, error: BaseException) -> None:
        text = "".join(f"{line}\n" for line in everything(error, set()))
        if text not in self._known:
            self._known.add(text)
            with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)


if FOLDER is not None:
    recorder = Recorder(FOLDER)
    threading.settrace(recorder.called)
    sys.settrace(recorder.called)
