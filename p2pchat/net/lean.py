"""Libraries without what their packages load along.

libp2p imports all there is: QUIC, WebSocket, ACME, mDNS, relays, keys of every kind, metrics, quotas, and what those
need, 600 modules that this node never uses. Here they are made, but their own code is run only when somebody asks for a
name that it defines: whatever works with a library works as before, later.

What is imported by ``from … import`` asks at once. Such a name is given a class that stands for it, and the code is run
when that is used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def defer(name: str, *names: str) -> None:
    """Put off the code of a module, from when it is imported first; nothing happens where it was imported before.

    Args:
        name: its full name.
        names: of its classes and functions, those for which something stands meanwhile. Nobody derives from them nor
            catches them, and what is looked up in them before they are used is taken for a function. One that ends with
            ``()`` is called at once: what that makes is made when it is looked into or called itself.

    Concurrency: the code is run in the thread that asks first.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    _FINDER.deferred[name] = names


def load_without(missing: str, *names: str) -> None:
    """Import modules that can do without another one as if that were not installed.

    Args:
        missing: nothing happens where this was imported before, or one of the others. Whoever needs it finds it later.
        names: full names.
    """
    if sys.modules.keys().isdisjoint((missing, *names)):
        modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: there is no such module
        modules[missing] = None
        try:
            for name in names:
                import_module(name)
        finally:
            del modules[missing]


def is_there(*names: str) -> bool:
    """Whether Python has all these modules of its own."""
    return all(name in sys.builtin_module_names or PathFinder.find_spec(name) is not None for name in names)


class _Finder:
    """Finds the modules that were put off, as others do, and has them made without their code."""

    def __init__(self) -> None:
        self.deferred: dict[str, tuple[str, ...]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None: somebody else knows, or nobody."""
        names = self.deferred.get(name)
        spec = None if names is None else PathFinder.find_spec(name, path, target)
        if names is not None and spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Later(spec.loader, names))  # to derive from it loads what archives need
        return spec


_FINDER: Final = _Finder()


class _Later:
    """The loader of a module whose code is run when it is needed: until then what is asked of it is listed here.

    Args:
        loader: the module's own.
        names: as in :func:`defer`.
    """

    def __init__(self, loader: Loader, names: tuple[str, ...]) -> None:
        self._loader = loader
        self._names = names

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Everything but to run the module's code."""
        spec, loader = module.__spec__, self._loader
        assert spec is not None  # noqa: S101  the import system has put it there
        spec.loader = module.__loader__ = loader
        name, within = spec.name, spec.submodule_search_locations

        def look_up(wanted: str) -> object:
            """What is neither there nor a submodule is in the module's code: run it, once."""
            if wanted.startswith("__") or (within is not None and PathFinder.find_spec(f"{name}.{wanted}", within)):
                raise AttributeError(f"module {name!r} has no attribute {wanted!r}")
            _load(module, loader)
            return getattr(module, wanted)

        module.__dict__["__getattr__"] = look_up
        for each in self._names:
            wanted = each.removesuffix("()")
            about = {"__module__": name, "_home": (module, loader), "_makes_late": wanted != each}
            setattr(module, wanted, _StandIn(wanted, (), about))


def _load(module: ModuleType, loader: Loader) -> None:
    if module.__dict__.pop("__getattr__", None) is not None:
        loader.exec_module(module)  # which puts what is real in the place of what stands for it


class _StandIn(type):
    """The class of what stands for a class or a function until it is used."""

    _home: tuple[ModuleType, Loader]
    _makes_late: bool

    @property
    def _is_loaded(cls) -> bool:
        return "__getattr__" not in cls._home[0].__dict__

    def _real(cls) -> Any:  # noqa: ANN401  whatever the library has there
        module, loader = cls._home
        _load(module, loader)
        return getattr(module, cls.__name__)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the real one's
        if cls._makes_late:
            return _Late(lambda: cls._real()(*args, **kwargs))
        return cls._real()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:  # noqa: ANN401  the real one's
        if name.startswith("__"):
            raise AttributeError(name)  # which typing asks of every annotation
        if cls._is_loaded:
            return getattr(cls._real(), name)

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the real one's
            return getattr(cls._real(), name)(*args, **kwargs)

        return call

    def __instancecheck__(cls, instance: object) -> bool:
        return cls._is_loaded and isinstance(instance, cls._real())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return cls._is_loaded and issubclass(subclass, cls._real())


class _Late:
    """What a call makes, made when it is looked into or called."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  the real one's
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the real one's
        return self._real()(*args, **kwargs)

    def _real(self) -> Any:  # noqa: ANN401  whatever it makes
        if "_made" not in self.__dict__:
            self._made = self._make()
        return self._made
