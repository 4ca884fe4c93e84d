"""Libraries without what their packages load along.

libp2p imports all there is: QUIC, WebSocket, ACME, mDNS, relays, keys of every kind, metrics, quotas, and what those
need, 600 modules that this node never uses. Here they are made, but their own code is run only when somebody asks for a
name that it defines: whatever works with a library works as before, later.

What is imported by ``from … import`` asks at once. Such a name is given a class that stands for it, and the code is run
when that is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import Loader
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


def defer(name: str, *names: str) -> None:
    """Put off the code of a module; nothing happens where it was imported before.

    Args:
        name: its full name. The package that holds it is imported, or was deferred before.
        names: of its classes and functions, those for which something stands meanwhile. Nobody derives from them nor
            catches them, and what is looked up in them before they are used is taken for a function. One that ends with
            ``()`` is a class: what a call of it makes is made when it is looked into.

    Concurrency: the code is run in the thread that asks first.
    """
    if name in sys.modules:
        return
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:  # the package that holds it is not installed
        return
    loader = None if spec is None else spec.loader
    if spec is None or loader is None:
        return  # whoever imports it will be told
    module = module_from_spec(spec)
    is_package = spec.submodule_search_locations is not None

    def look_up(wanted: str) -> object:
        """What is neither there nor a submodule is in the module's code: run it, once."""
        if wanted.startswith("__") or (is_package and find_spec(f"{name}.{wanted}") is not None):
            raise AttributeError(f"module {name!r} has no attribute {wanted!r}")
        _load(module, loader)
        return getattr(module, wanted)

    module.__dict__["__getattr__"] = look_up
    for each in names:
        wanted = each.removesuffix("()")
        about = {"__module__": name, "_home": (module, loader), "_makes_late": wanted != each}
        setattr(module, wanted, _StandIn(wanted, (), about))
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


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
    """What a call makes, made when it is looked into."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  the real one's
        if name.startswith("__"):
            raise AttributeError(name)
        if "_made" not in self.__dict__:
            self._made = self._make()
        return getattr(self._made, name)
