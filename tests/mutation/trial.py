"""Running tests against a module as it is, and with one change in it.

Each trial is a fork of a process that has loaded the test tools and no module of ours that is changed, so that it costs
the tests and little else. It has a time limit in CPU seconds, whatever else the machine does, and one of memory: a
change can make a loop endless.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final, Literal

import pytest
from hypothesis import Phase, settings

from tests.mutation.mutants import Mutant

Outcome = Literal["survived", "killed", "timeout"]

_MEMORY_BYTES: Final = 4 << 30
_PASSED: Final = 0
_FAILED: Final = (1, 2)  # a test, or the collection of the tests
_PHASES: Final = (Phase.explicit, Phase.generate)
_OPTIONS: Final = ("-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
_TOOLS: Final = (
    "cryptography.hazmat.primitives.asymmetric.mlkem", "doubleratchet", "hypothesis.stateful", "msgpack", "msgspec",
    "nacl.bindings", "pytest_trio", "trio",
)  # fmt: skip


class CannotRun(Exception):
    """The tests do not run, or fail without any change."""


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from a tree in place of its file."""

    def __init__(self, module: str, file: Path, code: CodeType) -> None:
        self._module = module
        self._file = file
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(self._file))

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102  our own source with one change


def prepare() -> None:
    """Load what every trial needs, and let property tests be brief and the same each time."""
    for name in _TOOLS:
        importlib.import_module(name)
    brief = settings(max_examples=20, database=None, deadline=None, derandomize=True, phases=_PHASES)
    settings.register_profile("mutants", brief)
    settings.load_profile("mutants")


def cpu_s(tests: Sequence[str]) -> float:
    """How much CPU the tests take as they are, in seconds.

    Raises:
        CannotRun: they fail.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status = _fork(tests, 600.0, None)
    if not os.WIFEXITED(status) or os.WEXITSTATUS(status) != _PASSED:
        raise CannotRun("the tests fail without any change")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def attempt(module: str, file: Path, tree: ast.Module, mutant: Mutant, tests: Sequence[str], limit_s: float) -> Outcome:
    """What the tests make of ``mutant``, which stands in ``tree``.

    Raises:
        CannotRun: the tests do not run at all.
    """
    status = _fork(tests, limit_s, (module, file, tree, mutant))
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGPROF else "killed"
    code = os.WEXITSTATUS(status)
    if code not in (_PASSED, *_FAILED):
        raise CannotRun(f"pytest ended with {code}")
    return "survived" if code == _PASSED else "killed"


def _fork(tests: Sequence[str], limit_s: float, change: tuple[str, Path, ast.Module, Mutant] | None) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return status
    code = 70
    try:
        code = _run(tests, limit_s, change)
    finally:
        os._exit(code)


def _run(tests: Sequence[str], limit_s: float, change: tuple[str, Path, ast.Module, Mutant] | None) -> int:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    if change is not None:
        module, file, tree, mutant = change
        mutant.apply()
        try:
            code = compile(ast.fix_missing_locations(tree), str(file), "exec")
        except (SyntaxError, ValueError, TypeError):  # no such program
            return _FAILED[0]
        sys.meta_path.insert(0, _Changed(module, file, code))
    return int(pytest.main([*_OPTIONS, *tests]))
